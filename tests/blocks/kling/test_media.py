"""Kling's limits on what was given, on both sides of each."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from blocks.errors import Fault
from blocks.kling.media import (
    MediaLimits,
    check_audio,
    check_image,
    check_mode,
    check_one_audio,
    check_prompt,
    strip_data_prefix,
)
from tests.blocks.media import samples

LIMITS = MediaLimits()


def test_the_limits_are_the_documented_ones() -> None:
    assert LIMITS.model_dump() == {
        "image_bytes": 10_000_000,
        "image_min_side": 300,
        "image_ratio": 2.5,
        "audio_bytes": 5_000_000,
        "audio_min_seconds": 2,
        "audio_max_seconds": 60,
    }


def test_limits_cannot_be_changed_or_misspelt() -> None:
    with pytest.raises(ValidationError):
        LIMITS.image_bytes = 1  # type: ignore[misc]  # that it cannot be is the point
    with pytest.raises(ValidationError):
        MediaLimits.model_validate({"image_byte": 1})


@pytest.mark.parametrize("size", [(300, 300), (750, 300), (300, 750), (1000, 400)])
@pytest.mark.parametrize("format_name", ["JPEG", "PNG"])
async def test_an_image_on_the_limit_is_taken(format_name: str, size: tuple[int, int]) -> None:
    facts, faults = await check_image(samples.picture(format_name, *size), LIMITS)

    assert faults == ()
    assert facts is not None
    assert (facts.format, facts.width, facts.height) == (format_name, *size)


@pytest.mark.parametrize(
    ("size", "found"),
    [
        ((299, 300), Fault("image", "299 x 300 pixels", "each side at least 300 pixels")),
        ((300, 299), Fault("image", "300 x 299 pixels", "each side at least 300 pixels")),
        ((1200, 300), Fault("image", "4:1 (1200 x 300 pixels)", "between 1:2.5 and 2.5:1")),
        ((300, 1200), Fault("image", "1:4 (300 x 1200 pixels)", "between 1:2.5 and 2.5:1")),
        ((751, 300), Fault("image", "2.503:1 (751 x 300 pixels)", "between 1:2.5 and 2.5:1")),
    ],
)
async def test_an_image_beyond_a_limit_is_refused(size: tuple[int, int], found: Fault) -> None:
    assert (await check_image(samples.picture("PNG", *size), LIMITS))[1] == (found,)


async def test_the_size_of_an_image_is_limited() -> None:
    data = samples.picture("JPEG")

    assert (await check_image(data, MediaLimits(image_bytes=len(data))))[1] == ()
    _, faults = await check_image(data, MediaLimits(image_bytes=len(data) - 1))
    assert faults == (Fault("image", f"{len(data):,} bytes", f"at most {len(data) - 1:,} bytes"),)


async def test_all_faults_of_an_image_are_found_together() -> None:
    data = samples.picture("PNG", 800, 200)
    facts, faults = await check_image(data, MediaLimits(image_bytes=100))

    assert facts is not None
    assert [fault.limit for fault in faults] == [
        "at most 100 bytes",
        "each side at least 300 pixels",
        "between 1:2.5 and 2.5:1",
    ]


async def test_a_damaged_image_that_is_also_too_large_has_two_faults() -> None:
    facts, faults = await check_image(samples.picture("JPEG")[:20_000], MediaLimits(image_bytes=19_999))

    assert facts is None
    assert [fault.found for fault in faults] == ["20,000 bytes", "the file is a damaged or cut off picture"]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "the file is an empty file, not a JPEG or PNG picture"),
        (b"<html>", "the file is an HTML page, not a JPEG or PNG picture"),
        (samples.picture("WEBP"), "the file is a WebP picture, not a JPEG or PNG picture"),
        (samples.plain_png(10_000, 9_000), "the file has 10000 x 9000 pixels, more than can be checked"),
    ],
    ids=["empty", "html", "webp", "bomb"],
)
async def test_what_is_no_image_is_refused(data: bytes, found: str) -> None:
    assert await check_image(data, LIMITS) == (None, (Fault("image", found, "a still JPEG or PNG picture"),))


async def test_an_animation_is_no_portrait() -> None:
    _, faults = await check_image(samples.several_pictures("PNG", 3), LIMITS)

    assert faults == (Fault("image", "an animation of 3 pictures", "a still JPEG or PNG picture"),)


@pytest.mark.parametrize(
    "data",
    [samples.wav(2), samples.wav(60, rate=16_000), samples.mp3(60), samples.adts(60), samples.m4a(60)],
    ids=["2 s wav", "60 s wav", "60 s mp3", "60 s adts", "60 s m4a"],
)
async def test_a_voice_clip_on_the_limit_is_taken_with_what_its_encoder_padded(data: bytes) -> None:
    facts, faults = await check_audio(data, LIMITS)

    assert faults == ()
    assert facts is not None


@pytest.mark.parametrize(
    ("data", "seconds"),
    [
        (samples.wav(1.999), "1.999"),
        (samples.wav(60.001, rate=16_000), "60.001"),
        (samples.mp3(60.1), "60.1"),
        (samples.adts(60.1), "60.1"),
        (samples.m4a(60.1), "60.1"),
    ],
    ids=["short wav", "long wav", "long mp3", "long adts", "long m4a"],
)
async def test_a_voice_clip_beyond_a_limit_is_refused(data: bytes, seconds: str) -> None:
    _, (fault,) = await check_audio(data, LIMITS)

    assert fault.found.startswith(seconds)
    assert fault == Fault("audio", fault.found, "between 2 and 60 s")


async def test_kling_s_own_limit_can_be_configured() -> None:
    data = samples.wav(61, rate=8_000)

    assert len((await check_audio(data, LIMITS))[1]) == 1
    assert (await check_audio(data, MediaLimits(audio_max_seconds=300)))[1] == ()


async def test_the_size_of_a_voice_clip_is_limited() -> None:
    data = samples.wav(2)

    assert (await check_audio(data, MediaLimits(audio_bytes=len(data))))[1] == ()
    _, faults = await check_audio(data, MediaLimits(audio_bytes=len(data) - 1))
    assert faults == (Fault("audio", f"{len(data):,} bytes", f"at most {len(data) - 1:,} bytes"),)


async def test_all_faults_of_a_voice_clip_are_found_together() -> None:
    data = samples.wav(2)[:-1_000]
    _, faults = await check_audio(data, MediaLimits(audio_bytes=100))

    assert [fault.limit for fault in faults] == ["at most 100 bytes", "a whole file", "between 2 and 60 s"]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "the file is an empty file, not an MP3, WAV, M4A or AAC sound file"),
        (samples.clip(), "the file is a video, not an MP3, WAV, M4A or AAC sound file"),
        (
            samples.sound("flac", "flac", 1.0),
            "the file is a FLAC sound file, not an MP3, WAV, M4A or AAC sound file",
        ),
    ],
    ids=["empty", "video", "flac"],
)
async def test_what_is_no_sound_is_refused(data: bytes, found: str) -> None:
    assert await check_audio(data, LIMITS) == (
        None,
        (Fault("audio", found, "an MP3, WAV, M4A or AAC file"),),
    )


@pytest.mark.parametrize("prompt", ["x", "A calm presenter.", "é" * 2500, " padded "])
def test_a_prompt_within_the_limit_is_taken(prompt: str) -> None:
    assert check_prompt(prompt) == ()


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("x" * 2501, "2501 characters"),
        ("half \ud83d", "half of a character (a lone surrogate)"),
    ],
    ids=["empty", "blank", "long", "surrogate"],
)
def test_a_prompt_that_cannot_be_sent_is_refused(prompt: str, found: str) -> None:
    (fault,) = check_prompt(prompt)

    assert (fault.field, fault.found) == ("prompt", found)


@pytest.mark.parametrize("mode", ["std", "pro"])
def test_both_modes_are_taken(mode: str) -> None:
    assert check_mode(mode) == ()


@pytest.mark.parametrize("mode", ["standard", "STD", "", " std"])
def test_another_mode_is_refused(mode: str) -> None:
    assert check_mode(mode) == (Fault("mode", f"'{mode}'", "std or pro"),)


@pytest.mark.parametrize(("audio", "audio_id"), [("a.mp3", None), ("a.mp3", ""), (None, "88"), ("  ", "88")])
def test_one_of_audio_and_audio_id_is_right(audio: str | None, audio_id: str | None) -> None:
    assert check_one_audio(audio, audio_id) == ()


@pytest.mark.parametrize(
    ("audio", "audio_id", "found"),
    [("a.mp3", "88", "both audio and audio_id"), (None, None, "no audio"), ("", " ", "no audio")],
)
def test_both_or_none_are_wrong(audio: str | None, audio_id: str | None, found: str) -> None:
    assert check_one_audio(audio, audio_id) == (Fault("audio", found, "audio, audio_id or text"),)


@pytest.mark.parametrize(
    ("text", "stripped"),
    [
        ("data:image/png;base64,iVBORw0=", "iVBORw0="),
        ("DATA:;base64,AAAA", "AAAA"),
        ("iVBORw0=", "iVBORw0="),
        ("https://example.com/a,b", "https://example.com/a,b"),
    ],
)
def test_only_a_data_prefix_is_stripped(text: str, stripped: str) -> None:
    assert strip_data_prefix(text) == stripped

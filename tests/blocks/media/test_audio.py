from __future__ import annotations

import pytest

from blocks.media import AudioFacts, MediaError, measure_audio
from tests.blocks.media import samples

FRAME = 1024 / samples.RATE
MP3_PADDING = (1105 + 1152) / samples.RATE


async def refusal(data: bytes) -> str:
    with pytest.raises(MediaError) as refused:
        await measure_audio(data)
    return refused.value.reason


@pytest.mark.parametrize(
    ("data", "format_name", "codec", "padding"),
    [
        (samples.wav(), "WAV", "pcm_s16le", 0),
        (samples.piped_wav(), "WAV", "pcm_s16le", 0),
        (samples.mp3(), "MP3", "mp3", 0.0),
        (samples.vbr_mp3_without_count(), "MP3", "mp3", MP3_PADDING),
        (samples.adts(), "AAC", "aac", 2 * FRAME),
        (samples.uneven_adts(), "AAC", "aac", 2 * FRAME),
        (samples.m4a(), "M4A", "aac", 2 * FRAME),
        (samples.fragmented_m4a(), "M4A", "aac", 2 * FRAME),
    ],
    ids=["wav", "piped wav", "mp3", "vbr mp3", "adts", "uneven adts", "m4a", "fragmented m4a"],
)
async def test_seconds_are_counted_by_packets(
    data: bytes, format_name: str, codec: str, padding: float
) -> None:
    facts = await measure_audio(data)

    assert (facts.format, facts.codec, facts.whole) == (format_name, codec, True)
    assert 3.0 <= facts.seconds <= 3.0 + padding


async def test_rate_and_channels_are_measured() -> None:
    assert await measure_audio(samples.wav(2.5, rate=16_000, channels=2)) == AudioFacts(
        "WAV", "pcm_s16le", 2.5, 16_000, 2, True
    )


@pytest.mark.parametrize(
    ("format_name", "codec", "found"), [("mp3", "libmp3lame", "MP3"), ("mp4", "aac", "M4A")]
)
async def test_cover_art_is_not_a_video(format_name: str, codec: str, found: str) -> None:
    facts = await measure_audio(samples.with_cover(format_name, codec))

    assert (facts.format, facts.whole) == (found, True)
    assert 3.0 <= facts.seconds <= 3.06


@pytest.mark.parametrize(
    "data",
    [samples.wav(), samples.mp3(), samples.adts(), samples.fragmented_m4a()],
    ids=["wav", "mp3", "adts", "fragmented m4a"],
)
async def test_half_a_file_is_half_as_long_and_not_whole(data: bytes) -> None:
    facts = await measure_audio(data[: len(data) // 2])

    assert not facts.whole
    assert 1.2 <= facts.seconds <= 1.7


@pytest.mark.parametrize(
    "data",
    [samples.wav(), samples.adts(), samples.m4a(), samples.fragmented_m4a()],
    ids=["wav", "adts", "m4a", "fragmented m4a"],
)
async def test_one_missing_byte_is_noticed(data: bytes) -> None:
    assert not (await measure_audio(data[:-1])).whole


async def test_an_mp3_without_frame_count_cannot_tell_that_it_is_cut() -> None:
    """Its seconds are still those that are there."""
    data = samples.vbr_mp3_without_count()
    facts = await measure_audio(data[: len(data) // 2])

    assert facts.whole
    assert facts.seconds < 2.5


@pytest.mark.parametrize("placeholder", [0, 0x7FFFF024, 0xFFFFFFFF])
async def test_a_wav_from_a_pipe_is_whole_whatever_stands_for_its_size(placeholder: int) -> None:
    assert (await measure_audio(samples.piped_wav(placeholder=placeholder))).whole


async def test_an_index_without_its_sound_is_refused() -> None:
    data = samples.m4a()

    assert await refusal(data[: len(data) // 2]) == "looks like an M4A sound file but is damaged or cut off"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is an empty file, not"),
        (b"R", "is not an MP3"),
        (b"<html><body>Not Found</body></html>", "is an HTML page, not"),
        (b"hello " * 5000, "is not an MP3"),
        (bytes(50_000), "is not an MP3"),
        (samples.picture("PNG"), "is a PNG picture, not"),
        (samples.sound("flac", "flac", 1.0), "is a FLAC sound file, not"),
        (samples.sound("ogg", "libopus", 1.0, rate=48_000), "is an Ogg sound file, not"),
        (samples.sound("matroska", "aac", 1.0), "is a Matroska or WebM file, not"),
        (samples.clip(), "is a video, not"),
        (samples.clip(container_format="mov", sounds=1), "is a video, not"),
        (samples.clip(videos=0, container_format="mov"), "is a QuickTime or 3GP file, not"),
        (samples.clip(videos=0, sounds=2), "holds 2 sound tracks, not one"),
    ],
    ids=[
        "empty",
        "byte",
        "html",
        "text",
        "zeros",
        "png",
        "flac",
        "ogg",
        "matroska",
        "mp4-video",
        "mov-video",
        "mov-sound",
        "two-tracks",
    ],
)
async def test_what_is_no_sound_file_is_named(data: bytes, reason: str) -> None:
    assert (await refusal(data)).startswith(reason)


async def test_a_wav_without_samples_holds_no_sound() -> None:
    assert await refusal(samples.wav()[:78]) == "holds no sound"

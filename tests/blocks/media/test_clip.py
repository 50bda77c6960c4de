from __future__ import annotations

import dataclasses
import io
import itertools
import statistics

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.errors import ClipRejected
from blocks.media import ClipFacts, ClipInspector, check_seconds
from blocks.media.boxes import BoxWalker
from tests.blocks.media import samples


async def inspected(data: bytes, chunk_bytes: int = 1_000) -> ClipFacts:
    inspector = ClipInspector()
    for start in range(0, len(data), chunk_bytes):
        inspector.feed(data[start : start + chunk_bytes])
    return await inspector.finish()


async def rejection(data: bytes) -> str:
    with pytest.raises(ClipRejected) as rejected:
        await inspected(data)
    assert rejected.value.charged == "yes"
    return rejected.value.message


@pytest.mark.parametrize("layout", samples.MP4_LAYOUTS)
@pytest.mark.parametrize("media_bytes", [2_000, 1024 * 1024])
async def test_the_facts_are_those_of_the_whole_file(
    layout: str, media_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether all or only the first of the media data was kept."""
    data = samples.clip(layout)
    monkeypatch.setattr("blocks.media.clip.BoxWalker", lambda: BoxWalker(media_bytes=media_bytes))
    facts = await inspected(data)

    with av.open(io.BytesIO(data), "r") as whole:
        video, sound = whole.streams.video[0], whole.streams.audio[0]
        packets = [packet for packet in whole.demux(video, sound) if packet.size]
        seconds = {}
        for stream in (video, sound):
            lengths = [packet.duration or 0 for packet in packets if packet.stream_index == stream.index]
            # Older versions of FFmpeg leave out the length of the first packet of a fragment.
            total = sum(lengths) + lengths.count(0) * statistics.mode(lengths)
            seconds[stream.index] = float(total * (stream.time_base or 0))
        assert facts == ClipFacts(
            container="MP4",
            video_codec=video.codec_context.name,
            width=video.width,
            height=video.height,
            fps=round(float(video.average_rate or 0), 3),
            audio_codec=sound.codec_context.name,
            sample_rate=sound.rate,
            seconds=seconds[video.index],
            audio_seconds=seconds[sound.index],
            video_streams=1,
            audio_streams=1,
            bit_rate=round(len(data) * 8 / seconds[video.index]),
            size=len(data),
        )
    assert (facts.width, facts.height) == (320, 240)
    assert facts.fps == pytest.approx(30, abs=1)
    assert facts.seconds == pytest.approx(2, abs=0.05)
    assert facts.audio_seconds == pytest.approx(2, abs=0.05)


@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(st.integers(0, len(samples.clip())), max_size=20))
async def test_the_chunking_makes_no_difference(cuts: list[int]) -> None:
    data = samples.clip()
    inspector = ClipInspector()
    edges = [0, *sorted(cuts), len(data)]
    for start, end in itertools.pairwise(edges):
        inspector.feed(data[start:end])

    assert await inspector.finish() == await inspected(data, len(data))


@pytest.mark.parametrize("layout", samples.MP4_LAYOUTS)
@pytest.mark.parametrize("kept", [0.02, 0.4, 0.7, 0.999])
async def test_a_cut_off_video_is_rejected(layout: str, kept: float) -> None:
    data = samples.clip(layout)

    assert "cut off" in await rejection(data[: int(len(data) * kept)])


def without_box(data: bytes, kind: bytes) -> bytes:
    """Drop every top-level box of a kind."""
    kept, start = b"", 0
    while start < len(data):
        end = start + int.from_bytes(data[start : start + 4], "big")
        kept += b"" if data[start + 4 : start + 8] == kind else data[start:end]
        start = end
    return kept


@pytest.mark.parametrize("kind", [b"ftyp", b"moov", b"mdat"])
async def test_a_video_without_one_of_its_boxes_is_rejected(kind: bytes) -> None:
    data = without_box(samples.clip(), kind)

    assert await rejection(data) == f"The delivered video lacks its {kind.decode()} box"


async def test_a_video_whose_index_points_beyond_its_end_is_rejected() -> None:
    """The boxes are whole, but the media data was shortened together with its length."""
    data = samples.clip("index at the front")
    start = data.index(b"mdat") - 4
    shortened = (1_000).to_bytes(4, "big") + data[start + 4 : start + 1_000]

    assert (
        await rejection(data[:start] + shortened) == "The delivered video refers to video data beyond its end"
    )


@pytest.mark.parametrize(
    ("videos", "sounds", "found"),
    [(1, 0, "1 video and 0"), (0, 1, "0 video and 1"), (2, 1, "2 video and 1"), (1, 2, "1 video and 2")],
)
async def test_exactly_one_video_and_one_audio_track_are_wanted(videos: int, sounds: int, found: str) -> None:
    data = samples.clip(videos=videos, sounds=sounds)

    assert await rejection(data) == f"The delivered video holds {found} audio tracks, not one of each"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is an empty file, not an MP4 file"),
        (b"\0", "is cut off inside the head of a box"),
        (b"<!DOCTYPE html><p>The link has expired</p>", "is an HTML page, not an MP4 file"),
        (
            b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
            "is an XML document, not an MP4 file",
        ),
        (samples.picture("JPEG"), "is a JPEG picture, not an MP4 file"),
        (
            b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x08moov\0\0\0\x08mdat",
            "holds 0 video and 0 audio tracks, not one of each",
        ),
    ],
    ids=["empty", "one byte", "html", "xml", "jpeg", "empty boxes"],
)
async def test_what_is_no_video_is_named(data: bytes, message: str) -> None:
    assert await rejection(data) == f"The delivered video {message}"


async def test_a_quicktime_file_says_so() -> None:
    assert (await inspected(samples.clip(container_format="mov"))).container == "MOV"


async def test_trailing_bytes_are_rejected() -> None:
    assert "cut off" in await rejection(samples.clip() + b"\0\0\0")


async def test_of_a_long_video_only_the_index_is_held() -> None:
    data = samples.clip("index at the front")
    start = data.index(b"mdat") - 4
    inspector = ClipInspector()
    inspector.feed(data[:start] + b"\0\0\0\1mdat" + (16 + 2**33).to_bytes(8, "big") + data[start + 8 :])
    filler = bytes(16 * 1024 * 1024)
    for _ in range(256):
        inspector.feed(filler)

    assert inspector._walker.size > 2**32
    assert sum(len(piece) for _, piece in inspector._walker.pieces) < start + 1024 * 1024 + 16 + 1


def facts_of(seconds: float, audio_seconds: float) -> ClipFacts:
    return ClipFacts(
        "MP4", "h264", 720, 720, 30, "aac", 44_100, seconds, audio_seconds, 1, 1, 1_000_000, 1_000
    )


@pytest.mark.parametrize(
    ("expected", "seconds"),
    [(10, 10), (10, 9.0), (10, 11.0), (2, 1.0), (60, 57.0), (60, 63.0), (27.04, 27.0)],
)
def test_a_video_about_as_long_as_its_sound_is_accepted(expected: float, seconds: float) -> None:
    check_seconds(facts_of(seconds, seconds), expected)


@pytest.mark.parametrize(
    ("expected", "seconds"), [(10, 8.99), (10, 11.01), (2, 0.99), (60, 56.99), (60, 63.01)]
)
def test_a_video_of_another_length_is_rejected(expected: float, seconds: float) -> None:
    with pytest.raises(ClipRejected, match="video track lasts"):
        check_seconds(facts_of(seconds, expected), expected)
    with pytest.raises(ClipRejected, match="audio track lasts"):
        check_seconds(facts_of(expected, seconds), expected)


def test_facts_can_be_stored() -> None:
    assert ClipFacts(**dataclasses.asdict(facts_of(2, 2))) == facts_of(2, 2)

"""Files that somebody broke on purpose: the answer is facts or a refusal, and the next file still works."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import pytest

from blocks.errors import ClipRejected
from blocks.media import (
    AudioFacts,
    ClipFacts,
    ClipInspector,
    ImageFacts,
    MediaError,
    measure_audio,
    measure_image,
)
from tests.blocks.media import samples

CHANGES = 15


def mutations(data: bytes, seed: int) -> Iterator[bytes]:
    """Change, cut, repeat and swap parts of a real file; its head most of all."""
    luck = random.Random(seed)  # noqa: S311 - the same files in every run
    for _ in range(CHANGES):
        broken = bytearray(data)
        for _ in range(luck.choice((1, 3, 30))):
            reach = luck.choice((64, 600, len(broken)))
            at = luck.randrange(min(reach, len(broken)))
            kind = luck.randrange(4)
            if kind == 0:
                broken[at] = luck.choice((0, 1, 0x7F, 0x80, 0xFF, luck.randrange(256)))
            elif kind == 1:
                broken[at : at + 4] = luck.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", bytes(4)))
            elif kind == 2:
                broken[at:at] = broken[at : at + luck.randrange(1, 300)]
            else:
                del broken[at : at + luck.randrange(1, 30)]
        yield bytes(broken)


async def image_outcome(data: bytes) -> ImageFacts | str:
    try:
        return await measure_image(data)
    except MediaError as refused:
        return refused.reason


async def audio_outcome(data: bytes) -> AudioFacts | str:
    try:
        return await measure_audio(data)
    except MediaError as refused:
        return refused.reason


async def clip_outcome(data: bytes) -> ClipFacts | str:
    inspector = ClipInspector()
    inspector.feed(data)
    try:
        return await inspector.finish()
    except ClipRejected as rejected:
        return rejected.message


@pytest.mark.parametrize("format_name", ["JPEG", "PNG"])
async def test_broken_pictures_are_measured_or_refused(format_name: str) -> None:
    original = samples.picture(format_name, 320, 320)
    outcomes = await asyncio.gather(*map(image_outcome, mutations(original, seed=1)))

    assert any(isinstance(outcome, str) for outcome in outcomes)
    assert await image_outcome(original) == ImageFacts("PNG" if format_name == "PNG" else "JPEG", 320, 320)


@pytest.mark.parametrize(
    "original",
    [samples.wav(), samples.mp3(), samples.adts(), samples.m4a(), samples.fragmented_m4a()],
    ids=["wav", "mp3", "adts", "m4a", "fragmented m4a"],
)
async def test_broken_sound_is_measured_or_refused(original: bytes) -> None:
    outcomes = await asyncio.gather(*map(audio_outcome, mutations(original, seed=2)))

    assert len(set(outcomes)) > 1
    assert isinstance(await audio_outcome(original), AudioFacts)


@pytest.mark.parametrize("layout", ["index at the end", "fragmented"])
async def test_broken_videos_are_measured_or_rejected(layout: str) -> None:
    original = samples.clip(layout)
    outcomes = await asyncio.gather(*map(clip_outcome, mutations(original, seed=3)))

    assert any(isinstance(outcome, str) for outcome in outcomes)
    assert isinstance(await clip_outcome(original), ClipFacts)

"""What stores are trusted with, tried on a production server: one winner, large clips, cut uploads."""

from __future__ import annotations

import asyncio
import hashlib
import random

import pytest

from blocks.storage.s3.store import S3Store
from tests.blocks.storage.endless import kill_while_writing
from tests.blocks.storage.racer import race
from tests.integration.room import Room

pytestmark = pytest.mark.asyncio(loop_scope="session")

MEBIBYTE = 2**20
CLIP = "clips/ab/a.mp4"


async def test_exactly_one_of_16_racing_processes_wins(room: Room, address: str) -> None:
    won = await asyncio.to_thread(race, room.url, "journal/a.json", 16, 1, address)
    assert sum(won) == 1
    assert room.get("journal/a.json") == b"creator %d" % won.index(True)


async def test_a_clip_of_100_mb_arrives_in_parts_and_whole(room: Room, archive_store: S3Store) -> None:
    source, sent = random.Random(1), hashlib.sha256()  # noqa: S311 # bytes that nobody compresses
    async with archive_store.writer(CLIP) as writer:
        for _ in range(100):
            chunk = source.randbytes(1_000_000)
            sent.update(chunk)
            await writer.write(chunk)
        assert room.keys() == []
        assert room.open_uploads() == [CLIP]
        assert await writer.publish()
    assert hashlib.sha256(room.get(CLIP)).digest() == sent.digest()
    about = room.describe(CLIP)
    assert (about["ContentLength"], about["ContentType"]) == (100_000_000, "video/mp4")
    assert about["ETag"].endswith('-20"')
    assert room.open_uploads() == []


async def test_an_upload_whose_process_was_killed_is_invisible_and_the_sweep_removes_it(
    room: Room, archive_store: S3Store, address: str
) -> None:
    await asyncio.to_thread(kill_while_writing, room.url, CLIP, 20, address)
    assert room.keys() == []
    assert room.open_uploads() == [CLIP]
    assert await archive_store.sweep(3600) == []
    assert await archive_store.sweep(-60) == [CLIP]
    assert room.open_uploads() == []


async def test_an_upload_that_is_cancelled_midway_leaves_nothing_at_once(
    room: Room, archive_store: S3Store
) -> None:
    half_way = asyncio.Event()

    async def stream() -> None:
        async with archive_store.writer(CLIP) as writer:
            for number in range(1000):
                await writer.write(bytes(MEBIBYTE))
                if number == 20:
                    half_way.set()

    streaming = asyncio.create_task(stream())
    await half_way.wait()
    streaming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await streaming
    assert (room.keys(), room.open_uploads()) == ([], [])
    assert await archive_store.sweep(-60) == []


async def test_more_uploads_than_fit_on_a_page_are_swept(room: Room, archive_store: S3Store) -> None:
    calls = archive_store._calls
    for start in range(0, 1020, 60):
        names = (f"clips/{number:04}.mp4" for number in range(start, start + 60))
        await asyncio.gather(*(calls.send("CreateMultipartUpload", name) for name in names))
    assert len(await archive_store.sweep(-60)) == 1020
    assert room.open_uploads() == []

"""What every store promises, whatever is behind it."""

from __future__ import annotations

import asyncio
import re
import time

import pytest

from blocks.errors import StorageUnavailable
from blocks.storage.store import Store

pytestmark = pytest.mark.asyncio(loop_scope="session")

MEBIBYTE = 2**20


async def keys(store: Store, prefix: str = "") -> list[str]:
    return [found.key async for found in store.find(prefix)]


async def stored(store: Store, key: str) -> bytes:
    return b"".join([piece async for piece in store.chunks(key)])


async def test_an_absent_object_is_not_an_error(store: Store) -> None:
    assert await store.read("journal/ab.json") is None
    assert await store.size("journal/ab.json") is None
    assert await keys(store) == []
    assert await keys(store, "journal/") == []
    await store.delete("journal/ab.json")


async def test_replace_writes_and_replaces_and_delete_removes(store: Store) -> None:
    await store.replace("open/a", b"")
    assert await store.read("open/a") == b""
    await store.replace("open/a", b"second")
    assert await store.read("open/a") == b"second"
    assert await store.size("open/a") == 6
    await store.delete("open/a")
    assert await store.read("open/a") is None
    assert await keys(store) == []


async def test_create_succeeds_once_and_knows_its_own_content_again(store: Store) -> None:
    assert await store.create("journal/ab/0001.json", b"mine")
    assert not await store.create("journal/ab/0001.json", b"theirs")
    assert await store.create("journal/ab/0001.json", b"mine")
    assert await store.read("journal/ab/0001.json") == b"mine"


async def test_exactly_one_of_16_racing_creators_wins(store: Store) -> None:
    won = await asyncio.gather(*(store.create("journal/a.json", b"%d" % number) for number in range(16)))
    assert sum(won) == 1
    assert await store.read("journal/a.json") == b"%d" % won.index(True)


async def test_a_key_that_is_a_folder_is_no_object(store: Store) -> None:
    await store.replace("journal/ab/0001.json", b"x")
    assert await store.read("journal/ab") is None
    assert await store.size("journal/ab") is None


async def test_find_lists_keys_that_start_with_the_prefix_in_order(store: Store) -> None:
    written = ["a/b/c", "a-b", "a.b", "a/b-c", "ab/c", "b", "a/b.c"]
    for key in written:
        await store.replace(key, key.encode())
    assert await keys(store) == sorted(written)
    assert await keys(store, "a/") == ["a/b-c", "a/b.c", "a/b/c"]
    assert await keys(store, "a/b") == ["a/b-c", "a/b.c", "a/b/c"]
    assert await keys(store, "a") == sorted(set(written) - {"b"})
    assert await keys(store, "c") == []


async def test_find_tells_size_and_time_in_seconds_since_1970(store: Store) -> None:
    await store.replace("open/a", b"four")
    (found,) = [each async for each in store.find("open/")]
    assert (found.key, found.size) == ("open/a", 4)
    assert abs(found.modified - time.time()) < 60


async def test_find_is_fresh_each_time(store: Store) -> None:
    await store.replace("open/a", b"")
    assert await keys(store, "open/") == ["open/a"]
    await store.replace("open/b", b"")
    await store.delete("open/a")
    assert await keys(store, "open/") == ["open/b"]


async def test_chunks_are_at_most_a_mebibyte_and_add_up(store: Store) -> None:
    data = bytes(range(256)) * 4 * 1024 * 3 + b"end"
    await store.replace("clips/a.mp4", data)
    pieces = [piece async for piece in store.chunks("clips/a.mp4")]
    assert max(map(len, pieces)) <= MEBIBYTE
    assert b"".join(pieces) == data


async def test_chunks_of_an_absent_object_are_an_error(store: Store) -> None:
    with pytest.raises(StorageUnavailable):
        await stored(store, "clips/a.mp4")


async def test_chunks_may_be_left_early(store: Store) -> None:
    await store.replace("clips/a.mp4", bytes(3 * MEBIBYTE))
    pieces = store.chunks("clips/a.mp4")
    assert await anext(pieces)
    await pieces.aclose()  # type: ignore[attr-defined]  # every store answers with a generator
    assert await store.size("clips/a.mp4") == 3 * MEBIBYTE


@pytest.mark.parametrize("chunks", [[], [b"one"], [b"x" * 700_000] * 3, [b"y" * (3 * MEBIBYTE), b"z"]])
async def test_a_stream_is_invisible_until_it_is_published_and_then_whole(
    store: Store, chunks: list[bytes]
) -> None:
    async with store.writer("clips/a.mp4") as writer:
        for chunk in chunks:
            await writer.write(chunk)
        assert await store.size("clips/a.mp4") is None
        assert await keys(store) == []
        assert await writer.publish()
    assert await stored(store, "clips/a.mp4") == b"".join(chunks)
    assert await keys(store) == ["clips/a.mp4"]
    assert await store.sweep(-60) == []


@pytest.mark.parametrize("size", [1, 3 * MEBIBYTE])
async def test_a_stream_that_is_left_without_publishing_leaves_nothing(store: Store, size: int) -> None:
    async def fail() -> None:
        async with store.writer("clips/a.mp4") as writer:
            await writer.write(bytes(size))
            raise LookupError

    async with store.writer("clips/a.mp4") as writer:
        await writer.write(bytes(size))
    with pytest.raises(LookupError):
        await fail()
    assert await keys(store) == []
    assert await store.sweep(-60) == []


@pytest.mark.parametrize("size", [1, 3 * MEBIBYTE])
async def test_publishing_a_taken_key_says_so_and_changes_nothing(store: Store, size: int) -> None:
    async with store.writer("clips/a.mp4") as first, store.writer("clips/a.mp4") as second:
        await first.write(b"first")
        await second.write(bytes(size))
        assert await first.publish()
        assert not await second.publish()
    assert await store.read("clips/a.mp4") == b"first"
    assert await store.sweep(-60) == []


async def test_many_streams_at_once_do_not_mix(store: Store) -> None:
    async def write(number: int) -> None:
        async with store.writer(f"clips/{number:02}.mp4") as writer:
            for _ in range(20):
                await writer.write(b"%02d" % number * 10_000)
            assert await writer.publish()

    await asyncio.gather(*(write(number) for number in range(12)))
    for number in range(12):
        assert await store.read(f"clips/{number:02}.mp4") == b"%02d" % number * 200_000


@pytest.mark.parametrize("key", ["../a", "parts/a"])
async def test_unclean_and_reserved_keys_are_refused_everywhere(store: Store, key: str) -> None:
    async def write() -> None:
        async with store.writer(key):
            pass

    for attempt in (
        store.read(key),
        store.create(key, b""),
        store.replace(key, b""),
        store.delete(key),
        store.size(key),
        store.link(key, 60),
        stored(store, key),
        keys(store, key),
        write(),
    ):
        with pytest.raises(ValueError, match=re.escape(repr(key))):
            await attempt


async def test_names_that_are_not_ascii_work(store: Store) -> None:
    key = "clips/Jiří říká: „ahoj“ + 100 % & more.json"
    assert await store.create(key, b"x")
    assert await keys(store, "clips/Jiří") == [key]
    assert await store.read(key) == b"x"


async def test_the_address_of_the_store_names_no_secret(store: Store) -> None:
    assert "test-secret-key" not in f"{store.url}{store!r}"
    assert "://" in store.url
    assert not store.url.endswith("/")

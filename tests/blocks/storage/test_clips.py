"""A clip is published when it is whole and right; one that is not is kept aside, once, and never lost."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from blocks.errors import ClipRejected, ClipUnavailable, StorageUnavailable
from blocks.storage.clips import adopt_clip, store_clip
from blocks.storage.layout import aside_key, clip_key, sidecar_key
from blocks.storage.store import Store, Writer
from tests.blocks.media import samples

pytestmark = pytest.mark.asyncio(loop_scope="session")

JOB = "ab" * 32
KEY = clip_key(JOB)
GOOD = samples.clip(seconds=2.0)
BAD = GOOD[:-900]
ASIDE = aside_key(JOB, hashlib.sha256(BAD).hexdigest())


class Delivery:
    """Delivers one file after the other, the last one for ever; `None` is a dead link."""

    def __init__(self, *files: bytes | None) -> None:
        self.files = list(files)
        self.opened = 0

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[AsyncIterator[bytes]]:
        self.opened += 1
        file = self.files.pop(0) if len(self.files) > 1 else self.files[0]
        if file is None:
            raise ClipUnavailable("The link is dead")
        yield _chunks(file)


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 10_000):
        yield data[start : start + 10_000]


async def keys(store: Store) -> list[str]:
    assert await store.sweep(-60) == []
    return [found.key async for found in store.find("")]


async def rejection(store: Store, delivery: Delivery) -> ClipRejected:
    with pytest.raises(ClipRejected) as rejected:
        await store_clip(store, JOB, delivery, 2.0)
    assert await store.size(KEY) is None
    return rejected.value


async def test_a_right_clip_is_fetched_once_and_described(store: Store) -> None:
    delivery = Delivery(GOOD)
    clip = await store_clip(store, JOB, delivery, 2.0)
    assert (clip.size, clip.sha256) == (len(GOOD), hashlib.sha256(GOOD).hexdigest())
    assert await store.read(KEY) == GOOD
    assert delivery.opened == 1
    assert await adopt_clip(store, JOB, 2.0) == clip == await store_clip(store, JOB, delivery, 2.0)
    assert await keys(store) == [KEY]


async def test_a_rejected_clip_is_fetched_again_to_keep_it_aside_but_the_same_bytes_only_once(
    store: Store,
) -> None:
    delivery = Delivery(BAD)
    assert ASIDE in (await rejection(store, delivery)).message
    assert (delivery.opened, await store.read(ASIDE)) == (2, BAD)
    assert ASIDE in (await rejection(store, delivery)).message
    assert delivery.opened == 3
    assert await keys(store) == [ASIDE]


@pytest.mark.parametrize("then", [None, GOOD, b""], ids=["a dead link", "other bytes", "nothing"])
async def test_a_rejected_clip_that_is_not_delivered_a_second_time_is_rejected_all_the_same(
    store: Store, then: bytes | None
) -> None:
    error = await rejection(store, Delivery(BAD, then))
    assert "could not be kept aside" in error.message
    assert "aside" not in error.next_step
    assert await keys(store) == []


async def test_an_archive_that_does_not_take_the_rejected_clip_does_not_hide_the_rejection(
    s3_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def full(key: str) -> AsyncIterator[Writer]:
        if key == ASIDE:
            raise StorageUnavailable("No space left")
        async with opened(key) as writer:
            yield writer

    opened = s3_store.writer
    monkeypatch.setattr(s3_store, "writer", full)
    assert "could not be kept aside" in (await rejection(s3_store, Delivery(BAD))).message


@pytest.mark.parametrize("stored", [BAD, b""], ids=["cut", "empty"])
async def test_a_wrong_clip_in_the_archive_is_moved_aside_and_makes_room(store: Store, stored: bytes) -> None:
    await store.replace(KEY, stored)
    with pytest.raises(ClipRejected, match="kept aside as"):
        await adopt_clip(store, JOB, 2.0)
    aside = aside_key(JOB, hashlib.sha256(stored).hexdigest())
    assert await keys(store) == [aside]
    assert await store.read(aside) == stored
    await store_clip(store, JOB, Delivery(GOOD), 2.0)
    assert await store.read(KEY) == GOOD


async def test_a_wrong_clip_stays_where_it_is_while_it_has_no_copy(
    s3_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await s3_store.replace(KEY, BAD)
    await s3_store.replace(ASIDE, b"something else")
    with pytest.raises(StorageUnavailable, match="not what its name says"):
        await adopt_clip(s3_store, JOB, 2.0)
    assert await s3_store.read(KEY) == BAD


async def test_a_wrong_clip_stays_where_it_is_when_a_sidecar_vouches_for_it(store: Store) -> None:
    await store.replace(KEY, BAD)
    await store.replace(sidecar_key(JOB), b"{}")
    with pytest.raises(ClipRejected):
        await adopt_clip(store, JOB, 2.0)
    assert await store.read(KEY) == BAD
    assert await store.read(ASIDE) == BAD


async def test_a_digest_that_is_none_names_no_key() -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        aside_key(JOB, "../a")

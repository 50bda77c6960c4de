"""A poster lies beside its clip, is made from the archive alone and can be made again."""

from __future__ import annotations

import pytest

from blocks.errors import StorageUnavailable
from blocks.media import MediaError
from blocks.storage.layout import clip_key, job_of, poster_key
from blocks.storage.posters import read_poster, store_poster
from blocks.storage.shelf import shelves
from blocks.storage.store import Store
from blocks.storage.verify import check_shelf
from tests.blocks.media import samples

pytestmark = pytest.mark.asyncio(loop_scope="session")

JOB = "ab" * 32


async def test_it_is_made_from_the_clip_in_the_archive_and_kept_beside_it(store: Store) -> None:
    await store.replace(clip_key(JOB), samples.clip())
    assert await read_poster(store, JOB) is None
    poster = await store_poster(store, JOB)
    assert poster.startswith(b"\xff\xd8\xff")
    assert await read_poster(store, JOB) == poster == await store_poster(store, JOB)
    assert [found.key async for found in store.find("clips/")] == [poster_key(JOB), clip_key(JOB)]
    assert job_of(poster_key(JOB)) == JOB


async def test_a_verified_archive_knows_it(store: Store) -> None:
    await store.replace(poster_key(JOB), b"picture")
    findings = [found async for shelf in shelves(store) for found in await check_shelf(shelf, store)]
    assert findings == []


async def test_nothing_is_kept_where_there_is_no_picture(store: Store) -> None:
    with pytest.raises(StorageUnavailable):
        await store_poster(store, JOB)
    await store.replace(clip_key(JOB), b"<html>no clip</html>")
    with pytest.raises(MediaError):
        await store_poster(store, JOB)
    assert await read_poster(store, JOB) is None

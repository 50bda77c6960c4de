"""The client: one for each store and event loop."""

from __future__ import annotations

import asyncio
import io

import pytest

from blocks.storage.s3.session import Session
from blocks.storage.s3.settings import S3Settings
from blocks.storage.s3.store import S3Store
from tests.blocks.storage.s3.faults import Proxy


async def test_many_first_calls_share_one_client(s3_settings: S3Settings) -> None:
    session = Session(s3_settings)
    clients = await asyncio.gather(*(session.client() for _ in range(8)))
    await session.close()
    assert len({id(client) for client in clients}) == 1


async def test_a_closed_store_opens_again_when_it_is_used(s3_settings: S3Settings) -> None:
    store = S3Store("archive", "", s3_settings)
    await store.close()
    await store.replace("a", b"x")
    await store.close()
    await store.close()
    assert await store.read("a") == b"x"
    await store.close()


def test_another_event_loop_is_told_so(s3_settings: S3Settings) -> None:
    store = S3Store("archive", "", s3_settings)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(store.replace("a", b"x"))
    with pytest.raises(RuntimeError, match="another event loop"):
        asyncio.run(store.read("a"))
    loop.run_until_complete(store.close())
    loop.close()
    asyncio.run(_read_and_close(store))


async def _read_and_close(store: S3Store) -> None:
    assert await store.read("a") == b"x"
    await store.close()


async def test_a_body_that_is_a_file_is_not_announced_with_expect(
    s3_settings: S3Settings, proxy: Proxy
) -> None:
    session = Session(s3_settings)
    client = await session.client()
    await client.put_object(Bucket="archive", Key="a", Body=io.BytesIO(b"x"))
    await session.close()
    assert proxy.count("PutObject") == 1
    assert "Expect" not in proxy.seen[0][2]

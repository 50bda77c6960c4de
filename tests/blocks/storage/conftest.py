"""One S3 server for all tests of the stores, emptied before each."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from botocore.loaders import JSONFileLoader
from moto.server import ThreadedMotoServer

from blocks.storage.s3.settings import S3Settings
from blocks.storage.s3.store import S3Store
from tests.blocks.storage.s3.bucket import Bucket
from tests.blocks.storage.s3.faults import Proxy


@pytest.fixture(scope="session", autouse=True)
def _service_models_are_read_once() -> Iterator[None]:
    """Each client parses a megabyte of JSON, which would be most of the time these tests take."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", staticmethod(functools.cache(JSONFileLoader().load_file)))
        yield


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def bucket(s3_server: str) -> Bucket:
    return Bucket(s3_server)


@pytest.fixture
def proxy(bucket: Bucket) -> Iterator[Proxy]:
    proxy = Proxy(httpx.URL(bucket.url).port or 0)
    yield proxy
    proxy.close()


@pytest.fixture
def s3_settings(proxy: Proxy) -> S3Settings:
    """Go through the proxy, with little patience."""
    return S3Settings(
        endpoint_url=proxy.url,
        key="test-key-id",
        secret="test-secret-key",
        part_bytes=5 * 2**20,
        connect_timeout=0.3,
        read_timeout=0.5,
        attempts=3,
        backoff_seconds=0.01,
    )


@pytest.fixture
async def s3_store(s3_settings: S3Settings) -> AsyncIterator[S3Store]:
    store = S3Store("archive", "room/one", s3_settings)
    yield store
    await store.close()

"""One S3 server, one proxy and two clients for all tests of the stores; each test gets them emptied."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import moto.s3.models
import pytest
import pytest_asyncio
from botocore.loaders import JSONFileLoader
from moto.server import ThreadedMotoServer

from blocks.storage.filesystem import FilesystemStore
from blocks.storage.local import LocalStore
from blocks.storage.s3.session import Session
from blocks.storage.s3.settings import S3Settings
from blocks.storage.s3.store import S3Store
from blocks.storage.store import Store
from tests.blocks.storage.s3.bucket import Bucket
from tests.blocks.storage.s3.faults import Proxy

PART_BYTES = 2**16
HASTY = {"read_timeout": 0.5, "attempts": 8}


@pytest.fixture(scope="session", autouse=True)
def _service_models_are_read_once() -> Iterator[None]:
    """Each client parses a megabyte of JSON, which would be most of the time these tests take."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", staticmethod(functools.cache(JSONFileLoader().load_file)))
        yield


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """A server that takes parts of any size, so that tests need not move megabytes."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moto.s3.models, "S3_UPLOAD_PART_MIN_SIZE", 1)
        yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture(scope="session")
def s3_proxy(s3_server: str) -> Iterator[Proxy]:
    proxy = Proxy(httpx.URL(s3_server).port or 0)
    yield proxy
    proxy.close()


@pytest.fixture(scope="session")
def s3_base_settings(s3_proxy: Proxy) -> S3Settings:
    settings = S3Settings(
        endpoint_url=s3_proxy.url,
        key="test-key-id",
        secret="test-secret-key",
        attempts=3,
        backoff_seconds=0.01,
    )
    return settings.model_copy(update={"part_bytes": PART_BYTES})


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def s3_session(s3_base_settings: S3Settings) -> AsyncIterator[Session]:
    session = Session(s3_base_settings)
    yield session
    await session.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def hasty_session(s3_base_settings: S3Settings) -> AsyncIterator[Session]:
    session = Session(s3_base_settings.model_copy(update=HASTY))
    yield session
    await session.close()


@pytest.fixture
def bucket(s3_server: str) -> Bucket:
    return Bucket(s3_server)


@pytest.fixture
def proxy(bucket: Bucket, s3_proxy: Proxy) -> Iterator[Proxy]:
    yield s3_proxy
    s3_proxy.reset()


@pytest.fixture
def s3_settings(proxy: Proxy, s3_base_settings: S3Settings) -> S3Settings:
    """Go through the proxy, which breaks nothing unless told to."""
    return s3_base_settings


@pytest.fixture
def s3_store(s3_settings: S3Settings, s3_session: Session) -> S3Store:
    """A store for tests that run in the session's event loop."""
    return shared(S3Store("archive", "room/one", s3_settings), s3_session)


@pytest.fixture
def hasty_store(s3_settings: S3Settings, hasty_session: Session) -> S3Store:
    """A store that waits shortly for answers but asks often, for tests in which the server is silent."""
    return shared(S3Store("archive", "room/one", s3_settings.model_copy(update=HASTY)), hasty_session)


@pytest.fixture(params=["local", "s3", "memory", "other"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Each kind of store; `other` is an fsspec driver that cannot create exclusively."""
    match request.param:
        case "s3":
            opened: Store = request.getfixturevalue("s3_store")
        case "local":
            opened = LocalStore(tmp_path / "archive")
        case "memory":
            opened = FilesystemStore(f"memory://{uuid4().hex}")
        case _:
            opened = FilesystemStore((tmp_path / "other").as_uri(), single_worker=True)
    return opened


def shared(store: S3Store, session: Session) -> S3Store:
    """Let `store` use connections that are there already."""
    store._calls.session = session
    return store

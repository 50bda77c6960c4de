"""One gateway for the whole session, over http and over https; each test has a room of its own in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest
import pytest_asyncio

from blocks.storage.s3.session import Session
from blocks.storage.s3.settings import S3Settings
from blocks.storage.s3.store import S3Store
from tests.blocks.storage.conftest import PART_BYTES, shared
from tests.integration.gateway import (
    ACCESS_KEY_ID,
    SECRET_ACCESS_KEY,
    Gateway,
    missing_programs,
    running_gateway,
)
from tests.integration.room import Room


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    if missing := missing_programs():
        pytest.skip(
            f"not installed: {', '.join(missing)}; `make integration` installs them as root on Debian"
        )
    with (
        running_gateway(tmp_path_factory.mktemp("ceph") / "gateway") as running,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("AWS_CA_BUNDLE", str(running.authority))
        yield running


@pytest.fixture(scope="session", params=["http", "https"])
def address(request: pytest.FixtureRequest, gateway: Gateway) -> str:
    return gateway.url if request.param == "http" else gateway.secure_url


@pytest.fixture(scope="session")
def settings(address: str) -> S3Settings:
    return S3Settings(endpoint_url=address, key=ACCESS_KEY_ID, secret=SECRET_ACCESS_KEY)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def session(settings: S3Settings) -> AsyncIterator[Session]:
    session = Session(settings)
    yield session
    await session.close()


@pytest.fixture
def room(gateway: Gateway) -> Room:
    return Room(gateway.url, uuid4().hex)


@pytest.fixture
def archive_store(room: Room, settings: S3Settings, session: Session) -> S3Store:
    """A store in the room, as it is configured out of the box."""
    return shared(S3Store("archive", room.prefix, settings), session)


@pytest.fixture
def small_parts(room: Room, settings: S3Settings, session: Session) -> S3Store:
    """The same store with parts so small that the streams of the contract have several."""
    update = {"part_bytes": PART_BYTES}
    return shared(S3Store("archive", room.prefix, settings.model_copy(update=update)), session)

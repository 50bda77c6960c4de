"""A bought video, the sandbox that delivers it, and the S3 server of the tests of the stores."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import pytest_asyncio

from blocks.kling.delivery import Delivery
from blocks.sandbox.serve import RunningSandbox, running_sandbox
from tests.blocks.storage.conftest import (  # noqa: F401 # fixtures
    _service_models_are_read_once,
    bucket,
    proxy,
    s3_base_settings,
    s3_proxy,
    s3_server,
    s3_session,
    s3_settings,
)
from tests.blocks.storage.s3.test_credentials import checked_keys  # noqa: F401 # a fixture
from tests.flows.archive.bought import Bought, buy


@pytest.fixture(scope="package")
def delivering() -> Iterator[RunningSandbox]:
    with running_sandbox(submitted_seconds=0.05, render_seconds=0.2, fast_clip=True) as running:
        yield running


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def bought(
    delivering: RunningSandbox, impatient: None, tmp_path_factory: pytest.TempPathFactory
) -> Bought:
    return await buy(delivering.url, tmp_path_factory.mktemp("bought"))


@pytest.fixture
def source(delivering: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningSandbox]:
    """A delivery host that cannot resume, so that each attempt breaks where it is told to."""
    monkeypatch.setitem(Delivery.__init__.__kwdefaults__ or {}, "stall_seconds", 0.2)
    delivering.set(ranges=False)
    yield delivering
    delivering.clear_faults()

"""A Prefect server and a sandbox for the flows; each test has an archive and a sandbox of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import (
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_LOCAL_STORAGE_PATH,
    PREFECT_SERVER_ANALYTICS_ENABLED,
    temporary_settings,
)
from prefect.testing.utilities import prefect_test_harness

from blocks import AvatarArchive, CometAPICredentials
from blocks.sandbox.serve import Sandbox, running_sandbox

SAMPLES = Path("blocks/sandbox/samples")


@pytest.fixture(scope="session", autouse=True)
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    settings = {
        PREFECT_LOCAL_STORAGE_PATH: tmp_path_factory.mktemp("results"),
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
        PREFECT_SERVER_ANALYTICS_ENABLED: False,
    }
    with temporary_settings(settings), prefect_test_harness(server_startup_timeout=90):
        yield


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with running_sandbox(submitted_seconds=0.05, render_seconds=0.2) as running:
        yield running


@pytest.fixture
def credentials(sandbox: Sandbox) -> CometAPICredentials:
    return CometAPICredentials(
        api_key="sandbox-key",
        base_url=sandbox.url,
        create_seconds=5,
        read_seconds=5,
        clock_margin_seconds=0,
        absence_seconds=0.5,
        wait_seconds=20,
        first_poll_seconds=0.1,
        render_factor=0,
        poll_seconds=0.1,
        deadline_minutes=0.5,
    )


@pytest.fixture
def archive_block(tmp_path: Path) -> AvatarArchive:
    return AvatarArchive(url=str(tmp_path / "archive"))


@pytest.fixture
def face() -> str:
    return str(SAMPLES / "portrait.png")


@pytest.fixture
def voice() -> str:
    return str(SAMPLES / "voice.mp3")

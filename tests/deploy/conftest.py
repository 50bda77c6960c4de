"""One server, set up once, and one worker for all tests of this folder."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from blocks.sandbox.serve import running_sandbox
from tests.deploy.stage import Abandoned, Stage, kill, worker
from tests.servers import prefect_server


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Run a server that was set up by `python -m flows.deploy`; no worker yet."""
    folder = tmp_path_factory.mktemp("stage")
    archive = folder / "archive"
    with (
        running_sandbox(submitted_seconds=0.05, render_seconds=0.5) as sandbox,
        prefect_server(folder / "prefect") as environment,
    ):
        settings = {
            "COMETAPI_KEY": "sandbox-key",
            "COMETAPI_BASE_URL": sandbox.url,
            "COMETAPI_FIRST_POLL_SECONDS": "0.2",
            "COMETAPI_RENDER_FACTOR": "0",
            "COMETAPI_POLL_SECONDS": "0.5",
            "COMETAPI_CLOCK_MARGIN_SECONDS": "0",
            "AVATAR_ARCHIVE_URL": str(archive),
            "AVATAR_ZOMBIE_SECONDS": "90",
            "AVATAR_CRASH_QUIET_SECONDS": "10",
            "AVATAR_CRASH_ATTEMPTS": "1",
            # A run that waits for a person keeps its slot for ten minutes.
            "AVATAR_MAX_IN_FLIGHT": "50",
        }
        running = Stage({**environment, **settings}, sandbox, archive, folder)
        running.first_report = running.deploy()
        yield running
        running.client.close()


@pytest.fixture(scope="session")
def abandoned(stage: Stage) -> Abandoned:
    """Kill a worker and the run that it executes, after the video was bought."""
    with worker(stage, "doomed") as doomed:
        flow_run_id = stage.buy(11)
        kill(doomed.pid)
    assert stage.run_of(flow_run_id)["state_name"] == "Running"
    stage.sandbox.advance(3600)
    return Abandoned(flow_run_id, stage.foreign("PENDING"))


@pytest.fixture(scope="session")
def crew(stage: Stage, abandoned: Abandoned) -> Iterator[subprocess.Popen[bytes]]:
    """Run the worker of all tests, started when it can no longer take the run that is to be abandoned."""
    with worker(stage, "crew") as process:
        yield process

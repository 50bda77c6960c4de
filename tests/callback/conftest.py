"""A server that was set up, the sandbox, the receiver as a process, and the office in between."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import httpx
import pytest

from blocks.sandbox.serve import running_sandbox
from tests.bench.postgresql import postgresql
from tests.callback.office import Office, running
from tests.deploy.stage import Stage, wait_for
from tests.servers import free_port, prefect_server

SECRET = "a secret of more than thirty-two characters"


class Waiting(NamedTuple):
    """What the tests of this folder share.

    Attributes:
        stage: Server, sandbox, archive.
        office: Between sandbox and receiver.
        receiver: The process of the receiver.
        url: Where the receiver is.
    """

    stage: Stage
    office: Office
    receiver: subprocess.Popen[bytes]
    url: str


@pytest.fixture(scope="session")
def waiting() -> Iterator[Waiting]:
    ports = free_port(), free_port()
    office = Office(f"http://127.0.0.1:{ports[0]}/kling", SECRET)
    with (
        # PostgreSQL runs as a user of its own, to whom every run of pytest closes the folders of pytest.
        TemporaryDirectory(ignore_cleanup_errors=True) as temporary,
        running_sandbox(submitted_seconds=0.05, render_seconds=0.5, fast_clip=True) as sandbox,
        # With 200 runs in its pool, SQLite answers most requests with "database is locked".
        postgresql(Path(temporary, "postgresql")) as (database, _),
        prefect_server(Path(temporary, "prefect"), database) as environment,
        running(office.app, ports[1]),
    ):
        folder = Path(temporary)
        settings = {
            "COMETAPI_KEY": "sandbox-key",
            "COMETAPI_BASE_URL": sandbox.url,
            "COMETAPI_CALLBACK_URL": f"http://127.0.0.1:{ports[1]}",
            "COMETAPI_CALLBACK_SECRET": SECRET,
            "COMETAPI_DEADLINE_MINUTES": "600",
            "AVATAR_ARCHIVE_URL": str(folder / "archive"),
            # All wait at once; a Kling task keeps its slot while its run is suspended.
            "AVATAR_MAX_IN_FLIGHT": "1000",
        }
        stage = Stage({**environment, **settings}, sandbox, folder / "archive", folder)
        stage.deploy()
        reconcile = stage.deployment("reconcile-jobs")
        stage.patch(f"/deployments/{reconcile['id']}", {"paused": True})
        with serving("flows.callback:app", ports[0], stage, access_log=True) as receiver:
            yield Waiting(stage, office, receiver, f"http://127.0.0.1:{ports[0]}/kling")
        stage.client.close()


@contextmanager
def serving(
    app: str, port: int, stage: Stage, *, access_log: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """Run uvicorn as the README has it while the block lasts."""
    quiet = [] if access_log else ["--no-access-log"]
    command = [sys.executable, "-m", "uvicorn", app, "--port", str(port), *quiet]
    with (
        (stage.folder / f"uvicorn-{port}.log").open("w") as log,
        subprocess.Popen(
            command, env=dict(stage.environment), stdout=log, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            wait_for(lambda: answers(port))
            yield process
        finally:
            process.terminate()
            process.wait(60)


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/", trust_env=False, timeout=5).status_code < 500
    except httpx.TransportError:
        return False


def resident_mib(pid: int) -> float:
    """Return the resident memory of one process, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return round(int(line.split()[1]) / 1024, 1)

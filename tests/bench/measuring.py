"""One contender with so many jobs: what it cost."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.processes import Used, run
from tests.bench.servers import PrefectServer, Sandbox, prefect_server

_SETTLING_SECONDS = 10.0
_IDLE_SECONDS = 5.0


@dataclass(frozen=True)
class Contender:
    """Who is measured.

    Attributes:
        name: As it is shown.
        module: What is run.
        uses_prefect: Whether it needs a Prefect server.
        settings: What is added to its environment.
        is_variant: Whether it only shows what one of our choices costs, and runs when it is asked for.
    """

    name: str
    module: str
    uses_prefect: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    is_variant: bool = False


CONTENDERS = {
    each.name: each
    for each in (
        Contender("this project", "this_project", uses_prefect=True),
        Contender("httpx script", "httpx_script"),
        Contender("aiohttp script", "aiohttp_script"),
        Contender("naive flow", "naive_flow", uses_prefect=True),
        Contender("in steps", "this_project_in_steps", uses_prefect=True, is_variant=True),
        Contender(
            "warnings only",
            "this_project",
            uses_prefect=True,
            settings={"PREFECT_LOGGING_LEVEL": "WARNING"},
            is_variant=True,
        ),
        Contender(
            "no log sent",
            "this_project",
            uses_prefect=True,
            settings={"PREFECT_LOGGING_TO_API_ENABLED": "false"},
            is_variant=True,
        ),
    )
}


@dataclass(frozen=True)
class Measured:
    """What a contender cost in all, without anything taken off.

    Attributes:
        used: By the client.
        clips: How many were made.
        provider_requests: To the sandbox's API and delivery host.
        server_cpu_seconds: Of Prefect's server and its database, until a minute after the end, without what
            it uses when idle.
        api_requests: HTTP requests to Prefect's server while the client ran.
        api_failures: Those answered with a status from 500.
        task_runs: Recorded in Prefect a minute after the end.
        unfinished: Those of them that are not in a final state.
    """

    used: Used
    clips: int
    provider_requests: int
    server_cpu_seconds: float = 0.0
    api_requests: int = 0
    api_failures: int = 0
    task_runs: int = 0
    unfinished: int = 0


def measure(
    contender: Contender, provider: Sandbox, jobs: int, database: str, later_seconds: float
) -> Measured:
    """Run one contender once, on an empty Prefect server of its own where it uses one."""
    with _folder() as folder:
        if not contender.uses_prefect:
            return Measured(*_run(contender, provider, jobs, folder, {}))
        with prefect_server(folder / "prefect", database) as server:
            return _measure_with(server, contender, provider, jobs, folder, later_seconds if jobs else 0)


def _measure_with(
    server: PrefectServer,
    contender: Contender,
    provider: Sandbox,
    jobs: int,
    folder: Path,
    later_seconds: float,
) -> Measured:
    # A server that has just started goes on working for a while.
    time.sleep(_SETTLING_SECONDS)
    before = server.cpu_seconds()
    time.sleep(_IDLE_SECONDS)
    idle = (server.cpu_seconds() - before) / _IDLE_SECONDS
    began, requests, cpu = time.monotonic(), len(server.requests()), server.cpu_seconds()
    settings = {"PREFECT_API_URL": server.url, "PREFECT_HOME": str(folder / "client")}
    used, clips, asked = _run(contender, provider, jobs, folder, settings)
    statuses = server.requests()[requests:]
    time.sleep(later_seconds)
    spent = server.cpu_seconds() - cpu - idle * (time.monotonic() - began)
    return Measured(
        used,
        clips,
        asked,
        server_cpu_seconds=spent,
        api_requests=len(statuses),
        api_failures=sum(status >= 500 for status in statuses),
        task_runs=server.task_runs(),
        unfinished=server.unfinished_task_runs(),
    )


def _run(
    contender: Contender, provider: Sandbox, jobs: int, folder: Path, settings: dict[str, str]
) -> tuple[Used, int, int]:
    made = folder / "made"
    made.mkdir()
    module = f"tests.bench.contenders.{contender.module}"
    command = [sys.executable, "-m", module, provider.url, str(made), str(jobs)]
    provider.requests()
    log = folder / "client.log"
    used = run(command, {**os.environ, **contender.settings, **settings}, log)
    if used.exit_code:
        sys.stderr.write(f"{contender.name} ended with {used.exit_code}:\n{log.read_text()[-2000:]}\n")
    return used, len(list(made.rglob("*.mp4"))), provider.requests()


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    (folder / "prefect").mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)

"""The servers that contenders talk to, each a process of its own on this machine."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.bench.postgresql import postgresql
from tests.bench.processes import cpu_of_group
from tests.servers import free_port

_START_SECONDS = 120.0
_REQUEST = re.compile(r'"(?:GET|POST|PATCH|PUT|DELETE) \S+ HTTP/1\.1" (\d{3})')
_FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@dataclass(frozen=True)
class Sandbox:
    """A sandbox in a process of its own."""

    url: str

    def requests(self) -> int:
        """Return how many requests came to API and delivery host since the last call, and begin anew."""
        found = sum(len(self._ask("GET", path)) for path in ("/requests", "/deliveries"))
        self._ask("POST", "/reset")
        return found

    def _ask(self, method: str, path: str) -> Any:
        return httpx.request(method, f"{self.url}/sandbox{path}", timeout=60, trust_env=False).json()


@contextmanager
def sandbox(provider_seconds: float) -> Iterator[Sandbox]:
    """Run a sandbox that needs so long for a task and delivers one tiny clip."""
    options = ["--port", "0", "--json", "--fast-clip", "--callbacks", "never", "--submitted-seconds", "0"]
    command = [sys.executable, "-m", "blocks.sandbox", *options, "--render-seconds", str(provider_seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Sandbox(json.loads(process.stdout.readline() if process.stdout else "{}")["url"])
        finally:
            process.terminate()


@dataclass
class PrefectServer:
    """A Prefect server of one measurement.

    Attributes:
        url: Its API.
        groups: Process groups of the server and its database.
        log: What it printed, with a line for each request.
    """

    url: str
    groups: tuple[int, ...]
    log: Path

    def cpu_seconds(self) -> float:
        """Return the processor time of the server and its database so far."""
        return sum(cpu_of_group(group) for group in self.groups)

    def requests(self) -> list[int]:
        """Return the status of each HTTP request so far."""
        return [int(status) for status in _REQUEST.findall(self.log.read_text(errors="replace"))]

    def unfinished_task_runs(self) -> int:
        """Return how many task runs are not in a final state."""
        final = {"task_runs": {"state": {"type": {"any_": list(_FINAL)}}}}
        return self._count({}) - self._count(final)

    def task_runs(self) -> int:
        """Return how many task runs are recorded."""
        return self._count({})

    def _count(self, wanted: dict[str, Any]) -> int:
        answer = httpx.post(f"{self.url}/task_runs/count", json=wanted, timeout=60, trust_env=False)
        return int(answer.raise_for_status().json())


@contextmanager
def prefect_server(home: Path, database: str) -> Iterator[PrefectServer]:
    """Run `prefect server start` on a new database, SQLite or PostgreSQL."""
    if database == "sqlite":
        with _server(home, {}, ()) as server:
            yield server
        return
    with (
        postgresql(home / "postgresql") as (url, group),
        _server(home, {"PREFECT_SERVER_DATABASE_CONNECTION_URL": url}, (group,)) as server,
    ):
        yield server


@contextmanager
def _server(home: Path, settings: dict[str, str], groups: tuple[int, ...]) -> Iterator[PrefectServer]:
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    environment = os.environ | settings | {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_LOGGING_LEVEL": "INFO",
    }  # fmt: skip
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    log = home / "server.log"
    with (
        log.open("w") as printed,
        subprocess.Popen(
            [*command, "--no-ui"],
            env=environment,
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            _wait_for(f"{url}/health")
            yield PrefectServer(url, (process.pid, *groups), log)
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            httpx.get(url, timeout=5, trust_env=False).raise_for_status()
        except httpx.HTTPError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return

"""The servers of a campaign, each a process of its own on this machine: sandbox, S3, Prefect."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from blocks.sandbox.__main__ import main as sandbox_main
from tests.chaos.crew import fork

_START_SECONDS = 120.0


class Sandbox:
    """The books and switches of a sandbox that runs in another process."""

    def __init__(self, url: str, client: httpx.Client) -> None:
        self.url = url
        self._client = client

    def ask(self, path: str) -> Any:
        """Return the JSON at `/sandbox{path}`."""
        return self._client.get(f"{self.url}/sandbox{path}").raise_for_status().json()

    def script(self, rules: list[dict[str, Any]]) -> None:
        """Ask for faults."""
        self._client.post(f"{self.url}/sandbox/faults", json=rules).raise_for_status()

    def forgive(self) -> None:
        """Take back all faults."""
        self._client.delete(f"{self.url}/sandbox/faults").raise_for_status()


@contextmanager
def sandbox(folder: Path, *, lookup: bool, seconds: int) -> Iterator[Sandbox]:
    """Run a sandbox that renders at once and forgets nothing."""
    options = ["--port", "0", "--json", "--fast-clip", "--callbacks", "never"]
    options += ["--submitted-seconds", "0.1", "--render-seconds", "0.3"]
    options += [] if lookup else ["--no-lookup"]
    log = folder / "sandbox.log"
    with _forked(lambda: sandbox_main(options), log, seconds), httpx.Client(trust_env=False) as client:
        greeting = _wait_for(lambda: json.loads(log.read_text().partition("\n")[0]))
        yield Sandbox(greeting["url"], client)


@contextmanager
def bucket(folder: Path, seconds: int) -> Iterator[str]:
    """Run an S3 server with the bucket `archive`; yield its URL."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"

    def serve() -> int:
        from moto.moto_server.werkzeug_app import (  # noqa: PLC0415 # seconds, in this process alone
            DomainDispatcherApplication,
            create_backend_app,
        )
        from werkzeug.serving import run_simple  # noqa: PLC0415 # as above

        # One request at a time, so that a condition and its write are one step, as on a real server.
        run_simple("127.0.0.1", port, DomainDispatcherApplication(create_backend_app), threaded=False)
        return 0

    with _forked(serve, folder / "s3.log", seconds), httpx.Client(trust_env=False) as client:
        _wait_for(lambda: client.put(f"{url}/archive").raise_for_status())
        yield url


class PrefectServer:
    """A Prefect server that may still be starting.

    Attributes:
        url: Its API.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def wait(self) -> None:
        """Wait until it answers."""
        with httpx.Client(trust_env=False) as client:
            _wait_for(lambda: client.get(f"{self.url}/health").raise_for_status())


@contextmanager
def prefect_server(folder: Path) -> Iterator[PrefectServer]:
    """Start a Prefect server with a home and a database of its own."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}/api"
    environment = os.environ | {
        "PREFECT_HOME": str(folder / "prefect-server"),
        "PREFECT_API_URL": url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "WARNING",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (
        (folder / "prefect.log").open("w") as printed,
        subprocess.Popen(
            [*command, "--no-ui"],
            env=environment,
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as server,
    ):
        try:
            yield PrefectServer(url)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)


@contextmanager
def _forked(run: Callable[[], int], log: Path, seconds: int) -> Iterator[None]:
    pid = fork(run, log, seconds)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _wait_for(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            return look()
        except (OSError, ValueError, httpx.HTTPError):
            if time.monotonic() > deadline:
                raise
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

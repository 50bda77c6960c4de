"""Real processes for tests: a Prefect server of one's own, and commands as a user types them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

_START_SECONDS = 240.0


@contextmanager
def prefect_server(home: Path, database: str | None = None) -> Iterator[dict[str, str]]:
    """Run a Prefect server with its own home; yield the environment in which commands use it.

    Args:
        home: A folder for it.
        database: URL of its database; without it, SQLite in the folder.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    environment = {
        **os.environ,
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": url,
        "PREFECT_UI_API_URL": url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    }
    home.mkdir(parents=True, exist_ok=True)
    chosen = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": database} if database else {}
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (
        (home / "server.log").open("w") as log,
        subprocess.Popen(
            command, env=environment | chosen, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        ) as server,
    ):
        try:
            _wait_for(f"{url}/health", server)
            yield environment
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            try:
                server.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)


def run(
    *command: str, environment: Mapping[str, str], folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command of this Python to its end; its output is kept, its exit code is the caller's to judge."""
    return subprocess.run(
        [sys.executable, *command],
        env=dict(environment),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if httpx.get(url, timeout=5, trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise RuntimeError(f"{url} did not answer")

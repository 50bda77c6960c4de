"""The main job on this machine: sandbox, Prefect and archive start, one video is made, all of them end.

It knows the commands that a user would type, and none of our code.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

_HOME = Path(".demo")
_START_SECONDS = 90.0
_END_SECONDS = 10.0


def main() -> None:
    """Run the demo; everything it leaves behind is in the folder `.demo`."""
    _HOME.mkdir(exist_ok=True)
    with ExitStack() as running:
        _say("Starting the sandbox (CometAPI on this machine) and a Prefect server")
        sandbox = _first_line(running.enter_context(_process(_sandbox_command())))
        prefect = f"http://127.0.0.1:{_free_port()}"
        environment = _environment(sandbox["url"], prefect)
        running.enter_context(_process(_prefect_command(prefect), environment))
        _wait_for(f"{prefect}/api/health")
        _say(f"Sandbox at {sandbox['url']}, Prefect's UI at {prefect}, archive in {_HOME / 'archive'}")
        sidecar = _generate(environment)
        ledger = _get(f"{sandbox['url']}/sandbox/ledger")
        _report(sidecar, ledger)


def _sandbox_command() -> list[str]:
    options = ["--port", "0", "--json", "--render-seconds", "3", "--write-samples", str(_HOME)]
    return [sys.executable, "-m", "blocks.sandbox", *options]


def _prefect_command(url: str) -> list[str]:
    port = url.rsplit(":", 1)[1]
    return [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", port]


def _environment(sandbox: str, prefect: str) -> dict[str, str]:
    return {
        **os.environ,
        "COMETAPI_KEY": "sandbox",
        "COMETAPI_BASE_URL": sandbox,
        "COMETAPI_FIRST_POLL_SECONDS": "1",
        "COMETAPI_RENDER_FACTOR": "0",
        "COMETAPI_POLL_SECONDS": "1",
        "AVATAR_ARCHIVE_URL": str((_HOME / "archive").resolve()),
        "PREFECT_HOME": str((_HOME / "prefect").resolve()),
        "PREFECT_API_URL": f"{prefect}/api",
        "PREFECT_UI_API_URL": f"{prefect}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }


def _generate(environment: Mapping[str, str]) -> dict[str, Any]:
    inputs = ["--image", str(_HOME / "face.png"), "--audio", str(_HOME / "voice.mp3")]
    _say("python -m flows.avatar " + " ".join(inputs))
    command = [sys.executable, "-m", "flows.avatar", *inputs]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)  # noqa: S603 # our own command
    return dict(json.loads(done.stdout))


def _report(sidecar: Mapping[str, Any], ledger: Mapping[str, Any]) -> None:
    clip = sidecar["clip"]
    bought = [f"{charge['units']} units, {charge['usd']} USD" for charge in ledger["charges"]]
    charged = "; ".join(bought) or "nothing: it was archived already"
    _say("Done")
    for name, value in (
        ("clip", _HOME / "archive" / clip["key"]),
        ("seconds", clip["seconds"]),
        ("size", f"{clip['size']} bytes, {clip['width']} x {clip['height']}, {clip['video_codec']}"),
        ("sha256", clip["sha256"]),
        ("Kling task id", sidecar["provided"]["task_id"]),
        ("charged", charged),
    ):
        sys.stdout.write(f"{name:>14}  {value}\n")


@contextmanager
def _process(command: list[str], environment: Mapping[str, str] | None = None) -> Iterator[Path]:
    """Run a server while the block lasts; yield the file that holds what it prints."""
    log = _HOME / f"{command[2].replace('.', '-')}.log"
    with (
        log.open("w") as printed,
        subprocess.Popen(  # noqa: S603 # our own command
            command, env=environment, stdout=printed, stderr=subprocess.STDOUT, start_new_session=True
        ) as server,
    ):
        try:
            yield log
        finally:
            _end(server)


def _first_line(log: Path) -> Any:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        line, ended, _ = log.read_text().partition("\n")
        if ended:
            return json.loads(line)
        time.sleep(0.1)
    sys.exit(f"The sandbox did not start within {_START_SECONDS:.0f} s; see {log}")


def _end(server: subprocess.Popen[bytes]) -> None:
    os.killpg(server.pid, signal.SIGTERM)
    try:
        server.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            _get(url)
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
        else:
            return
    sys.exit(f"{url} did not answer within {_START_SECONDS:.0f} s; see the logs in {_HOME}")


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 # our own address on this machine
        return json.load(answer)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _say(text: str) -> None:
    sys.stdout.write(f"\n{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

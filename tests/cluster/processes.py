"""Processes that are started together, watched, and ended together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from tests.deploy.stage import descendants, kill

T = TypeVar("T")

_START_SECONDS = 120.0
_END_SECONDS = 10.0


class Processes:
    """Processes of one cluster, each in a session and with a log of its own.

    Args:
        folder: Takes the logs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], **options: Any
    ) -> subprocess.Popen[bytes]:
        """Start a process; `options` go to `subprocess.Popen`."""
        with self.log_of(name).open("ab") as log:
            process = subprocess.Popen(
                command,
                env=dict(environment),
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                **options,
            )
        self._running[name] = process
        return process

    def log_of(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def kill(self, name: str) -> None:
        """End a process and all that it started, at once and without a word, as when a machine is lost."""
        process = self._running.pop(name)
        kill(process.pid)
        process.wait()

    def end_all(self) -> None:
        """End all, the newest first: each is asked, and killed when it does not listen."""
        for name in reversed(list(self._running)):
            process = self._running[name]
            family = [process.pid, *descendants(process.pid)]
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_END_SECONDS)
            for pid in family:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()
        self._running.clear()

    def dead(self) -> list[str]:
        """Return the names of those that ended by themselves."""
        return [name for name, process in self._running.items() if process.poll() is not None]


def wait_for(look: Callable[[], T | None], what: str, seconds: float = _START_SECONDS) -> T:
    """Look until there is something; what cannot be connected to yet is looked at again."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(OSError, subprocess.CalledProcessError):
            if found := look():
                return found
        time.sleep(0.2)
    raise TimeoutError(f"{what}: not after {seconds:g} s")


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()

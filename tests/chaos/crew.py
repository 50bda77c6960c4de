"""Worker processes: forked from one that has imported everything, killed on time, never left behind."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

BROKEN = 70
"""Exit code of a worker that ended with an error that nobody expects."""

_LONGEST_LIFE = 120


@dataclass(frozen=True)
class Work:
    """What one process is to do.

    Attributes:
        label: Its name.
        run: What it does; the answer is its exit code.
        kill_after: Says, when it starts, after how many seconds it is killed.
    """

    label: str
    run: Callable[[], int]
    kill_after: Callable[[], float] | None = None


@dataclass(frozen=True)
class Ended:
    """How a process ended, or that it is paused, after so many seconds; a signal is a code below zero."""

    label: str
    code: int
    seconds: float

    @property
    def is_killed(self) -> bool:
        """Whether it was killed."""
        return self.code == -signal.SIGKILL

    @property
    def is_paused(self) -> bool:
        """Whether it has only stopped."""
        return self.code == -signal.SIGSTOP


class Crew:
    """Runs work in processes of its own, so many at a time.

    Args:
        folder: Where what they print goes.
        at_once: Most processes at a time.
        deadline: When everything must be over, by the monotonic clock.
    """

    def __init__(self, folder: Path, at_once: int, deadline: float) -> None:
        self._folder = folder
        self._at_once = at_once
        self._deadline = deadline
        self._waiting: deque[Work] = deque()
        self._running: dict[int, tuple[Work, float]] = {}
        self._signals: list[tuple[float, int, signal.Signals]] = []

    def add(self, *works: Work) -> None:
        """Put work at the end of the queue."""
        self._waiting.extend(works)

    def wake(self, label: str) -> None:
        """Let a process go on that has stopped itself."""
        self._signals += [
            (0.0, pid, signal.SIGCONT) for pid, (work, _) in self._running.items() if work.label == label
        ]

    def run(self, ended: Callable[[Ended], None]) -> None:
        """Work until nothing is left; `ended` is told of each end and pause, and may add work.

        Raises:
            TimeoutError: It takes too long; no process is left running.
        """
        try:
            while self._waiting or self._running:
                while self._waiting and len(self._running) < self._at_once:
                    self._start(self._waiting.popleft())
                self._signal()
                for end in self._reap():
                    ended(end)
                if time.monotonic() > self._deadline:
                    raise TimeoutError(f"{len(self._running)} processes run and {len(self._waiting)} wait")
                time.sleep(0.005)
        finally:
            self._end_all()

    def _start(self, work: Work) -> None:
        pid = fork(work.run, self._folder / f"{work.label}.log", _LONGEST_LIFE)
        self._running[pid] = work, time.monotonic()
        if work.kill_after is not None:
            self._signals.append((time.monotonic() + work.kill_after(), pid, signal.SIGKILL))

    def _signal(self) -> None:
        due = [planned for planned in self._signals if planned[0] <= time.monotonic()]
        self._signals = [planned for planned in self._signals if planned not in due]
        for _, pid, number in due:
            if pid in self._running:
                os.kill(pid, number)

    def _reap(self) -> list[Ended]:
        ends = []
        for pid, (work, started) in list(self._running.items()):
            done, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
            if not done:
                continue
            is_paused = os.WIFSTOPPED(status)
            if not is_paused:
                del self._running[pid]
            code = -os.WSTOPSIG(status) if is_paused else os.waitstatus_to_exitcode(status)
            ends.append(Ended(work.label, code, time.monotonic() - started))
        return ends

    def _end_all(self) -> None:
        for pid in self._running:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self._running.clear()


def fork(run: Callable[[], int], log: Path, seconds: int) -> int:
    """Run a function in a process of its own that prints to `log`; return its id.

    It ends after so many seconds at the latest, even when nobody is left to end it.
    """
    if threading.active_count() > 1:
        raise RuntimeError("a process with threads is not forked")
    pid = os.fork()
    if pid:
        return pid
    code = BROKEN
    try:
        signal.alarm(seconds)
        printed = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(printed, 1)
        os.dup2(printed, 2)
        code = run()
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else BROKEN
    except BaseException:  # noqa: BLE001 # whatever it is, the parent's code must not run here
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

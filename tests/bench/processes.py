"""What processes cost, read from the system (Linux)."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_SAMPLE_SECONDS = 0.1


@dataclass(frozen=True)
class Used:
    """What one process used.

    Attributes:
        exit_code: How it ended.
        wall_seconds: How long it ran.
        cpu_seconds: Processor time of the process and of every descendant that was waited for (`wait4`).
        peak_rss_kib: Its largest resident memory, without its children.
    """

    exit_code: int
    wall_seconds: float
    cpu_seconds: float
    peak_rss_kib: int


def run(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Used:
    """Run a process to its end and return what it used."""
    started, peak = time.monotonic(), 0
    with log.open("w") as printed, subprocess.Popen(
        command, env=dict(environment), stdout=printed, stderr=subprocess.STDOUT
    ) as process:  # fmt: skip
        while True:
            peak = max(peak, _peak_rss(process.pid))
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            time.sleep(_SAMPLE_SECONDS)
        wall = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
    return Used(process.returncode, wall, used.ru_utime + used.ru_stime, peak)


def cpu_of_group(group: int) -> float:
    """Return the processor seconds of a process group, with the children that ended in it."""
    ticks = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if group in (int(fields[2]), int(fields[3])):
                ticks += sum(int(field) for field in fields[11:15])
    return ticks / _TICKS


def _peak_rss(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1])
    return 0

"""What all contenders have in common: what they are asked for, and how it is measured. Linux only."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

KEY_ID, SECRET = "test-key-id", "test-secret-key"
# What boto3 and s3fs must be told for servers other than AWS; the project does so by itself.
CHECKSUMS = {"request_checksum_calculation": "when_required", "response_checksum_validation": "when_required"}
_MEBIBYTE = 2**20


class Work(NamedTuple):
    """What a contender is to do.

    Attributes:
        server: Address of the S3 server.
        source: Address of the clip.
        clips: How often it is copied into the bucket `archive`.
        at_once: How many at the same time.
        prefix: Below which prefix.
        seconds: How long the clip lasts.
        size: Its bytes.
    """

    server: str
    source: str
    clips: int
    at_once: int
    prefix: str
    seconds: float
    size: int

    @classmethod
    def given(cls) -> Work:
        """Read it from the command line."""
        return cls(**json.loads(sys.argv[1]))


@contextmanager
def measured(others: Callable[[], list[int]] = list) -> Iterator[None]:
    """Print, as JSON, what the block cost beyond the idle process.

    Args:
        others: Returns the ids of further processes whose CPU time counts; their memory does not.
    """
    pids = [os.getpid(), *others()]
    Path("/proc/self/clear_refs").write_text("5")
    idle, used, started = _memory("VmRSS"), _cpu(pids), time.monotonic()
    yield
    wall = time.monotonic() - started
    found: dict[str, Any] = {
        "wall_seconds": wall,
        "cpu_seconds": _cpu(pids) - used,
        "rss_growth_mib": (_memory("VmHWM") - idle) / _MEBIBYTE,
    }
    sys.stdout.write(json.dumps(found) + "\n")


def _memory(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def _cpu(pids: list[int]) -> float:
    """Return the seconds that processes and their ended children used."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")

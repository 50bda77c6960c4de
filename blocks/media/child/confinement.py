"""Limits of the process that holds a hostile file."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress

from blocks.media.wire import Budget

if sys.platform != "win32":
    import resource


def confine(budget: Budget) -> None:
    """Limit this process, for good: memory, processor time, time, no files written, no core dump.

    Windows has no such limits, macOS none for memory.
    """
    if sys.platform == "win32":
        return
    # Its default action ends the process, also in the middle of a decoder.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, budget.wall_milliseconds / 1000)
    memory = budget.memory_mib * 1024 * 1024
    limits = (
        (resource.RLIMIT_AS, memory, memory),
        (resource.RLIMIT_CPU, budget.cpu_seconds, budget.cpu_seconds + 1),
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_CORE, 0, 0),
    )
    for which, soft, hard in limits:
        # The system's own hard limit may be lower already.
        with suppress(ValueError, OSError):
            resource.setrlimit(which, (soft, hard))

"""How often the provider is asked, for all jobs of a run together."""

from __future__ import annotations

import asyncio
import time


class Pace:
    """Lets everybody pass in the order of coming, evenly and at most so often.

    Args:
        per_second: How many pass in a second at most.
    """

    def __init__(self, per_second: float) -> None:
        self._gap = 1 / per_second
        self._next = 0.0

    async def turn(self) -> None:
        """Wait for one's turn; a turn that is cancelled is not given to another."""
        now = time.monotonic()
        turn = max(now, self._next)
        self._next = turn + self._gap
        if turn > now:
            await asyncio.sleep(turn - now)

"""The sandbox's clock: wall time that a test can move ahead instead of waiting."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress


class Clock:
    """Seconds since 1970, plus whatever `advance` added. Belongs to one event loop."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._woken = asyncio.Event()
        self.stopped = asyncio.Event()

    def now(self) -> float:
        """Return the time in seconds."""
        return time.time() + self._ahead

    def milliseconds(self) -> int:
        """Return the time in milliseconds, as the provider's bodies do."""
        return int(self.now() * 1000)

    def advance(self, seconds: float) -> None:
        """Move time ahead and wake everybody who waits for it."""
        self._ahead += seconds
        self.wake()

    def wake(self) -> None:
        """Let everybody who waits look at the time again."""
        self._woken.set()
        self._woken = asyncio.Event()

    def reset(self) -> None:
        """Go back to wall time."""
        self._ahead = 0.0
        self.wake()

    def stop(self) -> None:
        """End all waiting, for good."""
        self.stopped.set()
        self.wake()

    async def sleep_until(self, due: float | None) -> bool:
        """Wait until `due` (for ever when `None`) or until somebody wakes the clock.

        Returns:
            Whether the time has come.
        """
        woken = self._woken
        if not self.stopped.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(None if due is None else max(0.0, due - self.now())):
                    await woken.wait()
        return due is not None and self.now() >= due

    async def sleep(self, seconds: float) -> None:
        """Wait that long by this clock; ends early only when the sandbox stops."""
        due = self.now() + seconds
        while not self.stopped.is_set() and not await self.sleep_until(due):
            pass

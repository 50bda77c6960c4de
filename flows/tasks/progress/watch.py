"""Showing progress while a run lasts, wherever somebody may look."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from prefect import runtime

from flows.tasks.logs import run_logger
from flows.tasks.progress.artifact import ProgressArtifact
from flows.tasks.progress.tally import Progress, Seen
from flows.tasks.progress.terminal import terminal

_LAST_SECONDS = 5.0


class Screen(Protocol):
    """A place where progress is shown.

    Attributes:
        first_seconds: When it is shown for the first time.
    """

    first_seconds: float

    def pause(self) -> float:
        """Return how many seconds pass until it is shown again."""

    async def show(self, seen: Seen, *, is_over: bool) -> None:
        """Show what is seen; `is_over` the last time."""


@asynccontextmanager
async def watched(progress: Progress) -> AsyncIterator[None]:
    """Show the progress of a run while the block lasts; outside of a flow run nothing is shown.

    What cannot be shown is logged once and stops nothing.
    """
    if runtime.flow_run.id is None:
        yield
        return
    screens: list[Screen] = [ProgressArtifact(), *terminal()]
    keepers = [asyncio.create_task(_keep_on(screen, progress)) for screen in screens]
    try:
        yield
    finally:
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        for screen in screens:
            await _show(screen, progress, is_over=True)


async def _keep_on(screen: Screen, progress: Progress) -> None:
    pause = screen.first_seconds
    while True:
        await asyncio.sleep(pause)
        if progress.is_empty:
            continue
        if not await _show(screen, progress, is_over=False):
            return
        pause = screen.pause()


async def _show(screen: Screen, progress: Progress, *, is_over: bool) -> bool:
    """Show what is seen, and tell whether that was possible."""
    try:
        async with asyncio.timeout(_LAST_SECONDS if is_over else None):
            await screen.show(await progress.look(), is_over=is_over)
    except Exception as error:  # noqa: BLE001 # a run goes on without its progress bar
        run_logger().info("Progress cannot be shown: %s", type(error).__name__)
        return False
    return True

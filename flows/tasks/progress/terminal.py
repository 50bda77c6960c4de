"""Progress on the command line: bars in a terminal, log lines anywhere else."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Coroutine
from contextvars import ContextVar
from typing import Any, TypeVar

from prefect.logging.handlers import PrefectConsoleHandler
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from flows.tasks.logs import run_logger
from flows.tasks.progress.tally import Seen
from flows.tasks.progress.words import counts, lines, percent, wait_of

_IS_COMMAND: ContextVar[bool] = ContextVar("is_command", default=False)

_LINE_SECONDS = 15.0
_LONGEST_SECONDS = 60.0
_BAR_SECONDS = 0.5

Answer = TypeVar("Answer")


def run_command(flow: Coroutine[Any, Any, Answer]) -> Answer:
    """Run a flow from the command line; it shows its progress on stderr."""
    before = _IS_COMMAND.set(True)
    try:
        return asyncio.run(flow)
    finally:
        _IS_COMMAND.reset(before)


def terminal() -> list[TerminalBars | LogLines]:
    """Return where a flow that was started by `run_command` shows its progress; any other shows none."""
    if not _IS_COMMAND.get():
        return []
    return [TerminalBars()] if sys.stderr.isatty() else [LogLines()]


class LogLines:
    """Progress as lines of the run's log."""

    def __init__(self) -> None:
        self._next = _LINE_SECONDS
        self.first_seconds = _LINE_SECONDS

    def pause(self) -> float:
        """Return how many seconds pass until the next lines."""
        pause, self._next = self._next, min(_LONGEST_SECONDS, self._next * 1.2)
        return pause

    async def show(self, seen: Seen, *, is_over: bool) -> None:
        """Log what is seen; the end is told by others."""
        if not is_over:
            for line in lines(seen):
                run_logger().info(line)


class TerminalBars:
    """Progress as bars below the lines that Prefect logs."""

    def __init__(self) -> None:
        self.first_seconds = _BAR_SECONDS
        # Prefect's console has a theme without Rich's own names for these.
        bar = BarColumn(
            20, style="grey37", complete_style="green", finished_style="green", pulse_style="grey50"
        )
        text = TextColumn("{task.fields[text]}", markup=False)
        self._bars = Bars(bar, text, console=_console(), transient=True, redirect_stdout=False)
        self._shown: dict[str, TaskID] = {}

    def pause(self) -> float:
        """Return how many seconds pass until the bars move."""
        return _BAR_SECONDS

    async def show(self, seen: Seen, *, is_over: bool) -> None:
        """Move the bars; in the end they go."""
        if is_over:
            self._bars.stop()
            return
        wanted = {each.kling_task_id: (each.elapsed, each.expected, wait_of(each)) for each in seen.waits}
        if seen.total:
            wanted = {"": (percent(seen), 100.0, counts(seen)), **wanted}
        for gone in self._shown.keys() - wanted.keys():
            self._bars.remove_task(self._shown.pop(gone))
        for key, (completed, total, text) in wanted.items():
            if key not in self._shown:
                self._shown[key] = self._bars.add_task("", text="")
            self._bars.update(self._shown[key], completed=completed, total=total or None, text=text)
        self._bars.start()


def _console() -> Console:
    """Return the console that Prefect logs to: with another one, lines and bars write over each other."""
    # Prefect's own configuration has it at the root; others may have put it at its logger.
    for handler in (*logging.getLogger().handlers, *logging.getLogger("prefect").handlers):
        if isinstance(handler, PrefectConsoleHandler):
            return handler.console
    return Console(stderr=True)

"""Many rows shown as few task runs: the events of task runs are most of what many jobs cost Prefect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, Failed

from flows.tasks.logs import run_logger
from flows.tasks.manifest.results import IN_THE_ARCHIVE, RowResult, counted

_ROWS = 25


class Group:
    """Some rows that are worked on elsewhere, as one thing: Prefect does not look into it.

    Args:
        numbers: Numbers of the rows.
    """

    def __init__(self, numbers: Sequence[int]) -> None:
        self.numbers = tuple(numbers)
        self.first, self.last = numbers[0], numbers[-1]
        self.is_shown = False
        self.over = asyncio.Event()
        self._states: list[str] = []

    def end(self, result: RowResult) -> None:
        """Note what became of one row."""
        self._states.append(result.state)
        if len(self._states) == len(self.numbers):
            self.over.set()

    @property
    def state(self) -> tuple[bool, str]:
        """Whether all of its rows are in the archive, and how many are in which state."""
        return IN_THE_ARCHIVE.issuperset(self._states), counted(self._states)


@task(
    name="rows",
    task_run_name="rows {group.first} to {group.last}",
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def rows_task(group: Group) -> None:
    """Show some rows of a manifest: this task run lasts from the first start to the last end of them.

    It fails when one of them is not archived; the others go on. What became of each is in the results of the
    flow run, and in the events of its job.
    """
    await group.over.wait()
    is_whole, message = group.state
    return Completed(message=message) if is_whole else Failed(message=message)  # type: ignore[return-value]  # Prefect takes a returned state for that of the task run


class Groups:
    """Shows rows while they are worked on.

    Args:
        numbers: Numbers of the rows, in the order in which they are started.
    """

    def __init__(self, numbers: Sequence[int]) -> None:
        cut = [numbers[start : start + _ROWS] for start in range(0, len(numbers), _ROWS)]
        self._of = {number: group for group in map(Group, cut) for number in group.numbers}
        self.showing: list[asyncio.Task[object]] = []

    async def shown(self, number: int, work: Awaitable[RowResult]) -> RowResult:
        """Await `work` for a row while its group is shown."""
        group = self._of[number]
        if not group.is_shown:
            group.is_shown = True
            showing = rows_task(group, return_state=True)
            self.showing.append(asyncio.create_task(showing))  # type: ignore[arg-type]  # Prefect's types forget that it is awaited
        result = await work
        group.end(result)
        return result


@asynccontextmanager
async def in_groups(numbers: Sequence[int]) -> AsyncIterator[Groups]:
    """Show these rows as few task runs; leaving waits until Prefect has heard of all that were started.

    What cannot be shown is logged and stops no row.
    """
    groups = Groups(numbers)
    try:
        yield groups
    except BaseException:
        for each in groups.showing:
            each.cancel()
        raise
    finally:
        for ended in await asyncio.gather(*groups.showing, return_exceptions=True):
            if isinstance(ended, Exception):
                run_logger().warning("Some rows cannot be shown as a task run: %s", type(ended).__name__)

"""Many jobs in one flow run: all are checked, then all are bought, side by side; none stops the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

from blocks.errors import InvalidRequest
from blocks.kling.job import Job
from flows.tasks.connections import Connections
from flows.tasks.logs import run_logger
from flows.tasks.make import Wanted, make
from flows.tasks.manifest import Row
from flows.tasks.request import Request
from flows.tasks.results import RowResult, archived, stopped, unfinished
from flows.tasks.side_by_side import side_by_side
from flows.tasks.validate import check_again

OnInvalid = Literal["skip", "stop"]

_Answer = TypeVar("_Answer")

_CHECKED_AT_ONCE = 8
_SPREAD_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class _Wanted:
    row: int
    request: Request
    job: Job


async def run_rows(
    rows: Sequence[Row], connections: Connections, *, on_invalid: OnInvalid, at_once: int
) -> list[RowResult]:
    """Make the video of every row. MAY spend money, once for each job; what is archived costs nothing.

    Every row is checked before the first is paid for. Rows that ask for the same video are one job. A row
    that fails, or needs a person's decision, is reported and stops no other.

    Args:
        rows: What is wanted.
        connections: Provider and archive.
        on_invalid: `stop` buys nothing at all when a row cannot be used, `skip` leaves out that row.
        at_once: How many jobs are in flight at most.

    Returns:
        One result for each row, in their order.
    """
    checked = await side_by_side(partial(_check, connections=connections), rows, _CHECKED_AT_ONCE)
    first: dict[str, int] = {}
    for each in checked:
        if isinstance(each, _Wanted):
            first.setdefault(each.job.job_id, each.row)
    wanted = [each for each in checked if isinstance(each, _Wanted) and first[each.job.job_id] == each.row]
    unusable = [each.row for each in checked if isinstance(each, RowResult)]
    work = partial(_leave, unusable=unusable) if unusable and on_invalid == "stop" else _finish
    ended = await side_by_side(
        partial(_attempt, work, connections=connections), wanted, at_once, _SPREAD_SECONDS
    )
    by_job = {result.job_id: result for result in ended}
    return [each if isinstance(each, RowResult) else _own(each, by_job[each.job.job_id]) for each in checked]


async def _check(row: Row, connections: Connections) -> _Wanted | RowResult:
    async def check() -> _Wanted:
        if row.request is None:
            raise InvalidRequest(row.faults)
        try:
            job = await check_again(row.request, connections)
        except InvalidRequest as error:
            raise InvalidRequest((*row.faults, *error.faults)) from None
        if row.faults:
            raise InvalidRequest(row.faults)
        return _Wanted(row.number, row.request, job)

    found: _Wanted | RowResult = await _told(check(), partial(stopped, row.number, row.name))
    return found


async def _attempt(
    work: Callable[[_Wanted, Connections], Awaitable[RowResult]], wanted: _Wanted, connections: Connections
) -> RowResult:
    tell = partial(stopped, wanted.row, wanted.job.name, job=wanted.job)
    return await _told(work(wanted, connections), tell)


async def _finish(wanted: _Wanted, connections: Connections) -> RowResult:
    if finished := await connections.archive.find_done(wanted.job.job_id):
        clip = connections.archive.address(finished.clip.key)
        return archived(wanted.row, finished, clip, "archived before")
    sidecar = await make(Wanted(wanted.job, wanted.request, connections))
    return archived(wanted.row, sidecar, connections.archive.address(sidecar.clip.key))


async def _leave(wanted: _Wanted, connections: Connections, unusable: list[int]) -> RowResult:
    """Say what is archived already; buy nothing."""
    if finished := await connections.archive.find_done(wanted.job.job_id):
        clip = connections.archive.address(finished.clip.key)
        return archived(wanted.row, finished, clip, "archived before")
    listed = ", ".join(str(row) for row in unusable[:10]) + (", ..." if len(unusable) > 10 else "")
    message = f"Nothing was bought, because these rows cannot be used: {listed}"
    return unfinished(wanted.row, wanted.job, "not bought", message)


def _own(wanted: _Wanted, result: RowResult) -> RowResult:
    """Return the result of the row itself: of rows that ask for the same job, the first one bought it."""
    if result.row == wanted.row:
        return result
    repeated = unfinished(wanted.row, wanted.job, "duplicate", f"The same job as row {result.row}")
    return repeated.model_copy(update={"name": wanted.request.title, "clip": result.clip})


async def _told(work: Awaitable[_Answer], tell: Callable[[BaseException], RowResult]) -> _Answer | RowResult:
    """Await `work`; what it raises becomes a result, unless this very task is being cancelled."""
    try:
        return await work
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        return tell(error)
    except Exception as error:  # noqa: BLE001 # a row stops no other, whatever it raises
        result = tell(error)
        run_logger().warning("Row %d, %s: %s. %s", result.row, result.name, result.message, result.next_step)
        return result

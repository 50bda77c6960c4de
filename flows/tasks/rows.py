"""Many jobs in one flow run: all are checked, then all are bought, side by side; none stops the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

from blocks.errors import InvalidRequest
from blocks.kling.job import Job
from blocks.storage.sidecar import Sidecar
from flows.tasks.connections import Connections
from flows.tasks.logs import run_logger
from flows.tasks.make import Wanted, make, make_in_steps
from flows.tasks.manifest import Row
from flows.tasks.request import Request
from flows.tasks.results import RowResult, archived, stopped, unfinished
from flows.tasks.side_by_side import side_by_side
from flows.tasks.validate import check_again, validate

OnInvalid = Literal["skip", "stop"]

_Answer = TypeVar("_Answer")

CHECKED_AT_ONCE = 8
_SPREAD_SECONDS = 0.01
# With more rows each job is one task run instead of four: task runs are most of what many jobs cost Prefect.
_SHOWN_IN_STEPS = 50


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
    check, finish = (validate, make_in_steps) if len(rows) <= _SHOWN_IN_STEPS else (check_again, make)
    checked = await side_by_side(partial(_check, check, connections=connections), rows, CHECKED_AT_ONCE)
    first: dict[str, int] = {}
    for each in checked:
        if isinstance(each, _Wanted):
            first.setdefault(each.job.job_id, each.row)
    wanted = [each for each in checked if isinstance(each, _Wanted) and first[each.job.job_id] == each.row]
    unusable = [each.row for each in checked if isinstance(each, RowResult)]
    connections.in_flight.plan(len(wanted), at_once)
    connections.progress.plan(len(wanted) + len(unusable))
    for _ in unusable:
        connections.progress.end("invalid")
    stops = unusable and on_invalid == "stop"
    work = partial(_leave, unusable=unusable) if stops else partial(_finish, finish)
    ended = await side_by_side(
        partial(_attempt, work, connections=connections), wanted, at_once, _SPREAD_SECONDS
    )
    by_job = {result.job_id: result for result in ended}
    return [each if isinstance(each, RowResult) else _own(each, by_job[each.job.job_id]) for each in checked]


async def _check(
    validated: Callable[[Request, Connections], Awaitable[Job]], row: Row, connections: Connections
) -> _Wanted | RowResult:
    async def check() -> _Wanted:
        if row.request is None:
            raise InvalidRequest(row.faults)
        try:
            job = await validated(row.request, connections)
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
    result = await _told(work(wanted, connections), tell)
    paid = result.charged == "yes" and result.state != "archived before"
    connections.progress.end(result.state, result.estimated_usd if paid else None)
    return result


async def _finish(
    finish: Callable[[Wanted], Awaitable[Sidecar]], wanted: _Wanted, connections: Connections
) -> RowResult:
    async with connections.in_flight.counted(wanted.job.job_id):
        if finished := await connections.archive.find_done(wanted.job.job_id):
            clip = connections.archive.address(finished.clip.key)
            return archived(wanted.row, finished, clip, "archived before")
        sidecar = await finish(Wanted(wanted.job, wanted.request, connections))
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

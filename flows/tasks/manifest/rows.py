"""Many jobs in one flow run: all are checked, then all are bought, side by side; none stops the others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Literal

from blocks.storage.sidecar import Sidecar
from flows.tasks.connections import Connections
from flows.tasks.logs import run_logger
from flows.tasks.manifest.checked import Checked, check_rows, first_rows, told
from flows.tasks.manifest.groups import Groups, in_groups
from flows.tasks.manifest.make import Wanted, make, make_in_steps
from flows.tasks.manifest.manifest import Row
from flows.tasks.manifest.results import RowResult, archived, stopped, unfinished
from flows.tasks.side_by_side import side_by_side
from flows.tasks.validate import check_again, validate

OnInvalid = Literal["skip", "stop"]

_SPREAD_SECONDS = 0.01
# With more rows many of them are one task run: task runs are most of what many jobs cost Prefect.
_SHOWN_IN_STEPS = 50


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
    in_steps = len(rows) <= _SHOWN_IN_STEPS
    check, finish = (validate, make_in_steps) if in_steps else (check_again, make)
    checked = await check_rows(rows, check, connections)
    first = first_rows(checked)
    wanted = [each for each in checked if isinstance(each, Checked) and first[each.job.job_id] == each.row]
    unusable = [_warned(each).row for each in checked if isinstance(each, RowResult)]
    connections.in_flight.plan(len(wanted), at_once)
    connections.progress.plan(len(wanted) + len(unusable))
    for _ in unusable:
        connections.progress.end("invalid")
    stops = unusable and on_invalid == "stop"
    work = partial(_leave, unusable=unusable) if stops else partial(_finish, finish)
    attempt = partial(_attempt, work, connections=connections)
    if in_steps or stops:
        ended = await side_by_side(attempt, wanted, at_once, _SPREAD_SECONDS)
    else:
        async with in_groups([each.row for each in wanted]) as groups:
            shown = partial(_shown, groups, attempt)
            ended = await side_by_side(shown, wanted, at_once, _SPREAD_SECONDS)
    by_job = {result.job_id: result for result in ended}
    return [each if isinstance(each, RowResult) else _own(each, by_job[each.job.job_id]) for each in checked]


async def _attempt(
    work: Callable[[Checked, Connections], Awaitable[RowResult]], wanted: Checked, connections: Connections
) -> RowResult:
    tell = partial(stopped, wanted.row, wanted.job.name, job=wanted.job)
    result = await told(work(wanted, connections), lambda error: _warned(tell(error)))
    paid = result.charged == "yes" and result.state != "archived before"
    connections.progress.end(result.state, result.estimated_usd if paid else None)
    return result


async def _shown(
    groups: Groups, attempt: Callable[[Checked], Awaitable[RowResult]], wanted: Checked
) -> RowResult:
    return await groups.shown(wanted.row, attempt(wanted))


async def _finish(
    finish: Callable[[Wanted], Awaitable[Sidecar]], wanted: Checked, connections: Connections
) -> RowResult:
    async with connections.in_flight.counted(wanted.job.job_id):
        if before := await _archived_before(wanted, connections):
            return before
        sidecar = await finish(Wanted(wanted.job, wanted.request, connections))
    return archived(wanted.row, sidecar, connections.archive.address(sidecar.clip.key))


async def _archived_before(wanted: Checked, connections: Connections) -> RowResult | None:
    finished = await connections.archive.find_done(wanted.job.job_id)
    if finished is None:
        return None
    return archived(wanted.row, finished, connections.archive.address(finished.clip.key), "archived before")


async def _leave(wanted: Checked, connections: Connections, unusable: list[int]) -> RowResult:
    """Say what is archived already; buy nothing."""
    if before := await _archived_before(wanted, connections):
        return before
    listed = ", ".join(str(row) for row in unusable[:10]) + (", ..." if len(unusable) > 10 else "")
    message = f"Nothing was bought, because these rows cannot be used: {listed}"
    return unfinished(wanted.row, wanted.job, "not bought", message)


def _own(wanted: Checked, result: RowResult) -> RowResult:
    """Return the result of the row itself: of rows that ask for the same job, the first one bought it."""
    if result.row == wanted.row:
        return result
    repeated = unfinished(wanted.row, wanted.job, "duplicate", f"The same job as row {result.row}")
    return repeated.model_copy(update={"name": wanted.request.title, "clip": result.clip})


def _warned(result: RowResult) -> RowResult:
    """Log why a row stopped."""
    run_logger().warning("Row %d, %s: %s. %s", result.row, result.name, result.message, result.next_step)
    return result

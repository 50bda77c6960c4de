"""The rows of a manifest, each compared with every limit before any is paid for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from blocks.errors import InvalidRequest
from blocks.kling.job import Job
from flows.tasks.checking import Checking
from flows.tasks.manifest.manifest import Row
from flows.tasks.manifest.results import RowResult, stopped
from flows.tasks.request import Request
from flows.tasks.side_by_side import side_by_side

CHECKED_AT_ONCE = 8

Shared = TypeVar("Shared", bound=Checking)
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Checked:
    """A row that can be bought."""

    row: int
    request: Request
    job: Job


async def check_rows(
    rows: Sequence[Row], check: Callable[[Request, Shared], Awaitable[Job]], connections: Shared
) -> list[Checked | RowResult]:
    """Check every row; what is wrong with one stops no other. Costs nothing.

    Args:
        rows: What is wanted.
        check: Reads and measures the inputs of one request.
        connections: What it needs for that.

    Returns:
        For each row, in their order, what can be bought, or the result that says why it cannot.
    """
    return await side_by_side(
        partial(_check_row, check=check, connections=connections), rows, CHECKED_AT_ONCE
    )


def first_rows(checked: Sequence[Checked | RowResult]) -> dict[str, int]:
    """Return the first row that asks for each job; the others that do are duplicates of it."""
    first: dict[str, int] = {}
    for each in checked:
        if isinstance(each, Checked):
            first.setdefault(each.job.job_id, each.row)
    return first


async def told(work: Awaitable[_Answer], tell: Callable[[BaseException], RowResult]) -> _Answer | RowResult:
    """Await `work`; what it raises becomes a result, unless this very task is being cancelled."""
    try:
        return await work
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        return tell(error)
    except Exception as error:  # noqa: BLE001 # a row stops no other, whatever it raises
        return tell(error)


async def _check_row(
    row: Row, check: Callable[[Request, Shared], Awaitable[Job]], connections: Shared
) -> Checked | RowResult:
    async def checked() -> Checked:
        if row.request is None:
            raise InvalidRequest(row.faults)
        try:
            job = await check(row.request, connections)
        except InvalidRequest as error:
            raise InvalidRequest((*row.faults, *error.faults)) from None
        if row.faults:
            raise InvalidRequest(row.faults)
        return Checked(row.number, row.request, job)

    return await told(checked(), partial(stopped, row.number, row.name))

"""What became of each row of a manifest, as it is written down, shown and summed up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from blocks.errors import (
    AvatarError,
    BudgetExceeded,
    Charged,
    Facts,
    InvalidRequest,
    JobGivenUp,
    JobOverdue,
    NeedsDecision,
    RequestRejected,
    TaskFailed,
    TaskIdNotRecorded,
)
from blocks.kling.job import Job
from blocks.storage.sidecar import Sidecar, Times

RowState = Literal[
    "archived",
    "archived before",
    "duplicate",
    "invalid",
    "failed",
    "needs decision",
    "overdue",
    "over budget",
    "error",
    "not bought",
]

IN_THE_ARCHIVE = frozenset({"archived", "archived before"})
SHOWN_ROWS = 500

_STATES: tuple[tuple[tuple[type[AvatarError], ...], RowState], ...] = (
    ((InvalidRequest,), "invalid"),
    ((NeedsDecision, TaskIdNotRecorded), "needs decision"),
    ((JobOverdue,), "overdue"),
    ((BudgetExceeded,), "over budget"),
    ((TaskFailed, JobGivenUp, RequestRejected), "failed"),
)


class RowResult(BaseModel):
    """What became of one row.

    Attributes:
        row: Number of the row, from 1; header and blank lines are not counted.
        state: `error` passes with time or with a better set-up: run it again. `not bought` was left alone.
            `over budget` was refused, unpaid.
        clip: Address of the clip in the archive.
        seconds: Length of the clip, or of the voice clip while there is none.
        estimated_usd: List price by measured seconds.
        reported_units: Kling units, as the provider reports them.
        times: When each step of the job was done, of a clip that is in the archive.
        charged: Whether the video of this row was paid for, by this run or an earlier one.
        error: Class of the error.
    """

    model_config = ConfigDict(frozen=True)

    row: int
    name: str = ""
    job_id: str | None = None
    kling_task_id: str | None = None
    state: RowState
    clip: str | None = None
    seconds: float | None = None
    estimated_usd: Decimal | None = None
    reported_units: Decimal | None = None
    times: Times | None = None
    charged: Charged = Field(default="no")
    error: str | None = None
    message: str = ""
    next_step: str = ""

    @property
    def is_settled(self) -> bool:
        """Whether the clip of this row is in the archive, under this row or the one it repeats."""
        return self.clip is not None


class NotAllArchived(AvatarError):
    """Some of what was asked for is not in the archive; each result says why.

    Args:
        message: How many are in which state.
        facts: What is known beyond the results.
        next_step: What to do next.
        results: What became of each.
    """

    charged_by_default = "unknown"
    default_next_step = "Read the table or the results: each row says what to do next. Then run it again."

    def __init__(
        self,
        message: str,
        facts: Facts | None = None,
        next_step: str | None = None,
        results: Sequence[BaseModel] = (),
    ) -> None:
        super().__init__(message, facts or Facts(), next_step)
        self.results = tuple(results)
        self.args = (message, self.facts, next_step, self.results)


def archived(row: int, sidecar: Sidecar, clip: str, state: RowState = "archived") -> RowResult:
    """Return the result of a row whose clip is in the archive, at the address `clip`."""
    return RowResult(
        row=row,
        name=sidecar.name,
        job_id=sidecar.job_id,
        kling_task_id=sidecar.provided.task_id,
        state=state,
        clip=clip,
        seconds=sidecar.clip.seconds,
        estimated_usd=sidecar.cost.estimated_usd,
        reported_units=sidecar.cost.reported_units,
        times=sidecar.times,
        charged="yes",
    )


def unfinished(row: int, job: Job, state: RowState, message: str) -> RowResult:
    """Return the result of a row whose job was not taken up."""
    return RowResult(
        row=row,
        name=job.name,
        job_id=job.job_id,
        state=state,
        seconds=job.seconds,
        estimated_usd=job.estimated_usd,
        message=message,
    )


def stopped(row: int, name: str, error: BaseException, job: Job | None = None) -> RowResult:
    """Return the result of a row that ended with `error`, in words without secrets."""
    known = error if isinstance(error, AvatarError) else _unexpected(error, job)
    facts = known.facts
    return RowResult(
        row=row,
        name=name,
        job_id=facts.job_id or (job.job_id if job else None),
        kling_task_id=facts.kling_task_id,
        state=next((state for kinds, state in _STATES if isinstance(error, kinds)), "error"),
        seconds=job.seconds if job else None,
        estimated_usd=job.estimated_usd if job else None,
        charged=known.charged,
        error=type(error).__name__,
        message=known.message,
        next_step=known.next_step,
    )


def _unexpected(error: BaseException, job: Job | None) -> AvatarError:
    """Describe an error of no known class; its own text may quote anything, so it is left out."""
    facts = Facts(charged="unknown" if job else "no")
    return AvatarError(f"It stopped with an unexpected {type(error).__name__}", facts)


def counted(states: Iterable[str]) -> str:
    """Return how many are in which state, as people write it."""
    return ", ".join(f"{count} {state}" for state, count in sorted(Counter(states).items())) or "nothing"


def money(results: Iterable[RowResult]) -> str:
    """Return what the clips that are new cost, by list price and by the provider's word."""
    new = [result for result in results if result.state == "archived"]
    usd = sum((result.estimated_usd or Decimal(0) for result in new), Decimal(0))
    units = sum((result.reported_units or Decimal(0) for result in new), Decimal(0))
    return f"new clips cost about {usd:.2f} US dollars by list price, {units:f} Kling units as reported"


def table(results: Sequence[RowResult]) -> list[dict[str, Any]]:
    """Return the rows of a table artifact, what needs a look first, at most `SHOWN_ROWS` of them."""
    first = sorted(results, key=lambda result: (result.is_settled, result.row))
    return [
        {
            "row": result.row,
            "state": result.state,
            "name": result.name,
            "job": (result.job_id or "")[:12],
            "seconds": result.seconds or "",
            "USD (list)": str(result.estimated_usd or ""),
            "charged": result.charged,
            "clip or reason": result.clip or f"{result.message}. {result.next_step}".strip(" ."),
        }
        for result in first[:SHOWN_ROWS]
    ]


def shown_of(results: Sequence[object]) -> str:
    """Return the sentence that a shortened table needs, or nothing."""
    return f" Only {SHOWN_ROWS} of {len(results)} are shown." if len(results) > SHOWN_ROWS else ""

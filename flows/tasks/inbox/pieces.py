"""What became of a piece of work from an inbox, and how the archive remembers it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import BaseModel, ConfigDict, ValidationError

from blocks.kling.job import canonical_json
from blocks.storage.archive import Archive
from blocks.storage.journal import Standing, now
from flows.tasks.inbox.pairing import Piece
from flows.tasks.logs import run_logger
from flows.tasks.manifest.results import (
    IN_THE_ARCHIVE,
    SHOWN_ROWS,
    NotAllArchived,
    RowResult,
    RowState,
    counted,
)

_PASSING = frozenset({"error", "overdue", "over budget", "duplicate"})


class PieceReport(BaseModel):
    """What became of one piece of work.

    Attributes:
        piece: Its name; see `flows.tasks.inbox.pairing.Piece`.
        state: `waiting` is not complete or may still be written; `not all archived` is about a manifest.
        is_news: Whether it is a problem that no run has reported before.
        again: Whether the next run takes it up by itself.
        undecided: The jobs about which a person has to decide.
        signature: Tells whether a problem is still the same one.
    """

    model_config = ConfigDict(frozen=True)

    version: int = 1
    piece: str
    at: datetime
    state: RowState | Literal["waiting", "not all archived"]
    is_news: bool = False
    again: bool = False
    undecided: tuple[str, ...] = ()
    signature: str = ""
    job_id: str | None = None
    clip: str | None = None
    charged: str = "no"
    error: str | None = None
    message: str = ""
    next_step: str = ""


def waiting(piece: Piece, why: str) -> PieceReport:
    """Return the report on a piece that was left alone."""
    return PieceReport(piece=piece.name, at=now(), state="waiting", message=why)


def report(
    piece: Piece, results: Sequence[RowResult], before: PieceReport | None, written_to: str | None = None
) -> PieceReport:
    """Return the report on a piece that was taken up.

    Args:
        piece: The piece.
        results: One for a pair, one for each row of a manifest.
        before: What was remembered about it.
        written_to: Where the results of a manifest are.
    """
    problems = [result for result in results if not result.is_settled]
    lasting = [
        [result.row if written_to else 0, result.state]
        for result in problems
        if result.state not in {"error", "duplicate"}
    ]
    signature = hashlib.sha256(canonical_json(lasting)).hexdigest() if lasting else ""
    is_known = before is not None and before.signature == signature
    common = {
        "piece": piece.name,
        "at": now(),
        "is_news": any(result.state == "error" for result in problems) or (bool(lasting) and not is_known),
        "again": any(result.state in _PASSING for result in problems),
        "undecided": tuple(
            result.job_id for result in problems if result.state == "needs decision" and result.job_id
        ),
        "signature": signature,
    }
    return PieceReport.model_validate(common | _content(results, problems, written_to))


def _content(
    results: Sequence[RowResult], problems: list[RowResult], written_to: str | None
) -> dict[str, Any]:
    if written_to is None:
        told = {"state", "job_id", "clip", "charged", "error", "message", "next_step"}
        return results[0].model_dump(include=told)
    before = all(result.state != "archived" for result in results)
    settled: RowState = "archived before" if before else "archived"
    return {
        "state": "not all archived" if problems else settled,
        "message": f"{counted(result.state for result in results)}; results: {written_to}",
        "next_step": "Read the results, correct the rows, or run it again." if problems else "",
    }


async def recall(piece: Piece, inbox: str, archive: Archive) -> PieceReport | None:
    """Return what the archive remembers about a piece whose files are still the same. One read."""
    key = _key(piece, inbox)
    data = await archive.store.read(key)
    if data is None:
        return None
    try:
        return PieceReport.model_validate_json(data).model_copy(update={"is_news": False})
    except ValidationError:
        run_logger().warning("%s cannot be read; %s is looked at anew", key, piece.name)
        return None


async def remember(piece: Piece, inbox: str, archive: Archive, report: PieceReport) -> None:
    """Write down what became of a piece, for as long as its files stay the same."""
    await archive.store.replace(_key(piece, inbox), report.model_dump_json().encode())


async def is_over(report: PieceReport, archive: Archive) -> bool:
    """Tell whether there is nothing more to do for a piece. Reads the journal of undecided jobs only."""
    if report.again:
        return False
    for job_id in report.undecided:
        last = await archive.journal.last(job_id)
        if last is None or last.standing(now()) is not Standing.DOUBTFUL:
            return False
    return True


def state_of(reports: Sequence[PieceReport]) -> State[list[PieceReport]]:
    """Return the state of the flow run: failed only for problems that no earlier run has reported."""
    message = counted(each.state for each in reports)
    if news := sum(each.is_news for each in reports):
        message = f"{message}; {news} with new problems"
        return Failed(name="Problems", message=message, data=NotAllArchived(message, results=reports))
    return Completed(message=message, data=list(reports))


def table(reports: Sequence[PieceReport]) -> list[dict[str, Any]]:
    """Return the rows of a table artifact, news first, what is in the archive last, at most `SHOWN_ROWS`."""
    first = sorted(
        reports, key=lambda each: (not each.is_news, each.state in IN_THE_ARCHIVE, each.state, each.piece)
    )
    return [
        {
            "state": each.state,
            "new": "yes" if each.is_news else "",
            "piece": each.piece,
            "job": (each.job_id or "")[:12],
            "charged": each.charged,
            "clip or reason": each.clip or f"{each.message}. {each.next_step}".strip(" ."),
        }
        for each in first[:SHOWN_ROWS]
    ]


def _key(piece: Piece, inbox: str) -> str:
    return f"inbox/{piece.fingerprint(inbox)}.json"

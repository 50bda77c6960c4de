"""From a request, a manifest or an inbox to the rows of a plan. Only reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from blocks.errors import AvatarError
from flows.tasks.addresses import absolute
from flows.tasks.inbox.inbox import READ_AT_ONCE, survey
from flows.tasks.inbox.looking import look
from flows.tasks.inbox.options import row_of
from flows.tasks.inbox.pairing import Piece
from flows.tasks.inbox.pieces import PieceReport
from flows.tasks.manifest.manifest import Row, read_manifest
from flows.tasks.manifest.results import IN_THE_ARCHIVE, RowResult, stopped
from flows.tasks.plan.readings import Readings
from flows.tasks.plan.rows import RowPlan, unusable
from flows.tasks.request import Request
from flows.tasks.side_by_side import side_by_side
from flows.tasks.speech.splitting import in_pieces


class Lying(NamedTuple):
    """What lies in an inbox.

    Attributes:
        rows: What a run would take up, numbered through.
        left: What it would leave alone, and why.
    """

    rows: list[Row]
    left: list[RowPlan]


def rows_of_request(request: Request, readings: Readings, *, split: bool) -> list[Row]:
    """Return a row for each clip of one request.

    Raises:
        InvalidRequest: A text is to be cut and cannot be.
    """
    pieces = in_pieces(request, readings.credentials, split=split)
    return [Row(number, piece) for number, piece in enumerate(pieces, 1)]


async def rows_of_manifest(manifest: str) -> list[Row]:
    """Return the rows of a manifest.

    Raises:
        InvalidRequest: It cannot be used as a whole.
        SourceUnavailable: It could not be read now.
    """
    return await read_manifest(absolute(manifest))


async def rows_of_inbox(inbox: str, readings: Readings, quiet_seconds: float) -> Lying:
    """Return the rows of everything that lies in an inbox, pairs and manifests.

    Raises:
        AvatarError: The inbox, or the archive's memory of it, could not be read.
    """
    inbox, archive = absolute(inbox), readings.archive
    if archive is None:
        sight = await look(inbox, quiet_seconds)
        fresh, over = sight.ready, []
    else:
        sight, known = await survey(inbox, archive, quiet_seconds)
        fresh = [each.piece for each in known if not each.is_over]
        over = [each.memory for each in known if each.is_over and each.memory]
    left = [_left(each) for each in (*over, *sight.waiting)]
    rows: list[Row] = []
    for each in (found for piece in await side_by_side(_rows_of, fresh, READ_AT_ONCE) for found in piece):
        if isinstance(each, RowPlan):
            left.append(each)
        else:
            rows.append(replace(each, number=len(rows) + 1))
    return Lying(rows, left)


async def _rows_of(piece: Piece) -> Sequence[Row | RowPlan]:
    if piece.kind == "pair":
        row = await row_of(0, piece)
        return [unusable(row) if isinstance(row, RowResult) else row]
    try:
        return await read_manifest(piece.files[0].address)
    except AvatarError as error:
        return [unusable(stopped(0, piece.name, error))]


def _left(report: PieceReport) -> RowPlan:
    """Return the plan for a piece that a run would leave alone."""
    if report.state == "waiting":
        return RowPlan(row=0, name=report.piece, state="waiting", detail=report.message)
    state = "archived" if report.state in IN_THE_ARCHIVE else "left"
    return RowPlan.model_validate(
        {"row": 0, "name": report.piece, "state": state, "job_id": report.job_id, "detail": report.message}
    )

"""What is new in an inbox is made into videos: each piece of work once, whoever looks and how often."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import NamedTuple

from blocks.errors import Fault, InvalidRequest
from blocks.storage.archive import Archive
from flows.tasks.addresses import absolute
from flows.tasks.connections import Connections
from flows.tasks.inbox.looking import Sight, look, still_same
from flows.tasks.inbox.options import row_of
from flows.tasks.inbox.pairing import Piece
from flows.tasks.inbox.pieces import PieceReport, is_over, recall, remember, report, waiting
from flows.tasks.logs import run_logger
from flows.tasks.manifest.batch import run_manifest
from flows.tasks.manifest.manifest import Row
from flows.tasks.manifest.results import RowResult, stopped
from flows.tasks.manifest.rows import run_rows
from flows.tasks.side_by_side import side_by_side

READ_AT_ONCE = 16


class Known(NamedTuple):
    """A piece, what is remembered about it, and whether there is nothing more to do for it."""

    piece: Piece
    memory: PieceReport | None
    is_over: bool


class _Taken(NamedTuple):
    """A piece that was taken up, and what became of it."""

    piece: Piece
    results: Sequence[RowResult]
    written_to: str | None = None


async def empty_inbox(
    inbox: str, connections: Connections, *, quiet_seconds: float, at_once: int
) -> list[PieceReport]:
    """Make the videos of what is new, whole and at rest in an inbox. MAY spend money, once for each job.

    Nothing in the inbox is moved or removed: what became of its files is remembered in the archive, for as
    long as they stay the same.

    Args:
        inbox: A folder or any fsspec URL.
        connections: Provider and archive.
        quiet_seconds: What was written less than so many seconds ago is left alone.
        at_once: How many jobs are in flight at most.

    Returns:
        One report for each piece of work that lies there, new or known.

    Raises:
        AvatarError: The inbox, or the archive's memory of it, could not be used.
    """
    inbox, archive = absolute(inbox), connections.archive
    sight, known = await survey(inbox, archive, quiet_seconds)
    fresh = {each.piece: each.memory for each in known if not each.is_over}
    same = await still_same(list(fresh), sight, inbox, quiet_seconds) if fresh else []
    reports = sight.waiting + [each.memory for each in known if each.is_over and each.memory]
    reports += [waiting(piece, "it changed while it was looked at") for piece in fresh if piece not in same]
    async for taken in _take(same, connections, at_once):
        told = report(taken.piece, taken.results, fresh[taken.piece], taken.written_to)
        await remember(taken.piece, inbox, archive, told)
        reports.append(told)
    return sorted(reports, key=lambda each: each.piece)


async def survey(inbox: str, archive: Archive, quiet_seconds: float) -> tuple[Sight, list[Known]]:
    """Return what lies in an inbox, and what is remembered about each piece that is ready. Only reads.

    Raises:
        InvalidRequest: Inbox and archive lie in one another.
        AvatarError: One of them could not be read.
    """
    _check_apart(inbox, archive)
    sight = await look(inbox, quiet_seconds)
    return sight, await side_by_side(
        partial(_recall, inbox=inbox, archive=archive), sight.ready, READ_AT_ONCE
    )


def _check_apart(inbox: str, archive: Archive) -> None:
    """Refuse an inbox in the archive or around it: its own files would be taken for work.

    Raises:
        InvalidRequest: One lies in the other.
    """
    places = [f"{place.rstrip('/')}/" for place in (inbox, absolute(archive.url))]
    if places[0].startswith(places[1]) or places[1].startswith(places[0]):
        raise InvalidRequest((Fault("inbox", "one with the archive", "a place outside of the archive"),))


async def _recall(piece: Piece, inbox: str, archive: Archive) -> Known:
    memory = await recall(piece, inbox, archive)
    return Known(piece, memory, memory is not None and await is_over(memory, archive))


async def _take(pieces: list[Piece], connections: Connections, at_once: int) -> AsyncIterator[_Taken]:
    pairs = {number: piece for number, piece in enumerate(pieces, 1) if piece.kind == "pair"}
    read = await side_by_side(lambda item: row_of(*item), list(pairs.items()), READ_AT_ONCE)
    rows = [each for each in read if isinstance(each, Row)]
    unread = [each for each in read if isinstance(each, RowResult)]
    for result in unread + await run_rows(rows, connections, on_invalid="skip", at_once=at_once):
        yield _Taken(pairs[result.row], (result,))
    for piece in pieces:
        if piece.kind == "manifest":
            yield await _take_manifest(piece, connections, at_once)


async def _take_manifest(piece: Piece, connections: Connections, at_once: int) -> _Taken:
    address = piece.files[0].address
    try:
        batch = await run_manifest(address, connections, on_invalid="skip", at_once=at_once)
    except Exception as error:  # noqa: BLE001 # a manifest stops no other, whatever it raises
        result = stopped(0, piece.name, error)
        run_logger().warning("%s: %s. %s", piece.name, result.message, result.next_step)
        return _Taken(piece, (result,))
    return _Taken(piece, batch.results, batch.written_to)

"""Looking into an inbox: which pieces of work are whole and at rest, and which have to wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from blocks.errors import Fault, SourceUnavailable
from blocks.kling.sources import read_source
from flows.tasks.addresses import folder_of
from flows.tasks.inbox.listing import File, list_files
from flows.tasks.inbox.options import asks_to_speak
from flows.tasks.inbox.pairing import Piece, manifests, sort_out
from flows.tasks.inbox.pieces import PieceReport, waiting
from flows.tasks.manifest.manifest import LONGEST_MANIFEST, mentioned
from flows.tasks.side_by_side import side_by_side

_READ_AT_ONCE = 4
_SECOND_LOOK_SECONDS = 2.0


@dataclass(frozen=True)
class Sight:
    """What was seen in an inbox.

    Attributes:
        ready: The pieces that may be taken up.
        waiting: Why the others may not.
        manifests: The manifests that were read.
        mentioned: The address of everything that manifests may name.
    """

    ready: list[Piece]
    waiting: list[PieceReport]
    manifests: list[File]
    mentioned: frozenset[str]


async def look(inbox: str, quiet_seconds: float) -> Sight:
    """Return what lies in an inbox. Manifests are read, to leave the files they name to them.

    Args:
        inbox: A folder or URL as `flows.tasks.addresses.absolute` returns it.
        quiet_seconds: What was written less than so many seconds ago may be half a file.

    Raises:
        AvatarError: The inbox could not be read.
    """
    files = await list_files(inbox)
    quiet_since = time.time() - quiet_seconds
    found = manifests(files)
    read = await side_by_side(_read_mentioned, found, _READ_AT_ONCE)
    names = frozenset(address for addresses in read for address in addresses or ())
    held = tuple(
        f"{folder_of(file.address).rstrip('/')}/"
        for file, addresses in zip(found, read, strict=True)
        if addresses is None or file.modified > quiet_since
    )
    ready, left = [], []
    for piece in await side_by_side(_with_speech, sort_out(files, names), _READ_AT_ONCE):
        if why := _reason_to_wait(piece, quiet_since, held):
            left.append(waiting(piece, why))
        else:
            ready.append(piece)
    return Sight(ready, left, found, names)


async def still_same(pieces: Sequence[Piece], sight: Sight, inbox: str, quiet_seconds: float) -> list[Piece]:
    """Look a second time, a moment later, and return those of the pieces that did not change meanwhile.

    Args:
        pieces: Ready pieces of `sight`.
        sight: The first look.
        inbox: As for `look`.
        quiet_seconds: As for `look`; the whole of it passes where the place tells no times.
    """
    timed = all(file.modified for piece in pieces for file in piece.files)
    await asyncio.sleep(min(quiet_seconds, _SECOND_LOOK_SECONDS) if timed else quiet_seconds)
    files = await list_files(inbox)
    if manifests(files) != sight.manifests:
        return []
    same = {(piece.name, piece.files) for piece in sort_out(files, sight.mentioned)}
    return [piece for piece in pieces if (piece.name, piece.files) in same]


async def _with_speech(piece: Piece) -> Piece:
    """Take a text that is to be spoken for the voice clip of its piece."""
    return replace(piece, kind="pair") if await asks_to_speak(piece) else piece


async def _read_mentioned(manifest: File) -> set[str] | None:
    """Return what a manifest may name, or `None` when that cannot be told."""
    if manifest.size > LONGEST_MANIFEST:
        return None
    try:
        data = await read_source(manifest.address, LONGEST_MANIFEST, "manifest")
    except SourceUnavailable:
        return None
    return set() if isinstance(data, Fault) else await asyncio.to_thread(mentioned, data, manifest.address)


def _reason_to_wait(piece: Piece, quiet_since: float, held: tuple[str, ...]) -> str:
    if any(file.modified > quiet_since for file in piece.files):
        return "written a moment ago, so it may be half a file"
    # MONEY: a manifest that is read later may ask for these files with another prompt.
    if piece.kind == "pair" and any(file.address.startswith(held) for file in piece.files):
        return "a manifest beside or above it cannot be read yet, and may name these files"
    return piece.lack if piece.kind == "lonely" else ""

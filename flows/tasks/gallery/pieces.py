"""The data of the gallery: pieces of JavaScript, because a page from a folder may load nothing else.

A piece is named by its content and never changed, and the page names its pieces. So whoever opens the page
sees one state of it, whole, whatever runs are at work; an outdated piece is removed a day later.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from blocks.storage.layout import GALLERY_PREFIX, gallery_data_key
from blocks.storage.store import Store
from flows.tasks.gallery.entry import Entry

PIECE_ENTRIES = 500
_BEGIN, _END = b"gallery.add(", b");\n"
_OUTDATED_SECONDS = 24 * 3600
_ENTRIES = TypeAdapter(tuple[Entry, ...])


class Piece(NamedTuple):
    """Some entries of the page, in the order in which they came.

    Attributes:
        entries: At most `PIECE_ENTRIES`.
    """

    entries: tuple[Entry, ...]

    @property
    def data(self) -> bytes:
        """The file. What others wrote is inside of JSON strings, which a page never takes for code."""
        lines = b",\n".join(entry.model_dump_json(exclude_none=True).encode() for entry in self.entries)
        return _BEGIN + b"[\n" + lines + b"\n]" + _END


async def read_piece(store: Store, key: str) -> Piece:
    """Return a piece; one that is gone or torn is empty, so that its sidecars are read again."""
    data = await store.read(key) or b""
    if gallery_data_key(data) != key:
        return Piece(())
    try:
        return Piece(_ENTRIES.validate_json(data.removeprefix(_BEGIN).removesuffix(_END)))
    except ValidationError:
        return Piece(())


def arranged(known: Sequence[Piece], current: Mapping[str, Entry]) -> list[Piece]:
    """Return the pieces of the page: each entry stays where it was, and what is new is added at the end.

    So a run with little news writes little.

    Args:
        known: The pieces of the page as it is.
        current: Every entry that the page is to have, by job id.
    """
    placed: set[str] = set()
    pieces: list[list[Entry]] = []
    for piece in known:
        ids = [entry.id for entry in piece.entries if entry.id in current and entry.id not in placed]
        placed.update(ids)
        pieces.append([current[job_id] for job_id in ids])
    new = [entry for job_id, entry in current.items() if job_id not in placed]
    for entry in sorted(new, key=lambda entry: (entry.archived, entry.id)):
        if not pieces or len(pieces[-1]) >= PIECE_ENTRIES:
            pieces.append([])
        pieces[-1].append(entry)
    return [Piece(tuple(entries)) for entries in pieces if entries]


async def write_pieces(store: Store, pieces: Sequence[Piece], there: Collection[str]) -> list[str]:
    """Write the pieces that are not there yet, whole; return the keys of all."""
    keys = []
    for piece in pieces:
        data = piece.data
        keys.append(gallery_data_key(data))
        if keys[-1] not in there:
            await store.replace(keys[-1], data)
    return keys


async def remove_outdated(store: Store, wanted: set[str]) -> None:
    """Remove pieces that neither this page nor the one before names, when they are a day old."""
    limit = time.time() - _OUTDATED_SECONDS
    found = [each async for each in store.find(f"{GALLERY_PREFIX}data-")]
    for each in found:
        if each.key not in wanted and each.modified < limit:
            await store.delete(each.key)

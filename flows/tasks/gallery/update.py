"""Bringing the gallery up to date: what is new in the archive is read, everything else is remembered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from blocks.errors import SetupMissing
from blocks.storage.archive import Archive
from blocks.storage.journal import now
from blocks.storage.layout import GALLERY_KEY, LINKED_GALLERY_KEY, clip_key, poster_key
from blocks.storage.store import Store
from flows.tasks.gallery.entry import Entry
from flows.tasks.gallery.listing import list_clips, make_posters, read_entries
from flows.tasks.gallery.page import Facts, build, facts_in
from flows.tasks.gallery.pieces import Piece, arranged, read_piece, remove_outdated, write_pieces


class Gallery(BaseModel):
    """What became of a gallery.

    Attributes:
        page: Address of the page.
        clips: How many clips it shows.
        new: How many of them it did not show before.
        removed: How many it no longer shows.
        posters: How many have a poster.
        linked_page: Address of the page with links, where one was wanted.
        expires: When those links end.
    """

    model_config = ConfigDict(frozen=True)

    page: str
    clips: int
    new: int
    removed: int
    posters: int
    linked_page: str | None = None
    expires: datetime | None = None

    @property
    def summary(self) -> str:
        """What became of it, in one line."""
        changes = f"{self.new:,} new, {self.removed:,} removed, {self.posters:,} with a poster"
        return f"{self.page}: {self.clips:,} clips, {changes}"


async def bring_up_to_date(archive: Archive, *, posters: bool, link_seconds: int, at_once: int) -> Gallery:
    """Write the page of an archive and its data. Costs nothing; may run beside jobs and beside itself.

    Args:
        archive: The archive; clips, sidecars and journals stay as they are.
        posters: Make the posters that are missing: reads some MiB of each such clip, once.
        link_seconds: Write a second page with signed links that work so long; 0 writes none.
        at_once: How many sidecars and clips are read side by side.

    Raises:
        SetupMissing: Links are wanted, and the archive's place cannot sign any.
        StorageUnavailable: The archive cannot be listed or written to.
    """
    store = archive.store
    if link_seconds:
        await _check_signs(store)
    before = facts_in(await store.read(GALLERY_KEY))
    known = {key: await read_piece(store, key) for key in (before.pieces if before else ())}
    remembered = {entry.id: entry for piece in known.values() for entry in piece.entries}
    entries = await read_entries(store, await list_clips(store), remembered, at_once)
    if posters:
        entries = await make_posters(store, entries, at_once)
    await _publish(store, arranged(list(known.values()), entries), before, known)
    linked = await _publish_linked(store, list(entries.values()), link_seconds) if link_seconds else None
    return Gallery(
        page=archive.address(GALLERY_KEY),
        clips=len(entries),
        new=len(entries.keys() - remembered.keys()),
        removed=len(remembered.keys() - entries.keys()),
        posters=sum(entry.poster is True for entry in entries.values()),
        linked_page=archive.address(LINKED_GALLERY_KEY) if linked else None,
        expires=linked,
    )


async def _publish(
    store: Store, pieces: Sequence[Piece], before: Facts | None, known: Mapping[str, Piece]
) -> None:
    """Write the data first and the page last, which is what makes it count."""
    keys = await write_pieces(store, pieces, {key for key, piece in known.items() if piece.entries})
    clips = sum(len(piece.entries) for piece in pieces)
    is_same = before is not None and keys == list(known)
    updated = before.updated if before and is_same else now()
    await store.replace(GALLERY_KEY, build(Facts(updated=updated, clips=clips, pieces=tuple(keys))))
    if not is_same:
        await remove_outdated(store, {*keys, *known})


async def _publish_linked(store: Store, entries: Sequence[Entry], seconds: int) -> datetime:
    """Write the page with links, whole in one file, and return when its links end."""
    expires = now() + timedelta(seconds=seconds)
    linked = [await _linked(store, entry, seconds) for entry in entries]
    facts = Facts(updated=now(), clips=len(linked), expires=expires, entries=tuple(linked))
    await store.replace(LINKED_GALLERY_KEY, build(facts))
    return expires


async def _linked(store: Store, entry: Entry, seconds: int) -> Entry:
    links = {"clip": await store.link(clip_key(entry.id), seconds)}
    if entry.poster:
        links["picture"] = await store.link(poster_key(entry.id), seconds)
    return entry.model_copy(update={**links, "seen": ""})


async def _check_signs(store: Store) -> None:
    if not (await store.link(GALLERY_KEY, 1)).startswith(("https://", "http://")):
        raise SetupMissing(
            f"{store.url} cannot sign links",
            next_step="Leave link_seconds at 0: index.html in a folder opens by itself.",
        )

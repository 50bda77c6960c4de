"""What the archive has for the gallery: one listing, and a read of each sidecar that is news."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

from blocks.errors import StorageUnavailable
from blocks.media import MediaError
from blocks.storage.layout import CLIPS_PREFIX, clip_key, job_of, poster_key, sidecar_key
from blocks.storage.posters import store_poster
from blocks.storage.sidecar import read_sidecar
from blocks.storage.store import Store
from flows.tasks.gallery.entry import Entry, seen_as
from flows.tasks.logs import run_logger
from flows.tasks.side_by_side import side_by_side


class Listed(NamedTuple):
    """What the listing shows.

    Attributes:
        seen: Of each job with a clip and a sidecar, how its sidecar looks in the listing.
        posters: The jobs that have a poster.
    """

    seen: dict[str, str]
    posters: set[str]


async def list_clips(store: Store) -> Listed:
    """List the archive's clips; one request for some hundred of them."""
    sidecars: dict[str, str] = {}
    clips: set[str] = set()
    posters: set[str] = set()
    async for found in store.find(CLIPS_PREFIX):
        job_id = job_of(found.key)
        if job_id is None:
            continue
        if found.key == sidecar_key(job_id):
            sidecars[job_id] = seen_as(found)
        elif found.key == clip_key(job_id):
            clips.add(job_id)
        elif found.key == poster_key(job_id):
            posters.add(job_id)
    return Listed({job_id: seen for job_id, seen in sidecars.items() if job_id in clips}, posters)


async def read_entries(
    store: Store, listed: Listed, known: Mapping[str, Entry], at_once: int
) -> dict[str, Entry]:
    """Return the entry of every clip, in order of job ids; only what is not known yet is read.

    A sidecar that cannot be read, or is another job's, is logged and left out.
    """
    current = {}
    for job_id, seen in listed.seen.items():
        entry = known.get(job_id)
        if entry and entry.seen == seen:
            # A poster that was removed is made again; one that could not be made is not tried again.
            poster = True if job_id in listed.posters else None if entry.poster else entry.poster
            current[job_id] = entry.model_copy(update={"poster": poster})
    new = [job_id for job_id in listed.seen if job_id not in current]
    read = await side_by_side(partial(_read, store, listed), new, at_once)
    current |= {entry.id: entry for entry in read if entry}
    return {job_id: current[job_id] for job_id in listed.seen if job_id in current}


async def make_posters(store: Store, entries: Mapping[str, Entry], at_once: int) -> dict[str, Entry]:
    """Make the posters that were never tried; return the entries with what became of it. Costs nothing."""
    untried = [entry for entry in entries.values() if entry.poster is None]
    tried = await side_by_side(partial(_with_poster, store), untried, at_once)
    return {**entries, **{entry.id: entry for entry in tried}}


async def _read(store: Store, listed: Listed, job_id: str) -> Entry | None:
    try:
        sidecar = await read_sidecar(store, job_id)
    except StorageUnavailable as error:
        run_logger().warning("A clip is left out of the gallery: %s", error.message)
        return None
    if sidecar is None or sidecar.job_id != job_id:
        return None
    return Entry.of(sidecar, listed.seen[job_id], True if job_id in listed.posters else None)


async def _with_poster(store: Store, entry: Entry) -> Entry:
    try:
        await store_poster(store, entry.id)
    except MediaError as error:
        run_logger().warning("There is no poster of job %s: its clip %s", entry.id[:12], error.reason)
        return entry.model_copy(update={"poster": False})
    except StorageUnavailable as error:
        run_logger().warning("There is no poster of job %s yet: %s", entry.id[:12], error.message)
        return entry
    return entry.model_copy(update={"poster": True})

"""Does an archive hold what its sidecars say, and is somebody collecting all that was paid for?

Everything here only reads, except that a job which nobody collects may be put back into reconcile's sight.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from blocks.errors import StorageUnavailable
from blocks.storage.journal import Entry, Journal, Standing, now
from blocks.storage.layout import (
    ASIDE_PREFIX,
    OPEN_PREFIX,
    clip_key,
    journal_key,
    open_key,
    sidecar_key,
    speech_sidecar_key,
)
from blocks.storage.shelf import Shelf
from blocks.storage.sidecar import Sidecar, read_sidecar
from blocks.storage.store import Store


class Kind(StrEnum):
    """What was found, the worst first."""

    NOT_COLLECTED = "paid for, not collected"
    NOT_LOOKED_UP = "may be paid for, not looked up"
    NO_CLIP = "sidecar without clip"
    WRONG_BYTES = "content differs"
    WRONG_SIZE = "size differs"
    UNREADABLE = "cannot be read"
    OTHER_JOB = "sidecar of another job"
    GAP = "journal with a gap"
    NO_SIDECAR = "clip without sidecar"
    REOPENED = "reopened"
    FOREIGN = "foreign object"
    ASIDE = "kept aside"

    @property
    def is_damage(self) -> bool:
        """Whether an archive with it is not in order."""
        return self not in {Kind.REOPENED, Kind.FOREIGN, Kind.ASIDE}


_RESTORE = (
    "Restore the clip from a backup. While the provider keeps it: move clip and sidecar away, verify with "
    "reopen, and reconcile-jobs fetches it again. Nothing is posted again."
)
_REOPEN = "Run it again with reopen; reconcile-jobs then finishes the job. Nothing is posted again."
_NEXT_STEPS = {
    Kind.NOT_COLLECTED: _REOPEN,
    Kind.NOT_LOOKED_UP: _REOPEN,
    Kind.NO_CLIP: _RESTORE,
    Kind.WRONG_BYTES: _RESTORE,
    Kind.WRONG_SIZE: _RESTORE,
    Kind.OTHER_JOB: "Restore the sidecar from a backup.",
    Kind.GAP: "Restore the missing entry from a backup; without it the job may be paid for again.",
    Kind.NO_SIDECAR: "Restore sidecar or journal from a backup; asking for the same video would pay again.",
    Kind.REOPENED: "Run reconcile-jobs, or wait for its schedule.",
    Kind.FOREIGN: "Move it away if nobody needs it there.",
    Kind.ASIDE: "Look at it, then remove it.",
}
_UNSEEN = {
    Standing.BOUGHT: Kind.NOT_COLLECTED,
    Standing.DOUBTFUL: Kind.NOT_LOOKED_UP,
    Standing.BUSY: Kind.NOT_LOOKED_UP,
}


class Finding(BaseModel):
    """One thing that is not as it should be, or worth a look.

    Attributes:
        key: The object it is about, relative to the root of the archive.
        job_id: The job, where there is one.
        detail: What exactly was found.
        next_step: What to do about it.
    """

    model_config = ConfigDict(frozen=True)

    kind: Kind
    key: str
    job_id: str | None = None
    detail: str = ""
    next_step: str = ""


async def check_shelf(
    shelf: Shelf, store: Store, *, deep: bool = False, reopen: bool = False
) -> list[Finding]:
    """Check one job: its sidecar against its clip, or, where it has none, whether it is collected.

    Reads one sidecar, or the journal of a job without one. Safe beside running jobs: what seems to be missing
    is asked for again. An object that cannot be read is a finding, and stops nothing.

    Args:
        shelf: What the listings show of the job.
        store: Where it is.
        deep: Read the whole clip and compare its SHA-256, too.
        reopen: Write the open mark of a job that is paid for and not collected. Costs nothing.
    """
    findings = [_finding(Kind.FOREIGN, key) for key in shelf.foreign]
    try:
        found = await _check(shelf, store, deep, reopen)
    except StorageUnavailable as error:
        found = _unreadable(shelf, error.message, error.next_step)
    except ValueError as error:  # a symbolic link that leads out of the archive
        found = _unreadable(shelf, str(error), "Put the file itself in its place.")
    return [*findings, found] if found else findings


async def kept_aside(store: Store) -> AsyncIterator[Finding]:
    """List the delivered files that failed their checks and were kept for inspection."""
    async for found in store.find(ASIDE_PREFIX):
        yield _finding(Kind.ASIDE, found.key, detail=f"{found.size:,} bytes")


def _unreadable(shelf: Shelf, detail: str, next_step: str) -> Finding:
    job_id = shelf.job_id
    key = sidecar_key(job_id) if shelf.has_sidecar else journal_key(job_id, 1)
    return Finding(kind=Kind.UNREADABLE, key=key, job_id=job_id, detail=detail, next_step=next_step)


async def _check(shelf: Shelf, store: Store, deep: bool, reopen: bool) -> Finding | None:
    if shelf.has_sidecar and (sidecar := await read_sidecar(store, shelf.job_id)):
        return await _check_clip(shelf, sidecar, store, deep)
    return await _check_undone(shelf, store, reopen) if shelf.sizes else None


async def _check_clip(shelf: Shelf, sidecar: Sidecar, store: Store, deep: bool) -> Finding | None:
    job_id, said = shelf.job_id, sidecar.clip
    key = clip_key(job_id)
    if (sidecar.job_id, said.key) != (job_id, key):
        return _finding(Kind.OTHER_JOB, sidecar_key(job_id), job_id, f"it describes {said.key}")
    size = await store.size(key) if shelf.clip_size is None else shelf.clip_size
    if size is None:
        return _finding(Kind.NO_CLIP, key, job_id, f"Kling task {sidecar.provided.task_id}")
    if size != said.size:
        return _finding(Kind.WRONG_SIZE, key, job_id, f"{size:,} bytes; {said.size:,} by its sidecar")
    if deep and (digest := await _digest(store, key)) != said.sha256:
        return _finding(Kind.WRONG_BYTES, key, job_id, f"SHA-256 {digest}; {said.sha256} by its sidecar")
    return None


async def _check_undone(shelf: Shelf, store: Store, reopen: bool) -> Finding | None:
    job_id, journal = shelf.job_id, Journal(store)
    last = await journal.last(job_id)
    if beyond := [number for number in shelf.entries if number > (last.number if last else 0)]:
        missing = journal_key(job_id, (last.number if last else 0) + 1)
        return _finding(Kind.GAP, missing, job_id, f"it is missing, and entry {min(beyond)} is there")
    kind = _UNSEEN.get(last.standing(now())) if last else None
    if kind is None and shelf.clip_size is not None:
        kind = Kind.NO_SIDECAR
    if kind is None or shelf.is_open or await _has_moved_on(job_id, last, store):
        return None
    if last is None or kind is Kind.NO_SIDECAR:
        return _finding(kind, clip_key(job_id), job_id)
    task = f"Kling task {last.kling_task_id or 'unknown'}"
    if reopen:
        await journal.open(job_id, last.number)
        return _finding(Kind.REOPENED, open_key(job_id, last.number), job_id, f"{kind}; {task}")
    return _finding(kind, journal_key(job_id, last.number), job_id, task)


async def _has_moved_on(job_id: str, last: Entry | None, store: Store) -> bool:
    """Tell whether the job is open or done after all, in the order in which a run would bring that about."""
    async for _ in store.find(f"{OPEN_PREFIX}{job_id}."):
        return True
    mark = speech_sidecar_key(job_id) if last and last.kind == "speech" else sidecar_key(job_id)
    if await store.size(mark) is not None:
        return True
    number = last.number + 1 if last else 1
    return await store.size(journal_key(job_id, number)) is not None


async def _digest(store: Store, key: str) -> str:
    digest = hashlib.sha256()
    async for chunk in store.chunks(key):
        digest.update(chunk)
    return digest.hexdigest()


def _finding(kind: Kind, key: str, job_id: str | None = None, detail: str = "") -> Finding:
    return Finding(kind=kind, key=key, job_id=job_id, detail=detail, next_step=_NEXT_STEPS[kind])

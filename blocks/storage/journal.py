"""The durable record of each job, written before money is spent.

A journal is a row of numbered entries that are created once and never changed. Whoever creates the next
number has the say; everybody else reads it and adapts. So every POST is preceded by an entry of its own,
created exclusively, and two workers can never both believe that they may post. Nothing expires: an entry
`intent` whose owner died becomes a doubt to be cleared up, never a second POST.

```
            ┌────────── refused, deferred, released ◄─────────┐
            ▼                                                 │
(nothing) ──► intent ──► submitted ──► (sidecar: archived)    │
                │  │          └──────► failed                 │
                │  └─► undecided ──► submitted, released, given-up
                └─────────────────────────────────────────────┘
```
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from blocks.errors import StorageUnavailable
from blocks.storage.layout import OPEN_PREFIX, journal_key, open_key, read_open_key
from blocks.storage.store import Store

_FEW = 4


class Step(StrEnum):
    """What an entry of the journal says."""

    INTENT = "intent"
    """A POST may be under way, or may have been sent by a process that died."""
    DEFERRED = "deferred"
    """The last POST certainly bought nothing (not sent, or told to wait); it may be repeated."""
    REFUSED = "refused"
    """The provider refused the last POST for good; nothing was bought."""
    RELEASED = "released"
    """The last POST is known not to have bought anything, or a person wants it posted again."""
    SUBMITTED = "submitted"
    """Bought: the Kling task id is known."""
    UNDECIDED = "undecided"
    """Nobody can tell whether the last POST bought something; a person decides."""
    FAILED = "failed"
    """Kling ran the task and reported failure."""
    GIVEN_UP = "given-up"
    """A person gave this take up."""


class Standing(StrEnum):
    """What may be done with a job now."""

    FREE = "free"
    """It may be posted, by whoever creates the next entry."""
    BUSY = "busy"
    """Somebody may be posting it at this moment."""
    DOUBTFUL = "doubtful"
    """It may have been bought."""
    BOUGHT = "bought"
    """There is a Kling task to collect."""
    CLOSED = "closed"
    """It ended without a clip."""


class Outcome(BaseModel):
    """Why the job stands where it stands, as the provider or a person put it."""

    model_config = ConfigDict(frozen=True)

    message: str = ""
    service_code: int | str | None = None
    http_status: int | None = None
    request_id: str | None = None
    curable: bool = False
    charged: str | None = None


class Entry(BaseModel):
    """One entry: the whole state of the job after a step.

    Attributes:
        kind: What is bought: an avatar, or the speech that will be its voice.
        number: Place in the journal, from 1.
        token: Unlike that of any other entry, so that a writer recognises its own after a lost answer.
        claim: Token of the POST that the last `intent` announced, or is about.
        purchase: Which purchase this is; a new one begins only after a Kling task failed.
        attempt: Which POST this is, over all purchases.
        intended_at: When the last `intent` was written.
        expires_at: When the POST of the last `intent` has certainly ended, by the wall clock.
        external_task_id: Our name for the Kling task; speech has none.
        base_url: The API the job was sent to; it is collected there, whatever is configured later.
        query_path: The path it is read back by.
        audio_id: Kling's id of a speech, as soon as it is known.
        audio_seconds: Its length as the provider states it.
        job: What was asked for, as the caller described it.
        surplus_task_ids: Kling tasks bought besides the one that counts; wanted: always empty.
    """

    model_config = ConfigDict(frozen=True)

    version: int = 1
    kind: Literal["avatar", "speech"] = "avatar"
    job_id: str
    number: int
    step: Step
    at: datetime
    token: str
    claim: str
    purchase: int = 1
    attempt: int = 0
    intended_at: datetime | None = None
    expires_at: datetime | None = None
    external_task_id: str = ""
    base_url: str = ""
    query_path: str = ""
    kling_task_id: str | None = None
    submitted_at: datetime | None = None
    audio_id: str | None = None
    audio_seconds: float | None = None
    outcome: Outcome = Outcome()
    run: str = ""
    surplus_task_ids: tuple[str, ...] = ()
    job: dict[str, Any] = Field(default_factory=dict)

    @property
    def thing(self) -> str:
        """What is bought, as people call it."""
        return "speech" if self.kind == "speech" else "video"

    def standing(self, now: datetime) -> Standing:
        """Return what may be done with the job at `now`."""
        if self.step is Step.INTENT:
            ended = self.expires_at is None or now >= self.expires_at
            return Standing.DOUBTFUL if ended else Standing.BUSY
        if self.step is Step.FAILED and self.outcome.curable:
            return Standing.FREE
        return _STANDINGS[self.step]


_STANDINGS = {
    Step.DEFERRED: Standing.FREE,
    Step.REFUSED: Standing.FREE,
    Step.RELEASED: Standing.FREE,
    Step.SUBMITTED: Standing.BOUGHT,
    Step.UNDECIDED: Standing.DOUBTFUL,
    Step.FAILED: Standing.CLOSED,
    Step.GIVEN_UP: Standing.CLOSED,
}


class OpenMark(NamedTuple):
    """The announcement of an `intent`: there may be something to collect.

    Attributes:
        job_id: The job.
        number: Number of the entry that was announced.
        modified: When, in seconds since 1970 (UTC).
    """

    job_id: str
    number: int
    modified: float


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


class Journal:
    """The journals of all jobs of one archive.

    Args:
        store: Where they are kept; it must create exclusively.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def last(self, job_id: str, after: Entry | None = None) -> Entry | None:
        """Return the newest entry of `job_id`, or `None` when it has none.

        Entries are read by number until one is absent, because a listing may lag behind on some stores.

        Args:
            job_id: The job.
            after: The newest entry known so far; only later ones are read.
        """
        newest = after
        while True:
            number = newest.number + 1 if newest else 1
            data = await self._store.read(journal_key(job_id, number))
            if data is None:
                return newest
            newest = _parse(data, journal_key(job_id, number))

    async def append(self, job_id: str, before: Entry | None, step: Step, **changes: Any) -> Entry | None:
        """Create the entry after `before`, exclusively and durably.

        An `intent` is announced by an open mark first, so that reconcile sees it whatever happens.

        Returns:
            The entry, or `None` when somebody else created that number first: read again.
        """
        number = before.number + 1 if before else 1
        base = before.model_dump() if before else {"claim": "", "job_id": job_id}
        fresh = {"step": step, "number": number, "token": new_token(), "at": now()}
        entry = Entry.model_validate(base | {"outcome": Outcome()} | changes | fresh)
        if step is Step.INTENT:
            await self.open(job_id, number)
        created = await self._store.create(journal_key(job_id, number), entry.model_dump_json().encode())
        return entry if created else None

    async def open(self, job_id: str, number: int) -> None:
        """Write the open mark of entry `number`, so that reconcile looks at the job. Costs nothing."""
        await self._store.replace(open_key(job_id, number), b"")

    async def open_marks(self) -> AsyncIterator[OpenMark]:
        """List every open mark; the cost grows with the open jobs alone."""
        async for found in self._store.find(OPEN_PREFIX):
            if announced := read_open_key(found.key):
                yield OpenMark(*announced, found.modified)

    async def close(self, job_id: str, up_to: int) -> None:
        """Remove the open marks of `job_id` up to entry `up_to`: nothing is left to collect for them."""
        for key in await self._marks(job_id, up_to):
            await self._store.delete(key)

    async def _marks(self, job_id: str, up_to: int) -> list[str]:
        # A folder is listed whole, so with many open jobs a listing costs more than a few deletions in vain.
        if up_to <= _FEW:
            return [open_key(job_id, number) for number in range(1, up_to + 1)]
        prefix = open_key(job_id, 0).removesuffix("0000")
        marks = [(found.key, read_open_key(found.key)) async for found in self._store.find(prefix)]
        return [key for key, mark in marks if mark and mark[1] <= up_to]


def new_token() -> str:
    """Return a token that nobody else has."""
    return uuid.uuid4().hex


def _parse(data: bytes, key: str) -> Entry:
    try:
        return Entry.model_validate_json(data)
    except ValidationError as error:
        raise StorageUnavailable(
            f"The journal entry {key} cannot be read: {error.error_count()} fields are wrong",
            next_step="Restore the entry from a backup; until it is readable nothing is posted for this job.",
        ) from None

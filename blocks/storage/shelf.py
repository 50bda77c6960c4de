"""What an archive holds, job by job: the listings of clips, journals and open marks, read side by side."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from blocks.storage.layout import (
    CLIPS_PREFIX,
    JOURNAL_PREFIX,
    OPEN_PREFIX,
    clip_key,
    job_of,
    sidecar_key,
)
from blocks.storage.store import Found, Store


@dataclass(slots=True)
class Shelf:
    """What the listings show of one job.

    Attributes:
        job_id: The job; empty for foreign objects that come before the first one.
        sizes: Bytes of each object, by key.
        foreign: Keys of objects that are nothing of ours and were listed in between.
    """

    job_id: str
    sizes: dict[str, int] = field(default_factory=dict)
    foreign: list[str] = field(default_factory=list)

    @property
    def clip_size(self) -> int | None:
        """Bytes of the clip, or `None` when there is none."""
        return self.sizes.get(clip_key(self.job_id)) if self.job_id else None

    @property
    def has_sidecar(self) -> bool:
        """Whether the job is marked as done."""
        return bool(self.job_id) and sidecar_key(self.job_id) in self.sizes

    @property
    def is_open(self) -> bool:
        """Whether reconcile looks at the job."""
        return any(key.startswith(OPEN_PREFIX) for key in self.sizes)

    @property
    def entries(self) -> list[int]:
        """Numbers of the journal entries."""
        names = (key.rpartition("/")[2] for key in self.sizes if key.startswith(JOURNAL_PREFIX))
        return [int(name.partition(".")[0]) for name in names]

    def take(self, found: Found) -> None:
        """Add an object of the listing."""
        if job_of(found.key):
            self.sizes[found.key] = found.size
        else:
            self.foreign.append(found.key)


async def shelves(store: Store) -> AsyncIterator[Shelf]:
    """Yield what there is of each job, in order of job ids; one job at a time is held.

    Objects that appear or vanish meanwhile may be seen or not: ask again before relying on an absence.
    """
    listings = [_Listing(store.find(prefix)) for prefix in (CLIPS_PREFIX, JOURNAL_PREFIX, OPEN_PREFIX)]
    for listing in listings:
        await listing.advance()
    shelf = Shelf("")
    while waiting := [listing for listing in listings if listing.head]:
        least = min(waiting, key=lambda listing: listing.job_id)
        if least.job_id != shelf.job_id:
            yield shelf
            shelf = Shelf(least.job_id)
        if least.head:
            shelf.take(least.head)
        await least.advance()
    yield shelf


class _Listing:
    """One listing, with the object that comes next; a foreign one goes with the job before it."""

    def __init__(self, found: AsyncIterator[Found]) -> None:
        self._found = found
        self.head: Found | None = None
        self.job_id = ""

    async def advance(self) -> None:
        self.head = await anext(self._found, None)
        if self.head:
            self.job_id = job_of(self.head.key) or self.job_id

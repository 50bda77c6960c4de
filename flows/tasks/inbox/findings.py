"""Checking a whole archive side by side, and saying what was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any, TypeVar

from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import BaseModel, ConfigDict

from blocks.errors import AvatarError, Facts
from blocks.storage.archive import Archive
from blocks.storage.shelf import Shelf, shelves
from blocks.storage.verify import Finding, Kind, check_shelf, kept_aside
from flows.tasks.logs import run_logger
from flows.tasks.manifest.results import SHOWN_ROWS
from flows.tasks.side_by_side import side_by_side

_CHECKED_TOGETHER = 500
_WORST_FIRST = list(Kind)

Item = TypeVar("Item")


class ArchiveDamaged(AvatarError):
    """The archive does not hold what its sidecars and journals say.

    Args:
        message: How much of what was found.
        facts: What is known beyond the findings.
        next_step: What to do next.
        findings: What was found, the worst first.
    """

    default_next_step = "Read the table or the findings: each says what to do next. Then verify it again."

    def __init__(
        self,
        message: str,
        facts: Facts | None = None,
        next_step: str | None = None,
        findings: Sequence[Finding] = (),
    ) -> None:
        super().__init__(message, facts or Facts(), next_step)
        self.findings = tuple(findings)
        self.args = (message, self.facts, next_step, self.findings)


class Verification(BaseModel):
    """What a look at a whole archive found.

    Attributes:
        archive: Where it is.
        deep: Whether every clip was read.
        clips: How many clips there are.
        size: Bytes of all clips.
        open_jobs: How many jobs reconcile looks at.
        counts: How often each kind was found.
        findings: The findings, the worst first; at most 500 of each kind.
    """

    model_config = ConfigDict(frozen=True)

    archive: str
    deep: bool
    clips: int
    size: int
    open_jobs: int
    counts: dict[Kind, int]
    findings: tuple[Finding, ...]

    @property
    def is_damaged(self) -> bool:
        """Whether something is not in order."""
        return any(kind.is_damage for kind in self.counts)

    @property
    def summary(self) -> str:
        """What was found, in one line."""
        how = "read and compared with their SHA-256" if self.deep else "compared by size"
        found = ", ".join(f"{kind} ({self.counts[kind]:,})" for kind in _WORST_FIRST if kind in self.counts)
        counted = f"{self.clips:,} clips of {self.size:,} bytes {how}; {self.open_jobs:,} open jobs"
        return f"{counted}; {found or 'nothing found'}"

    @property
    def state(self) -> State[Any]:
        """The state in which the flow run ends."""
        if self.is_damaged:
            error = ArchiveDamaged(f"{self.archive}: {self.summary}", findings=self.findings)
            return Failed(name="Damaged", message=self.summary, data=error)
        return Completed(name="Verified", message=self.summary, data=self)


async def verify(archive: Archive, *, deep: bool, reopen: bool, at_once: int) -> Verification:
    """Check every job of an archive, at most `at_once` at a time. Memory does not grow with the archive.

    Args:
        archive: What is checked.
        deep: Read every clip and compare its SHA-256, too.
        reopen: Put jobs that are paid for and not collected back into reconcile's sight.
        at_once: How many jobs are checked at a time.

    Raises:
        StorageUnavailable: The archive cannot be listed.
    """
    check = partial(check_shelf, store=archive.store, deep=deep, reopen=reopen)
    tally = _Tally()
    async for some in _in_batches(shelves(archive.store)):
        for shelf, findings in zip(some, await side_by_side(check, some, at_once), strict=True):
            tally.count(shelf)
            tally.note(findings)
        run_logger().info("%d clips checked, %d findings so far", tally.clips, tally.counts.total())
    async for finding in kept_aside(archive.store):
        tally.note([finding])
    return Verification(
        archive=archive.url,
        deep=deep,
        clips=tally.clips,
        size=tally.size,
        open_jobs=tally.open_jobs,
        counts=dict(tally.counts),
        findings=tuple(sorted(tally.shown, key=_rank)),
    )


class _Tally:
    """What was seen so far: numbers of everything, and a bounded number of findings of each kind."""

    def __init__(self) -> None:
        self.clips, self.size, self.open_jobs = 0, 0, 0
        self.counts: Counter[Kind] = Counter()
        self.shown: list[Finding] = []

    def count(self, shelf: Shelf) -> None:
        self.clips += shelf.clip_size is not None
        self.size += shelf.clip_size or 0
        self.open_jobs += shelf.is_open

    def note(self, findings: Sequence[Finding]) -> None:
        for finding in findings:
            self.counts[finding.kind] += 1
            if self.counts[finding.kind] <= SHOWN_ROWS:
                self.shown.append(finding)


async def _in_batches(items: AsyncIterator[Item]) -> AsyncIterator[list[Item]]:
    batch: list[Item] = []
    async for item in items:
        batch.append(item)
        if len(batch) == _CHECKED_TOGETHER:
            yield batch
            batch = []
    yield batch


def _rank(finding: Finding) -> int:
    return _WORST_FIRST.index(finding.kind)


def table(verification: Verification) -> list[dict[str, Any]]:
    """Return the rows of a table artifact, the worst first, at most `SHOWN_ROWS` of them."""
    return [
        {
            "found": finding.kind.value,
            "job": (finding.job_id or "")[:12],
            "object": finding.key,
            "detail": finding.detail,
            "what to do": finding.next_step,
        }
        for finding in verification.findings[:SHOWN_ROWS]
    ]


def shown_of(verification: Verification) -> str:
    """Return the sentence that a shortened table needs, or nothing."""
    total = sum(verification.counts.values())
    return f" Only {SHOWN_ROWS} of {total:,} are shown." if total > SHOWN_ROWS else ""

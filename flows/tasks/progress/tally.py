"""What a run has done so far: counted as it happens, put together only when it is shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from blocks.storage.journal import Entry, now
from flows.tasks.expected import Expected

_SHOWN_WAITS = 5


class Wait(NamedTuple):
    """One job that waits for Kling.

    Attributes:
        name: What people call its video.
        kling_task_id: The provider's id.
        elapsed: Seconds since its submit.
        expected: Seconds that the provider usually takes; 0 where that is not known.
        reason: Where the estimate comes from.
    """

    name: str
    kling_task_id: str
    elapsed: float
    expected: float
    reason: str


@dataclass(frozen=True)
class Seen:
    """What is seen of a run at one moment.

    Attributes:
        total: How many jobs there are; 0 for a run of one job.
        thing: What is counted: `jobs`, or the `shards` of a batch whose jobs are in other runs.
        ended: How many of them have ended, by what became of them.
        running: How many wait for Kling.
        spent: List price of what is bought, in US dollars.
        waits: Some of those that wait, the longest first.
    """

    total: int
    ended: Counter[str]
    running: int
    spent: Decimal
    waits: tuple[Wait, ...]
    thing: str = "jobs"


class Progress:
    """Counts what the jobs of a run do; nothing here asks anybody.

    Args:
        expected: What is known about the provider's usual time.
    """

    def __init__(self, expected: Expected) -> None:
        self._expected = expected
        self._total = 0
        self._thing = "jobs"
        self._ended: Counter[str] = Counter()
        self._spent = Decimal(0)
        self._waits: dict[str, Entry] = {}

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show yet."""
        return not (self._total or self._waits)

    def plan(self, total: int, thing: str = "jobs") -> None:
        """Say that so many jobs more are to come, or shards of a batch."""
        self._total += total
        self._thing = thing

    def end(self, state: str, spent: Decimal | None = None) -> None:
        """Say what became of a planned job, and its list price in US dollars if this run paid it."""
        self._ended[state] += 1
        self._spent += spent or 0

    @contextmanager
    def waiting(self, entry: Entry) -> Iterator[None]:
        """Count a job as waiting for Kling while the block lasts."""
        self._waits[entry.job_id] = entry
        try:
            yield
        finally:
            self._waits.pop(entry.job_id, None)

    async def look(self) -> Seen:
        """Return what is to be seen at this moment."""
        waits = list(self._waits.values())
        bought = sum((Decimal(str(each.job.get("estimated_usd") or 0)) for each in waits), self._spent)
        waits.sort(key=lambda each: each.submitted_at or each.at)
        shown = [await self._seen(each) for each in waits[:_SHOWN_WAITS]]
        return Seen(self._total, Counter(self._ended), len(waits), bought, tuple(shown), self._thing)

    async def _seen(self, entry: Entry) -> Wait:
        estimate = await self._expected.estimate(entry)
        return Wait(
            name=str(entry.job.get("name") or ""),
            kling_task_id=entry.kling_task_id or "",
            elapsed=max(0.0, (now() - (entry.submitted_at or entry.at)).total_seconds()),
            expected=estimate.seconds,
            reason=estimate.reason,
        )

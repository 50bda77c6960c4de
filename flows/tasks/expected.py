"""When a video is likely to be done: learned from finished jobs, never believed without limit."""

from __future__ import annotations

from collections import deque
from statistics import quantiles
from typing import NamedTuple

from pydantic import BaseModel, Field, ValidationError

from blocks.credentials import CometAPICredentials
from blocks.errors import StorageError
from blocks.kling.models import KlingTask
from blocks.storage.archive import Archive
from blocks.storage.journal import Entry
from blocks.storage.layout import learned_key
from flows.tasks.logs import run_logger

_KEPT = 64
_ENOUGH = 5
_LONGEST_SHARE = 0.5


class _Seen(BaseModel):
    """What is kept in the archive: seconds of the provider for each second of sound, the newest last."""

    factors: list[float] = Field(max_length=_KEPT)


class Estimate(NamedTuple):
    """How long the provider usually takes.

    Attributes:
        seconds: From the submit on; 0 where nothing is known.
        reason: Where that comes from.
    """

    seconds: float
    reason: str


class Expected:
    """The provider's usual time, by mode, for one account and one archive.

    It is read once a run, learns from each job that finishes in it, and is written once at the end. Of two
    runs at once the later one is remembered: it is a hint and nothing depends on it.

    Args:
        credentials: Whose account; `render_factor` counts until enough was learned.
        archive: Where it is remembered, under `learned/`.
    """

    def __init__(self, credentials: CometAPICredentials, archive: Archive) -> None:
        self._credentials = credentials
        self._archive = archive
        self._factors: dict[str, deque[float]] = {}
        self._learned: set[str] = set()

    async def seconds(self, entry: Entry) -> float:
        """Return how many seconds after its submit a job is worth a first look.

        At least `first_poll_seconds`, at most half of the deadline. Half of the jobs seen so far took longer.
        """
        usual = (await self.estimate(entry)).seconds
        longest = self._credentials.deadline_minutes * 60 * _LONGEST_SHARE
        return max(self._credentials.first_poll_seconds, min(usual, longest))

    async def estimate(self, entry: Entry) -> Estimate:
        """Return how long the provider is expected to take for a job, and why."""
        mode, factor = _mode(entry), self._credentials.render_factor
        factors = await self._known(mode)
        if len(factors) < _ENOUGH:
            reason = f"{factor:g} s for each second of sound, until {_ENOUGH} jobs in mode {mode} were seen"
            return Estimate(factor * _sound(entry), reason)
        reason = f"half of the last {len(factors)} jobs in mode {mode} took longer, for their length"
        return Estimate(quantiles(factors, n=2)[0] * _sound(entry), reason)

    async def learn(self, entry: Entry, task: KlingTask) -> None:
        """Take a finished job into account, by the provider's own clock."""
        if not (_sound(entry) and task.created_at and task.updated_at):
            return
        took = (task.updated_at - task.created_at).total_seconds()
        if 0 < took < self._credentials.deadline_minutes * 60:
            (await self._known(_mode(entry))).append(took / _sound(entry))
            self._learned.add(_mode(entry))

    async def save(self) -> None:
        """Write down what was learned; never raises for the archive."""
        for mode in self._learned:
            seen = _Seen(factors=list(self._factors[mode]))
            try:
                await self._archive.store.replace(self._key(mode), seen.model_dump_json().encode())
            except StorageError as error:
                run_logger().info("The usual time of the provider was not remembered: %s", error.message)

    async def _known(self, mode: str) -> deque[float]:
        if mode not in self._factors:
            found = await self._read(mode)
            self._factors.setdefault(mode, deque(found, maxlen=_KEPT))
        return self._factors[mode]

    async def _read(self, mode: str) -> list[float]:
        try:
            data = await self._archive.store.read(self._key(mode))
            return _Seen.model_validate_json(data).factors if data else []
        except (StorageError, ValidationError):
            return []

    def _key(self, mode: str) -> str:
        return learned_key(f"seconds-{self._credentials.task_namespace}-{mode}")


def _mode(entry: Entry) -> str:
    return str(entry.job.get("mode") or "std")


def _sound(entry: Entry) -> float:
    return float((entry.job.get("audio") or {}).get("seconds") or 0.0)

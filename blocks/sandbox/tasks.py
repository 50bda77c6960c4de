"""Kling tasks, and their statuses moving with the clock."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from typing import Any

from blocks.sandbox.ledger import plain

TERMINAL = frozenset({"succeed", "failed"})


@dataclass(slots=True)
class Task:
    """One task; `media_id` is the id of its video or audio, times are milliseconds.

    `failure` is what it will fail with, `None` when it will succeed; `image` and `audio` are digests.
    """

    task_id: str
    media_id: str
    kind: str
    seconds: Decimal
    audio: str
    created_at: int
    image: str = ""
    mode: str | None = None
    prompt: str = ""
    external_task_id: str | None = None
    callback_url: str | None = None
    failure: str | None = None
    status: str = "submitted"
    updated_at: int = 0
    queries: int = 0
    clips: list[dict[str, Any]] = field(default_factory=list)
    dead_links: set[str] = field(default_factory=set)

    def as_json(self) -> dict[str, Any]:
        """Return it for `/sandbox/tasks`: no bytes, no links, no callback address."""
        return {
            "task_id": self.task_id,
            "external_task_id": self.external_task_id,
            "kind": self.kind,
            "status": self.status,
            "mode": self.mode,
            "seconds": plain(self.seconds),
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "queries": self.queries,
            "clips": self.clips,
        }


class Tasks:
    """All tasks since the last reset, found by either id without scanning.

    Args:
        changed: Called after each change of a status, in the order of their times.
    """

    def __init__(self, changed: Callable[[Task], None]) -> None:
        self._changed = changed
        # 18 digits, odd and beyond 2**53: an id that went through a float comes back as another one.
        self._ids = count(int(time.time() * 1000) * 100_000 + 1, 2)
        self._by_id: dict[str, Task] = {}
        self._by_media: dict[str, Task] = {}
        self._by_external: dict[str, Task] = {}
        self._due: list[tuple[float, int, str, Task]] = []
        self._order = count()
        self.in_flight = 0

    def new_id(self) -> str:
        """Return an unused id."""
        return str(next(self._ids))

    def add(self, task: Task, *, processing_at: float, finished_at: float | None) -> bool:
        """Keep a task; `None` never finishes it.

        Returns:
            Whether something is now due earlier than before.
        """
        task.updated_at = task.updated_at or task.created_at
        self._by_id[task.task_id] = task
        self._by_media[task.media_id] = task
        if task.external_task_id is not None:
            self._by_external[task.external_task_id] = task
        self.in_flight += 1
        before = self.next_due()
        self._schedule(processing_at, "processing", task)
        if finished_at is not None:
            self._schedule(finished_at, "failed" if task.failure else "succeed", task)
        self._changed(task)
        return before is None or processing_at < before

    def by_id(self, task_id: str) -> Task | None:
        """Return the task of that `task_id`."""
        return self._by_id.get(task_id)

    def by_external_id(self, external_task_id: str) -> Task | None:
        """Return the newest task of that `external_task_id`."""
        return self._by_external.get(external_task_id)

    def by_media(self, media_id: str) -> Task | None:
        """Return the task whose video or audio has that id."""
        return self._by_media.get(media_id)

    def all(self) -> list[Task]:
        """Return every task, oldest first."""
        return list(self._by_id.values())

    def next_due(self) -> float | None:
        """Return when the next status changes."""
        return self._due[0][0] if self._due else None

    def move(self, now: float) -> None:
        """Bring every status up to `now`."""
        while self._due and self._due[0][0] <= now:
            due, _, status, task = heapq.heappop(self._due)
            task.status = status
            task.updated_at = max(task.updated_at, int(due * 1000))
            if status in TERMINAL:
                self.in_flight -= 1
            self._changed(task)

    def _schedule(self, due: float, status: str, task: Task) -> None:
        heapq.heappush(self._due, (due, next(self._order), status, task))

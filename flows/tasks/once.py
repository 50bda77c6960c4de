"""Work that many rows of a run need and that is done once for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Hashable
from typing import Any, Generic, TypeVar

Answer = TypeVar("Answer")


class Once(Generic[Answer]):
    """Answers that are kept for a run; what fails is forgotten and may be tried again."""

    def __init__(self) -> None:
        self._known: dict[Hashable, asyncio.Task[Answer]] = {}

    async def get(self, key: Hashable, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Return what `work` answers, or what it answered, or is about to answer, under the same key."""
        task = self._known.get(key)
        if task is None:
            task = self._known[key] = asyncio.create_task(work)
        else:
            work.close()
        try:
            # Whoever is cancelled takes nothing away from the others.
            return await asyncio.shield(task)
        except BaseException:
            if task.done():
                self._known.pop(key, None)
            raise

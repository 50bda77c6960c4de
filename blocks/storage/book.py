"""A ledger as one process writes it: all changes that wait go into the next page together."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from copy import copy

from blocks.storage.ledger import Ledger, Page

Change = Callable[[Page], Page]
"""Returns the page after it; raises to refuse. It may be called again on a newer page."""

GATHER_SECONDS = 0.2
_LONGEST_PAUSE = 0.5


class Book:
    """One ledger, written by this process in as few pages as possible.

    A page takes as long to write as the archive needs, and what comes meanwhile goes into the next one: a
    thousand jobs cost some tens of pages. Where another process is faster, the page is read and tried again.

    Args:
        ledger: The chain.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._page = Page()
        self._waiting: list[tuple[Change, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def read(self) -> Page:
        """Return the newest page."""
        self._page = await self._ledger.last(self._page)
        return self._page

    async def write(self, change: Change) -> None:
        """Make a change durable. It is not made twice, and not at all when this is cancelled in time.

        Raises:
            Exception: What the change raised: then nothing was changed.
            StorageError: The archive did not take it.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((change, done))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_all())
        await done

    async def close(self) -> None:
        """Write what still waits."""
        if self._writer:
            await asyncio.wait({self._writer})

    async def _write_all(self) -> None:
        while self._waiting:
            await asyncio.sleep(GATHER_SECONDS)
            taken = [(change, done) for change, done in self._waiting if not done.cancelled()]
            self._waiting = []
            try:
                await self._write_together(taken)
            except Exception as error:  # noqa: BLE001 # whoever waits for a change is told
                for _, done in taken:
                    if not done.done():
                        done.set_exception(copy(error))

    async def _write_together(self, taken: list[tuple[Change, asyncio.Future[None]]]) -> None:
        attempt = 0
        while True:
            before = page = await self.read()
            refused: dict[int, Exception] = {}
            for number, (change, _) in enumerate(taken):
                try:
                    page = change(page)
                except Exception as refusal:  # noqa: BLE001 # whoever waits for it is told
                    refused[number] = refusal
            if page is before or (written := await self._ledger.append(before, page)):
                break
            attempt += 1
            await asyncio.sleep(min(_LONGEST_PAUSE, 0.01 * 2**attempt) * secrets.randbelow(1000) / 1000)
        self._page = before if page is before else written or before
        for number, (_, done) in enumerate(taken):
            if done.done():
                continue
            if error := refused.get(number):
                done.set_exception(error)
            else:
                done.set_result(None)

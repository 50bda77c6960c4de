"""Creating an object only if it is absent, on servers that prove they can."""

from __future__ import annotations

import asyncio

from blocks.errors import NoExclusiveCreate, StorageUnavailable
from blocks.storage.s3.calls import Calls
from blocks.storage.s3.failures import is_taken, is_unsupported
from blocks.storage.s3.reading import read_whole

PROOF_KEY = "capabilities/exclusive-create.json"

_PROOF = b'{"proves": "this server refuses to create an object twice when asked to (If-None-Match: *)"}\n'


class ExclusiveCreate:
    """Creates small objects with conditional writes.

    The server is put to the test once: it is asked to create the proof object twice, and has to refuse.
    The proof object stays, so that later processes need a single request, and each sees the refusal itself;
    nothing is believed from memory.

    Args:
        calls: How requests are sent.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._single_worker = calls.settings.single_worker
        self._proven: bool | None = None
        self._lock = asyncio.Lock()

    async def create(self, key: str, data: bytes) -> bool:
        """Create `key` with unique `data` if it is absent; `True` when it is ours.

        Raises:
            NoExclusiveCreate: The server writes over objects although it is asked not to.
        """
        if await self._is_honoured():
            return await self._create(key, data) or await read_whole(self._calls, key) == data
        if not self._single_worker:
            raise NoExclusiveCreate(
                f"The server of {self._calls.place(None)} writes over objects although it is asked not to"
            )
        async with self._lock:
            found = await read_whole(self._calls, key)
            if found is None:
                await self._put(key, data)
            return found is None or found == data

    async def _is_honoured(self) -> bool:
        async with self._lock:
            if self._proven is None:
                self._proven = await self._is_refused() or await self._is_refused()
            return self._proven

    async def _is_refused(self) -> bool:
        try:
            return not await self._create(PROOF_KEY, _PROOF)
        except StorageUnavailable as error:
            if is_unsupported(error):
                return False
            raise

    async def _create(self, key: str, data: bytes) -> bool:
        try:
            await self._put(key, data, IfNoneMatch="*")
        except StorageUnavailable as error:
            if is_taken(error):
                return False
            raise
        return True

    async def _put(self, key: str, data: bytes, **condition: str) -> None:
        await self._calls.send(
            "PutObject",
            key,
            weight=len(data),
            Body=data,
            **self._calls.settings.object_options(key),
            **condition,
        )

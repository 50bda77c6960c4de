"""Request bodies: how many bytes of them exist at once, and inputs that are encoded once for many jobs."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_PIECES = 16
_PIECE_BYTES = 5 * 1024 * 1024
_KEPT_BYTES = 32 * 1024 * 1024


class Bodies:
    """Bounds what bodies take: 80 MiB of them at once, at most 16, whatever waits; and 32 MiB of inputs."""

    def __init__(self) -> None:
        self._pieces = asyncio.Semaphore(_PIECES)
        self._turn = asyncio.Lock()
        self._encoded: OrderedDict[str, str] = OrderedDict()
        self._kept_bytes = 0

    @asynccontextmanager
    async def room(self, size: int) -> AsyncIterator[None]:
        """Wait until there is room for a body of `size` bytes, and keep it to the end of the block.

        Whoever came first is first, so a large body is not overtaken for ever by small ones.
        """
        wanted, taken = min(_PIECES, max(1, math.ceil(size / _PIECE_BYTES))), 0
        try:
            async with self._turn:
                while taken < wanted:
                    await self._pieces.acquire()
                    taken += 1
            yield
        finally:
            for _ in range(taken):
                self._pieces.release()

    def encoded(self, sha256: str) -> str | None:
        """Return the base64 text of the bytes with this digest, where it is kept."""
        if sha256 in self._encoded:
            self._encoded.move_to_end(sha256)
        return self._encoded.get(sha256)

    def keep(self, sha256: str, text: str) -> None:
        """Keep the base64 text of the bytes with this digest; what was used longest ago gives way."""
        if sha256 in self._encoded or len(text) > _KEPT_BYTES:
            return
        self._encoded[sha256] = text
        self._kept_bytes += len(text)
        while self._kept_bytes > _KEPT_BYTES:
            self._kept_bytes -= len(self._encoded.popitem(last=False)[1])

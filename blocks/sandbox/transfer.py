"""Bytes on their way: ranges, and transfers that do not end well."""

from __future__ import annotations

import asyncio
import re
from typing import NamedTuple

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from blocks.sandbox.clock import Clock
from blocks.sandbox.connections import Connections, gone

CHUNK_BYTES = 256 * 1024
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class Span(NamedTuple):
    """A part of a clip, `stop` excluded."""

    start: int
    stop: int


def asked_span(header: str, size: int) -> Span | None:
    """Return the part that a `Range` header asks for; everything where it is not one plain range.

    Returns:
        `None` when the range cannot be satisfied.
    """
    found = _RANGE.fullmatch(header.strip())
    if not found or not (found[1] or found[2]):
        return Span(0, size)
    if not found[1]:
        return Span(max(0, size - int(found[2])), size) if int(found[2]) else None
    start = int(found[1])
    if found[2] and int(found[2]) < start:
        return Span(0, size)
    stop = int(found[2]) + 1 if found[2] else size
    return Span(start, min(stop, size)) if start < size else None


class Body(Response):
    """The bytes of a clip, and how they end.

    Args:
        data: What is announced.
        headers: Further headers.
        status: HTTP status.
        until: How many bytes really come; `None` all.
        stalls: Whether the connection then stays open instead of being cut.
        connections: Where the connection is found that is cut.
        clock: Ends a stall when it stops.
    """

    def __init__(
        self,
        data: bytes,
        headers: dict[str, str],
        status: int,
        connections: Connections,
        clock: Clock,
        *,
        until: int | None = None,
        stalls: bool = False,
    ) -> None:
        super().__init__(status_code=status, headers={**headers, "Content-Length": str(len(data))})
        self._data = memoryview(data)
        self._until = until
        self._stalls = stalls
        self._connections = connections
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if scope["method"] != "HEAD":
            sent = self._data[: self._until]
            for start in range(0, len(sent), CHUNK_BYTES):
                chunk = bytes(sent[start : start + CHUNK_BYTES])
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            if self._until is not None:
                await self._end(scope, receive)
                return
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _end(self, scope: Scope, receive: Receive) -> None:
        if not self._stalls:
            await self._connections.cut(scope, receive)
            return
        left = asyncio.ensure_future(gone(receive))
        stopped = asyncio.ensure_future(self._clock.stopped.wait())
        await asyncio.wait((left, stopped), return_when=asyncio.FIRST_COMPLETED)
        left.cancel()
        stopped.cancel()

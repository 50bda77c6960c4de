"""Work that depends on size: small things at once, large ones in a worker thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from anyio import to_thread

LARGE_BYTES = 512 * 1024

Data = TypeVar("Data", str, bytes, bytearray)
Result = TypeVar("Result")


async def run_sized(function: Callable[[Data], Result], data: Data) -> Result:
    """Return `function(data)`, computed in a worker thread when that would hold up the event loop."""
    if len(data) > LARGE_BYTES:
        return await to_thread.run_sync(function, data)
    return function(data)

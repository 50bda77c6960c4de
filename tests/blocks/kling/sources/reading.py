"""Reading a source as the flows do it."""

from __future__ import annotations

from typing import Any

from blocks.errors import Fault
from blocks.kling.sources import read_source

DATA = bytes(range(256)) * 4
LIMIT = len(DATA)


async def read(reference: str, limit: int = LIMIT, **options: Any) -> bytes | Fault:
    return await read_source(reference, limit, "image", **options)


async def fault(reference: str, limit: int = LIMIT, **options: Any) -> str:
    found = await read(reference, limit, **options)
    assert isinstance(found, Fault)
    assert found.field == "image"
    return found.found

"""A delivery host that breaks as told, and fetching from it."""

from __future__ import annotations

import asyncio
import os
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from blocks.errors import AvatarError
from blocks.kling.delivery import Delivery
from blocks.web import guarded_client
from tests.blocks.kling.wire import Received, Wire, head, reset, serve

CLIP = os.urandom(300_000)
ETAG = '"v1"'
SIGNED = "/kling/1.mp4?X-Signature=5ec2e7"
QUICK: dict[str, Any] = {"stall_seconds": 0.5, "pause_seconds": 0.0}


class Host:
    """A delivery host. The n-th answer is cut after `cuts[n]` bytes in the way of `ending`."""

    def __init__(self, *cuts: int, ending: str = "close", **headers: str | None) -> None:
        self.cuts = list(cuts)
        self.ending = ending
        self.clip = CLIP
        self.statuses: dict[int, int] = {}
        self.changed: dict[str, str | None] = {name.replace("_", "-"): it for name, it in headers.items()}
        self.later: dict[str, str] = {}
        self.answered = 0

    async def __call__(self, request: Received, writer: asyncio.StreamWriter) -> None:
        self.answered += 1
        start = int(request.headers.get("range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        status = self.statuses.get(self.answered, 206 if start else 200)
        data = b"" if status == 204 else self.clip[start:]
        fields: dict[str, str | None] = {
            "Content-Type": "video/mp4", "Content-Length": str(len(data)), "ETag": ETAG,
            "Accept-Ranges": "bytes", **self.changed,
        }  # fmt: skip
        if start:
            fields["Content-Range"] = f"bytes {start}-{len(self.clip) - 1}/{len(self.clip)}"
            fields |= self.later
        kept = {name: value for name, value in fields.items() if value is not None}
        cut = self.cuts.pop(0) if self.cuts else len(data)
        writer.write(head(status, kept) + data[:cut])
        await writer.drain()
        await self._end(writer, cut < len(data))

    async def _end(self, writer: asyncio.StreamWriter, early: bool) -> None:
        if early and self.ending == "stall":
            await asyncio.sleep(60)
        if early and self.ending == "reset":
            await asyncio.sleep(0.05)
            reset(writer)
        if early or "Content-Length" in self.changed:
            writer.close()


@asynccontextmanager
async def served(host: Host) -> AsyncIterator[tuple[Wire, httpx.AsyncClient]]:
    async with serve(host) as wire, guarded_client(["127.0.0.1"]) as client:
        yield wire, client


async def fetch(url: str, client: httpx.AsyncClient, **options: Any) -> tuple[bytes, Delivery]:
    async with Delivery(url, client=client, **(QUICK | options)) as delivery:
        return b"".join([chunk async for chunk in delivery]), delivery


async def failure(host: Host, **options: Any) -> AvatarError:
    async with served(host) as (wire, client):
        with pytest.raises(AvatarError) as raised:
            await fetch(wire.url + SIGNED, client, **options)
    assert "5ec2e7" not in "".join(traceback.format_exception(raised.value)) + repr(raised.value)
    assert raised.value.charged == "yes"
    return raised.value

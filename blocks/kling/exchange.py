"""One HTTP request and as much of its answer as arrives: never repeated, bounded in time and size."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import cast

import httpx

from blocks.kling.envelopes import Answer
from blocks.kling.redaction import redact

_CHUNK_BYTES = 64 * 1024
_LARGEST_ANSWER_BYTES = 4 * 1024 * 1024
_SHORTEST_HIDDEN = 16

# These come before there is a connection, so nothing can have been sent.
_BEFORE_SENDING = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


class Body:
    """A request body that can be read once only, in chunks, and knows whether it was.

    Args:
        content: The whole body; it is let go of while it is read.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.size = len(content)
        self.begun = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self.begun:
            raise RuntimeError("a request body is sent once only")
        self.begun = True
        content, self._content = self._content, b""
        for start in range(0, self.size, _CHUNK_BYTES):
            yield content[start : start + _CHUNK_BYTES]


@dataclass(frozen=True)
class Exchange:
    """How far one request got.

    Attributes:
        answer: The answer as far as it arrived, or `None` when not even its head did.
        trouble: What ended it too early; empty when nothing did.
        before_sending: Whether that was before there was a connection.
    """

    answer: Answer | None
    trouble: str = ""
    before_sending: bool = False


@dataclass
class _Arriving:
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    content: bytearray = field(default_factory=bytearray)

    def answer(self, trouble: str, hide: str) -> Answer | None:
        if self.status is None:
            return None
        headers, content = self.headers, bytes(self.content)
        if len(hide) >= _SHORTEST_HIDDEN:
            headers = {name: value.replace(hide, "[key]") for name, value in headers.items()}
            content = content.replace(hide.encode(), b"[key]")
        return Answer(self.status, headers, content, cut=trouble or None)


async def exchange(
    client: httpx.AsyncClient, request: httpx.Request, *, seconds: float, hide: str
) -> Exchange:
    """Send `request` once and take in its answer. Raises nothing but cancellation.

    httpx's exceptions hold the request with its key and its body, so none leaves this function: their names
    and texts do.

    Args:
        client: Sends it; redirects are not followed.
        request: What is sent.
        seconds: For everything together.
        hide: The key, taken out of what came back.
    """
    arriving, trouble, before_sending = _Arriving(), "", False
    try:
        async with asyncio.timeout(seconds):
            await _receive(client, request, arriving)
    except _BEFORE_SENDING as cause:
        trouble, before_sending = _described(cause), True
    except TimeoutError:
        trouble = f"it was not complete after {seconds:g} s"
    except Exception as cause:  # noqa: BLE001  # whatever happens to a POST, its outcome must be told apart
        trouble = _described(cause)
    trouble = trouble.replace(hide, "[key]") if hide else trouble
    return Exchange(arriving.answer(trouble, hide), trouble, before_sending)


async def _receive(client: httpx.AsyncClient, request: httpx.Request, arriving: _Arriving) -> None:
    response = await client.send(request, stream=True, follow_redirects=False)
    try:
        arriving.status = response.status_code
        arriving.headers = {name.lower(): value for name, value in response.headers.items()}
        async with aclosing(cast("AsyncGenerator[bytes, None]", response.aiter_bytes())) as chunks:
            async for chunk in chunks:
                arriving.content += chunk
                if len(arriving.content) > _LARGEST_ANSWER_BYTES:
                    raise ValueError(f"the answer is longer than {_LARGEST_ANSWER_BYTES} bytes")
    finally:
        await response.aclose()


def _described(cause: Exception) -> str:
    return redact(f"{type(cause).__name__}: {cause}".rstrip(": "))

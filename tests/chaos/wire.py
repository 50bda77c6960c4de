"""The worker's real connections, with a mark for each thing that passes over them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx

Passed = Callable[[str], None]

# https://www.encode.io/httpcore/extensions/#trace
_SENT = {
    "http11.send_request_body.started": "sending",
    "http11.send_request_body.complete": "post left",
}


class _Watched(httpx.AsyncBaseTransport):
    """A real transport whose requests and answers are noted."""

    def __init__(self, inner: httpx.AsyncBaseTransport, passed: Passed) -> None:
        self._inner = inner
        self.passed = passed

    async def aclose(self) -> None:
        await self._inner.aclose()


class Posts(_Watched):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions["trace"] = self._sent
        response = await self._inner.handle_async_request(request)
        response.stream = _Stream(
            response.stream, ended=lambda: self.passed(f"answered {response.status_code}")
        )
        return response

    async def _sent(self, event: str, _: dict[str, Any]) -> None:
        if mark := _SENT.get(event):
            self.passed(mark)


class Reads(_Watched):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        # Task ids are decimal, our own names are not.
        is_poll = request.url.path.rpartition("/")[2].isdecimal()
        self.passed("polling" if is_poll else "looking up")
        return response


class Downloads(_Watched):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        response.stream = _Stream(response.stream, chunk=lambda: self.passed("downloading"))
        return response


def _nothing() -> None:
    """Do nothing."""


class _Stream(httpx.AsyncByteStream):
    def __init__(
        self,
        inner: Any,
        *,
        chunk: Callable[[], None] = _nothing,
        ended: Callable[[], None] = _nothing,
    ) -> None:
        self._inner = inner
        self._chunk = chunk
        self._ended = ended

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            self._chunk()
            yield chunk
        self._ended()

    async def aclose(self) -> None:
        await self._inner.aclose()

"""Fetching a delivered video from the host that the provider names; our key is never sent there."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from types import TracebackType
from typing import Self, cast

import httpx

from blocks.errors import ClipError, ClipRejected, ClipUnavailable, Facts
from blocks.kling.redaction import redact
from blocks.web import QuietURL, UnsafeAddress

CEILING_BYTES = 1024 * 1024 * 1024
STALL_SECONDS = 30.0
MOST_RESUMES = 5
PAUSE_SECONDS = 1.0

_NOT_A_VIDEO = re.compile(r"text/|html|xml|json", re.IGNORECASE)
_CONTENT_RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})")


class Delivery:
    """One download: an async context manager, and in it an async iterator of chunks.

    A connection that is cut or stalls is taken up again where it ended, if the host can do that and the file
    is provably still the same; otherwise the download fails and the caller starts over. Costs nothing.

    Args:
        url: The delivery link. It may be signed: only its host and path are ever shown.
        client: Sends the requests; it decides which addresses are allowed and whether redirects are
            followed (see `blocks.web.guarded_client`). It must not hold our key.
        ceiling_bytes: The longest file that is taken.
        stall_seconds: How long nothing may arrive. There is no limit on the whole download.
        most_resumes: How often the download is taken up again at most.
        pause_seconds: How long to wait before that.
        thing: What is fetched, as people call it.

    Attributes:
        content_length: Bytes of the whole file, or `None` when the host does not say.
        content_type: What the host calls it.
        etag: The host's version of it.
        received: Bytes handed out so far.
        resumed: How often it was taken up again.

    Raises:
        ClipUnavailable: The link is dead, the host does not answer, sends no video, or ends too early.
        ClipRejected: The file is longer than `ceiling_bytes`.
    """

    def __init__(
        self,
        url: str,
        *,
        client: httpx.AsyncClient,
        ceiling_bytes: int = CEILING_BYTES,
        stall_seconds: float = STALL_SECONDS,
        most_resumes: int = MOST_RESUMES,
        pause_seconds: float = PAUSE_SECONDS,
        thing: str = "video",
    ) -> None:
        self._url = url
        self._client = client
        self._ceiling_bytes = ceiling_bytes
        self._patience = httpx.Timeout(stall_seconds)
        self._most_resumes = most_resumes
        self._pause_seconds = pause_seconds
        self._thing = thing
        self._response: httpx.Response | None = None
        self._validator: str | None = None
        self.content_length: int | None = None
        self.content_type = ""
        self.etag: str | None = None
        self.received = 0
        self.resumed = 0

    async def __aenter__(self) -> Self:
        try:
            self._response = await self._send({})
        except (httpx.HTTPError, httpx.InvalidURL) as cause:
            raise self._unavailable(_described(cause)) from None
        try:
            self._take_in_head(self._response)
        except ClipError:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        whole = False
        while not whole:
            if self._response is None:
                raise RuntimeError("a delivery is read inside `async with`")
            trouble = ""
            chunks = cast("AsyncGenerator[bytes, None]", self._response.aiter_raw())
            async with aclosing(chunks):
                try:
                    async for chunk in chunks:
                        self._count(chunk)
                        yield chunk
                except httpx.HTTPError as cause:
                    trouble = _described(cause)
            whole = self._is_whole(trouble)
            if not whole:
                await self._take_up(trouble or "it ended too early")

    def _take_in_head(self, response: httpx.Response) -> None:
        if response.status_code != 200:
            raise self._unavailable(f"its host answers HTTP {response.status_code}", response)
        self.content_type = redact(response.headers.get("content-type", ""), 100)
        if _NOT_A_VIDEO.search(self.content_type) or not _is_plain(response):
            raise self._unavailable(f"its host sends {self.content_type or 'something else'}", response)
        self.content_length = _length(response)
        if self.content_length == 0:
            raise self._unavailable("the file is empty", response)
        if (self.content_length or 0) > self._ceiling_bytes:
            raise self._too_long()
        self.etag = response.headers.get("etag")
        # https://www.rfc-editor.org/rfc/rfc9110#field.if-range : a weak ETag does not do.
        is_strong = self.etag is not None and not self.etag.startswith("W/")
        self._validator = self.etag if is_strong else response.headers.get("last-modified")
        if response.headers.get("accept-ranges", "").strip().lower() != "bytes":
            self._validator = None

    def _count(self, chunk: bytes) -> None:
        self.received += len(chunk)
        if self.received > self._ceiling_bytes:
            raise self._too_long()

    def _is_whole(self, trouble: str) -> bool:
        if self.content_length is None:
            return not trouble and self.received > 0
        return self.received == self.content_length

    async def _take_up(self, trouble: str) -> None:
        """Open the rest of the same file, or raise."""
        while True:
            await self._close()
            length = self.content_length or 0
            if self._validator is None or self.received >= length or self.resumed >= self._most_resumes:
                so_far = f"after {self.received} of {self.content_length or 'unknown'} bytes"
                raise self._unavailable(f"the download broke off {so_far}: {trouble}")
            self.resumed += 1
            await asyncio.sleep(self._pause_seconds)
            try:
                response = await self._send({"Range": f"bytes={self.received}-", "If-Range": self._validator})
            except httpx.HTTPError as cause:
                trouble = _described(cause)
                continue
            self._response = response
            if response.status_code < 500 and response.status_code != 429:
                return self._check_rest(response)
            trouble = f"its host answers HTTP {response.status_code}"

    def _check_rest(self, response: httpx.Response) -> None:
        # https://www.rfc-editor.org/rfc/rfc9110#status.206
        match = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", "").strip())
        rest = tuple(int(number) for number in match.groups()) if match else ()
        total = self.content_length or 0
        is_same = response.headers.get("etag", self.etag) == self.etag and _is_plain(response)
        if response.status_code != 206 or rest != (self.received, total - 1, total) or not is_same:
            raise self._unavailable("the download broke off and its host does not send the rest", response)

    async def _send(self, headers: dict[str, str]) -> httpx.Response:
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"} | headers
        request = self._client.build_request("GET", self._url, headers=headers, timeout=self._patience)
        request.url = QuietURL(self._url)
        try:
            return await self._client.send(request, stream=True)
        except UnsafeAddress as cause:
            raise self._unavailable(cause.message, next_step=cause.next_step) from None

    async def _close(self) -> None:
        if self._response is not None:
            await self._response.aclose()
            self._response = None

    def _unavailable(
        self, what: str, response: httpx.Response | None = None, next_step: str | None = None
    ) -> ClipUnavailable:
        facts = Facts(http_status=response.status_code if response else None)
        return ClipUnavailable(
            f"The {self._thing} at {_place(self._url)} cannot be fetched: {what}", facts, next_step
        )

    def _too_long(self) -> ClipRejected:
        return ClipRejected(
            f"The {self._thing} at {_place(self._url)} is longer than the "
            f"{self._ceiling_bytes} bytes allowed",
            next_step=f"Allow a longer file, then run it again; the {self._thing} is paid for and not lost.",
        )


def _place(url: str) -> str:
    try:
        return redact(str(QuietURL(url)))
    except httpx.InvalidURL:
        return "an address that cannot be read"


def _is_plain(response: httpx.Response) -> bool:
    return response.headers.get("content-encoding", "identity").strip().lower() in {"", "identity"}


def _length(response: httpx.Response) -> int | None:
    value = response.headers.get("content-length", "").strip()
    is_counted = "transfer-encoding" not in response.headers and re.fullmatch(r"\d{1,15}", value)
    return int(value) if is_counted else None


def _described(cause: Exception) -> str:
    return redact(f"{type(cause).__name__}: {cause}".rstrip(": "))

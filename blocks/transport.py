"""aiohttp's connections below an httpx client: reading a large file costs a third of the CPU or less."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import aiohttp
import httpx
from yarl import URL

_BUFFER_BYTES = 256 * 1024
_LONGEST_HEADER_BYTES = 64 * 1024
_ADDED_BY_AIOHTTP = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
# The first that fits counts.
_MEANINGS: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (aiohttp.ClientConnectorError, httpx.ConnectError),
    (aiohttp.ClientSSLError, httpx.ConnectError),
    (TimeoutError, httpx.ReadTimeout),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError),
    (aiohttp.ClientConnectionError, httpx.ReadError),
    (aiohttp.InvalidURL, httpx.UnsupportedProtocol),
    (aiohttp.ClientError, httpx.RemoteProtocolError),
    (OSError, httpx.ReadError),
)


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Sends each request over a connection of its own, to the address and with the query exactly as given.

    It follows no redirect, keeps no cookie, repeats nothing, and knows no proxy. Bodies arrive as they were
    sent, not decoded. One transport serves one event loop.

    Args:
        trusted: The certificates that are trusted. They are checked against the extension `sni_hostname` of
            the request where it has one, so the address of its URL may be that of a host.
        connector: Opens the connections in place of the usual one.
    """

    def __init__(self, trusted: ssl.SSLContext, connector: aiohttp.TCPConnector | None = None) -> None:
        self._trusted = trusted
        self._connector = connector
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request` and return its answer, whose body is still to come."""
        session = self._session = self._session or self._opened()
        limits = request.extensions.get("timeout", {})
        content = await request.aread()
        with _translated():
            answer = await session.request(
                request.method,
                _exactly(request.url),
                headers=request.headers.multi_items(),
                data=content or None,
                allow_redirects=False,
                server_hostname=request.extensions.get("sni_hostname"),
                timeout=aiohttp.ClientTimeout(
                    sock_connect=limits.get("connect"), sock_read=limits.get("read")
                ),
            )
        reason = (answer.reason or "").encode("ascii", "replace")
        return httpx.Response(
            answer.status,
            headers=answer.raw_headers,
            stream=_Body(answer),
            extensions={"http_version": b"HTTP/1.1", "reason_phrase": reason},
        )

    async def aclose(self) -> None:
        """Close what is open; a later request opens anew."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _opened(self) -> aiohttp.ClientSession:
        session = aiohttp.ClientSession(
            connector=self._connector
            or aiohttp.TCPConnector(ssl=self._trusted, limit=0, force_close=True, use_dns_cache=False),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_ADDED_BY_AIOHTTP,
            auto_decompress=False,
            read_bufsize=_BUFFER_BYTES,
            max_line_size=_LONGEST_HEADER_BYTES,
            max_field_size=_LONGEST_HEADER_BYTES,
        )
        session._retry_connection = False  # noqa: SLF001 # it has no public name; test_transport.py sees it work
        return session


class _Body(httpx.AsyncByteStream):
    """What of a body has arrived, piece by piece."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _translated():
            async for piece in self._answer.content.iter_any():
                yield piece

    async def aclose(self) -> None:
        self._answer.close()


def _exactly(url: httpx.URL) -> URL:
    # Neither the text of a URL that hides its query nor a query quoted anew: it may be signed as it is.
    place = f"{url.scheme}://{url.netloc.decode('ascii')}{url.raw_path.decode('ascii')}"
    return URL(place, encoded=True)


@contextmanager
def _translated() -> Iterator[None]:
    """Raise what httpx raises; texts of aiohttp that name the whole URL are left out."""
    try:
        yield
    except (aiohttp.ClientError, OSError) as error:
        meaning = next(meaning for kind, meaning in _MEANINGS if isinstance(error, kind))
        names_url = isinstance(error, (aiohttp.ClientResponseError, aiohttp.InvalidURL))
        text = type(error).__name__ if names_url else str(error) or type(error).__name__
        raise meaning(text) from None

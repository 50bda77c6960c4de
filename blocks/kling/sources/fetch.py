"""Fetching an image or a voice clip from the web."""

from __future__ import annotations

from collections.abc import Collection

import httpx

from blocks.errors import SourceUnavailable
from blocks.kling.sources.references import shown
from blocks.kling.sources.refusal import Refused
from blocks.web import UnsafeAddress, guarded_client

_THE_FILE = "the file itself, without a login page in front"
_TRY_AGAIN = {408, 425, 429}


async def fetch(reference: str, most_bytes: int, allow_hosts: Collection[str]) -> bytes:
    """Fetch at most `most_bytes` from an address that a stranger named.

    Raises:
        Refused: The address is not public, not there, or answers with something else than a file.
        SourceUnavailable: Its host did not answer, or says that it is in trouble.
    """
    name = shown(reference)
    try:
        async with (
            guarded_client(allow_hosts) as client,
            client.stream("GET", reference) as response,
        ):
            _check_answer(response, name)
            return await _first_bytes(response, most_bytes)
    except UnsafeAddress as error:
        raise Refused(error.message, "a public https address") from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise Refused(f"{name} is no address", "a public https address") from None
    except httpx.TooManyRedirects:
        raise Refused(f"{name} redirects again and again", _THE_FILE) from None
    except httpx.HTTPError as error:
        # Its text may quote the address.
        raise SourceUnavailable(f"{name} could not be fetched: {type(error).__name__}") from None


def _check_answer(response: httpx.Response, name: str) -> None:
    status = response.status_code
    if status >= 500 or status in _TRY_AGAIN:
        raise SourceUnavailable(f"{name} could not be fetched: its host answers with HTTP {status}")
    if status != 200:
        raise Refused(f"{name} answers with HTTP {status}", _THE_FILE)
    if response.headers.get("content-type", "").lower().startswith(("text/html", "application/xhtml")):
        raise Refused(f"{name} answers with an HTML page", _THE_FILE)
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused(f"{name} is sent compressed although that was not asked for", _THE_FILE)


async def _first_bytes(response: httpx.Response, most_bytes: int) -> bytes:
    data = bytearray()
    async for chunk in response.aiter_raw():
        data += chunk
        if len(data) >= most_bytes:
            break
    return bytes(data[:most_bytes])

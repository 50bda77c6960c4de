"""The bytes behind a field: base64, or a URL that is fetched with a bound."""

from __future__ import annotations

import asyncio
import base64
import binascii

import httpx

from blocks.sandbox.refusals import parameter
from blocks.sandbox.threads import run_sized

FETCH_SECONDS = 20.0


def new_client() -> httpx.AsyncClient:
    """Return the client that fetches; any address is allowed, this is a sandbox."""
    limits = httpx.Limits(max_connections=50)
    return httpx.AsyncClient(limits=limits, follow_redirects=True, max_redirects=3, trust_env=False)


async def read_source(client: httpx.AsyncClient, field: str, value: str, at_most: int) -> bytes:
    """Return the bytes of an image or an audio, never more than `at_most`.

    Raises:
        Refusal: They cannot be had, or are too many.
    """
    if value.startswith(("http://", "https://")):
        return await _fetch(client, field, value, at_most)
    if value.startswith("data:"):
        raise parameter(f"{field} must be raw base64 without a data: prefix")
    if len(value) > (at_most + 2) // 3 * 4:
        raise too_large(field, at_most)
    try:
        data = await run_sized(_decode, value)
    except (binascii.Error, ValueError):
        raise parameter(f"{field} is neither a URL nor base64") from None
    if len(data) > at_most:
        raise too_large(field, at_most)
    return data


def too_large(field: str, at_most: int) -> Exception:
    """Return the refusal of too many bytes."""
    return parameter(f"{field} is larger than {at_most // 1_000_000} MB")


def _decode(value: str) -> bytes:
    return base64.b64decode(value, validate=True)


async def _fetch(client: httpx.AsyncClient, field: str, url: str, at_most: int) -> bytes:
    data = bytearray()
    try:
        async with asyncio.timeout(FETCH_SECONDS), client.stream("GET", url) as answer:
            answer.raise_for_status()
            async for chunk in answer.aiter_bytes(65536):
                data += chunk
                if len(data) > at_most:
                    raise too_large(field, at_most)
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError):
        raise parameter(f"{field} could not be downloaded") from None
    return bytes(data)

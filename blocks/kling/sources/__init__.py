"""Reads an image or a voice clip from wherever people keep it, and never more of it than is allowed."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

from blocks.errors import Fault, SourceUnavailable
from blocks.kling.sources.fetch import fetch
from blocks.kling.sources.inline import read_inline
from blocks.kling.sources.local import read_file
from blocks.kling.sources.objects import read_object
from blocks.kling.sources.references import scheme_of, sendable_url, shown
from blocks.kling.sources.refusal import Refused

__all__ = ["read_source", "sendable_url", "shown"]

_PATIENCE_SECONDS = 120.0
_A_SOURCE = "a path, an https URL, or an object store such as s3://"


async def read_source(
    reference: str,
    limit_bytes: int,
    field: str,
    *,
    allow_hosts: Collection[str] = (),
    storage_options: Mapping[str, Any] | None = None,
) -> bytes | Fault:
    """Read a whole file that is not longer than `limit_bytes`; one byte more is read to find out.

    Args:
        reference: A path, `file://`, `http(s)://`, an object store such as `s3://`, or a base64 `data:` URI.
        limit_bytes: The longest file that is taken.
        field: The parameter that names it, for the fault.
        allow_hosts: Hosts that may be private and may be reached by plain http.
        storage_options: Options for fsspec; without them the worker's own credentials are used.

    Returns:
        The bytes, or the fault when the reference cannot be used however often it is tried. A fault is
        returned, not raised, so that the faults of both files can be reported together.

    Raises:
        SourceUnavailable: It could not be read now; trying again may help.
    """
    reference = reference.strip()
    if not reference:
        return Fault(field, "empty", _A_SOURCE)
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            data = await _read(reference, limit_bytes + 1, allow_hosts, storage_options)
    except Refused as refused:
        return Fault(field, refused.found, refused.limit)
    except TimeoutError as error:
        raise SourceUnavailable(f"{shown(reference)} was not read in time") from error
    if not data:
        return Fault(field, f"{shown(reference)} is an empty file", f"1 to {limit_bytes:,} bytes")
    if len(data) > limit_bytes:
        return Fault(field, f"{shown(reference)} is too large", f"at most {limit_bytes:,} bytes")
    return data


async def _read(
    reference: str,
    most_bytes: int,
    allow_hosts: Collection[str],
    storage_options: Mapping[str, Any] | None,
) -> bytes:
    scheme = scheme_of(reference)
    if scheme in (None, "file", "local"):
        return await asyncio.to_thread(read_file, reference, most_bytes)
    if scheme == "data":
        return read_inline(reference, most_bytes)
    if scheme in ("http", "https"):
        return await fetch(reference, most_bytes, allow_hosts)
    return await asyncio.to_thread(read_object, reference, most_bytes, scheme, storage_options)

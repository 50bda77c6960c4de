"""Listing what is in a bucket, and removing uploads that died writers left open."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

from blocks.errors import StorageUnavailable
from blocks.storage.keys import is_key
from blocks.storage.s3.calls import Calls
from blocks.storage.store import Found


async def list_objects(calls: Calls, prefix: str) -> AsyncIterator[Found]:
    """Yield the objects whose key starts with `prefix`, in order, a page of up to 1,000 at a time."""
    more: dict[str, Any] = {}
    while True:
        page = await calls.send("ListObjectsV2", Prefix=calls.prefix + prefix, **more)
        for each in page.get("Contents", []):
            key = each["Key"].removeprefix(calls.prefix)
            if is_key(key):
                yield Found(key, each["Size"], each["LastModified"].timestamp())
        if not page.get("IsTruncated"):
            return
        more = {"ContinuationToken": page["NextContinuationToken"]}


async def abort_old_uploads(calls: Calls, older_than_seconds: float) -> list[str]:
    """Abort the multipart uploads below our prefix that were opened so long ago; return their keys."""
    limit = time.time() - older_than_seconds
    old = [each async for each in _list_uploads(calls) if each["Initiated"].timestamp() < limit]
    removed = []
    for each in old:
        key = each["Key"].removeprefix(calls.prefix)
        try:
            await calls.send("AbortMultipartUpload", key, UploadId=each["UploadId"])
        except StorageUnavailable as error:
            if error.facts.http_status != 404:
                raise
            continue
        removed.append(key)
    return removed


async def _list_uploads(calls: Calls) -> AsyncIterator[dict[str, Any]]:
    more: dict[str, Any] = {}
    while True:
        page = await calls.send("ListMultipartUploads", Prefix=calls.prefix, **more)
        for each in page.get("Uploads", []):
            yield each
        if not page.get("IsTruncated"):
            return
        more = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

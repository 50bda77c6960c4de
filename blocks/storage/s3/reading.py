"""Reading objects: whole, or as a stream that survives cut connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from blocks.errors import StorageUnavailable
from blocks.storage.s3.calls import Calls
from blocks.storage.s3.failures import FAILURES, is_absent, is_passing

_PIECE_BYTES = 2**20


async def read_whole(calls: Calls, key: str) -> bytes | None:
    """Return a small object, or `None` when it is absent."""

    async def call(client: Any) -> bytes:
        answer = await client.get_object(Bucket=calls.bucket, Key=calls.prefix + key)
        async with answer["Body"] as body:
            data: bytes = await body.read()
            return data

    try:
        return await calls.repeat("GetObject", key, call)
    except StorageUnavailable as error:
        if is_absent(error):
            return None
        raise


async def stream(calls: Calls, key: str) -> AsyncIterator[bytes]:
    """Yield an object in pieces of at most 1 MiB; a cut connection is resumed where it was cut.

    Raises:
        StorageUnavailable: The object is absent, was replaced meanwhile, or several attempts in a row
            brought nothing.
    """
    done, total, failures = 0, None, 0
    same: dict[str, Any] = {}
    while total is None or done < total:
        answer = await calls.send("GetObject", key, **same)
        if total is None:
            total = answer["ContentLength"]
            same = {"IfMatch": answer["ETag"]} if answer.get("ETag") else {}
        elif done:
            _check_resumed(calls, key, answer, done)
        try:
            while piece := await _next_piece(calls, answer["Body"]):
                done += len(piece)
                failures = 0
                yield piece
        except FAILURES as error:
            failures += 1
            if failures >= calls.settings.attempts or not is_passing(error):
                raise calls.explain(error, "GetObject", key) from error
            await calls.pause(failures)
        finally:
            answer["Body"].close()
        if done:
            same["Range"] = f"bytes={done}-"


def _check_resumed(calls: Calls, key: str, answer: dict[str, Any], done: int) -> None:
    if not answer.get("ContentRange", "").startswith(f"bytes {done}-"):
        answer["Body"].close()
        raise StorageUnavailable(f"S3 does not resume the cut download of {calls.place(key)}")


async def _next_piece(calls: Calls, body: Any) -> bytes:
    async with asyncio.timeout(calls.settings.read_timeout):
        piece: bytes = await body.read(_PIECE_BYTES)
        return piece

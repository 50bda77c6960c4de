"""Streaming one object into a bucket, with bounded memory."""

from __future__ import annotations

from uuid import uuid4

from blocks.errors import StorageUnavailable
from blocks.storage.s3.calls import Calls
from blocks.storage.s3.failures import is_unsupported
from blocks.storage.s3.part import Part
from blocks.storage.s3.upload import MARK, Upload, settle


class S3Writer:
    """Gathers chunks into parts and sends them while more arrive; one part or less is put in one request.

    Args:
        calls: How requests are sent.
        key: The key under which the object is published.
    """

    def __init__(self, calls: Calls, key: str) -> None:
        self._calls = calls
        self._key = key
        self._mark = uuid4().hex
        self._options = calls.settings.stream_options(key)
        self._gathered: Part | None = None
        self._upload = Upload(calls, key, self._mark, **self._options)
        self._is_sending = False
        self._is_torn = False

    async def write(self, chunk: bytes) -> None:
        """Append `chunk`; waits while too many parts are in flight."""
        rest = memoryview(chunk)
        while rest:
            if self._gathered and self._gathered.is_full:
                await self._send(self._gathered)
            rest = self._part().take(rest)

    async def publish(self) -> bool:
        """Make the object visible, whole, under its key; `False` when the key is taken.

        Servers may ignore the condition on a multipart upload, so the key is looked at beforehand; there,
        what somebody else publishes in the same moment is replaced.
        """
        if self._is_torn:
            raise RuntimeError("a write failed, so the object is not whole and is not published")
        if await self._calls.describe(self._key) is not None:
            return False
        last = self._part()
        if not self._is_sending:
            return await self._put(last, IfNoneMatch="*")
        await self._send(last)
        return await self._upload.complete(IfNoneMatch="*")

    async def discard(self) -> None:
        """Drop what was not published."""
        if self._gathered:
            self._calls.buffers.take_back(self._gathered)
            self._gathered = None
        await self._upload.abort()

    def _part(self) -> Part:
        if self._gathered is None:
            self._gathered = self._calls.buffers.lend(self._upload.next_part_size)
        return self._gathered

    async def _send(self, part: Part) -> None:
        self._is_sending = True
        self._is_torn = True
        await self._upload.send(part)
        self._gathered = None
        self._is_torn = False

    async def _put(self, data: Part, **condition: str) -> bool:
        try:
            await self._calls.send_part(
                "PutObject",
                self._key,
                data,
                Metadata={MARK: self._mark},
                **self._options,
                **condition,
            )
        except StorageUnavailable as error:
            if condition and is_unsupported(error):
                return await self._put(data)
            return await settle(self._calls, self._key, self._mark, error, can_lose=bool(condition))
        return True

"""Streaming one object into a bucket, with bounded memory."""

from __future__ import annotations

from uuid import uuid4

from blocks.errors import StorageUnavailable
from blocks.storage.keys import check_key
from blocks.storage.s3.calls import Calls
from blocks.storage.s3.failures import is_unsupported
from blocks.storage.s3.spool import Spool
from blocks.storage.s3.upload import MARK, Upload, settle


class S3Writer:
    """Gathers chunks into parts and sends them while more arrive; one part or less is put in one request.

    A multipart upload cannot change its key and its parts cannot be read back, so each part is also kept in
    a temporary file of this machine until it is known under which key the object goes.

    Args:
        calls: How requests are sent.
        key: The key under which the object is published.
    """

    def __init__(self, calls: Calls, key: str) -> None:
        self._calls = calls
        self._key = key
        self._mark = uuid4().hex
        self._gathered = bytearray()
        self._written = 0
        self._spool = Spool()
        self._upload = self._open_upload(key)
        self._is_sending = False
        self._is_torn = False

    async def write(self, chunk: bytes) -> None:
        """Append `chunk`; waits while too many parts are in flight."""
        self._gathered += chunk
        self._written += len(chunk)
        while len(self._gathered) > (size := self._upload.next_part_size):
            with memoryview(self._gathered) as view:
                part = bytes(view[:size])
            del self._gathered[:size]
            await self._send(part)

    async def publish(self) -> bool:
        """Make the object visible, whole, under its key; `False` when the key is taken.

        Servers may ignore the condition on a multipart upload, so the key is looked at beforehand; there,
        what somebody else publishes in the same moment is replaced.
        """
        if self._is_torn:
            raise RuntimeError("a write failed, so the object is not whole and is not published")
        if await self._calls.describe(self._key) is not None:
            return False
        if not self._is_sending:
            return await self._put(self._key, bytes(self._gathered), {}, IfNoneMatch="*")
        await self._send(bytes(self._gathered))
        return await self._upload.complete(IfNoneMatch="*")

    async def set_aside(self, key: str) -> None:
        """Put what was written under another `key`, replacing what is there.

        It is sent a second time, from the temporary file. Where that had no room, only the first part is
        put there, with `kept-bytes` and `written-bytes` in its metadata.
        """
        check_key(key)
        if not self._is_sending:
            await self._put(key, bytes(self._gathered), {})
            return
        await self._spool.keep(bytes(self._gathered))
        await self._upload.abort()
        if not self._spool.is_whole:
            first = self._spool.first
            await self._put(key, first, {"kept-bytes": str(len(first)), "written-bytes": str(self._written)})
            return
        self._upload = self._open_upload(key)
        async for part in self._spool.parts(self._calls.settings.part_bytes):
            await self._upload.send(part)
        await self._upload.complete()

    async def discard(self) -> None:
        """Drop what was not published."""
        self._spool.close()
        await self._upload.abort()

    def _open_upload(self, key: str) -> Upload:
        return Upload(self._calls, key, self._mark, **self._calls.settings.stream_options(key))

    async def _send(self, part: bytes) -> None:
        self._is_sending = True
        self._is_torn = True
        await self._spool.keep(part)
        await self._upload.send(part)
        self._is_torn = False

    async def _put(self, key: str, data: bytes, notes: dict[str, str], **condition: str) -> bool:
        try:
            await self._calls.send(
                "PutObject",
                key,
                weight=len(data),
                Body=data,
                Metadata={MARK: self._mark, **notes},
                **self._calls.settings.stream_options(key),
                **condition,
            )
        except StorageUnavailable as error:
            if condition and is_unsupported(error):
                return await self._put(key, data, notes)
            return await settle(self._calls, key, self._mark, error, can_lose=bool(condition))
        return True

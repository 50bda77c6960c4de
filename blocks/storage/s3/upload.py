"""A multipart upload: bounded parts in flight, nothing visible before it is completed."""

from __future__ import annotations

import asyncio
import logging
from operator import itemgetter
from typing import Any

from blocks.errors import StorageUnavailable
from blocks.storage.s3.calls import Calls
from blocks.storage.s3.failures import is_unsupported
from blocks.storage.s3.part import Part

MARK = "upload"

_ABORT_SECONDS = 30
_CHECKSUMS = {"ChecksumCRC32", "ChecksumCRC32C", "ChecksumCRC64NVME", "ChecksumSHA1", "ChecksumSHA256"}

_logger = logging.getLogger(__name__)


class Upload:
    """Sends one object in parts.

    Args:
        calls: How requests are sent.
        key: The key the object gets when it is completed.
        mark: A unique text kept with the object, by which it is recognised as this upload's.
    """

    def __init__(self, calls: Calls, key: str, mark: str, **options: Any) -> None:
        self._calls = calls
        self._key = key
        self._mark = mark
        self._options = options
        self._id: str | None = None
        self._count = 0
        self._bytes = 0
        self._flying: set[asyncio.Task[dict[str, Any]]] = set()
        self._landed: list[dict[str, Any]] = []

    @property
    def next_part_size(self) -> int:
        """How large the next part must be; only the last may be smaller."""
        return self._calls.settings.part_size(self._count + 1)

    async def send(self, part: Part) -> None:
        """Send the next part and then give its buffer back; waits while too many are in flight."""
        if self._id is None:
            await self._begin()
        while len(self._flying) >= self._calls.settings.parts_in_flight:
            await self._land(asyncio.FIRST_COMPLETED)
        await self._calls.parts.acquire()
        self._count += 1
        self._bytes += part.size
        task = asyncio.create_task(self._send(self._count, part))
        task.add_done_callback(lambda _: self._landed_or_lost(part))
        self._flying.add(task)

    async def complete(self, **condition: str) -> bool:
        """Make the object visible; `False` when `condition` was refused because the key is taken."""
        while self._flying:
            await self._land(asyncio.ALL_COMPLETED)
        try:
            await self._complete(**condition)
        except StorageUnavailable as error:
            if condition and is_unsupported(error):
                return await self.complete()
            if not await settle(self._calls, self._key, self._mark, error, can_lose=bool(condition)):
                return False
        self._id = None
        return True

    async def abort(self) -> None:
        """Stop what is in flight and drop the parts, unless the upload is completed.

        What cannot be dropped within half a minute is left for the sweep.
        """
        for task in self._flying:
            task.cancel()
        await asyncio.gather(*self._flying, return_exceptions=True)
        self._flying.clear()
        if self._id is None:
            return
        try:
            async with asyncio.timeout(_ABORT_SECONDS):
                await self._calls.send("AbortMultipartUpload", self._key, UploadId=self._id)
        except StorageUnavailable as error:
            if error.facts.http_status != 404:
                _logger.warning("An upload stays open until the next sweep: %s", error)
        except TimeoutError:
            _logger.warning("The upload to %s stays open until the next sweep", self._calls.place(self._key))
        self._id = None

    async def _begin(self) -> None:
        async def call(client: Any) -> None:
            answer = await client.create_multipart_upload(
                Bucket=self._calls.bucket,
                Key=self._calls.prefix + self._key,
                Metadata={MARK: self._mark},
                **self._options,
            )
            self._id = answer["UploadId"]

        await self._calls.repeat("CreateMultipartUpload", self._key, call, shielded=True)

    async def _send(self, number: int, part: Part) -> dict[str, Any]:
        answer = await self._calls.send_part(
            "UploadPart", self._key, part, UploadId=self._id, PartNumber=number
        )
        checksums = {name: value for name, value in answer.items() if name in _CHECKSUMS}
        return {"PartNumber": number, "ETag": answer["ETag"], **checksums}

    def _landed_or_lost(self, part: Part) -> None:
        self._calls.buffers.take_back(part)
        self._calls.parts.release()

    async def _land(self, when: str) -> None:
        done, self._flying = await asyncio.wait(self._flying, return_when=when)
        failures = [error for task in done if (error := task.exception())]
        if failures:
            raise failures[0]
        self._landed += [task.result() for task in done]

    async def _complete(self, **condition: str) -> None:
        parts = sorted(self._landed, key=itemgetter("PartNumber"))
        await self._calls.send(
            "CompleteMultipartUpload",
            self._key,
            weight=self._bytes,
            UploadId=self._id,
            MultipartUpload={"Parts": parts},
            **condition,
        )


async def settle(calls: Calls, key: str, mark: str, error: StorageUnavailable, *, can_lose: bool) -> bool:
    """Find out what became of a write that answered with `error`: it may have taken effect all the same.

    Args:
        calls: How requests are sent.
        key: What was written.
        mark: The text by which our object is recognised.
        error: The answer.
        can_lose: Whether the write gave way to an object that was there.

    Returns:
        `True` when our object is there, `False` when another is and we gave way.

    Raises:
        StorageUnavailable: The write had no effect; this is `error`.
    """
    description = await calls.describe(key)
    if description is not None and description.get("Metadata", {}).get(MARK) == mark:
        return True
    if description is not None and can_lose:
        return False
    raise error

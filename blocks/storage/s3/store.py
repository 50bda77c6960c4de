"""A bucket as a store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from blocks.storage.keys import check_key, check_prefix
from blocks.storage.s3.calls import Calls
from blocks.storage.s3.exclusive import ExclusiveCreate
from blocks.storage.s3.listing import abort_old_uploads, list_objects
from blocks.storage.s3.reading import read_whole, stream
from blocks.storage.s3.settings import S3Settings
from blocks.storage.s3.writer import S3Writer
from blocks.storage.shield import to_the_end
from blocks.storage.store import Found, Writer

_LONGEST_LINK_SECONDS = 7 * 24 * 3600


class S3Store:
    """Objects below one prefix of one bucket; one store serves one event loop.

    Args:
        bucket: The bucket; it must exist.
        prefix: Where in the bucket the keys begin; may be empty.
        settings: How the server is reached.
    """

    def __init__(self, bucket: str, prefix: str = "", settings: S3Settings | None = None) -> None:
        trimmed = prefix.strip("/")
        self._calls = Calls(bucket, f"{check_key(trimmed)}/" if trimmed else "", settings or S3Settings())
        self._exclusive = ExclusiveCreate(self._calls)
        self.url = self._calls.place(None).rstrip("/")

    async def read(self, key: str) -> bytes | None:
        """Return the whole object, or `None` when it is absent."""
        return await read_whole(self._calls, check_key(key))

    async def create(self, key: str, data: bytes) -> bool:
        """Create an object if and only if it is absent, with a conditional write.

        The first call also puts the server to the test, with one request (two in a new archive).

        Raises:
            NoExclusiveCreate: The server writes over objects, and the owner did not say that there is a
                single worker.
        """
        return await self._exclusive.create(check_key(key), data)

    async def replace(self, key: str, data: bytes) -> None:
        """Write an object, replacing what is there."""
        options = self._calls.settings.object_options(check_key(key))
        await self._calls.send("PutObject", key, weight=len(data), Body=data, **options)

    async def delete(self, key: str) -> None:
        """Remove the object; it may be absent. In a bucket with versions the old ones stay."""
        await self._calls.send("DeleteObject", check_key(key))

    def find(self, prefix: str) -> AsyncIterator[Found]:
        """List the objects whose key starts with `prefix`, in order; one request for 1,000 of them."""
        return list_objects(self._calls, check_prefix(prefix))

    async def size(self, key: str) -> int | None:
        """Return the bytes of the object, or `None` when it is absent."""
        description = await self._calls.describe(check_key(key))
        return None if description is None else int(description["ContentLength"])

    def chunks(self, key: str) -> AsyncIterator[bytes]:
        """Stream an object that exists, in pieces of at most 1 MiB; cut connections are resumed."""
        return stream(self._calls, check_key(key))

    @asynccontextmanager
    async def writer(self, key: str) -> AsyncIterator[Writer]:
        """Open a new object for streaming; leaving without `publish` drops what was sent."""
        writer = S3Writer(self._calls, check_key(key))
        try:
            yield writer
        finally:
            await to_the_end(writer.discard())

    async def sweep(self, older_than_seconds: float) -> list[str]:
        """Abort multipart uploads that were opened so long ago; return their keys."""
        return await abort_old_uploads(self._calls, older_than_seconds)

    async def link(self, key: str, seconds: int) -> str:
        """Return a signed address that works for `seconds` (a week at most): whoever has it can read."""
        named = {"Bucket": self._calls.bucket, "Key": self._calls.prefix + check_key(key)}
        expires = min(seconds, _LONGEST_LINK_SECONDS)

        async def call(client: Any) -> str:
            address: str = await client.generate_presigned_url("get_object", named, ExpiresIn=expires)
            return address

        return await self._calls.repeat("GetObject", key, call)

    async def close(self) -> None:
        """Close the connections."""
        await self._calls.session.close()

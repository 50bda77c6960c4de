"""Any other place that fsspec has a driver for, as a store, with what it can do."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar
from uuid import uuid4

from blocks.errors import AvatarError, StorageUnavailable
from blocks.storage.driver import Driver, check_plain_key
from blocks.storage.keys import RESERVED, check_prefix
from blocks.storage.shield import to_the_end
from blocks.storage.store import Found, Writer

_PIECE_BYTES = 2**20
_RANGE_BYTES = 8 * 2**20
_CALL_SECONDS = 300

Answer = TypeVar("Answer")


class FilesystemStore:
    """Objects below an fsspec URL such as `memory://`, `gs://` or `az://`.

    Objects are created exclusively on Google Cloud Storage and Azure Blob Storage; in `memory://` that holds
    within one process, which is all that can see it. Elsewhere `create` needs `single_worker`. Clips are
    written under `parts/` and moved when they are whole; whoever publishes the same key in the same moment
    is replaced, except in `memory://`.

    Args:
        url: The URL.
        options: What the driver needs, secrets included.
        single_worker: The owner's word that only one worker writes there.

    Raises:
        SetupMissing: The driver is unknown or not installed.
    """

    def __init__(
        self, url: str, options: Mapping[str, Any] | None = None, *, single_worker: bool = False
    ) -> None:
        self._driver = Driver(url, options or {}, single_worker=single_worker)
        self.url = self._driver.url

    async def read(self, key: str) -> bytes | None:
        """Return the whole object, or `None` when it is absent."""
        return await self._run(check_plain_key(key), self._driver.read, key)

    async def create(self, key: str, data: bytes) -> bool:
        """Create an object if and only if it is absent, where the place is known to refuse a second time.

        Raises:
            NoExclusiveCreate: It is not, and the owner did not say that there is a single worker.
        """
        return await self._run(check_plain_key(key), self._driver.create, key, data)

    async def replace(self, key: str, data: bytes) -> None:
        """Write an object, replacing what is there."""
        await self._run(check_plain_key(key), self._driver.replace, key, data)

    async def delete(self, key: str) -> None:
        """Remove the object; it may be absent."""
        await self._run(check_plain_key(key), self._driver.delete, key)

    async def find(self, prefix: str) -> AsyncIterator[Found]:
        """List the objects whose key starts with `prefix`, in order of their keys; holds the whole list."""
        for found in await self._run(prefix, self._driver.find, check_prefix(prefix)):
            yield found

    async def size(self, key: str) -> int | None:
        """Return the bytes of the object, or `None` when it is absent."""
        return await self._run(check_plain_key(key), self._driver.size, key)

    async def chunks(self, key: str) -> AsyncIterator[bytes]:
        """Stream an object that exists, in pieces of at most 1 MiB."""
        size = await self.size(key)
        if size is None:
            raise StorageUnavailable(f"There is no {key!r} in {self.url}")
        for start in range(0, size, _RANGE_BYTES):
            end = min(start + _RANGE_BYTES, size)
            data = await self._run(key, self._driver.read, key, start, end)
            if data is None or len(data) != end - start:
                raise StorageUnavailable(f"{key!r} in {self.url} changed while it was read")
            for offset in range(0, len(data), _PIECE_BYTES):
                yield data[offset : offset + _PIECE_BYTES]

    @asynccontextmanager
    async def writer(self, key: str) -> AsyncIterator[Writer]:
        """Open a new object for streaming; leaving without `publish` removes what was written."""
        writer = _FilesystemWriter(self._driver, self._finish, check_plain_key(key))
        try:
            yield writer
        finally:
            await self._finish(key, writer.discard)

    async def sweep(self, older_than_seconds: float) -> list[str]:
        """Remove unfinished objects that nobody has written to for so long; return their keys."""
        return await self._run("", self._driver.sweep, older_than_seconds)

    async def link(self, key: str, seconds: int) -> str:
        """Return a signed address where the driver can sign, otherwise the URL of the object."""
        return await self._run(check_plain_key(key), self._driver.link, key, seconds)

    async def close(self) -> None:
        """Do nothing: drivers close their connections when they are dropped."""

    async def _run(self, key: str, work: Callable[..., Answer], *given: Any) -> Answer:
        return await self._explain(key, asyncio.wait_for(asyncio.to_thread(work, *given), _CALL_SECONDS))

    async def _finish(self, key: str, work: Callable[..., Answer], *given: Any) -> Answer:
        return await self._explain(key, to_the_end(asyncio.to_thread(work, *given)))

    async def _explain(self, key: str, work: Coroutine[Any, Any, Answer]) -> Answer:
        try:
            return await work
        except AvatarError:
            raise
        except Exception as error:  # noqa: BLE001 - drivers raise anything; they may put signed addresses into it
            number = getattr(error, "errno", None)
            reason = os.strerror(number) if isinstance(number, int) else type(error).__name__
            raise StorageUnavailable(f"{self.url} failed at {key!r}: {reason}") from None


class _FilesystemWriter:
    """An unfinished object under `parts/`; small chunks are gathered before they go to the driver."""

    def __init__(self, driver: Driver, finish: Callable[..., Any], key: str) -> None:
        self._driver = driver
        self._finish = finish
        self._key = key
        self._part = f"{RESERVED[0]}{uuid4().hex}.part"
        self._file: Any = None
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
        self._written = 0
        self._is_torn = False

    async def write(self, chunk: bytes) -> None:
        """Append `chunk`."""
        self._check_whole()
        self._gathered.append(chunk)
        self._gathered_bytes += len(chunk)
        if self._gathered_bytes >= _PIECE_BYTES:
            await self._finish(self._key, self._flush)

    async def publish(self) -> bool:
        """Make the object visible, whole, under its key; `False` when the key was taken."""
        self._check_whole()
        published: bool = await self._finish(self._key, self._move)
        return published

    def discard(self) -> None:
        """Remove the unfinished object; one that cannot be removed is left for the sweep."""
        if self._file is None:
            return
        with suppress(Exception):
            self._file.close()
        with suppress(Exception):
            self._driver.delete(self._part)

    def _check_whole(self) -> None:
        if self._is_torn:
            raise RuntimeError("a write failed, so the object is not whole")

    def _flush(self) -> None:
        self._is_torn = True
        if self._file is None:
            self._file = self._driver.open_new(self._part)
        data = b"".join(self._gathered)
        self._gathered.clear()
        self._gathered_bytes = 0
        self._file.write(data)
        self._written += len(data)
        self._is_torn = False

    def _move(self) -> bool:
        self._flush()
        self._file.close()
        self._driver.check_size(self._part, self._written)
        return self._driver.move(self._part, self._key)

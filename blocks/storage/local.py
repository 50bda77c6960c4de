"""A local folder as a store."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from blocks.errors import StorageUnavailable
from blocks.storage.durable import take_name
from blocks.storage.folder import Folder
from blocks.storage.keys import check_prefix
from blocks.storage.shield import to_the_end
from blocks.storage.store import Found, Writer

_PIECE_BYTES = 2**20
_LISTED_AT_ONCE = 500

Answer = TypeVar("Answer")


class LocalStore:
    """Objects as files below one folder: whole, durable, created exclusively through hard links.

    Exclusive creation holds between all processes that share the folder. Files are worked on in threads,
    and a piece of file work that has begun is finished before a cancellation goes on.

    Args:
        root: The folder; it is created with the first object.
    """

    def __init__(self, root: Path) -> None:
        self._folder = Folder(root)
        self.url = self._folder.root.as_uri()

    async def read(self, key: str) -> bytes | None:
        """Return the whole object, or `None` when it is absent."""
        return await self._run(key, self._folder.read, key)

    async def create(self, key: str, data: bytes) -> bool:
        """Create an object if and only if it is absent; it appears whole and survives a power cut."""
        return await self._run(key, self._folder.create, key, data)

    async def replace(self, key: str, data: bytes) -> None:
        """Write an object, replacing what is there in one step, durably."""
        await self._run(key, self._folder.replace, key, data)

    async def delete(self, key: str) -> None:
        """Remove the object; it may be absent."""
        await self._run(key, self._folder.delete, key)

    async def find(self, prefix: str) -> AsyncIterator[Found]:
        """List the objects whose key starts with `prefix`, in order; symbolic links are left out."""
        found = self._folder.walk(check_prefix(prefix))
        while batch := await self._run(prefix, lambda: list(islice(found, _LISTED_AT_ONCE))):
            for key, status in batch:
                yield Found(key, status.st_size, status.st_mtime)

    async def size(self, key: str) -> int | None:
        """Return the bytes of the object, or `None` when it is absent."""
        return await self._run(key, self._folder.size, key)

    async def chunks(self, key: str) -> AsyncIterator[bytes]:
        """Stream an object that exists, in pieces of 1 MiB."""
        file = await self._run(key, self._folder.open, key)
        try:
            while piece := await self._run(key, file.read, _PIECE_BYTES):
                yield piece
        finally:
            file.close()

    @asynccontextmanager
    async def writer(self, key: str) -> AsyncIterator[Writer]:
        """Open a new object for streaming into a part file; leaving without `publish` removes it."""
        writer = _LocalWriter(self._folder, self._run, key)
        try:
            await self._run(key, writer.open)
            yield writer
        finally:
            await self._run(key, writer.discard)

    async def sweep(self, older_than_seconds: float) -> list[str]:
        """Remove part files that nobody has written to for so long; return their keys."""
        return await self._run("", self._folder.sweep, older_than_seconds)

    async def link(self, key: str, seconds: int) -> str:
        """Return the `file://` address of the object; it does not expire after `seconds`."""
        del seconds
        return (await self._run(key, self._folder.place, key)).as_uri()

    async def close(self) -> None:
        """Do nothing: no file stays open."""

    async def _run(self, key: str, work: Callable[..., Answer], *given: Any) -> Answer:
        try:
            return await to_the_end(asyncio.to_thread(work, *given))
        except OSError as error:
            code = errno.errorcode.get(error.errno or 0, type(error).__name__)
            raise StorageUnavailable(
                f"The folder {self._folder.root} failed at {key!r}: {error.strerror} ({code})",
                next_step="Check that the folder exists, is writable and has space left; then run it again.",
            ) from error


class _LocalWriter:
    """A part file that is being written; small chunks are gathered before they go to disk."""

    def __init__(self, folder: Folder, run: Callable[..., Any], key: str) -> None:
        self._folder = folder
        self._run = run
        self._key = key
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
        self._part: Path | None = None
        self._file: BinaryIO | None = None
        self._is_torn = False

    async def write(self, chunk: bytes) -> None:
        """Append `chunk`."""
        self._gathered.append(chunk)
        self._gathered_bytes += len(chunk)
        if self._gathered_bytes >= _PIECE_BYTES:
            await self._run(self._key, self._flush)

    async def publish(self) -> bool:
        """Make the file visible under its key, whole and durable; `False` when the key was taken."""
        published: bool = await self._run(self._key, self._publish)
        return published

    def open(self) -> None:
        """Create the part file."""
        self._folder.place(self._key)
        self._part = self._folder.new_part()
        self._file = self._part.open("xb", buffering=0)

    def discard(self) -> None:
        """Remove the part file; one that cannot be removed is left for the sweep."""
        if self._file is not None:
            self._file.close()
        if self._part is not None:
            with suppress(OSError):
                self._part.unlink()

    def _publish(self) -> bool:
        return take_name(self._finish(), self._folder.place(self._key))

    def _flush(self) -> BinaryIO:
        if self._file is None or self._is_torn:
            raise RuntimeError("a write failed, so the file is not whole")
        self._is_torn = True
        remaining = memoryview(b"".join(self._gathered))
        self._gathered.clear()
        self._gathered_bytes = 0
        while remaining:
            remaining = remaining[self._file.write(remaining) :]
        self._is_torn = False
        return self._file

    def _finish(self) -> Path:
        file = self._flush()
        os.fsync(file.fileno())
        return Path(file.name)

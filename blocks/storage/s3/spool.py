"""A second, temporary copy of what was sent to S3, because parts that were sent cannot be read back."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from typing import BinaryIO

from blocks.storage.shield import to_the_end


class Spool:
    """Keeps the parts of one object in a nameless temporary file of this machine.

    The file vanishes with the process. Memory holds the first part only: where there is no room for the
    file, that part is all that is kept.

    Attributes:
        first: The first part.
        is_whole: Whether every part is in the file.
    """

    def __init__(self) -> None:
        self._file: BinaryIO | None = None
        self.first = b""
        self.is_whole = True

    async def keep(self, part: bytes) -> None:
        """Keep `part`, the next one."""
        self.first = self.first or part
        if self.is_whole:
            await to_the_end(asyncio.to_thread(self._append, part))

    async def parts(self, size: int) -> AsyncIterator[bytes]:
        """Yield what is in the file, in pieces of `size` bytes."""
        pieces = self._read(size)
        while piece := await to_the_end(asyncio.to_thread(next, pieces, b"")):
            yield piece

    def close(self) -> None:
        """Give the room back."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _append(self, part: bytes) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by `close`
            remaining = memoryview(part)
            while remaining:
                remaining = remaining[self._file.write(remaining) :]
        except OSError:
            self.is_whole = False
            self.close()

    def _read(self, size: int) -> Iterator[bytes]:
        if self._file is not None:
            self._file.seek(0)
            while piece := self._file.read(size):
                yield piece

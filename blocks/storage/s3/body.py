"""What one request sends, read by the client from where it lies."""

from __future__ import annotations

from collections.abc import AsyncIterator

_PIECE_BYTES = 256 * 1024


class Body:
    """A body for one attempt of a request: signed and sent without a copy.

    Args:
        data: The bytes; they stay as they are until the request is over.
    """

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._position = 0

    def __len__(self) -> int:
        return len(self._data)

    def tell(self) -> int:
        """Return where the next `read` begins."""
        return self._position

    def seek(self, position: int) -> int:
        """Let the next `read` begin at `position`, in bytes from the start."""
        self._position = position
        return position

    def read(self, size: int | None = None) -> memoryview:
        """Return the next `size` bytes, or all that are left."""
        end = None if size is None or size < 0 else self._position + size
        piece = self._data[self._position : end]
        self._position += len(piece)
        return piece

    async def __aiter__(self) -> AsyncIterator[memoryview]:
        while piece := self.read(_PIECE_BYTES):
            yield piece

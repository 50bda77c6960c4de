"""The memory in which parts are gathered: lent to writers and used again."""

from __future__ import annotations

from blocks.storage.s3.body import Body


class Part:
    """Bytes on their way: gathered in a buffer of fixed length, and sent from there without a copy.

    Args:
        buffer: The memory; nobody else uses it meanwhile.
    """

    def __init__(self, buffer: bytearray) -> None:
        self.buffer = buffer
        self.size = 0
        self._readers = 0

    @property
    def is_full(self) -> bool:
        """Whether there is no room left."""
        return self.size == len(self.buffer)

    @property
    def is_read(self) -> bool:
        """Whether something may still read the buffer, such as a connection that is being closed."""
        return self._readers > 0

    def take(self, data: memoryview) -> memoryview:
        """Append what there is room for and return the rest."""
        end = min(self.size + len(data), len(self.buffer))
        fits = end - self.size
        self.buffer[self.size : end] = data[:fits]
        self.size = end
        return data[fits:]

    def body(self) -> Body:
        """Return a body for one attempt to send it."""
        self._readers += 1
        return Body(memoryview(self.buffer)[: self.size])

    def arrived(self) -> None:
        """Take note that the server accepted a body, and so has read all of it."""
        self._readers -= 1


class Buffers:
    """Lends buffers. Fresh memory for each part would be filled with zeros first and leave holes behind."""

    def __init__(self) -> None:
        self._lent = 0
        self._free: list[bytearray] = []

    def lend(self, size: int) -> Part:
        """Return an empty part for `size` bytes."""
        self._lent += 1
        if self._free and len(self._free[-1]) == size:
            return Part(self._free.pop())
        return Part(bytearray(size))

    def take_back(self, part: Part) -> None:
        """Keep the buffer for another part; once none is lent, all memory is given up."""
        self._lent -= 1
        if not part.is_read:
            self._free.append(part.buffer)
        if not self._lent:
            self._free.clear()

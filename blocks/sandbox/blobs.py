"""Bytes by name in a temporary folder, the hot ones also in memory, both given back at the end."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from tempfile import TemporaryDirectory

from anyio import to_thread

MEMORY_BYTES = 128 * 1024 * 1024


class Blobs:
    """What was uploaded and what was rendered.

    Args:
        memory_bytes: How much may stay in memory.
    """

    def __init__(self, memory_bytes: int = MEMORY_BYTES) -> None:
        self._folder = TemporaryDirectory(prefix="kling-sandbox-")
        self._memory_bytes = memory_bytes
        self._hot: OrderedDict[str, bytes] = OrderedDict()
        self._held = 0
        self._names: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._names

    @property
    def held_bytes(self) -> int:
        """How many bytes are in memory."""
        return self._held

    def path(self, name: str) -> Path:
        """Return where the bytes of that name lie, or will lie."""
        return Path(self._folder.name, name)

    def added(self, name: str) -> None:
        """Make a file that was written to `path(name)` known."""
        self._names.add(name)

    async def put(self, name: str, data: bytes) -> None:
        """Keep `data` under `name`; the same name always means the same bytes."""
        if name not in self._names:
            await to_thread.run_sync(self.path(name).write_bytes, data)
            self.added(name)
            self._warm(name, data)

    async def get(self, name: str) -> bytes:
        """Return the bytes of that name.

        Raises:
            FileNotFoundError: There are none.
        """
        data = self._hot.get(name)
        if data is None:
            data = await to_thread.run_sync(self.path(name).read_bytes)
            self._warm(name, data)
        else:
            self._hot.move_to_end(name)
        return data

    def close(self) -> None:
        """Remove the folder."""
        self._folder.cleanup()

    def _warm(self, name: str, data: bytes) -> None:
        if name in self._hot or len(data) > self._memory_bytes:
            return
        self._hot[name] = data
        self._held += len(data)
        while self._held > self._memory_bytes:
            _, cold = self._hot.popitem(last=False)
            self._held -= len(cold)

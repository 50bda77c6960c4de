"""One folder of objects, as plain blocking file work; `local` runs it off the event loop."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from blocks.storage.durable import make_directories, replace_name, sync_directory, take_name, write_new_file
from blocks.storage.keys import RESERVED, check_key, is_key

_ABSENT = (FileNotFoundError, IsADirectoryError, NotADirectoryError)


class Folder:
    """Objects as files below `root`; part files lie in `parts/` below it.

    Args:
        root: The folder; it is created with the first object.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        self._parts = self.root / "parts"

    def place(self, key: str) -> Path:
        """Return the path of `key`.

        Raises:
            ValueError: The key is not clean, or leads out of the folder through a symbolic link.
        """
        path = self.root / check_key(key)
        if not Path(os.path.realpath(path)).is_relative_to(self._real_root):
            raise ValueError(f"{key!r} leads out of the archive through a symbolic link")
        return path

    @cached_property
    def _real_root(self) -> str:
        return os.path.realpath(self.root)

    def new_part(self) -> Path:
        """Return the path of a part file that is not there yet, in a folder that is."""
        make_directories(self._parts)
        return self._parts / f"{uuid4().hex}.part"

    def read(self, key: str) -> bytes | None:
        """Return the whole object, or `None` when it is absent."""
        try:
            return self.place(key).read_bytes()
        except _ABSENT:
            return None

    def create(self, key: str, data: bytes) -> bool:
        """Create an object if it is absent; `False` when another content is there."""
        path = self.place(key)
        with self._written(data) as part:
            if take_name(part, path):
                return True
        if self.read(key) != data:
            return False
        sync_directory(path.parent)
        return True

    def replace(self, key: str, data: bytes) -> None:
        """Write an object, replacing what is there in one step."""
        path = self.place(key)
        with self._written(data) as part:
            replace_name(part, path)

    def delete(self, key: str) -> None:
        """Remove the object; it may be absent."""
        path = self.place(key)
        try:
            path.unlink()
        except (FileNotFoundError, NotADirectoryError):
            return
        sync_directory(path.parent)

    def size(self, key: str) -> int | None:
        """Return the bytes of the object, or `None` when it is absent."""
        path = self.place(key)
        try:
            return path.stat().st_size if path.is_file() else None
        except _ABSENT:
            return None

    def open(self, key: str) -> BinaryIO:
        """Open an object that exists."""
        return self.place(key).open("rb", buffering=0)

    def walk(self, prefix: str, below: str = "") -> Iterator[tuple[str, os.stat_result]]:
        """List keys that start with `prefix`, in order; symbolic links are left out."""
        try:
            with os.scandir(self.root / below) as entries:
                named = {
                    f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name: entry
                    for entry in entries
                }
        except _ABSENT:
            return
        for name in sorted(named):
            key = below + name
            if not is_key(key.removesuffix("/")):
                continue
            if name.endswith("/"):
                if key.startswith(prefix) or prefix.startswith(key):
                    yield from self.walk(prefix, key)
            elif key.startswith(prefix) and named[name].is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):
                    yield key, named[name].stat()

    def sweep(self, older_than_seconds: float) -> list[str]:
        """Remove part files that nobody has written to for so long; return their keys."""
        limit = time.time() - older_than_seconds
        old = [part for part in sorted(self._parts.glob("*.part")) if _modified(part) < limit]
        for part in old:
            part.unlink(missing_ok=True)
        return [f"{RESERVED[0]}{part.name}" for part in old]

    @contextmanager
    def _written(self, data: bytes) -> Iterator[Path]:
        part = self.new_part()
        try:
            write_new_file(part, data)
            yield part
        finally:
            part.unlink(missing_ok=True)


def _modified(part: Path) -> float:
    try:
        return part.stat().st_mtime
    except FileNotFoundError:
        return float("inf")

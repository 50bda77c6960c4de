"""One place reached through an fsspec driver, as plain blocking work; `filesystem` runs it in threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from fsspec import get_filesystem_class
from fsspec.core import url_to_fs
from fsspec.dircache import DirCache

from blocks.errors import NoExclusiveCreate, SetupMissing, StorageUnavailable
from blocks.storage.keys import RESERVED, check_key, is_key
from blocks.storage.store import Found

_ABSENT = (FileNotFoundError, IsADirectoryError, NotADirectoryError)
# Their servers refuse to create an object twice; the driver is still put to the test.
_EXCLUSIVE_PROTOCOLS = {"memory", "gs", "gcs", "az", "abfs", "abfss"}
_PROOF_KEY = f"{RESERVED[1]}exclusive-create.json"
_PROOF = b'{"proves": "this place refuses to create an object twice when asked to"}\n'
_TIMES = ("mtime", "last_modified", "LastModified", "updated", "modified", "created")
_MEMORY = threading.Lock()


class Driver:
    """Objects below one fsspec URL.

    Args:
        url: The URL.
        options: What the driver needs, secrets included.
        single_worker: Whether the owner says that only one worker writes there.

    Raises:
        SetupMissing: The driver is unknown or not installed.
    """

    def __init__(self, url: str, options: Mapping[str, Any], *, single_worker: bool) -> None:
        self.url = _public(url)
        self._protocol = url.partition("://")[0]
        try:
            get_filesystem_class(self._protocol)
        except (ImportError, ValueError) as error:
            raise SetupMissing(
                f"There is no driver for {self.url}",
                next_step=f"Install the fsspec driver for {self._protocol}:// and check the URL.",
            ) from error
        self._open = partial(url_to_fs, url, skip_instance_cache=True, **options)
        self._opened: tuple[Any, str] | None = None
        self._opening = threading.Lock()
        self._single_worker = single_worker
        self._proven: bool | None = None
        self._deciding = threading.Lock()
        self._moving = _MEMORY if self._protocol == "memory" else nullcontext()

    @property
    def files(self) -> Any:
        """The driver's file system."""
        return self._connect()[0]

    @property
    def root(self) -> str:
        """The driver's path of the archive."""
        return self._connect()[1]

    def place(self, key: str) -> str:
        """Return the driver's path of `key`."""
        return f"{self.root}/{key}"

    def open_new(self, key: str) -> Any:
        """Open a new object for writing."""
        self._make_parent(self.place(key))
        return self.files.open(self.place(key), "wb")

    def check_size(self, key: str, size: int) -> None:
        """Check that all bytes of an object arrived."""
        found = self.files.info(self.place(key))["size"]
        if found != size:
            raise StorageUnavailable(f"{self.url} kept {found} of {size} bytes that were written")

    def read(self, key: str, start: int | None = None, end: int | None = None) -> bytes | None:
        """Return an object or a range of it, or `None` when it is absent."""
        try:
            data: bytes = self.files.cat_file(self.place(key), start=start, end=end)
        except _ABSENT:
            return None
        return data

    def create(self, key: str, data: bytes) -> bool:
        """Create an object if it is absent; `False` when another content is there."""
        path = self.place(key)
        if self._is_exclusive():
            return self._create(path, data) or self.read(key) == data
        if not self._single_worker:
            raise NoExclusiveCreate(f"{self.url} cannot create an object only if it is absent")
        with self._deciding:
            found = self.read(key)
            if found is None:
                self._put(path, data, "overwrite")
            return found is None or found == data

    def replace(self, key: str, data: bytes) -> None:
        """Write an object, replacing what is there."""
        self._put(self.place(key), data, "overwrite")

    def delete(self, key: str) -> None:
        """Remove the object; it may be absent."""
        try:
            self.files.rm_file(self.place(key))
        except FileNotFoundError:
            return

    def size(self, key: str) -> int | None:
        """Return the bytes of the object, or `None` when it is absent."""
        try:
            about = self.files.info(self.place(key))
        except _ABSENT:
            return None
        return int(about["size"]) if about["type"] == "file" else None

    def move(self, part: str, key: str) -> bool:
        """Give a finished object its key; `False` when the key is taken."""
        path = self.place(key)
        with self._moving:
            if self.files.exists(path):
                return False
            self._make_parent(path)
            self.files.mv(self.place(part), path)
        return True

    def find(self, prefix: str) -> list[Found]:
        """List the objects whose key starts with `prefix`, in order of their keys."""
        return sorted(
            Found(key, size, modified or 0.0)
            for key, size, modified in self._list(prefix)
            if is_key(key) and key.startswith(prefix)
        )

    def sweep(self, older_than_seconds: float) -> list[str]:
        """Remove unfinished objects that nobody has written to for so long; return their keys."""
        limit = time.time() - older_than_seconds
        old = [
            key for key, _, modified in self._list(RESERVED[0]) if modified is not None and modified < limit
        ]
        for key in sorted(old):
            self.delete(key)
        return sorted(old)

    def link(self, key: str, seconds: int) -> str:
        """Return a signed address where the driver can sign, otherwise where the object is."""
        try:
            address: str = self.files.sign(self.place(key), expiration=seconds)
        except NotImplementedError:  # what fsspec raises for a driver that cannot sign
            return f"{self.url.rstrip('/')}/{key}"
        return address

    def _connect(self) -> tuple[Any, str]:
        """Make the file system on first use, because some drivers connect when they are made."""
        with self._opening:
            if self._opened is None:
                files, root = self._open()
                files.dircache = DirCache(use_listings_cache=False)
                self._opened = files, root.rstrip("/")
            return self._opened

    def _is_exclusive(self) -> bool:
        if self._protocol not in _EXCLUSIVE_PROTOCOLS:
            return False
        with self._deciding:
            if self._proven is None:
                proof = self.place(_PROOF_KEY)
                self._proven = not self._create(proof, _PROOF) or not self._create(proof, _PROOF)
            return self._proven

    def _create(self, path: str, data: bytes) -> bool:
        try:
            with self._moving:
                self._put(path, data, "create")
        except FileExistsError:
            return False
        return True

    def _put(self, path: str, data: bytes, mode: str) -> None:
        self._make_parent(path)
        self.files.pipe_file(path, data, mode=mode)

    def _make_parent(self, path: str) -> None:
        if self._protocol not in _EXCLUSIVE_PROTOCOLS:
            self.files.makedirs(path.rpartition("/")[0], exist_ok=True)

    def _list(self, prefix: str) -> Iterator[tuple[str, int, float | None]]:
        folder = f"{self.root}/{prefix}".rpartition("/")[0]
        try:
            found = self.files.find(folder, detail=True)
        except FileNotFoundError:
            return
        for path, about in found.items():
            if path.startswith(f"{self.root}/"):
                yield path.removeprefix(f"{self.root}/"), int(about["size"] or 0), _modified(about)


def check_plain_key(key: str) -> str:
    """Return `key` if it is clean and has no character that drivers take for a pattern.

    Raises:
        ValueError: It is not.
    """
    if set(key) & set("*?[]"):
        raise ValueError(f"{key[:80]!r} has a character that drivers take for a pattern")
    return check_key(key)


def _modified(about: Mapping[str, Any]) -> float | None:
    for name in _TIMES:
        moment = about.get(name)
        if isinstance(moment, str):
            moment = datetime.fromisoformat(moment)
        if isinstance(moment, datetime):
            return moment.timestamp()
        if isinstance(moment, int | float):
            return float(moment)
    return None


def _public(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))

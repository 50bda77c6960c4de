"""What the archive asks of a place that holds objects; local folders, S3 and the rest answer alike."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol


class Found(NamedTuple):
    """One object of a listing.

    Attributes:
        key: Its key, relative to the root of the store, with `/` between the parts.
        size: Its bytes.
        modified: When it was last written, in seconds since 1970 (UTC).
    """

    key: str
    size: int
    modified: float


class Writer(Protocol):
    """An object being written. Nothing is visible under its key until `publish`."""

    async def write(self, chunk: bytes) -> None:
        """Append `chunk`, of any length; waits while too much is in flight."""

    async def publish(self) -> bool:
        """Make the object visible, whole, under its key.

        Returns:
            `True` when it was published; `False` when the key was taken already, then nothing changed
            (only where the store can tell; elsewhere it replaces).
        """


class Store(Protocol):
    """A place that holds objects under relative keys such as `journal/ab/cd.json`.

    Every method raises `blocks.errors.StorageUnavailable` when the place does not answer or refuses, and
    `ValueError` for a key that is not clean or lies under `parts/` or `capabilities/`, which stores keep for
    themselves. Absent objects are not an error. Nothing is cached: each answer is fresh.

    Attributes:
        url: Where it is, without secrets and without a slash at the end.
    """

    url: str

    async def read(self, key: str) -> bytes | None:
        """Return the whole object, or `None` when it is absent."""

    async def create(self, key: str, data: bytes) -> bool:
        """Create a small object if and only if it is absent, durably.

        Returns:
            `True` when this call created it (also when its own earlier, unanswered attempt did, which is
            recognised by content: callers write unique content); `False` when somebody else had.

        Raises:
            NoExclusiveCreate: The place cannot do this.
        """

    async def replace(self, key: str, data: bytes) -> None:
        """Write a small object, replacing what is there."""

    async def delete(self, key: str) -> None:
        """Remove the object; it may be absent."""

    def find(self, prefix: str) -> AsyncIterator[Found]:
        """List the objects whose key starts with `prefix`, in order of their keys."""

    async def size(self, key: str) -> int | None:
        """Return the bytes of the object, or `None` when it is absent."""

    def chunks(self, key: str) -> AsyncIterator[bytes]:
        """Stream an object that exists, in pieces of at most 1 MiB."""

    def writer(self, key: str) -> AbstractAsyncContextManager[Writer]:
        """Open a new object for streaming; leaving without `publish` discards what was written."""

    async def sweep(self, older_than_seconds: float) -> list[str]:
        """Remove what died writers left behind (part files, open uploads); return what was removed."""

    async def link(self, key: str, seconds: int) -> str:
        """Return an address at which a person can open the object (may be signed: never log it)."""

    async def close(self) -> None:
        """Give back connections."""

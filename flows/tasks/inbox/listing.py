"""What lies in an inbox at this moment."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from blocks.errors import Fault, InvalidRequest, SourceUnavailable
from blocks.kling.sources import shown
from blocks.kling.sources.references import scheme_of
from blocks.storage.keys import is_reserved
from blocks.storage.opening import open_store
from flows.tasks.addresses import folder_of, joined, name_of


class File(NamedTuple):
    """One file of an inbox.

    Attributes:
        key: Its path below the inbox, with `/` between the parts.
        address: Where it is.
        size: Its bytes.
        modified: When it was last written, in seconds since 1970 (UTC); 0 where the place does not tell.
    """

    key: str
    address: str
    size: int
    modified: float


async def list_files(inbox: str) -> list[File]:
    """Return the files of an inbox and its folders in order, without those whose names begin with a dot.

    Args:
        inbox: A folder or URL as `flows.tasks.addresses.absolute` returns it.

    Raises:
        InvalidRequest: There is no such folder.
        SourceUnavailable: A part of the folder could not be read.
        StorageUnavailable: The place of the URL did not answer.
    """
    found = await (asyncio.to_thread(_list_folder, inbox) if scheme_of(inbox) is None else _list_url(inbox))
    return sorted(file for file in found if not any(part.startswith(".") for part in file.key.split("/")))


def _list_folder(inbox: str) -> list[File]:
    if not Path(inbox).is_dir():
        raise InvalidRequest((Fault("inbox", f"{shown(inbox)} is no folder on this worker", "a folder"),))
    try:
        return list(_walk(Path(inbox)))
    except OSError as error:
        raise SourceUnavailable(f"The inbox {shown(inbox)} could not be read: {error.strerror}") from error


def _walk(inbox: Path) -> Iterator[File]:
    for folder, _, names in os.walk(inbox, onerror=_fail):
        for name in names:
            path = Path(folder, name)
            with suppress(FileNotFoundError):
                status = path.stat()
                if stat.S_ISREG(status.st_mode):
                    key = path.relative_to(inbox).as_posix()
                    yield File(key, str(path), status.st_size, status.st_mtime)


def _fail(error: OSError) -> None:
    raise error


async def _list_url(inbox: str) -> list[File]:
    place, prefix = _place(inbox)
    store = open_store(place)
    try:
        return [
            File(found.key.removeprefix(prefix), joined(place, found.key), found.size, found.modified)
            async for found in store.find(prefix)
        ]
    finally:
        await store.close()


def _place(inbox: str) -> tuple[str, str]:
    """Return what to open and what to list in it: the folder above, as a store hides names at its root."""
    above, name = folder_of(inbox), name_of(inbox)
    if not name or is_reserved(name):
        return inbox, ""
    return above, f"{name}/"

"""Files that appear whole or not at all, and are still there after a power cut."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

_NO_HARD_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}


def make_directories(path: Path) -> None:
    """Create `path` and what is missing above it, durably."""
    if path.is_dir():
        return
    make_directories(path.parent)
    with suppress(FileExistsError):
        path.mkdir()
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in directory `path` durable, where the system can."""
    directory_flag = getattr(os, "O_DIRECTORY", None)
    if directory_flag is None:
        return
    descriptor = os.open(path, os.O_RDONLY | directory_flag)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


def write_new_file(path: Path, data: bytes) -> None:
    """Write a file that is not there yet, durably; its name becomes durable with its directory."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def take_name(part: Path, path: Path) -> bool:
    """Give the finished file `part` the name `path` too, unless that is taken.

    Without hard links the name is claimed with an empty file first, which readers can see for a moment.

    Returns:
        `False` when another file has the name.
    """
    make_directories(path.parent)
    try:
        os.link(part, path)
    except FileExistsError:
        if not _is_same_file(part, path):
            return False
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        if not _claim(path):
            return False
        _move_onto_claim(part, path)
    sync_directory(path.parent)
    return True


def replace_name(part: Path, path: Path) -> None:
    """Give the finished file `part` the name `path`, replacing what has it."""
    make_directories(path.parent)
    part.replace(path)
    sync_directory(path.parent)


def _is_same_file(part: Path, path: Path) -> bool:
    """Tell whether an earlier attempt succeeded unnoticed, as with a lost answer of a network drive."""
    try:
        return path.samefile(part)
    except FileNotFoundError:
        return False


def _claim(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    except FileExistsError:
        return False
    return True


def _move_onto_claim(part: Path, path: Path) -> None:
    try:
        part.replace(path)
    except OSError:
        path.unlink(missing_ok=True)
        raise

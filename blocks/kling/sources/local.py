"""Reading a file of this machine."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from blocks.errors import SourceUnavailable
from blocks.kling.sources.references import shown
from blocks.kling.sources.refusal import Refused

_A_FILE = "a file that this worker may read"
_NEVER_A_NAME = {errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL}


def read_file(reference: str, most_bytes: int) -> bytes:
    """Read at most `most_bytes` of a local file, given as a path or as a `file://` URL. Blocks.

    Raises:
        Refused: It is not there, no regular file, or may not be read.
        SourceUnavailable: The file system failed.
    """
    name = shown(reference)
    try:
        # Without waiting: opening a named pipe would wait for somebody to write into it.
        with open(_path(reference), "rb", opener=_open_without_waiting) as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return file.read(most_bytes)
        raise Refused(f"{name} is no regular file", _A_FILE)
    except IsADirectoryError:
        raise Refused(f"{name} is a folder", _A_FILE) from None
    except PermissionError:
        raise Refused(f"{name} may not be read by this worker", _A_FILE) from None
    except (FileNotFoundError, NotADirectoryError, ValueError, RuntimeError):
        raise Refused(f"{name} does not exist on this worker", _A_FILE) from None
    except OSError as error:
        if error.errno in _NEVER_A_NAME:
            raise Refused(f"{name} is no file name", _A_FILE) from None
        raise SourceUnavailable(f"{name} could not be read: {error.strerror}") from error


def _path(reference: str) -> Path:
    if "://" not in reference[:10]:
        return Path(reference).expanduser()
    url = urlsplit(reference)
    if url.netloc not in ("", "localhost"):
        raise Refused(f"{shown(reference)} names another machine", _A_FILE)
    return Path(url2pathname(url.path))


def _open_without_waiting(name: str, flags: int) -> int:
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))

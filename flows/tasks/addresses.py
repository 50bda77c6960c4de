"""Where things are that a manifest or an inbox names: pure functions on paths and URLs."""

from __future__ import annotations

import os
import posixpath
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from blocks.kling.sources.references import scheme_of

_LOCAL = frozenset({"file", "local"})


def absolute(address: str) -> str:
    """Return an address that does not hang on the working directory, without a slash at its end."""
    address = address.strip()
    scheme = scheme_of(address)
    if scheme in _LOCAL:
        return _local_path(address)
    if scheme is None:
        return os.path.normpath(_expanded(address).absolute())
    start, _, rest = address.partition("://")
    return f"{start}://{rest.rstrip('/')}"


def joined(folder: str, reference: str) -> str:
    """Return where `reference` is when it is written in something that lies in `folder`.

    Addresses and absolute paths stay as they are. A relative one never leaves the host or bucket.

    Args:
        folder: As `absolute` returns it.
        reference: A path or address as people write it.
    """
    if (scheme := scheme_of(reference)) is not None:
        return absolute(reference) if scheme in _LOCAL else reference
    if scheme_of(folder) is None:
        return os.path.normpath(Path(folder) / _expanded(reference))
    if reference.startswith(("/", "~")):
        return absolute(reference)
    root, path = _split(folder)
    return root + posixpath.normpath("/" + "/".join(part for part in (path, reference) if part))


def folder_of(address: str) -> str:
    """Return the folder that holds what is at `address`; the root of a host or bucket holds itself."""
    if scheme_of(address) is None:
        return str(Path(address).parent)
    root, path = _split(address)
    above = path.rpartition("/")[0]
    return f"{root}/{above}" if above else root


def name_of(address: str) -> str:
    """Return the last part of an address, without the query of a web address."""
    if scheme_of(address) is None:
        return Path(address).name
    return _split(address)[1].rpartition("/")[2]


def _local_path(url: str) -> str:
    """Return the path of a `file://` URL; one that names none stays as it is, for its reader to refuse."""
    try:
        return os.path.normpath(url2pathname(urlsplit(url).path))
    except ValueError:
        return url


def _expanded(path: str) -> Path:
    """Return a path with the home folder that it names, if there is one."""
    with suppress(RuntimeError):
        return Path(path).expanduser()
    return Path(path)


def _split(address: str) -> tuple[str, str]:
    """Return scheme and host or bucket, and the path without slashes around it."""
    scheme, _, rest = address.partition("://")
    if scheme.lower() in {"http", "https"}:
        rest = rest.partition("#")[0].partition("?")[0]
    host, _, path = rest.partition("/")
    return f"{scheme}://{host}", path.strip("/")

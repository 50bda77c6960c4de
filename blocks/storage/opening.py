"""From the URL of an archive to its store."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from blocks.errors import SetupMissing
from blocks.storage.filesystem import FilesystemStore
from blocks.storage.keys import is_key
from blocks.storage.local import LocalStore
from blocks.storage.s3.settings import S3Settings
from blocks.storage.s3.store import S3Store
from blocks.storage.store import Store

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html (and older, looser names)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_NEXT = "Write s3://bucket/prefix or a folder; keys and options belong into their own fields."


def open_store(
    url: str, settings: S3Settings | None = None, options: Mapping[str, Any] | None = None
) -> Store:
    """Return the store at `url`; nothing is contacted yet.

    Args:
        url: `s3://bucket/prefix`, a folder (a path or `file://`), or a URL of another fsspec driver.
        settings: How an S3 server is reached; `single_worker` counts for every place.
        options: What another fsspec driver needs.

    Raises:
        SetupMissing: The URL is not usable, or its driver is not installed.
    """
    known = settings or S3Settings()
    protocol, separator, rest = url.partition("://")
    if not url.strip() or "::" in url:
        raise SetupMissing("The archive needs the URL of one place", next_step=_NEXT)
    if not separator:
        return LocalStore(Path(url))
    if protocol in {"file", "local"}:
        return LocalStore(_folder(url))
    if protocol in {"s3", "s3a"}:
        return _open_bucket(rest, known)
    return FilesystemStore(url, options, single_worker=known.single_worker)


def _folder(url: str) -> Path:
    parts = urlsplit(url)
    if parts.netloc not in {"", "localhost"} or parts.query or parts.fragment:
        raise SetupMissing(
            "A file URL names an absolute path", next_step="Write file:///absolute/path, or just the path."
        )
    return Path(url2pathname(parts.path))


def _open_bucket(rest: str, settings: S3Settings) -> S3Store:
    bucket, _, prefix = rest.partition("/")
    usable = _BUCKET.fullmatch(bucket) and (not prefix.strip("/") or is_key(prefix.strip("/")))
    if not usable:
        raise SetupMissing("The S3 URL has no usable bucket or prefix", next_step=_NEXT)
    return S3Store(bucket, prefix, settings)

"""A look into the archive that goes past the code under test."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import httpx

_UNCHECKED = (
    "AWS4-HMAC-SHA256 Credential=chaos/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
)


class Shelf(Protocol):
    """Objects by their keys."""

    def keys(self) -> Iterable[str]:
        """Return all keys."""

    def read(self, key: str) -> bytes:
        """Return an object that is there."""


class FolderShelf:
    """An archive in a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def keys(self) -> list[str]:
        """Return all keys."""
        return sorted(str(path.relative_to(self._root)) for path in self._root.rglob("*") if path.is_file())

    def read(self, key: str) -> bytes:
        """Return an object that is there."""
        return (self._root / key).read_bytes()


class BucketShelf:
    """An archive below a prefix of a bucket, on a server that does not check signatures."""

    def __init__(self, url: str, prefix: str) -> None:
        self._url = url
        self._prefix = prefix
        self._client = httpx.Client(trust_env=False, headers={"Authorization": _UNCHECKED})

    def keys(self) -> list[str]:
        """Return all keys."""
        found: list[str] = []
        while True:
            after = self._prefix + found[-1] if found else ""
            page = self._get("", {"list-type": "2", "prefix": self._prefix, "start-after": after}).text
            found += re.findall(rf"<Key>{self._prefix}(.*?)</Key>", page)
            if "<IsTruncated>true" not in page:
                return found

    def read(self, key: str) -> bytes:
        """Return an object that is there."""
        return self._get(f"/{self._prefix}{key}", {}).content

    def _get(self, path: str, query: dict[str, str]) -> httpx.Response:
        return self._client.get(self._url + path, params=query).raise_for_status()


class Contents:
    """What an archive holds at one moment, by job.

    Attributes:
        clips: Clips by job id.
        sidecars: Sidecars by job id, `None` where one cannot be read.
        steps: The steps of the journal by job id, in order.
        open_jobs: Jobs that are marked as open.
    """

    def __init__(self, shelf: Shelf) -> None:
        self.clips: dict[str, bytes] = {}
        self.sidecars: dict[str, dict[str, Any] | None] = {}
        self.steps: dict[str, list[str]] = {}
        self.open_jobs: set[str] = set()
        for key in sorted(shelf.keys()):
            room, _, rest = key.partition("/")
            if room == "clips":
                job_id, _, kind = rest.partition("/")[2].partition(".")
                if kind == "mp4":
                    self.clips[job_id] = shelf.read(key)
                elif kind == "json":
                    self.sidecars[job_id] = _document(shelf.read(key))
            elif room == "journal":
                entry = _document(shelf.read(key)) or {"step": "unreadable"}
                self.steps.setdefault(rest.split("/")[1], []).append(entry["step"])
            elif room == "open":
                self.open_jobs.add(rest.partition(".")[0])


def _document(data: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(data)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None

"""A look into the test server's bucket that does not go through the code under test."""

from __future__ import annotations

import re

import httpx


class Bucket:
    """The bucket `archive` on the server at `url`, which is emptied first."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, verify=False)  # noqa: S501 - certificates are slow to load, and there are none
        self._http.post("/moto-api/reset").raise_for_status()
        self._http.put("/archive").raise_for_status()

    def keys(self) -> list[str]:
        return re.findall(r"<Key>(.*?)</Key>", self._ask("list-type=2"))

    def open_uploads(self) -> list[str]:
        return re.findall(r"<Key>(.*?)</Key>", self._ask("uploads"))

    def get(self, key: str) -> httpx.Response:
        return self._http.get(f"/archive/{key}").raise_for_status()

    def put(self, key: str, data: bytes) -> None:
        self._http.put(f"/archive/{key}", content=data).raise_for_status()

    def close(self) -> None:
        self._http.close()

    def _ask(self, query: str) -> str:
        return self._http.get(f"/archive?{query}").raise_for_status().text

"""A look into the test server's bucket that does not go through the code under test."""

from __future__ import annotations

import re

import httpx


class Bucket:
    """The bucket `archive` on the server at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url
        httpx.put(f"{url}/archive").raise_for_status()

    def keys(self) -> list[str]:
        return re.findall(r"<Key>(.*?)</Key>", self._ask("list-type=2"))

    def open_uploads(self) -> list[str]:
        return re.findall(r"<Key>(.*?)</Key>", self._ask("uploads"))

    def get(self, key: str) -> httpx.Response:
        return httpx.get(f"{self.url}/archive/{key}").raise_for_status()

    def _ask(self, query: str) -> str:
        return httpx.get(f"{self.url}/archive?{query}").raise_for_status().text

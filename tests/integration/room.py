"""A look into one test's part of the bucket that does not go through the code under test."""

from __future__ import annotations

from typing import Any

from tests.integration.gateway import look_into


class Room:
    """What is below one prefix of the bucket `archive`.

    Attributes:
        prefix: The prefix, without a slash at its end.
        url: The room as the URL of an archive.
    """

    def __init__(self, gateway_url: str, prefix: str) -> None:
        self.prefix = prefix
        self.url = f"s3://archive/{prefix}"
        self._client = look_into(gateway_url)

    def keys(self) -> list[str]:
        """Return all keys, relative to the room."""
        page = self._client.list_objects_v2(Bucket="archive", Prefix=f"{self.prefix}/")
        return [each["Key"].removeprefix(f"{self.prefix}/") for each in page.get("Contents", [])]

    def open_uploads(self) -> list[str]:
        """Return the keys of the multipart uploads that are neither completed nor aborted."""
        page = self._client.list_multipart_uploads(Bucket="archive", Prefix=f"{self.prefix}/")
        return [each["Key"].removeprefix(f"{self.prefix}/") for each in page.get("Uploads", [])]

    def get(self, key: str) -> bytes:
        """Return an object that is there."""
        data: bytes = self._client.get_object(Bucket="archive", Key=f"{self.prefix}/{key}")["Body"].read()
        return data

    def describe(self, key: str) -> dict[str, Any]:
        """Return what the gateway says about an object that is there."""
        about: dict[str, Any] = self._client.head_object(Bucket="archive", Key=f"{self.prefix}/{key}")
        return about

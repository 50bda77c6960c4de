"""A look into the test server's bucket that does not go through the code under test."""

from __future__ import annotations

import functools
from typing import Any

import boto3  # type: ignore[import-untyped]  # ships no type information
import httpx


class Bucket:
    """The bucket `archive` on the server at `url`, which is emptied first."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = _client(url)
        _http().post(f"{url}/moto-api/reset").raise_for_status()
        self._client.create_bucket(Bucket="archive")

    def keys(self, prefix: str = "") -> list[str]:
        page = self._client.list_objects_v2(Bucket="archive", Prefix=prefix)
        return [each["Key"] for each in page.get("Contents", [])]

    def open_uploads(self, prefix: str = "") -> list[str]:
        page = self._client.list_multipart_uploads(Bucket="archive", Prefix=prefix)
        return [each["Key"] for each in page.get("Uploads", [])]

    def get(self, key: str) -> bytes:
        data: bytes = self._client.get_object(Bucket="archive", Key=key)["Body"].read()
        return data

    def describe(self, key: str) -> dict[str, Any]:
        description: dict[str, Any] = self._client.head_object(Bucket="archive", Key=key)
        return description

    def tags(self, key: str) -> dict[str, str]:
        answer = self._client.get_object_tagging(Bucket="archive", Key=key)
        return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}

    def put(self, key: str, data: bytes) -> None:
        self._client.put_object(Bucket="archive", Key=key, Body=data)

    def open_upload(self, key: str) -> None:
        self._client.create_multipart_upload(Bucket="archive", Key=key)


@functools.cache
def _client(url: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="looker",
        aws_secret_access_key="looker",
    )


@functools.cache
def _http() -> httpx.Client:
    return httpx.Client()

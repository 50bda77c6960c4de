"""The servers that a run needs, each in processes of their own: a delivery host and an S3 server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]  # ships no type information

from tests.bench.archive.contender import KEY_ID, SECRET
from tests.integration.gateway import missing_programs, running_gateway

KINDS = ("rgw-https", "rgw")


class Bucket:
    """The bucket `archive`, looked into past all contenders.

    Attributes:
        url: Address of its server.
        variables: What contenders need in their environment to reach it.
    """

    def __init__(self, url: str, variables: dict[str, str]) -> None:
        self.url = url
        self.variables = variables
        self._client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET,
            verify=variables.get("AWS_CA_BUNDLE"),
        )

    def sizes(self, prefix: str) -> list[int]:
        """Return the bytes of each clip below a prefix."""
        page = self._client.list_objects_v2(Bucket="archive", Prefix=f"{prefix}/")
        return [each["Size"] for each in page.get("Contents", []) if each["Key"].endswith(".mp4")]

    def clear(self) -> None:
        """Remove all objects."""
        page: dict[str, Any] = self._client.list_objects_v2(Bucket="archive")
        for each in page.get("Contents", []):
            self._client.delete_object(Bucket="archive", Key=each["Key"])


@contextmanager
def bucket(kind: str, folder: Path) -> Iterator[Bucket]:
    """Run an S3 server of one of the `KINDS`; it lives in `folder`."""
    if missing := missing_programs():
        raise SystemExit(f"not installed: {', '.join(missing)}; `make integration` can install them")
    with running_gateway(folder / "gateway", gibibytes=8) as gateway:
        url = gateway.url if kind == "rgw" else gateway.secure_url
        yield Bucket(url, {"AWS_CA_BUNDLE": str(gateway.authority)})


@contextmanager
def delivery_host(folder: Path) -> Iterator[str]:
    """Serve the files of `folder` over http."""
    command = [sys.executable, "-m", "tests.bench.archive.host", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as host:
        try:
            port = host.stdout.readline().strip() if host.stdout else ""
            yield f"http://127.0.0.1:{port}"
        finally:
            host.kill()

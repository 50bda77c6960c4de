"""The servers that a run needs, each in processes of their own: a delivery host and an S3 server."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]  # ships no type information
import httpx

from tests.bench.archive.contender import KEY_ID, SECRET
from tests.integration.gateway import missing_programs, running_gateway
from tests.servers import free_port

KINDS = ("moto", "rgw", "rgw-https")


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

    def create(self) -> None:
        """Create it; it may be there."""
        self._client.create_bucket(Bucket="archive")

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
    if kind == "moto":
        with _moto(folder) as url:
            made = Bucket(url, {})
            made.create()
            yield made
        return
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


@contextmanager
def _moto(folder: Path) -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    # Large parts are kept in temporary files.
    variables = os.environ | {"TMPDIR": str(folder)}
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, env=variables, stdout=quiet, stderr=quiet) as server:
        try:
            _wait_for(url)
            yield url
        finally:
            server.kill()


def _wait_for(url: str) -> None:
    for _ in range(600):
        try:
            httpx.get(f"{url}/moto-api/", timeout=5, trust_env=False)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"{url} did not answer")

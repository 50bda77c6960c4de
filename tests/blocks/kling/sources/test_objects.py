"""Objects of the file systems that fsspec knows."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from moto.server import ThreadedMotoServer

from blocks.errors import SourceUnavailable
from tests.blocks.kling.sources.reading import DATA, LIMIT, fault, read


@pytest.fixture
def memory() -> Iterator[Any]:
    files = fsspec.filesystem("memory")
    files.pipe_file("/portraits/host.png", DATA)
    files.pipe_file("/portraits/empty.png", b"")
    yield files
    files.rm("/portraits", recursive=True)


@pytest.mark.usefixtures("memory")
async def test_any_file_system_of_fsspec_is_read() -> None:
    assert await read("memory://portraits/host.png") == DATA
    assert await fault("memory://portraits/host.png", LIMIT - 1) == "memory://portraits/host.png is too large"
    assert await fault("memory://portraits/empty.png") == "memory://portraits/empty.png is an empty file"
    assert await fault("memory://portraits/none.png") == "memory://portraits/none.png does not exist"


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("nosuch://a/b.png", "nothing here reads nosuch:// addresses"),
        ("oci://a/b.png", "oci:// needs a package that is not installed here"),
        ("simplecache::http://127.0.0.1/a.png", "does not exist on this worker"),
        ("blockcache://::http://127.0.0.1/a.png", "chains several file systems"),
        ("zip://a.png::http://127.0.0.1/a.zip", "chains several file systems"),
    ],
)
async def test_file_systems_that_are_not_read_are_a_fault(reference: str, found: str) -> None:
    assert found in await fault(reference)


@pytest.mark.parametrize("scheme", ["ftp", "webhdfs"])
async def test_a_host_that_a_stranger_names_is_not_connected_to(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        host = f"127.0.0.1:{server.getsockname()[1]}"
        assert "nothing here reads" in await fault(f"{scheme}://{host}/a.png")
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize("scheme", ["zip", "tar", "reference", "filecache", "github", "generic", "dir"])
async def test_what_wraps_other_places_is_not_read(scheme: str) -> None:
    assert f"nothing here reads {scheme}:// addresses" in await fault(f"{scheme}:///etc/hostname")


async def test_a_file_is_a_file_by_any_name(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "face.png").write_bytes(DATA)
    assert await read(f"local://{tmp_path}/face.png") == DATA
    assert "is no regular file" in await fault(f"local://{tmp_path}/pipe")


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, Any]]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address, port = server.get_host_and_port()
    options = {"key": "testing", "secret": "testing", "endpoint_url": f"http://{address}:{port}"}
    files = fsspec.filesystem("s3", **options)
    files.call_s3("create_bucket", Bucket="media")
    files.pipe_file("media/host 1.png", DATA)
    files.pipe_file("media/large.png", DATA * 100)
    files.pipe_file("media/empty.png", b"")
    yield options
    server.stop()


async def test_a_bucket_is_read(s3: dict[str, Any]) -> None:
    assert await read("s3://media/host 1.png", storage_options=s3) == DATA
    assert await fault("s3://media/large.png", storage_options=s3) == "s3://media/large.png is too large"
    assert await fault("s3://media/empty.png", storage_options=s3) == "s3://media/empty.png is an empty file"
    assert await fault("s3://media/none.png", storage_options=s3) == "s3://media/none.png does not exist"
    assert await fault("s3://nowhere/none.png", storage_options=s3) == "s3://nowhere/none.png does not exist"


async def test_a_bucket_that_does_not_answer_may_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s3fs.core.S3FileSystem.retries", 1)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
    options = {"key": "testing", "secret": "hidden-secret", "endpoint_url": endpoint}
    with pytest.raises(SourceUnavailable, match=r"s3://media/host\.png could not be read") as unavailable:
        await read("s3://media/host.png", storage_options=options)

    assert "hidden-secret" not in str(unavailable.value)

"""Reading images and voice clips from wherever people keep them, and never too much of it."""

from __future__ import annotations

import asyncio
import base64
import gzip
import os
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from moto.server import ThreadedMotoServer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from blocks.errors import Fault, SourceUnavailable
from blocks.kling import sources
from blocks.kling.sources import read_source, sendable_url, shown
from tests.blocks.local_server import served

DATA = bytes(range(256)) * 4
LIMIT = len(DATA)


async def read(reference: str, limit: int = LIMIT, **options: Any) -> bytes | Fault:
    return await read_source(reference, limit, "image", **options)


async def fault(reference: str, limit: int = LIMIT, **options: Any) -> str:
    found = await read(reference, limit, **options)
    assert isinstance(found, Fault)
    assert found.field == "image"
    return found.found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a face é #1.png"
    path.write_bytes(DATA)
    return path


async def test_a_local_file_is_read_by_path_and_by_url(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(path.parent))

    assert await read(str(path)) == DATA
    assert await read(f"  {path}\n") == DATA
    assert await read(path.as_uri()) == DATA
    assert await read(path.as_uri().replace("file:///", "file://localhost/")) == DATA
    assert await read(f"~/{path.name}") == DATA


async def test_a_file_on_the_limit_is_read_and_a_longer_one_is_not(path: Path) -> None:
    assert await read(str(path), LIMIT) == DATA
    assert await read(str(path), LIMIT - 1) == Fault("image", f"{path} is too large", "at most 1,023 bytes")


async def test_local_faults_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    os.mkfifo(tmp_path / "pipe")

    assert await fault(f"{tmp_path}/none.png") == f"{tmp_path}/none.png does not exist on this worker"
    assert await fault(f"{empty}/below") == f"{empty}/below does not exist on this worker"
    assert await fault(str(tmp_path)) == f"{tmp_path} is a folder"
    assert await fault(f"{tmp_path}/pipe") == f"{tmp_path}/pipe is no regular file"
    assert await fault(str(empty)) == f"{empty} is an empty file"
    assert await fault("") == "empty"
    assert await fault("~no-such-user/a.png") == "~no-such-user/a.png does not exist on this worker"
    assert await fault("a\0b") == "a?b does not exist on this worker"
    assert await fault("file://elsewhere/a.png") == "file://elsewhere/a.png names another machine"


async def test_base64_without_its_prefix_is_no_file_name_and_is_not_shown() -> None:
    assert await fault("A" * 5_000) == "a text of 5,000 characters is no file name"


async def test_a_file_that_may_not_be_read_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests may run as root, who may read everything, so the system's answer is given here."""

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("blocks.kling.sources.local._open_without_waiting", refuse)
    assert await fault(str(path)) == f"{path} may not be read by this worker"


async def test_a_file_system_that_fails_may_be_tried_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("blocks.kling.sources.local._open_without_waiting", fail)
    with pytest.raises(SourceUnavailable, match="Input/output error"):
        await read(str(path))


@pytest.mark.parametrize(
    "head", ["data:image/png;base64,", "DATA:;Base64,", "data:audio/mpeg;codecs=x;base64,"]
)
async def test_a_data_uri_carries_the_file_itself(head: str) -> None:
    content = base64.b64encode(DATA).decode()

    assert await read(head + content) == DATA
    assert await read(head + content.replace("+", "%2B").replace("/", "%2F")) == DATA
    assert await read(head + "\n".join(content[at : at + 76] for at in range(0, len(content), 76))) == DATA
    for limit in (LIMIT - 1, LIMIT - 2, LIMIT - 3, LIMIT - 4, 1):
        assert await fault(head + content, limit) == "data:… is too large"


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("data:image/png,hello", "a data: URI that is not base64"),
        ("data:", "a data: URI that is not base64"),
        ("data:image/png;base64,a$b$", "a data: URI whose base64 is damaged"),
        ("data:image/png;base64,abcde", "a data: URI whose base64 is damaged"),
        ("data:image/png;base64,", "data:… is an empty file"),
    ],
)
async def test_a_damaged_data_uri_is_refused(reference: str, found: str) -> None:
    assert await fault(reference) == found


async def media(_request: Request) -> Response:
    return Response(DATA, media_type="image/png")


async def endless(_request: Request) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        while True:
            yield bytes(65_536)
            # Lets the server notice that nobody listens any more.
            await asyncio.sleep(0)

    return StreamingResponse(chunks(), media_type="image/png")


async def html(_request: Request) -> Response:
    return HTMLResponse("<title>Sign in</title>")


async def zipped(_request: Request) -> Response:
    return Response(gzip.compress(bytes(10_000_000)), headers={"content-encoding": "gzip"})


async def status(request: Request) -> Response:
    return Response(status_code=int(request.path_params["code"]))


async def broken(_request: Request) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"some"
        raise RuntimeError("the disk is gone")

    return StreamingResponse(chunks(), media_type="image/png", headers={"content-length": "1000"})


async def redirect(request: Request) -> Response:
    return RedirectResponse(request.query_params["to"])


APP = Starlette(
    routes=[
        Route("/media.png", media),
        Route("/endless", endless),
        Route("/html", html),
        Route("/zipped", zipped),
        Route("/status/{code:int}", status),
        Route("/broken", broken),
        Route("/redirect", redirect),
    ]
)


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    with served(APP) as port:
        yield f"127.0.0.1:{port}"


async def test_an_allowed_host_is_fetched_from(host: str) -> None:
    assert await read(f"http://{host}/media.png?signature=abc", allow_hosts=[host]) == DATA
    assert await read(f"HTTP://{host}/redirect?to=/media.png", allow_hosts=[host]) == DATA


async def test_a_download_on_the_limit_is_taken_and_a_longer_one_is_not(host: str) -> None:
    assert await read(f"http://{host}/media.png", LIMIT, allow_hosts=[host]) == DATA
    found = await fault(f"http://{host}/media.png?signature=abc", LIMIT - 1, allow_hosts=[host])
    assert found == f"http://{host}/media.png is too large"


async def test_an_endless_download_ends_at_the_limit(host: str) -> None:
    assert (
        await fault(f"http://{host}/endless", 10_000_000, allow_hosts=[host])
        == f"http://{host}/endless is too large"
    )


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("html", "answers with an HTML page"),
        ("zipped", "is sent compressed although that was not asked for"),
        ("status/404", "answers with HTTP 404"),
        ("status/403", "answers with HTTP 403"),
        ("status/204", "answers with HTTP 204"),
    ],
)
async def test_an_answer_that_is_no_file_is_a_fault(host: str, place: str, found: str) -> None:
    reference = f"http://{host}/{place}?signature=abc"

    assert await fault(reference, allow_hosts=[host]) == f"http://{host}/{place} {found}"


@pytest.mark.parametrize("place", ["status/500", "status/503", "status/429", "status/408", "broken"])
async def test_a_host_in_trouble_may_be_tried_again(host: str, place: str) -> None:
    with pytest.raises(SourceUnavailable) as unavailable:
        await read(f"http://{host}/{place}?signature=abc", allow_hosts=[host])

    assert f"http://{host}/{place}" in str(unavailable.value)
    assert "signature" not in str(unavailable.value)


async def test_nobody_listening_may_be_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(SourceUnavailable, match="ConnectError"):
        await read(f"http://127.0.0.1:{port}/a.png", allow_hosts=["127.0.0.1"])


async def test_a_source_that_takes_for_ever_may_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_PATIENCE_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        reference = f"http://127.0.0.1:{silent.getsockname()[1]}/a.png?signature=abc"
        with pytest.raises(SourceUnavailable, match="was not read in time") as unavailable:
            await read(reference, allow_hosts=["127.0.0.1"])

    assert "signature" not in str(unavailable.value)


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/",
        "https://10.0.0.1/",
        "https://user:secret@example.com/",
        "file:///etc/passwd",
    ],
)
async def test_private_addresses_are_a_fault_also_behind_a_redirect(host: str, target: str) -> None:
    found = await fault(f"http://{host}/redirect?to={target}", allow_hosts=[host])
    assert "secret" not in found

    if target.startswith("http"):
        assert await fault(target) == found


async def test_a_host_that_is_not_allowed_is_a_fault(host: str) -> None:
    assert "is not an https address" in await fault(f"http://{host}/media.png")


@pytest.mark.parametrize("reference", ["http://", "https://[bad", "https://a:b:c/", "https://x y/"])
async def test_what_is_no_address_is_a_fault(reference: str) -> None:
    assert await fault(reference)


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
        ("hdfs://a/b.png", "hdfs:// needs a package that is not installed here"),
        ("simplecache::http://127.0.0.1/a.png", "does not exist on this worker"),
        ("blockcache://::http://127.0.0.1/a.png", "chains several file systems"),
        ("zip://a.png::http://127.0.0.1/a.zip", "chains several file systems"),
    ],
)
async def test_file_systems_that_are_not_read_are_a_fault(reference: str, found: str) -> None:
    assert found in await fault(reference)


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


@pytest.mark.parametrize(
    ("reference", "visible"),
    [
        ("/data/a?b#c@d.png", "/data/a?b#c@d.png"),
        ("faces/" + "x" * 300 + ".png", "faces/" + "x" * 300 + ".png"),
        ("https://example.com/a.png?X-Amz-Signature=abc#f", "https://example.com/a.png"),
        ("https://user:pass@example.com:8443/a@2x.png", "https://example.com:8443/a@2x.png"),
        ("https://user@example.com?token=abc", "https://example.com"),
        ("https://us/er:pass@example.com/a.png", "https://us/er:pass@example.com/a.png"),
        ("https://user:pa/ss@example.com/a.png", "https://…"),
        ("s3://bucket/a b/c@2x.png?versionId=1", "s3://bucket/a b/c@2x.png"),
        ("s3://key:sec/ret@bucket/a.png", "s3://…"),
        ("zip://a.png::https://u:p@example.com/a.zip?sig=1", "zip://a.png::https://example.com/a.zip"),
        ("http://[::1]:80/a?b", "http://[::1]:80/a"),
        ("https://[bad/a?secret", "https://…"),
        ("data:image/png;base64,AAAA", "data:…"),
        (" DATA:,x", "data:…"),
        ("a\nb\x1b[31m.png", "a?b?[31m.png"),
        ("Q" * 2_000, "a text of 2,000 characters"),
        ("https://example.com/" + "x" * 2_000, ("https://example.com/" + "x" * 2_000)[:1_024]),
    ],
)
def test_a_reference_is_shown_without_its_secrets(reference: str, visible: str) -> None:
    assert shown(reference) == visible


@pytest.mark.parametrize(
    "reference",
    [
        "https://assets.example.org/faces/host.png",
        "https://assets.example.org/a.png?X-Amz-Signature=abc",
        "HTTPS://assets.example.org:8443/a.png",
        "https://93.184.216.34/a.png",
        "https://[2606:4700::1111]/a.png",
        "https://münchen.de/a.png",
    ],
)
def test_a_public_https_address_is_sent_as_it_is(reference: str) -> None:
    assert sendable_url(f" {reference} ") == reference


@pytest.mark.parametrize(
    "reference",
    [
        "http://assets.example.org/a.png",
        "/faces/host.png",
        "s3://bucket/a.png",
        "data:image/png;base64,AAAA",
        "https://localhost/a.png",
        "https://127.0.0.1/a.png",
        "https://2130706433/a.png",
        "https://10.0.0.1/a.png",
        "https://[::1]/a.png",
        "https://printer/a.png",
        "https://printer.local/a.png",
        "https://db.internal./a.png",
        "https://user:pass@assets.example.org/a.png",
        "https://assets.example.org\\@127.0.0.1/a.png",
        "https://ex%61mple.org/a.png",
        "https://assets.example.org/a b.png",
        "https://assets.example.org/a\u202e.png",
        "https://[bad/a.png",
        "https:///a.png",
        "",
    ],
)
def test_what_the_provider_cannot_fetch_is_not_sent(reference: str) -> None:
    assert sendable_url(reference) is None

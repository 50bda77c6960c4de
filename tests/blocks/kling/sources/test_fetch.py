"""Files from the web, against a real server."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from blocks.errors import SourceUnavailable
from blocks.kling import sources
from tests.blocks.kling.sources.reading import DATA, LIMIT, fault, read
from tests.blocks.local_server import served


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

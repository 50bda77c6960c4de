"""The guard for addresses that strangers name, against real servers."""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
import trustme
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from blocks.transport import AiohttpTransport
from blocks.web import (
    GuardedTransport,
    UnsafeAddress,
    guarded_client,
)
from tests.blocks.local_server import served

PUBLIC = "93.184.216.34"


async def echo(request: Request) -> Response:
    return JSONResponse(
        {"path": request.url.path, "query": request.url.query, "headers": dict(request.headers)}
    )


async def redirect(request: Request) -> Response:
    # Written by hand, because the framework would not send some of these.
    return Response(status_code=302, headers={"location": request.query_params["to"]})


async def hops(request: Request) -> Response:
    left = request.path_params["left"]
    return RedirectResponse(f"/hops/{left - 1}") if left else Response("there")


APP = Starlette(routes=[Route("/echo", echo), Route("/redirect", redirect), Route("/hops/{left:int}", hops)])


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with served(APP) as port:
        yield port


async def test_an_allowed_host_is_reached_by_plain_http(port: int) -> None:
    async with guarded_client([f"127.0.0.1:{port}"]) as client:
        answer = await client.get(f"http://127.0.0.1:{port}/echo?a=b%20c")

    assert (answer.json()["path"], answer.json()["query"]) == ("/echo", "a=b%20c")


async def test_nothing_is_sent_that_tells_who_asks(port: int) -> None:
    async with guarded_client(["127.0.0.1"]) as client:
        headers = (await client.get(f"http://127.0.0.1:{port}/echo")).json()["headers"]

    assert set(headers) == {"host", "accept", "accept-encoding", "connection", "user-agent"}
    assert headers["user-agent"] == "kling-avatar-flows"
    assert headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("allowed", ["127.0.0.1:1", "localhost", "example.com", ""])
async def test_another_host_or_port_is_not_allowed_by_that(port: int, allowed: str) -> None:
    async with guarded_client([allowed]) as client:
        with pytest.raises(UnsafeAddress):
            await client.get(f"http://127.0.0.1:{port}/echo")


async def test_a_host_that_is_allowed_by_name_is_reached_whatever_its_case(port: int) -> None:
    async with guarded_client([f"LocalHost:{port}"]) as client:
        assert (await client.get(f"http://LOCALHOST:{port}/echo")).status_code == 200


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:1/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://169.254.169.254/latest/meta-data/",
        "http://metadata.google.internal/",
        "https://localhost/",
        "file:///etc/passwd",
        "ftp://example.com/x",
        "http://example.com/",
        "https://user:secret@example.com/",
        "//10.0.0.1/",
    ],
)
async def test_a_redirect_from_an_allowed_host_is_checked_like_any_request(port: int, target: str) -> None:
    async with guarded_client([f"127.0.0.1:{port}"]) as client:
        with pytest.raises(UnsafeAddress) as refused:
            await client.get(f"http://127.0.0.1:{port}/redirect", params={"to": target})

    assert "secret" not in str(refused.value)


async def test_a_redirect_within_the_allowed_host_is_followed(port: int) -> None:
    async with guarded_client([f"127.0.0.1:{port}"]) as client:
        answer = await client.get(f"http://127.0.0.1:{port}/redirect?to=/echo")

    assert answer.json()["path"] == "/echo"


async def test_three_redirects_are_followed_and_a_fourth_is_not(port: int) -> None:
    async with guarded_client(["127.0.0.1"]) as client:
        assert (await client.get(f"http://127.0.0.1:{port}/hops/3")).text == "there"
        with pytest.raises(httpx.TooManyRedirects):
            await client.get(f"http://127.0.0.1:{port}/hops/4")


async def test_the_guarded_client_does_not_keep_connections(port: int) -> None:
    async with guarded_client(["127.0.0.1"]) as client:
        await client.get(f"http://127.0.0.1:{port}/echo")
        transport = client._transport
        assert isinstance(transport, GuardedTransport)
        assert isinstance(transport._inner, AiohttpTransport)
        assert transport._inner._session is not None
        connector = transport._inner._session.connector
        assert connector is not None
        assert not connector._conns


async def test_proxies_of_the_environment_are_not_used(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with guarded_client(["127.0.0.1"]) as client:
        assert (await client.get(f"http://127.0.0.1:{port}/echo")).status_code == 200


async def test_passwords_of_the_environment_are_not_sent(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passwords = tmp_path / "netrc"
    passwords.write_text("machine 127.0.0.1 login somebody password hidden\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("NETRC", str(passwords))
    async with guarded_client(["127.0.0.1"]) as client:
        headers = (await client.get(f"http://127.0.0.1:{port}/echo")).json()["headers"]

    assert "authorization" not in headers


async def test_queries_stay_out_of_the_log_also_after_a_redirect(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with guarded_client(["127.0.0.1"]) as client:
        answer = await client.get(
            f"http://127.0.0.1:{port}/redirect?to=/echo%3Fsignature%3Dabcdef&key=ghijkl"
        )

    assert answer.json()["query"] == "signature=abcdef"
    logged = [record.getMessage() for record in caplog.records if record.name == "httpx"]
    assert logged == [
        f'HTTP Request: GET http://127.0.0.1:{port}/redirect "HTTP/1.1 302 Found"',
        f'HTTP Request: GET http://127.0.0.1:{port}/echo "HTTP/1.1 200 OK"',
    ]
    assert "abcdef" not in repr(answer.request.url)


class ToLoopback(aiohttp.TCPConnector):
    """Connects to a server of this machine whatever the address, so that public ones can be tried."""

    def __init__(self, port: int, trusted: ssl.SSLContext) -> None:
        super().__init__(ssl=trusted, force_close=True)
        self.port = port
        self.asked: list[tuple[str, int]] = []

    async def _resolve_host(self, host: str, port: int, traces: Any = None) -> Any:
        self.asked.append((host, port))
        return await super()._resolve_host("127.0.0.1", self.port, traces)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def secure_port(authority: trustme.CA) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("films.example.com").configure_cert(context)
    with served(APP, context) as port:
        yield port


Secure = tuple[httpx.AsyncClient, ToLoopback]


async def always_public(_host: str, _port: int) -> Sequence[str]:
    return [PUBLIC]


@pytest.fixture
async def secure(authority: trustme.CA, secure_port: int) -> AsyncIterator[Secure]:
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    network = ToLoopback(secure_port, trusted)
    inner = AiohttpTransport(trusted, network)
    transport = GuardedTransport((), inner, always_public)
    async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
        yield client, network


async def test_the_certificate_is_checked_against_the_name_although_the_address_is_pinned(
    secure: Secure,
) -> None:
    client, network = secure
    answer = await client.get("https://films.example.com/echo")
    assert answer.json()["headers"]["host"] == "films.example.com"
    assert network.asked == [(PUBLIC, 443)]

    with pytest.raises(httpx.ConnectError, match="certificate"):
        await client.get("https://other.example.com/echo")

"""aiohttp's connections below an httpx client, against a real server."""

from __future__ import annotations

import asyncio
import traceback

import httpx
import pytest

from blocks.web import QuietURL, guarded_client
from tests.blocks.kling.wire import Received, Script, say, serve

SIGNED = "/a%2Fb%7Ec?X-Signature=5ec2e7%2B%2f%7E&list=a,b&plus=a+b"


async def cookie(_: Received, writer: asyncio.StreamWriter) -> None:
    await say(writer, 200, b"here", {"Set-Cookie": "seen=1; Path=/"})


async def nonsense(_: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nno header\r\n\r\n")
    await writer.drain()
    writer.close()


async def gone(_: Received, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def long_header(_: Received, writer: asyncio.StreamWriter) -> None:
    await say(writer, 302, b"", {"Location": f"/next?X-Signature={'a' * 20_000}"})


@pytest.mark.parametrize("quiet", [True, False])
async def test_a_signed_address_is_asked_for_exactly_as_it_was_given(quiet: bool) -> None:
    async with serve(cookie) as wire, guarded_client(["127.0.0.1"]) as client:
        request = client.build_request("GET", wire.url + SIGNED)
        request.url = QuietURL(request.url) if quiet else request.url
        await client.send(request)
    assert wire.requests[0].target == SIGNED


async def test_no_cookie_is_kept_below_the_client() -> None:
    async with serve(cookie) as wire, guarded_client(["127.0.0.1"]) as client:
        await client.get(wire.url)
        client.cookies.clear()
        await client.get(wire.url)
    assert "cookie" not in wire.requests[1].headers


@pytest.mark.parametrize("host", [nonsense, gone])
async def test_a_broken_answer_is_an_error_of_httpx_that_does_not_tell_the_signature(host: Script) -> None:
    async with serve(host) as wire, guarded_client(["127.0.0.1"]) as client:
        with pytest.raises(httpx.RemoteProtocolError) as raised:
            await client.get(wire.url + SIGNED)
    assert "5ec2e7" not in "".join(traceback.format_exception(raised.value))
    assert len(wire.requests) == 1


async def test_a_redirect_to_a_long_address_is_read() -> None:
    async with serve(long_header) as wire, guarded_client(["127.0.0.1"]) as client:
        answer = await client.get(wire.url, follow_redirects=False)
    assert len(answer.headers["location"]) > 20_000


async def test_a_body_is_sent() -> None:
    async with serve(cookie) as wire, guarded_client(["127.0.0.1"]) as client:
        await client.post(wire.url, content=b"a question")
    assert wire.requests[0].body == b"a question"

"""Whatever happens to a POST: it is one POST, and called unbought only when nothing can have arrived."""

from __future__ import annotations

import asyncio
import socket

import httpx
import pytest
from pydantic import SecretStr

from blocks.errors import (
    AvatarError,
    NotSent,
    OutcomeUnknown,
    RequestRejected,
)
from blocks.kling.client import KlingClient, Timeouts
from tests.blocks.kling.asking import (
    BIG,
    KEY,
    QUICK,
    REQUEST,
    client_for,
    create,
)
from tests.blocks.kling.wire import (
    Received,
    Script,
    a_slow_body,
    half_a_body,
    half_a_head,
    listen,
    never,
    no_answer,
    no_http,
    read_head,
    reset,
    reset_instead_of_answer,
    say,
    serve,
    too_long_an_answer,
)


@pytest.mark.parametrize(
    "script",
    [no_answer, reset_instead_of_answer, never, half_a_head, no_http, half_a_body, a_slow_body,
     too_long_an_answer],
)  # fmt: skip
async def test_a_sent_post_without_a_whole_answer_may_have_been_bought_and_is_not_repeated(
    script: Script,
) -> None:
    async with serve(script) as wire:
        failure = await create(wire.url, timeouts=QUICK)
        await asyncio.sleep(0.05)
    assert type(failure) is OutcomeUnknown
    assert failure.charged == "unknown"
    assert wire.posts == 1
    assert wire.connections == 1


@pytest.mark.parametrize("ending", ["close", "reset", "silence"])
async def test_a_post_that_is_cut_while_it_is_sent_may_have_been_bought(ending: str) -> None:
    heads = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await read_head(reader))
        await reader.readexactly(100_000)
        if ending == "silence":
            await asyncio.sleep(60)
        if ending == "reset":
            reset(writer)
        writer.close()

    async with listen(talk) as url:
        failure = await create(url, BIG, QUICK)
    assert type(failure) is OutcomeUnknown
    assert len(heads) == 1


async def test_a_refusal_counts_even_if_the_rest_of_it_is_cut() -> None:
    async def script(_: Received, writer: asyncio.StreamWriter) -> None:
        await say(writer, 413, b"too large", {"Content-Length": "5000"})
        writer.close()

    async with serve(script) as wire:
        failure = await create(wire.url)
    assert type(failure) is RequestRejected
    assert failure.facts.http_status == 413


async def test_a_refused_connection_means_not_sent() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        failure = await create(f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert type(failure) is NotSent
    assert failure.charged == "no"


@pytest.mark.parametrize("answers", ["silence", "nonsense", "close"])
@pytest.mark.parametrize("limit", ["connect_seconds", "create_seconds"])
async def test_a_tls_handshake_that_fails_means_not_sent(answers: str, limit: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        if answers == "silence":
            await asyncio.sleep(60)
        if answers == "nonsense":
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await writer.drain()
        writer.close()

    timeouts = Timeouts(**{"connect_seconds": 5, "create_seconds": 5, limit: 0.3})
    async with listen(talk) as url:
        failure = await create(url.replace("http:", "https:"), timeouts=timeouts)
    assert type(failure) is NotSent


class Failing(httpx.AsyncBaseTransport):
    """Breaks in a way nobody foresaw, before or after it took the body."""

    def __init__(self, *, takes_body: bool, error: BaseException | None) -> None:
        self.takes_body = takes_body
        self.error = error

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.takes_body:
            await request.aread()
        if self.error:
            raise self.error
        await asyncio.sleep(60)
        raise AssertionError


@pytest.mark.parametrize(
    "error", [None, RuntimeError("?"), httpx.ReadError("?"), httpx.DecodingError("?")], ids=str
)
@pytest.mark.parametrize(("takes_body", "kind"), [(False, NotSent), (True, OutcomeUnknown)])
async def test_whatever_breaks_it_depends_on_the_body_whether_it_may_have_been_bought(
    takes_body: bool, kind: type[AvatarError], error: BaseException | None
) -> None:
    transport = Failing(takes_body=takes_body, error=error)
    async with KlingClient(SecretStr(KEY), timeouts=QUICK, transport=transport) as client:
        with pytest.raises(AvatarError) as failure:
            await client.create(REQUEST)
    assert type(failure.value) is kind


async def test_a_layer_that_sends_the_body_twice_does_not_get_it_twice() -> None:
    class Twice(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            assert isinstance(request.stream, httpx.AsyncByteStream)
            bodies.append(b"".join([chunk async for chunk in request.stream]))
            bodies.append(b"".join([chunk async for chunk in request.stream]))
            return httpx.Response(200)

    bodies: list[bytes] = []
    async with KlingClient(SecretStr(KEY), transport=Twice()) as client:
        with pytest.raises(OutcomeUnknown, match="once only"):
            await client.create(REQUEST)
    assert len(bodies) == 1


async def test_cancelling_passes_through_and_nothing_is_sent_again() -> None:
    arrived = asyncio.Event()

    async def script(_: Received, __: asyncio.StreamWriter) -> None:
        arrived.set()
        await asyncio.sleep(60)

    async with serve(script) as wire, client_for(wire.url) as client:
        task = asyncio.create_task(client.create(REQUEST))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.05)
    assert wire.posts == 1

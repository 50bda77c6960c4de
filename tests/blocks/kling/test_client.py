"""One create is one POST, whatever happens to it; and the key goes nowhere else."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import pickle
import socket
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from blocks.errors import (
    AvatarError,
    NotSent,
    OutcomeUnknown,
    ProviderError,
    ProviderUnavailable,
    RequestRejected,
    SlowDown,
    TaskNotFound,
)
from blocks.kling.client import KlingClient, Timeouts
from blocks.kling.models import AvatarRequest, TaskStatus
from tests.blocks.kling.test_failures import SAMPLES
from tests.blocks.kling.wire import (
    Received,
    Script,
    answering,
    head,
    listen,
    read_head,
    read_request,
    reset,
    sample,
    say,
    self_signed,
    serve,
)

KEY = "comet-5ec2e7-0123456789abcdef"
ID = "880000000000000001"
EXTERNAL_ID = "5b1c2f5e-3c0f-5d8a-9a41-7f5d0c9e1a01"
PATH = "/kling/v1/videos/avatar/image2video"
REQUEST = AvatarRequest(
    image="aW1hZ2U=", sound_file="c291bmQ=", prompt="Rustig.", mode="pro", external_task_id=EXTERNAL_ID
)
BIG = REQUEST.model_copy(update={"image": base64.b64encode(os.urandom(9_000_000)).decode()})
QUICK = Timeouts(connect_seconds=5, create_seconds=0.6, read_seconds=0.6)
PATIENT = Timeouts(connect_seconds=5, create_seconds=20, read_seconds=20)


def client_for(url: str, timeouts: Timeouts = PATIENT) -> KlingClient:
    return KlingClient(SecretStr(KEY), url, timeouts=timeouts)


async def create(url: str, request: AvatarRequest = REQUEST, timeouts: Timeouts = PATIENT) -> AvatarError:
    async with client_for(url, timeouts) as client:
        with pytest.raises(AvatarError) as failure:
            await client.create(request)
    return failure.value


async def test_create_sends_what_is_documented_and_returns_what_was_bought() -> None:
    async with serve(answering("create-accepted")) as wire, client_for(wire.url) as client:
        task = await client.create(REQUEST)
    assert (task.task_id, task.status) == (ID, TaskStatus.SUBMITTED)
    (request,) = wire.requests
    assert (request.method, request.target) == ("POST", PATH)
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["content-type"] == "application/json"
    assert "transfer-encoding" not in request.headers
    assert json.loads(request.body) == {
        "image": "aW1hZ2U=", "sound_file": "c291bmQ=", "prompt": "Rustig.", "mode": "pro",
        "external_task_id": EXTERNAL_ID,
    }  # fmt: skip


async def test_twelve_megabytes_arrive_whole() -> None:
    async with serve(answering("create-accepted")) as wire, client_for(wire.url) as client:
        await client.create(BIG)
    assert json.loads(wire.requests[0].body)["image"] == BIG.image


@pytest.mark.parametrize("name", sorted(SAMPLES))
async def test_every_documented_error_is_one_post_and_its_own_exception(name: str) -> None:
    async with serve(answering(name)) as wire:
        failure = await create(wire.url)
        await asyncio.sleep(0.01)
    assert type(failure) is SAMPLES[name][0]
    assert wire.posts == 1
    back: AvatarError = pickle.loads(pickle.dumps(failure))  # noqa: S301  # our own bytes
    assert back.facts == failure.facts


async def no_answer(_: Received, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def reset_instead_of_answer(_: Received, writer: asyncio.StreamWriter) -> None:
    reset(writer)


async def never(_: Received, __: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def half_a_head(_: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")
    await writer.drain()
    writer.close()


async def no_http(_: Received, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail ready\r\n\r\n")
    await writer.drain()


async def half_a_body(_: Received, writer: asyncio.StreamWriter) -> None:
    status, content = sample("create-accepted")
    await say(writer, status, content[:40], {"Content-Length": str(len(content))})
    writer.close()


async def a_slow_body(_: Received, writer: asyncio.StreamWriter) -> None:
    status, content = sample("create-accepted")
    writer.write(head(status, {"Content-Length": str(len(content))}))
    for byte in content:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.05)


async def too_long_an_answer(_: Received, writer: asyncio.StreamWriter) -> None:
    await say(writer, 200, b'{"code": 0, "message": "' + b"x" * 5_000_000 + b'"}')


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


async def test_a_host_whose_certificate_is_not_its_own_gets_nothing(tmp_path: Path) -> None:
    received = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read())
        writer.close()

    async with listen(talk, self_signed(tmp_path)) as url:
        failure = await create(url)
    assert type(failure) is NotSent
    assert "CERTIFICATE_VERIFY_FAILED" in failure.message
    assert b"".join(received) == b""


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


@pytest.mark.parametrize("answer", ["407 Who", "502 Bad", "nothing"])
async def test_a_proxy_that_does_not_connect_means_not_sent_and_never_sees_the_key(
    answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_request(reader)
        seen.append(request)
        if answer != "nothing":
            writer.write(f"HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
        writer.close()

    async with listen(talk) as url:
        monkeypatch.setenv("HTTPS_PROXY", url)
        failure = await create("https://api.cometapi.example")
    assert type(failure) is NotSent
    assert [request.method for request in seen] == ["CONNECT"]
    assert KEY not in repr(seen)


async def test_http_on_this_machine_uses_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with serve(answering("create-accepted")) as wire, client_for(wire.url) as client:
        assert (await client.create(REQUEST)).task_id == ID


async def test_each_post_has_a_connection_of_its_own_and_reads_share_one() -> None:
    async def script(request: Received, writer: asyncio.StreamWriter) -> None:
        await answering("create-accepted" if request.method == "POST" else "query-processing")(
            request, writer
        )

    async with serve(script) as wire, client_for(wire.url) as client:
        for _ in range(3):
            await client.get(ID)
        assert wire.connections == 1
        for _ in range(3):
            await client.create(REQUEST)
        assert wire.connections == 4
    assert all(it.headers["connection"] == "close" for it in wire.requests if it.method == "POST")


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


Call = Callable[[KlingClient], Awaitable[object]]
CALLS: dict[str, Call] = {
    "create": lambda client: client.create(REQUEST),
    "get": lambda client: client.get(ID),
    "find": lambda client: client.find(EXTERNAL_ID),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed_and_the_key_stays_here(call: str, status: int) -> None:
    async with serve(answering("query-processing")) as elsewhere:

        async def script(_: Received, writer: asyncio.StreamWriter) -> None:
            await say(writer, status, b"", {"Location": f"{elsewhere.url}/kling?key=1"})

        async with serve(script) as wire, client_for(wire.url) as client:
            with pytest.raises(ProviderError, match="base URL"):
                await CALLS[call](client)
        assert elsewhere.connections == 0
        assert len(wire.requests) == 1


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("script", [no_answer, half_a_head, "echo"])
async def test_key_and_media_are_in_no_exception_log_or_repr(
    call: str, script: Script | str, caplog: pytest.LogCaptureFixture
) -> None:
    async def echo(request: Received, writer: asyncio.StreamWriter) -> None:
        said = f"{request.headers} {request.body!r}"
        await say(writer, 401, json.dumps({"message": said}).encode())

    caplog.set_level(logging.DEBUG)
    request = REQUEST.model_copy(update={"image": "SECRETIMAGE" * 1000})
    async with serve(echo if isinstance(script, str) else script) as wire:
        async with client_for(wire.url, QUICK) as client:
            with pytest.raises(ProviderError) as failure:
                await (client.create(request) if call == "create" else CALLS[call](client))
        shown = "".join(traceback.format_exception(failure.value)) + repr(failure.value) + caplog.text
        shown += repr(pickle.dumps(failure.value)) + repr(client) + repr(vars(client))
    assert "5ec2e7" not in shown
    assert "SECRETIMAGE" not in shown
    assert failure.value.__context__ is None


async def test_get_reads_a_task_by_id_and_shows_our_key_to_the_api_only() -> None:
    async with serve(answering("query-succeed")) as wire, client_for(wire.url) as client:
        task = await client.get(ID)
    assert task.status is TaskStatus.SUCCEED
    assert (wire.requests[0].method, wire.requests[0].target) == ("GET", f"{PATH}/{ID}")
    assert wire.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert wire.requests[0].body == b""


async def test_another_query_path_is_used_as_configured() -> None:
    async with serve(answering("query-processing")) as wire:
        client = KlingClient(SecretStr(KEY), f"{wire.url}/comet/", "/v1/{task_id}/status")
        async with client:
            await client.get("a?b")
    assert wire.requests[0].target == "/comet/v1/a%3Fb/status"


@pytest.mark.parametrize(
    "script", [no_answer, reset_instead_of_answer, never, half_a_head, half_a_body, a_slow_body, no_http]
)
@pytest.mark.parametrize("call", ["get", "find"])
async def test_a_read_without_a_whole_answer_is_no_verdict_and_is_not_repeated(
    script: Script, call: str
) -> None:
    async with serve(script) as wire, client_for(wire.url, QUICK) as client:
        with pytest.raises(ProviderUnavailable) as failure:
            await CALLS[call](client)
    assert failure.value.charged == "unknown"
    assert len(wire.requests) == 1


async def test_an_unknown_task_is_not_found_by_id_and_absent_by_name() -> None:
    async with serve(answering("error-404-1203")) as wire, client_for(wire.url) as client:
        with pytest.raises(TaskNotFound) as failure:
            await client.get(ID)
        assert failure.value.facts.kling_task_id == ID
        assert await client.find(EXTERNAL_ID) is None
    assert wire.requests[1].target == f"{PATH}/{EXTERNAL_ID}"


async def test_a_task_is_found_by_our_name_and_another_ones_is_not_ours() -> None:
    async with serve(answering("query-succeed")) as wire, client_for(wire.url) as client:
        found = await client.find(EXTERNAL_ID)
        assert found is not None
        assert found.task_id == ID
        with pytest.raises(ProviderUnavailable):
            await client.find("another-name")


async def test_a_wait_is_carried_by_the_exception() -> None:
    async def script(_: Received, writer: asyncio.StreamWriter) -> None:
        await say(writer, 429, b'{"code": 1302, "message": "slower"}', {"Retry-After": "21"})

    async with serve(script) as wire, client_for(wire.url) as client:
        for call in CALLS.values():
            with pytest.raises(SlowDown) as failure:
                await call(client)
            assert failure.value.facts.retry_after == 21

"""The key goes to the API and nowhere else; key and media are shown nowhere."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import traceback
from pathlib import Path

import pytest

from blocks.errors import (
    NotSent,
    ProviderError,
)
from tests.blocks.kling.asking import (
    CALLS,
    ID,
    KEY,
    QUICK,
    REQUEST,
    client_for,
    create,
)
from tests.blocks.kling.wire import (
    Received,
    Script,
    answering,
    half_a_head,
    listen,
    no_answer,
    read_request,
    say,
    self_signed,
    serve,
)


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

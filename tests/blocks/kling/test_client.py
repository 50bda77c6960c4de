"""The client asks as documented, once, and hands back what came."""

from __future__ import annotations

import asyncio
import json
import pickle

import pytest
from pydantic import SecretStr

from blocks.errors import (
    AvatarError,
    ProviderUnavailable,
    SetupMissing,
    SlowDown,
    TaskNotFound,
)
from blocks.kling.client import KlingClient
from blocks.kling.models import TaskStatus
from tests.blocks.kling.asking import (
    BIG,
    CALLS,
    EXTERNAL_ID,
    ID,
    KEY,
    PATH,
    QUICK,
    REQUEST,
    client_for,
    create,
)
from tests.blocks.kling.test_failures import SAMPLES
from tests.blocks.kling.wire import (
    Received,
    Script,
    a_slow_body,
    answering,
    half_a_body,
    half_a_head,
    never,
    no_answer,
    no_http,
    reset_instead_of_answer,
    say,
    serve,
)


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
        # On a busy machine the client may give up before the server has looked.
        async with asyncio.timeout(10):
            while not wire.requests:
                await asyncio.sleep(0.05)
    assert failure.value.charged == "unknown"
    assert len(wire.requests) == 1


async def test_a_task_can_be_read_by_the_path_it_was_submitted_with() -> None:
    async with serve(answering("query-processing")) as wire, client_for(wire.url) as client:
        await client.get(ID, "/earlier/{task_id}")
        with pytest.raises(SetupMissing):
            await client.get(ID, "https://elsewhere.example/{task_id}")
    assert [request.target for request in wire.requests] == [f"/earlier/{ID}"]


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

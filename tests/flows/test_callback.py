"""The receiver gives everybody the same answer, believes nobody, and tells Prefect of genuine calls once."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from starlette.types import Message

from blocks.errors import SetupMissing
from flows.callback import app, hide_path
from flows.tasks.waiting import bell
from flows.tasks.waiting.receiver import Receiver, find_secrets
from tests.blocks.kling.test_callback import signed
from tests.flows.calling import SECRET, SIGNING, path_of, receiver, saying


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bell, "_PAUSES", (0.0, 0.1, 0.2, 0.4, 0.8))


@pytest.fixture
def job_id() -> str:
    return secrets.token_hex(32)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bytes, bool]]:
    """What the receiver would tell Prefect; for tests in which that would be for nothing."""
    heard: list[tuple[str, bytes, bool]] = []

    def ring(_: Any, job_id: str, body: bytes, *, resume: bool) -> None:
        heard.append((job_id, body, resume))

    monkeypatch.setattr(bell.Bell, "ring", ring)
    return heard


async def events_about(job_id: str, number: int) -> list[dict[str, Any]]:
    """Wait until there are so many events about a job, and a moment longer for those that should not be."""
    wanted = {"filter": {"resource": {"id": [f"kling-avatar.job.{job_id}"]}}}
    found: list[dict[str, Any]] = []
    async with get_client() as client:
        for _ in range(300):
            answer = await client.request("POST", "/events/filter", json=wanted)
            if len(found) >= number:
                return list(answer.json()["events"])
            found = answer.json()["events"]
            await asyncio.sleep(0.2)
    raise AssertionError(f"{len(found)} events")


def facts(answer: httpx.Response) -> tuple[int, bytes, list[tuple[str, str]]]:
    return answer.status_code, answer.content, answer.headers.multi_items()


async def test_one_event_for_each_move_and_none_for_a_repeated_call(
    monkeypatch: pytest.MonkeyPatch, job_id: str
) -> None:
    async with receiver(monkeypatch) as client:
        for status in ("submitted", "processing", "succeed", "succeed", "processing"):
            assert (await client.post(path_of(job_id), content=saying(status))).status_code == 200
        found = await events_about(job_id, 3)
    assert len(found) == 3
    assert {event["event"] for event in found} == {"kling-avatar.task.moved"}
    assert [event["payload"] for event in found] == [{"job_id": job_id}] * 3


async def test_right_wrong_and_unknown_addresses_get_the_same_answer(
    monkeypatch: pytest.MonkeyPatch, job_id: str, told: list[tuple[str, bytes, bool]]
) -> None:
    body = saying("succeed")
    async with receiver(monkeypatch) as client:
        right = facts(await client.post(path_of(job_id), content=body))
        for path in (
            path_of(job_id, SECRET[::-1]),
            path_of(job_id)[:-1],
            f"/kling/{job_id}",
            "/",
            "/%0A",
            "/metrics",
        ):
            assert facts(await client.post(path, content=body)) == right
        for method in ("GET", "PUT", "DELETE", "OPTIONS", "PATCH"):
            assert facts(await client.request(method, path_of(job_id))) == right
        too_long = b" " * (64 * 1024 + 1)
        assert facts(await client.post(path_of(job_id), content=too_long)) == right
    assert right[:2] == (200, b"")
    assert told == [(job_id, body, True)]


async def test_with_a_signing_secret_only_signed_calls_change_anything(
    monkeypatch: pytest.MonkeyPatch, job_id: str, told: list[tuple[str, bytes, bool]]
) -> None:
    body = saying("succeed")
    good = signed(body, time.time())
    async with receiver(monkeypatch, SIGNING) as client:
        plain = facts(await client.post(path_of(job_id), content=body))
        forged = good | {"webhook-signature": "v1,AAAA"}
        assert facts(await client.post(path_of(job_id), content=body, headers=forged)) == plain
        assert facts(await client.post(path_of(job_id), content=body + b" ", headers=good)) == plain
        assert told == []
        assert facts(await client.post(path_of(job_id), content=body, headers=good)) == plain
    assert told == [(job_id, body, True)]


# An application sees the path decoded and headers as bytes, whatever bytes these are.
_PATHS = st.text(max_size=200).map(lambda text: f"/{text}")
_HEADERS = st.lists(
    st.tuples(
        st.sampled_from([b"webhook-id", b"webhook-timestamp", b"webhook-signature", b"content-type", b"x"]),
        st.binary(max_size=60),
    ),
    max_size=6,
)
_BODIES = st.lists(st.binary(max_size=300) | st.sampled_from([b" " * 40_000, b"[" * 9_000]), max_size=4)


async def _answer_of(
    running: Any, scope: dict[str, Any], chunks: list[bytes], *, hangs_up: bool
) -> list[int]:
    messages: list[Message] = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    ending: Message = {"type": "http.disconnect"} if hangs_up else {"type": "http.request", "body": b""}
    statuses: list[int] = []

    async def receive() -> Message:
        return messages.pop(0) if messages else ending

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await running(scope, receive, send)
    return statuses


def test_no_request_makes_it_fail(told: list[tuple[str, bytes, bool]]) -> None:
    right = path_of("ab" * 32)

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        method=st.sampled_from(["POST", "GET", "HEAD", "TRACE", "PÖST", ""]),
        path=_PATHS | st.just(right),
        headers=_HEADERS,
        chunks=_BODIES,
        signing=st.booleans(),
        hangs_up=st.booleans(),
    )
    def try_out(signing: bool, hangs_up: bool, chunks: list[bytes], **request: Any) -> None:
        scope = {"type": "http", "query_string": b"", "http_version": "1.1", **request}
        running = running_with[signing]
        statuses = loop.run(_answer_of(running, scope, chunks, hangs_up=hangs_up))
        assert statuses == ([] if hangs_up and sum(map(len, chunks)) <= 64 * 1024 else [200])

    with asyncio.Runner() as loop:
        running_with = [loop.run(_bare(signing)) for signing in ("", SIGNING)]
        try_out()
    assert {job for job, _, _ in told} <= {"ab" * 32}


async def _bare(signing: str) -> Any:
    environment = {"COMETAPI_CALLBACK_SECRET": SECRET, "COMETAPI_SIGNING_SECRET": signing}
    return Receiver(await find_secrets(environment), bell.Bell())


async def test_a_call_while_prefect_is_down_is_answered_and_forgotten(
    monkeypatch: pytest.MonkeyPatch, job_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        async with receiver(monkeypatch) as client:
            answer = await client.post(path_of(job_id), content=saying("succeed"))
            assert answer.status_code == 200
            await asyncio.sleep(1.0)
    assert path_of(job_id).rpartition("/")[2] not in caplog.text


def test_the_access_log_does_not_show_the_token() -> None:
    args = ("127.0.0.1:5", "POST", "/kling/t0ken", "1.1", 200)
    record = logging.LogRecord("uvicorn.access", 20, "", 1, '%s - "%s %s HTTP/%s" %d', args, None)
    assert hide_path(record)
    assert record.getMessage() == '127.0.0.1:5 - "POST /[...] HTTP/1.1" 200'


@pytest.mark.parametrize(
    "environment",
    [
        {"COMETAPI_CALLBACK_SECRET": "short"},
        {"COMETAPI_CALLBACK_SECRET": SECRET, "COMETAPI_SIGNING_SECRET": "no secret of Kling"},
    ],
    ids=["short", "signing"],
)
async def test_it_does_not_start_with_secrets_that_protect_nothing(environment: dict[str, str]) -> None:
    with pytest.raises(SetupMissing) as missing:
        await find_secrets(environment)
    assert not [value for value in environment.values() if value in str(missing.value)]


async def test_a_web_socket_is_closed() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    await app({"type": "websocket", "path": "/"}, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"]

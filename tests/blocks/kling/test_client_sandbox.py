"""The client against the sandbox, which knows none of our code: the second opinion about the wire."""

from __future__ import annotations

import base64
import hashlib
import os
import uuid
from collections.abc import Iterator
from importlib.resources import files

import pytest
from pydantic import SecretStr

from blocks.errors import (
    AccessRefused,
    AccountExhausted,
    AvatarError,
    ClipUnavailable,
    ContentRefused,
    OutcomeUnknown,
    ProviderError,
    ProviderUnavailable,
    RequestRejected,
    SlowDown,
    TaskNotFound,
)
from blocks.kling.client import KlingClient, Timeouts
from blocks.kling.delivery import Delivery
from blocks.kling.models import AvatarRequest, KlingTask, TaskStatus
from blocks.sandbox.serve import RunningSandbox, running_sandbox
from blocks.web import guarded_client

KEY = "sandbox-0123456789abcdef"
SAMPLES = files("blocks.sandbox") / "samples"
PORTRAIT = base64.b64encode((SAMPLES / "portrait.png").read_bytes()).decode()
VOICE = base64.b64encode((SAMPLES / "voice.mp3").read_bytes()).decode()


@pytest.fixture(scope="module")
def server() -> Iterator[RunningSandbox]:
    with running_sandbox(key=KEY, fast_clip=True) as running:
        yield running


@pytest.fixture
def sandbox(server: RunningSandbox) -> RunningSandbox:
    server.reset()
    return server


def request(**changes: str | None) -> AvatarRequest:
    fields: dict[str, str | None] = {
        "image": PORTRAIT,
        "sound_file": VOICE,
        "prompt": "Calm presenter.",
        "external_task_id": str(uuid.uuid4()),
    }
    return AvatarRequest.model_validate(fields | changes)


def client_for(sandbox: RunningSandbox, key: str = KEY, seconds: float = 30) -> KlingClient:
    return KlingClient(SecretStr(key), sandbox.url, timeouts=Timeouts(10, seconds, seconds))


async def bought(sandbox: RunningSandbox, client: KlingClient) -> KlingTask:
    task = await client.create(request())
    sandbox.advance(600)
    return await client.get(task.task_id)


async def test_a_video_is_bought_followed_and_fetched(sandbox: RunningSandbox) -> None:
    wanted = request()
    async with client_for(sandbox) as client, guarded_client(["127.0.0.1"]) as web:
        created = await client.create(wanted)
        assert created.status is TaskStatus.SUBMITTED
        sandbox.advance(2)
        assert (await client.get(created.task_id)).status is TaskStatus.PROCESSING
        sandbox.advance(600)
        done = await client.get(created.task_id)
        found = await client.find(wanted.external_task_id)
        assert done.video is not None
        async with Delivery(done.video.url, client=web) as delivery:
            content = b"".join([chunk async for chunk in delivery])
    assert found is not None
    assert found.task_id == created.task_id == done.task_id
    assert done.external_task_id == wanted.external_task_id
    assert done.charged_units is not None
    (known,) = sandbox.tasks()[0]["clips"]
    assert (hashlib.sha256(content).hexdigest(), len(content)) == (known["sha256"], known["size"])
    assert sandbox.ledger()["posts"] == 1


async def test_the_largest_documented_request_arrives(sandbox: RunningSandbox) -> None:
    image = (SAMPLES / "portrait.png").read_bytes()
    largest = image + os.urandom(10_000_000 - len(image))
    async with client_for(sandbox) as client:
        task = await client.create(request(image=base64.b64encode(largest).decode()))
    assert task.task_id


# What each fault at the POST is to us, and whether the sandbox had charged for it.
FAULTS: dict[str, tuple[type[ProviderError], bool]] = {
    "lost-response": (OutcomeUnknown, True),
    "500-after-accept": (OutcomeUnknown, True),
    "504-5002-after-accept": (OutcomeUnknown, True),
    "500-before-accept": (OutcomeUnknown, False),
    "500-invalid-request": (RequestRejected, False),
    "429-1302": (SlowDown, False),
    "429-1303": (SlowDown, False),
    "429-1102": (AccountExhausted, False),
    "429-plain": (SlowDown, False),
    "503-5001": (OutcomeUnknown, False),
    "html": (OutcomeUnknown, False),
    "redirect": (RequestRejected, False),
    "1301": (ContentRefused, False),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_at_the_post_is_one_post_and_never_called_unbought_when_it_was_bought(
    sandbox: RunningSandbox, fault: str
) -> None:
    sandbox.fault(fault)
    wanted = request()
    async with client_for(sandbox) as client:
        with pytest.raises(AvatarError) as failure:
            await client.create(wanted)
        sandbox.clear_faults()
        found = await client.find(wanted.external_task_id)
    kind, was_bought = FAULTS[fault]
    assert type(failure.value) is kind
    assert sandbox.ledger()["posts"] == 1
    assert (found is not None) is was_bought
    assert (failure.value.charged == "unknown") if was_bought else True


async def test_an_answer_that_comes_too_late_may_have_been_bought(sandbox: RunningSandbox) -> None:
    sandbox.fault("slow", seconds=5)
    async with client_for(sandbox, seconds=1) as client:
        with pytest.raises(OutcomeUnknown):
            await client.create(request())
    assert sandbox.ledger()["posts"] == 1


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"image": "bm8gaW1hZ2U="}, RequestRejected),
        ({"sound_file": None, "audio_id": "880000000000000102"}, RequestRejected),
    ],
    ids=str,
)
async def test_what_the_provider_refuses_is_not_bought(
    sandbox: RunningSandbox, changes: dict[str, str | None], kind: type[ProviderError]
) -> None:
    async with client_for(sandbox) as client:
        with pytest.raises(kind) as failure:
            await client.create(request(**changes))
    assert type(failure.value) is kind
    assert failure.value.facts.service_code == 1201
    assert failure.value.facts.request_id


async def test_another_key_is_refused(sandbox: RunningSandbox) -> None:
    async with client_for(sandbox, "another-0123456789abcdef") as client:
        for call in (client.create(request()), client.get("1"), client.find("1")):
            with pytest.raises(AccessRefused):
                await call


async def test_a_name_that_was_used_is_not_called_unbought(sandbox: RunningSandbox) -> None:
    sandbox.set(duplicate_external_id="reject")
    wanted = request()
    async with client_for(sandbox) as client:
        task = await client.create(wanted)
        with pytest.raises(OutcomeUnknown):
            await client.create(wanted)
        found = await client.find(wanted.external_task_id)
    assert found is not None
    assert found.task_id == task.task_id


@pytest.mark.parametrize("shape", ["kling", "gateway", "null"])
async def test_an_unknown_task_is_absent_in_every_shape(sandbox: RunningSandbox, shape: str) -> None:
    sandbox.set(unknown_task=shape)
    async with client_for(sandbox) as client:
        assert await client.find(str(uuid.uuid4())) is None
        with pytest.raises(TaskNotFound):
            await client.get("880000000000000404")


@pytest.mark.parametrize("fault", ["wrapped-envelope", "variant-c", "variant-d"])
async def test_a_finished_task_is_read_in_every_envelope(sandbox: RunningSandbox, fault: str) -> None:
    sandbox.fault(fault, endpoint="query")
    async with client_for(sandbox) as client:
        task = await bought(sandbox, client)
    assert task.status is TaskStatus.SUCCEED
    assert task.video is not None


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("unknown-status", TaskStatus.UNKNOWN),
        ("stuck", TaskStatus.PROCESSING),
        ("succeed-without-url", TaskStatus.SUCCEED),
        ("failed-moderation", TaskStatus.FAILED),
        ("failed-1303", TaskStatus.FAILED),
    ],
)
async def test_what_becomes_of_a_task_is_told_apart(
    sandbox: RunningSandbox, fault: str, status: TaskStatus
) -> None:
    sandbox.fault(fault)
    async with client_for(sandbox) as client:
        task = await bought(sandbox, client)
    assert task.status is status
    assert task.video is None
    assert task.is_curable is (fault == "failed-1303")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("query-500", ProviderUnavailable),
        ("query-html", ProviderUnavailable),
        ("query-1203-early", TaskNotFound),
        ("lost-response", ProviderUnavailable),
        ("redirect", ProviderUnavailable),
        ("429-plain", SlowDown),
    ],
)
async def test_a_fault_at_a_query_is_no_verdict(
    sandbox: RunningSandbox, fault: str, kind: type[ProviderError]
) -> None:
    async with client_for(sandbox) as client:
        task = await client.create(request())
        sandbox.fault(fault, endpoint="query")
        with pytest.raises(AvatarError) as failure:
            await client.get(task.task_id)
        sandbox.clear_faults()
        assert (await client.get(task.task_id)).task_id == task.task_id
    assert type(failure.value) is kind
    assert failure.value.charged == "unknown"


@pytest.mark.parametrize("fault", ["dead-link", "expired-link", "delivery-500"])
async def test_a_dead_link_says_so_and_a_fresh_one_works(sandbox: RunningSandbox, fault: str) -> None:
    sandbox.fault(fault)
    async with client_for(sandbox) as client, guarded_client(["127.0.0.1"]) as web:
        task = await bought(sandbox, client)
        assert task.video is not None
        with pytest.raises(ClipUnavailable) as failure:
            await Delivery(task.video.url, client=web).__aenter__()
        assert failure.value.facts.http_status in {403, 500}
        sandbox.clear_faults()
        fresh = (await client.get(task.task_id)).video
        assert fresh is not None
        async with Delivery(fresh.url, client=web) as delivery:
            assert [chunk async for chunk in delivery]
    assert sandbox.deliveries()
    assert not any(seen["authorization"] for seen in sandbox.deliveries())


@pytest.mark.parametrize("fault", ["truncated-clip", "stall"])
async def test_a_clip_that_breaks_off_is_taken_up(sandbox: RunningSandbox, fault: str) -> None:
    sandbox.fault(fault, count=1)
    async with client_for(sandbox) as client, guarded_client(["127.0.0.1"]) as web:
        task = await bought(sandbox, client)
        assert task.video is not None
        async with Delivery(task.video.url, client=web, stall_seconds=0.5, pause_seconds=0) as delivery:
            content = b"".join([chunk async for chunk in delivery])
    assert delivery.resumed == 1
    assert len(content) == delivery.content_length

"""One portrait and one voice clip become one archived video, whatever becomes of the runs on the way."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import av
import pytest
from PIL import Image
from prefect.client.orchestration import get_client
from prefect.events.worker import EventsWorker
from prefect.flow_engine import run_flow
from prefect.states import AwaitingRetry

from blocks import AvatarArchive, CometAPICredentials
from blocks.errors import JobOverdue, TaskFailed
from blocks.sandbox.serve import RunningSandbox
from blocks.storage.journal import Entry
from blocks.storage.sidecar import Sidecar
from flows.avatar import generate_avatar
from flows.reconcile import reconcile_jobs
from flows.tasks.collect import Report
from tests.flows.conftest import SAMPLES

Ask = Callable[..., Awaitable[Any]]
FACE, VOICE = SAMPLES / "portrait.png", SAMPLES / "voice.mp3"


@pytest.fixture
def ask(credentials: CometAPICredentials, archive_block: AvatarArchive) -> Ask:
    return partial(
        generate_avatar, image=str(FACE), audio=str(VOICE), credentials=credentials, store=archive_block
    )


@pytest.fixture
def reconcile(
    credentials: CometAPICredentials, archive_block: AvatarArchive
) -> Callable[[], Awaitable[list[Report]]]:
    return partial(reconcile_jobs, credentials=credentials, store=archive_block)


async def entries_of(block: AvatarArchive, job_id: str) -> list[Entry]:
    async with block.open() as archive:
        keys = [found.key async for found in archive.store.find(f"journal/{job_id[:2]}/{job_id}/")]
        return [Entry.model_validate_json(await archive.store.read(key) or b"") for key in keys]


async def open_jobs(block: AvatarArchive) -> list[str]:
    async with block.open() as archive:
        return [mark.job_id async for mark in archive.journal.open_marks()]


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def eventually(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not met():
            await asyncio.sleep(0.05)


async def test_the_sidecar_tells_the_truth_about_the_clip(
    ask: Ask, sandbox: RunningSandbox, archive_block: AvatarArchive
) -> None:
    sidecar = await ask(mode="pro", name="Kim, take one", rights="Kim agreed on 2026-10-01", prompt=" Calm. ")
    clip = Path(archive_block.url, sidecar.clip.key)
    delivered = sandbox.tasks()[0]["clips"]
    assert [{"sha256": digest(clip.read_bytes()), "size": clip.stat().st_size}] == delivered
    assert (sidecar.clip.sha256, sidecar.clip.size) == (delivered[0]["sha256"], delivered[0]["size"])
    with av.open(str(clip)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (sidecar.clip.width, sidecar.clip.height) == (video.width, video.height)
        assert (sidecar.clip.video_codec, sidecar.clip.audio_codec) == (video.name, audio.name)
        assert sidecar.clip.fps == pytest.approx(float(video.average_rate or 0))
        assert video.duration
        assert video.time_base
        assert sidecar.clip.seconds == pytest.approx(float(video.duration * video.time_base), abs=0.001)
        assert sidecar.clip.bit_rate == pytest.approx(container.bit_rate, rel=0.01)
    written = clip.with_suffix(".json").read_text()
    assert Sidecar.model_validate_json(written) == sidecar
    assert json.loads(written)["requested"]["rights"] == "Kim agreed on 2026-10-01"


async def test_the_sidecar_tells_what_was_asked_what_it_is_called_and_what_it_cost(
    ask: Ask, sandbox: RunningSandbox
) -> None:
    sidecar = await ask(mode="pro", name="Kim", prompt=" Calm. ")
    asked = sidecar.requested
    assert (asked.prompt, asked.mode, asked.take, sidecar.name) == ("Calm.", "pro", 1, "Kim")
    assert (asked.image.sha256, asked.image.size) == (digest(FACE.read_bytes()), FACE.stat().st_size)
    with Image.open(FACE) as picture:
        assert (asked.image.width, asked.image.height) == picture.size
    assert (asked.audio.sha256, asked.audio.size) == (digest(VOICE.read_bytes()), VOICE.stat().st_size)
    (charge,) = sandbox.ledger()["charges"]
    assert asked.audio.seconds == pytest.approx(float(charge["seconds"]), abs=0.06)
    assert sidecar.provided.base_url == sandbox.url
    assert sidecar.provided.task_id == charge["task_id"]
    assert sidecar.provided.external_task_id == charge["external_task_id"]
    assert sidecar.cost.reported_units == Decimal(charge["units"])
    assert sidecar.cost.estimated_usd == pytest.approx(Decimal(charge["usd"]), rel=Decimal("0.02"))
    times = sidecar.times
    assert times.intended <= times.submitted <= times.archived
    assert times.intended <= times.finished


async def test_the_journal_holds_the_intent_and_the_task_and_nothing_stays_open(
    ask: Ask, sandbox: RunningSandbox, archive_block: AvatarArchive
) -> None:
    sidecar = await ask()
    intent, submitted = await entries_of(archive_block, sidecar.job_id)
    assert (intent.step, intent.kling_task_id, intent.attempt) == ("intent", None, 1)
    assert (submitted.step, submitted.kling_task_id) == ("submitted", sidecar.provided.task_id)
    assert intent.claim == submitted.claim
    assert submitted.run == "portrait + voice (std)"
    assert await open_jobs(archive_block) == []
    assert [entry["method"] for entry in sandbox.requests()].count("POST") == 1
    assert {entry["authorization"] for entry in sandbox.deliveries()} == {False}


async def test_each_turn_of_a_job_is_an_event_that_others_can_trigger_on(
    ask: Ask, archive_block: AvatarArchive, asserting_events_worker: EventsWorker
) -> None:
    sidecar = await ask(name="Kim")
    await ask(name="Kim")
    emitted = [event for event in await drained(asserting_events_worker) if event.event.startswith("kling")]
    assert [event.event for event in emitted] == ["kling-avatar.job.submitted", "kling-avatar.job.archived"]
    assert {event.resource.id for event in emitted} == {f"kling-avatar.job.{sidecar.job_id}"}
    assert {event.resource["prefect.resource.name"] for event in emitted} == {"Kim"}
    assert {event.payload["kling_task_id"] for event in emitted} == {sidecar.provided.task_id}
    archived = emitted[1]
    address = f"{archive_block.open().url}/{sidecar.clip.key}"
    assert archived.payload["clip"] == archived.resource["kling-avatar.clip"] == address
    assert Path(address.removeprefix("file://")).is_file()
    for name in ("sha256", "size", "seconds"):
        assert archived.payload[name] == getattr(sidecar.clip, name)


async def drained(worker: EventsWorker) -> list[Any]:
    await asyncio.to_thread(worker.wait_until_empty)
    return list(worker._client.events)  # type: ignore[attr-defined] # the client of Prefect's own fixture


async def test_a_second_run_asks_the_provider_nothing_and_says_so(
    ask: Ask, sandbox: RunningSandbox, credentials: CometAPICredentials
) -> None:
    sidecar = await ask()
    sandbox.set(key="another-key")
    before = sandbox.requests(), sandbox.deliveries()
    state = await ask(return_state=True)
    assert (state.name, state.is_completed()) == ("AlreadyArchived", True)
    assert "nothing was charged" in state.message
    assert await state.result() == sidecar
    assert await ask(name="called otherwise") == sidecar
    assert (sandbox.requests(), sandbox.deliveries()) == before


async def test_another_take_is_bought_on_purpose(ask: Ask, sandbox: RunningSandbox) -> None:
    first, second = await ask(), await ask(take=2)
    assert first.job_id != second.job_id
    assert first.provided.external_task_id != second.provided.external_task_id
    assert first.clip.key != second.clip.key
    assert (sandbox.ledger()["posts"], len(sandbox.ledger()["charges"])) == (2, 2)
    assert await ask(take=2) == second


async def test_two_runs_at_once_buy_one_video(ask: Ask, sandbox: RunningSandbox) -> None:
    first, second = await asyncio.gather(ask(), ask())
    assert first == second
    assert (sandbox.ledger()["posts"], len(sandbox.ledger()["charges"])) == (1, 1)


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({}, "portrait + voice (std)"),
        ({"mode": "pro", "take": 2}, "portrait + voice (pro, take 2)"),
        ({"name": "Kim says hello"}, "Kim says hello (std)"),
        ({"audio": None, "audio_id": "17"}, "portrait + speech 17 (std)"),
    ],
)
async def test_a_run_has_a_name_that_people_can_read(asked: dict[str, Any], name: str, ask: Ask) -> None:
    state = await ask(**asked, prompt=" ", return_state=True)
    assert state.is_failed()
    async with get_client() as client:
        assert (await client.read_flow_run(state.state_details.flow_run_id)).name == name


async def test_a_run_that_is_retried_repeats_only_what_failed(
    ask: Ask, sandbox: RunningSandbox, asserting_events_worker: EventsWorker
) -> None:
    sandbox.fault("delivery-500")
    state = await ask(return_state=True)
    assert state.is_failed()
    assert steps(await drained(asserting_events_worker))[-1] == ("archive", "Failed")
    sandbox.clear_faults()
    seen = len(asserting_events_worker._client.events)  # type: ignore[attr-defined] # as above
    sidecar = await run_again(state.state_details.flow_run_id)
    again = steps((await drained(asserting_events_worker))[seen:])
    assert again[-1] == ("archive", "Completed")
    assert [step for step in again if step[0] != "archive"] == [
        ("validate", "Cached"),
        ("submit", "Cached"),
        ("poll", "Cached"),
    ]
    assert sidecar.provided.task_id == sandbox.ledger()["charges"][0]["task_id"]
    assert sandbox.ledger()["posts"] == 1


def steps(events: list[Any]) -> list[tuple[str, str]]:
    """Return how each task run ended, in order."""
    runs = [event for event in events if event.event.startswith("prefect.task-run.")]
    ended = [(event.resource["prefect.resource.name"], event.event.rpartition(".")[2]) for event in runs]
    return [
        (name.split(" ")[0], state) for name, state in ended if state in ("Completed", "Cached", "Failed")
    ]


async def run_again(flow_run_id: UUID) -> Any:
    """Do what `Retry` in the UI makes a worker do."""
    async with get_client() as client:
        await client.set_flow_run_state(flow_run_id, AwaitingRetry())
        flow_run = await client.read_flow_run(flow_run_id)
    run: Any = run_flow(cast("Any", generate_avatar), flow_run=flow_run)
    return await run


async def test_a_run_that_is_cancelled_while_it_waits_leaves_its_job_open(
    ask: Ask, sandbox: RunningSandbox, archive_block: AvatarArchive, reconcile: Ask
) -> None:
    sandbox.set(render_seconds=100)
    run = asyncio.ensure_future(ask())
    await eventually(lambda: any(task["queries"] > 1 for task in sandbox.tasks()))
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    (job_id,) = await open_jobs(archive_block)
    assert (await entries_of(archive_block, job_id))[-1].step == "submitted"
    assert [report.state for report in await reconcile()] == ["running"]
    sandbox.advance(200)
    assert [report.state for report in await reconcile()] == ["archived"]
    assert (sandbox.ledger()["posts"], await reconcile()) == (1, [])


async def test_a_run_that_is_cancelled_while_it_posts_writes_the_answer_down_first(
    ask: Ask, sandbox: RunningSandbox, archive_block: AvatarArchive, reconcile: Ask
) -> None:
    sandbox.fault("slow", endpoint="create", seconds=1)
    run = asyncio.ensure_future(ask())
    await eventually(lambda: sandbox.ledger()["posts"] == 1)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    (job_id,) = await open_jobs(archive_block)
    last = (await entries_of(archive_block, job_id))[-1]
    assert last.kling_task_id == sandbox.ledger()["charges"][0]["task_id"]
    await eventually(lambda: sandbox.tasks()[0]["status"] == "succeed")
    assert [report.state for report in await reconcile()] == ["archived"]
    assert (await ask()).provided.task_id == last.kling_task_id
    assert sandbox.ledger()["posts"] == 1


async def test_a_job_past_our_deadline_is_overdue_and_finished_later(
    ask: Ask,
    sandbox: RunningSandbox,
    credentials: CometAPICredentials,
    archive_block: AvatarArchive,
    asserting_events_worker: EventsWorker,
) -> None:
    sandbox.set(render_seconds=100)
    hasty = credentials.model_copy(update={"deadline_minutes": 0.02})
    with pytest.raises(JobOverdue) as overdue:
        await ask(credentials=hasty)
    job_id = overdue.value.facts.job_id
    assert overdue.value.charged == "yes"
    failed = [
        event for event in await drained(asserting_events_worker) if event.event == "kling-avatar.job.failed"
    ]
    assert [(event.payload["error"], event.payload["charged"]) for event in failed] == [("JobOverdue", "yes")]
    look = partial(reconcile_jobs, credentials=hasty, store=archive_block)
    assert [(report.job_id, report.state) for report in await look()] == [(job_id, "overdue")]
    sandbox.advance(200)
    assert [(report.job_id, report.state) for report in await look()] == [(job_id, "archived")]
    assert sandbox.ledger()["posts"] == 1


async def test_a_task_that_kling_failed_is_final_for_its_take(ask: Ask, sandbox: RunningSandbox) -> None:
    sandbox.fault("failed-moderation", count=1)
    with pytest.raises(TaskFailed, match="content check") as failed:
        await ask()
    before = sandbox.requests()
    with pytest.raises(TaskFailed, match="content check") as again:
        await ask()
    assert again.value.facts.kling_task_id == failed.value.facts.kling_task_id
    assert "another take" in again.value.next_step
    assert sandbox.requests() == before
    await ask(take=2)
    assert sandbox.ledger()["posts"] == 2


async def test_a_task_that_never_began_for_want_of_room_is_bought_again(
    ask: Ask, sandbox: RunningSandbox, archive_block: AvatarArchive
) -> None:
    sandbox.fault("failed-1303", count=1)
    with pytest.raises(TaskFailed, match="Run it again"):
        await ask()
    sidecar = await ask()
    names = [charge["external_task_id"] for charge in sandbox.ledger()["charges"]]
    assert len(set(names)) == 2
    assert sidecar.provided.external_task_id == names[1]
    entries = await entries_of(archive_block, sidecar.job_id)
    assert [entry.step for entry in entries] == ["intent", "submitted", "failed", "intent", "submitted"]
    assert [entry.purchase for entry in entries] == [1, 1, 1, 2, 2]

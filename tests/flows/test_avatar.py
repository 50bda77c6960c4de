"""One portrait and one voice clip become one archived video, bought once."""

from __future__ import annotations

import asyncio
import hashlib
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image
from prefect.client.orchestration import get_client
from prefect.events.worker import EventsWorker

from blocks import AvatarArchive
from blocks.errors import TaskFailed
from blocks.sandbox.serve import RunningSandbox
from blocks.storage.sidecar import Sidecar
from tests.flows.conftest import SAMPLES
from tests.flows.story import Ask, drained, entries_of, open_jobs

FACE, VOICE = SAMPLES / "portrait.png", SAMPLES / "voice.mp3"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


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
    every = await drained(asserting_events_worker)
    emitted = [event for event in every if event.event.startswith("kling")]
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
    (asset,) = [event for event in every if event.event.startswith("prefect.asset.")]
    assert (asset.event, asset.resource.id) == ("prefect.asset.materialization.succeeded", address)
    made_of = [each.id for each in asset.related if each["prefect.resource.role"] == "asset"]
    assert made_of == [FACE.as_uri(), VOICE.as_uri()]


async def test_a_second_run_asks_the_provider_nothing_and_says_so(ask: Ask, sandbox: RunningSandbox) -> None:
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

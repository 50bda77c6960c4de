"""A text, a voice and a portrait become archived video; speech and video are each paid for once."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prefect.events.worker import EventsWorker

from blocks import AvatarArchive, CometAPICredentials
from blocks.errors import InvalidRequest, JobGivenUp, NeedsDecision, ProviderUnavailable, RequestRejected
from blocks.sandbox.serve import RunningSandbox
from blocks.sandbox.speech import speak
from blocks.storage.sidecar import Sidecar
from blocks.storage.speech import SpeechSidecar
from flows.decide import decide
from flows.reconcile import reconcile_jobs
from flows.speech import speak_avatar
from flows.tasks.connections import connect
from flows.tasks.request import Request
from flows.tasks.validate import check_request
from tests.flows.conftest import SAMPLES
from tests.flows.story import drained, entries_of, eventually, open_jobs

TEXT = "Good morning to all of you, this is the news of today."

Say = Callable[..., Awaitable[list[Sidecar]]]


@pytest.fixture
def say(
    sandbox: RunningSandbox, face: str, credentials: CometAPICredentials, archive_block: AvatarArchive
) -> Say:
    """Return the flow with everything given that it needs."""
    sandbox.set(fast_clip=True)
    return partial(
        speak_avatar,
        image=face,
        text=TEXT,
        voice="oversea_male1",
        credentials=credentials,
        store=archive_block,
    )


async def speeches(place: AvatarArchive) -> list[SpeechSidecar]:
    async with place.open() as archive:
        keys = [found.key async for found in archive.store.find("speech/") if found.key.endswith(".json")]
        return [SpeechSidecar.model_validate_json(await archive.store.read(key) or b"") for key in keys]


def books(sandbox: RunningSandbox) -> tuple[int, int, list[str]]:
    """Return the POSTs for speech, the POSTs for video, and what was charged."""
    ledger = sandbox.ledger()
    return ledger["tts_posts"], ledger["posts"], [charge["kind"] for charge in ledger["charges"]]


async def test_a_text_becomes_archived_speech_and_then_an_archived_video(
    say: Say, sandbox: RunningSandbox, archive_block: AvatarArchive, asserting_events_worker: EventsWorker
) -> None:
    (sidecar,) = await say(name="Kim", speed=1.2)
    (speech,) = await speeches(archive_block)
    sound = Path(archive_block.url, speech.audio.key)
    assert sound.read_bytes() == speak(TEXT, "oversea_male1", 1.2)
    assert sound.name == f"{speech.speech_id}.mp3"
    assert speech.audio.sha256 == hashlib.sha256(sound.read_bytes()).hexdigest()
    tts, avatar = sandbox.ledger()["charges"]
    assert books(sandbox) == (1, 1, ["tts", "avatar"])
    assert (speech.task_id, speech.cost.reported_units) == (tts["task_id"], Decimal("0.05"))
    assert speech.audio.seconds == pytest.approx(float(tts["seconds"]), abs=0.15)
    assert tts["seconds"] == avatar["seconds"]
    assert (speech.text, speech.voice, speech.language, speech.speed) == (TEXT, "oversea_male1", "en", 1.2)
    assert speech.text_sha256 == hashlib.sha256(TEXT.encode()).hexdigest()
    assert sidecar.requested.audio_id == speech.audio_id
    assert sidecar.requested.audio
    assert sidecar.requested.audio.reference.endswith(speech.audio.key)
    assert sidecar.clip.seconds == pytest.approx(speech.audio.seconds, abs=0.5)
    assert Path(archive_block.url, sidecar.clip.key).stat().st_size == sidecar.clip.size
    assert await open_jobs(archive_block) == []
    events = [event for event in await drained(asserting_events_worker) if event.event.startswith("kling")]
    assert [event.event for event in events] == [
        "kling-avatar.speech.made",
        "kling-avatar.job.submitted",
        "kling-avatar.job.archived",
    ]
    assert events[0].resource.id == f"kling-avatar.speech.{speech.speech_id}"
    assert events[0].payload["audio_id"] == speech.audio_id


async def test_a_second_run_asks_the_provider_nothing_and_another_take_buys_the_video_alone(
    say: Say, sandbox: RunningSandbox
) -> None:
    first = await say()
    before = sandbox.requests(), sandbox.deliveries()
    state = await say(return_state=True, name="called otherwise")
    assert (state.name, await state.result()) == ("AlreadyArchived", first)
    assert (sandbox.requests(), sandbox.deliveries()) == before
    (second,) = await say(take=2)
    assert books(sandbox) == (1, 2, ["tts", "avatar", "avatar"])
    (third,) = await say(speech_take=2)
    assert books(sandbox) == (2, 3, ["tts", "avatar", "avatar", "tts", "avatar"])
    assert len({first[0].job_id, second.job_id, third.job_id}) == 3


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"text": "a" * 1001}, "1,001 characters"),
        ({"text": "Too short."}, "between 2 and 60 s"),
        ({"text": "a b " * 240, "speed": 0.8}, "about 80 s"),
        ({"voice": "oversea_male1", "language": "zh"}, "speaks en, not zh"),
        ({"voice": "oversea_male2"}, "one like oversea_male1"),
        ({"speed": 0.7}, "0.8 to 2.0"),
        ({"speed": 1.25}, "one decimal"),
        ({"image": "missing.png", "speed": 2.1}, "(2) speed"),
        ({"prompt": " "}, "prompt: empty"),
    ],
    ids=str,
)
async def test_what_breaks_a_limit_is_refused_before_anything_is_paid_for(
    asked: dict[str, Any], said: str, say: Say, sandbox: RunningSandbox
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await say(**asked)
    assert said in refused.value.message
    assert sandbox.requests() == []


async def test_a_speech_of_the_wrong_length_is_kept_and_no_video_is_bought(
    say: Say, sandbox: RunningSandbox, archive_block: AvatarArchive, credentials: CometAPICredentials
) -> None:
    def at_most(seconds: float) -> CometAPICredentials:
        return credentials.model_copy(update={"max_audio_seconds": seconds})

    with pytest.raises(InvalidRequest, match="54 characters, spoken in") as refused:
        await say(credentials=at_most(3.0))
    (speech,) = await speeches(archive_block)
    assert (refused.value.charged, refused.value.facts.job_id) == ("yes", speech.speech_id)
    assert books(sandbox) == (1, 0, ["tts"])
    with pytest.raises(InvalidRequest):
        await say(credentials=at_most(speech.audio.seconds - 0.001))
    await say(credentials=at_most(speech.audio.seconds))
    assert books(sandbox) == (1, 1, ["tts", "avatar"])


async def test_a_lost_answer_is_not_paid_for_twice_until_a_person_says_so(
    say: Say, sandbox: RunningSandbox, archive_block: AvatarArchive, credentials: CometAPICredentials
) -> None:
    sandbox.fault("lost-response", endpoint="tts", count=1)
    for _ in range(2):
        with pytest.raises(NeedsDecision, match="whether this speech was bought") as doubt:
            await say()
        assert books(sandbox) == (1, 0, ["tts"])
    speech_id = doubt.value.facts.job_id or ""
    assert speech_id in doubt.value.next_step
    settings: dict[str, Any] = {"credentials": credentials, "store": archive_block}
    (report,) = await reconcile_jobs(**settings)
    assert (report.job_id, report.state) == (speech_id, "needs decision")
    await decide(speech_id, "post again", **settings)
    assert books(sandbox) == (1, 0, ["tts"])
    await say()
    assert books(sandbox) == (2, 1, ["tts", "tts", "avatar"])


async def test_a_lost_speech_is_adopted_by_its_task_or_given_up(
    say: Say, sandbox: RunningSandbox, archive_block: AvatarArchive, credentials: CometAPICredentials
) -> None:
    settings: dict[str, Any] = {"credentials": credentials, "store": archive_block}
    sandbox.fault("504-5002-after-accept", endpoint="tts", count=2)
    with pytest.raises(NeedsDecision) as doubt:
        await say()
    (charge,) = sandbox.ledger()["charges"]
    entry = await decide(doubt.value.facts.job_id or "", "adopt", charge["task_id"], **settings)
    assert (entry.kind, entry.kling_task_id, entry.step) == ("speech", charge["task_id"], "submitted")
    assert [report.state for report in await reconcile_jobs(**settings)] == ["archived"]
    await say()
    assert books(sandbox) == (1, 1, ["tts", "avatar"])
    with pytest.raises(NeedsDecision) as doubt:
        await say(speech_take=2)
    await decide(doubt.value.facts.job_id or "", "give up", **settings)
    with pytest.raises(JobGivenUp, match="given up"):
        await say(speech_take=2)
    assert books(sandbox) == (2, 1, ["tts", "avatar", "tts"])


async def test_an_old_speech_is_sent_as_the_archived_sound_and_is_the_same_job(
    say: Say, sandbox: RunningSandbox, archive_block: AvatarArchive, credentials: CometAPICredentials
) -> None:
    (young,) = await say()
    (speech,) = await speeches(archive_block)
    sandbox.advance(31 * 86400)
    old = speech.model_copy(update={"made": speech.made - timedelta(days=29)})
    async with archive_block.open() as archive:
        key = speech.audio.key.replace(".mp3", ".json")
        await archive.store.replace(key, old.model_dump_json().encode())
    (sidecar,) = await say(take=2)
    assert (young.requested.audio_id, sidecar.requested.audio_id) == (speech.audio_id, None)
    assert books(sandbox) == (1, 2, ["tts", "avatar", "avatar"])
    async with connect(credentials, archive_block) as connections:
        request = Request(image=str(SAMPLES / "portrait.png"), text=TEXT, voice="oversea_male1")
        assert (await check_request(request, connections)).job_id == young.job_id


async def test_a_speech_that_the_provider_forgot_early_is_sent_as_the_archived_sound(
    say: Say, sandbox: RunningSandbox
) -> None:
    sandbox.set(audio_id_days=0)
    (sidecar,) = await say()
    assert books(sandbox) == (1, 2, ["tts", "avatar"])
    assert sidecar.requested.audio_id is None


async def test_speech_that_takes_its_time_is_waited_for(say: Say, sandbox: RunningSandbox) -> None:
    sandbox.set(tts_seconds=0.3)
    await say()
    assert books(sandbox) == (1, 1, ["tts", "avatar"])


async def test_a_speech_that_cannot_be_fetched_is_used_by_its_id_and_archived_later(
    say: Say, sandbox: RunningSandbox, archive_block: AvatarArchive, credentials: CometAPICredentials
) -> None:
    """Nobody documents that the provider can be asked for a fresh link."""
    sandbox.fault("dead-link", count=None, match={"prompt": "Good morning"})
    sandbox.fault("query-html", match={"prompt": "Good morning"})
    (sidecar,) = await say()
    assert sidecar.requested.audio is None
    assert sidecar.requested.audio_id
    assert books(sandbox) == (1, 1, ["tts", "avatar"])
    settings: dict[str, Any] = {"credentials": credentials, "store": archive_block}
    assert [report.state for report in await reconcile_jobs(**settings)] == ["unfinished"]
    sandbox.clear_faults()
    assert [report.state for report in await reconcile_jobs(**settings)] == ["archived"]
    (speech,) = await speeches(archive_block)
    assert speech.audio_id == sidecar.requested.audio_id
    assert await say() == [sidecar]


async def test_damaged_speech_is_not_archived(
    say: Say, sandbox: RunningSandbox, archive_block: AvatarArchive
) -> None:
    sandbox.fault("broken-clip", count=3, match={"prompt": "Good morning"})
    (sidecar,) = await say()
    assert sidecar.requested.audio is None
    assert await speeches(archive_block) == []
    async with archive_block.open() as archive:
        assert len([found async for found in archive.store.find("aside/")]) == 3


async def test_a_voice_that_the_provider_does_not_have_costs_nothing_and_can_be_corrected(
    say: Say, sandbox: RunningSandbox, credentials: CometAPICredentials, archive_block: AvatarArchive
) -> None:
    daring = credentials.model_copy(update={"extra_voices": ["en:news_anchor_9"]})
    with pytest.raises(RequestRejected, match="no voice 'news_anchor_9' that speaks 'en'") as refused:
        await say(voice="news_anchor_9", credentials=daring)
    assert (refused.value.charged, books(sandbox)) == ("no", (1, 0, []))
    entries = await entries_of(archive_block, refused.value.facts.job_id or "")
    assert [entry.step for entry in entries] == ["intent", "refused"]
    await say()


async def test_a_long_text_is_refused_or_becomes_several_clips(say: Say, sandbox: RunningSandbox) -> None:
    text = "This is one of many sentences. " * 40
    with pytest.raises(InvalidRequest, match="ask for several clips with split"):
        await say(text=text)
    assert books(sandbox) == (0, 0, [])
    sidecars = await say(text=text + "And the last one.", split=True, name="News")
    assert [sidecar.name for sidecar in sidecars] == ["News-1", "News-2"]
    assert books(sandbox) == (2, 2, ["tts", "tts", "avatar", "avatar"])
    assert await say(text=text + "And the last one.", split=True) == sidecars
    assert books(sandbox) == (2, 2, ["tts", "tts", "avatar", "avatar"])


async def test_a_run_that_is_killed_between_speech_and_video_pays_for_neither_again(
    say: Say,
    sandbox: RunningSandbox,
    face: str,
    archive_block: AvatarArchive,
    prefect_environment: dict[str, str],
) -> None:
    sandbox.fault("stall", match={"prompt": "Good morning"})
    environment = {
        **os.environ,
        **prefect_environment,
        "COMETAPI_KEY": "sandbox-key",
        "COMETAPI_BASE_URL": sandbox.url,
        "AVATAR_ARCHIVE_URL": archive_block.url,
    }
    asked = ["--image", face, "--text", TEXT, "--voice", "oversea_male1"]
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "flows.speech", *asked, env=environment, stderr=subprocess.DEVNULL
    )
    await eventually(lambda: len(sandbox.deliveries()) > 0)
    running.send_signal(signal.SIGKILL)
    await running.wait()
    assert books(sandbox) == (1, 0, ["tts"])
    assert await speeches(archive_block) == []
    sandbox.clear_faults()
    await say()
    assert books(sandbox) == (1, 1, ["tts", "avatar"])
    assert len(await speeches(archive_block)) == 1
    assert await open_jobs(archive_block) == []


async def test_an_expired_speech_that_was_never_fetched_is_said_to_be_lost(
    say: Say, sandbox: RunningSandbox, archive_block: AvatarArchive
) -> None:
    sandbox.fault("dead-link", count=None, match={"prompt": "Good morning"})
    sandbox.fault("query-html", match={"prompt": "Good morning"})
    (sidecar,) = await say()
    (speech_id,) = await open_jobs(archive_block)
    (*_, last) = await entries_of(archive_block, speech_id)
    assert last.audio_id == sidecar.requested.audio_id
    async with archive_block.open() as archive:
        long_ago = last.model_copy(update={"intended_at": last.at - timedelta(days=30)})
        key = f"journal/{speech_id[:2]}/{speech_id}/{last.number:04}.json"
        await archive.store.replace(key, long_ago.model_dump_json().encode())
    with pytest.raises(ProviderUnavailable):
        await say(take=2)
    assert books(sandbox) == (1, 1, ["tts", "avatar"])

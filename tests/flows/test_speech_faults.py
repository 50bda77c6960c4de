"""Speech that is lost, late, forgotten or damaged: nothing is paid for twice, and what is bought is used."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest

from blocks import AvatarArchive, CometAPICredentials
from blocks.errors import JobGivenUp, JobOverdue, NeedsDecision, ProviderUnavailable
from blocks.sandbox.serve import RunningSandbox
from flows.decide import decide
from flows.reconcile import reconcile_jobs
from flows.tasks.connections import connect
from flows.tasks.request import Request
from flows.tasks.validate import check_request
from tests.flows.conftest import SAMPLES
from tests.flows.spoken import TEXT, Say, books, speeches
from tests.flows.story import entries_of, eventually, open_jobs


async def test_a_lost_answer_is_not_paid_for_twice_until_a_person_says_so(
    say: Say, sandbox: RunningSandbox, archive_block: AvatarArchive, credentials: CometAPICredentials
) -> None:
    sandbox.fault("lost-response", endpoint="tts", count=1)
    with pytest.raises(NeedsDecision, match="whether this speech was bought"):
        await say()
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


async def test_speech_that_nobody_hands_over_stays_open_and_is_not_bought_again(
    say: Say, sandbox: RunningSandbox, archive_block: AvatarArchive
) -> None:
    sandbox.set(tts_seconds=100)
    sandbox.fault("query-html", match={"prompt": "Good morning"})
    with pytest.raises(JobOverdue, match="The speech was bought") as late:
        await say()
    assert late.value.charged == "yes"
    assert await open_jobs(archive_block) == [late.value.facts.job_id]
    sandbox.clear_faults()
    sandbox.advance(100)
    await say()
    assert books(sandbox) == (1, 1, ["tts", "avatar"])
    assert await open_jobs(archive_block) == []


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
        (aside,) = [found async for found in archive.store.find("speech/")]
        assert aside.key.endswith(".aside")


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


async def test_two_runs_at_once_buy_one_speech_and_one_video(say: Say, sandbox: RunningSandbox) -> None:
    first, second = await asyncio.gather(say(), say())
    assert first == second
    assert books(sandbox) == (1, 1, ["tts", "avatar"])

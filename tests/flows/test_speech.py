"""A text, a voice and a portrait become archived video; speech and video are each paid for once."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prefect.events.worker import EventsWorker

from blocks import AvatarArchive, CometAPICredentials
from blocks.errors import InvalidRequest, RequestRejected
from blocks.sandbox.serve import RunningSandbox
from blocks.sandbox.speech import speak
from flows.batch import generate_avatars
from flows.inbox import watch_inbox
from tests.flows.desk import put_media, put_text, results_beside, write_manifest
from tests.flows.spoken import TEXT, Say, books, speeches
from tests.flows.story import drained, entries_of, open_jobs


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
    every = await drained(asserting_events_worker)
    events = [event for event in every if event.event.startswith("kling")]
    assert [event.event for event in events] == [
        "kling-avatar.speech.made",
        "kling-avatar.job.submitted",
        "kling-avatar.job.archived",
    ]
    made = [event for event in every if event.event.startswith("prefect.asset.")]
    text, _, voice = (
        each.id for event in made for each in event.related if each["prefect.resource.role"] == "asset"
    )
    assert (text, voice) == (f"sha256://{speech.text_sha256}", made[0].resource.id)
    assert made[1].resource.id.endswith(sidecar.clip.key)
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


async def test_a_long_text_is_refused_or_becomes_several_clips(
    say: Say, sandbox: RunningSandbox, credentials: CometAPICredentials
) -> None:
    brief = credentials.model_copy(update={"max_audio_seconds": 6.0})
    text = "This is one of many sentences. " * 4 + "And this is the last one."
    with pytest.raises(InvalidRequest, match="ask for several clips with split"):
        await say(text=text, credentials=brief)
    assert books(sandbox) == (0, 0, [])
    sidecars = await say(text=text, split=True, name="News", credentials=brief)
    assert [sidecar.name for sidecar in sidecars] == ["News-1", "News-2", "News-3"]
    assert books(sandbox) == (3, 3, ["tts"] * 3 + ["avatar"] * 3)
    assert await say(text=text, split=True, credentials=brief) == sidecars
    assert books(sandbox)[:2] == (3, 3)


async def test_rows_of_a_manifest_are_spoken_and_share_a_speech(
    tmp_path: Path, sandbox: RunningSandbox, credentials: CometAPICredentials, archive_block: AvatarArchive
) -> None:
    sandbox.set(fast_clip=True)
    manifest = write_manifest(
        tmp_path / "in",
        f'kim.png,"{TEXT}",oversea_male1,1.2,std',
        f'kim.png,"{TEXT}",oversea_male1,1.2,pro',
        f'kim.png,"{TEXT}",oversea_male9,fast,std',
        "kim.png,Too short.,oversea_male1,,std",
        columns="image,text,voice,speed,mode",
    )
    for _ in range(2):
        state: Any = await generate_avatars(
            manifest, credentials=credentials, store=archive_block, return_state=True
        )
        assert state.name == "PartlyArchived"
        assert books(sandbox)[0] == 1
        assert sorted(books(sandbox)[2]) == ["avatar", "avatar", "tts"]
    rows = results_beside(manifest)
    assert [row["state"] for row in rows] == ["archived before", "archived before", "invalid", "invalid"]
    assert "speed: fast; a number such as 1.2" in rows[2]["message"]
    assert "voice: 'oversea_male9' is not known" in rows[2]["message"]
    assert len(await speeches(archive_block)) == 1


async def test_a_text_in_an_inbox_is_spoken_only_when_its_options_say_so(
    tmp_path: Path, sandbox: RunningSandbox, credentials: CometAPICredentials, archive_block: AvatarArchive
) -> None:
    sandbox.set(fast_clip=True)
    inbox = tmp_path / "inbox"
    asked = '{"speak": true, "voice": "oversea_male1", "speed": 1.2, "prompt": "She smiles."}'
    for name, options in {"ann": asked, "bob": '{"mode": "pro"}', "cat": None, "dan": asked}.items():
        put_media(inbox, name)
        if name != "dan":
            (inbox / f"{name}.mp3").unlink()
        put_text(inbox / f"{name}.txt", TEXT)
        if options:
            put_text(inbox / f"{name}.json", options)
    look = partial(watch_inbox, str(inbox), quiet_seconds=0.1, credentials=credentials, store=archive_block)
    states: list[Any] = [await look(return_state=True) for _ in range(2)]
    for state in states:
        outcome = await state.aresult(raise_on_failure=False)
        assert {each.piece: each.state for each in getattr(outcome, "results", outcome)} == {
            "ann": "archived",
            "bob": "waiting",
            "cat": "waiting",
            "dan": "invalid",
        }
    assert books(sandbox) == (1, 1, ["tts", "avatar"])
    outcome = await states[0].aresult(raise_on_failure=False)
    reports = {each.piece: each for each in outcome.results}
    assert "speak: true beside a voice clip" in reports["dan"].message
    (speech,) = await speeches(archive_block)
    assert (speech.text, speech.speed) == (TEXT, 1.2)
    async with archive_block.open() as archive:
        sidecar = await archive.find_done(reports["ann"].job_id)
    assert sidecar
    assert (sidecar.name, sidecar.requested.prompt) == ("ann", "She smiles.")

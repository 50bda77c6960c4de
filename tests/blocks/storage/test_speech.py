"""Delivered speech is published whole and once, and described as it was measured."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from blocks.errors import ClipRejected, StorageUnavailable
from blocks.sandbox.speech import speak
from blocks.storage.journal import now
from blocks.storage.local import LocalStore
from blocks.storage.sidecar import Cost
from blocks.storage.speech import SpeechSidecar, StoredSpeech, commit_speech, read_speech, store_speech

SPEECH = "ab" * 32
SOUND = speak("Good morning to all of you.", "oversea_male1", 1.0)
BASE_URL = "https://api.cometapi.com"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


STORED = StoredSpeech(
    key=f"speech/ab/{SPEECH}.mp3", size=1, sha256="ef" * 32, seconds=2, format="MP3", codec="mp3",
    sample_rate=16_000, channels=1,
)  # fmt: skip


def described(stored: StoredSpeech, made: datetime | None = None) -> SpeechSidecar:
    return SpeechSidecar(
        speech_id=SPEECH, name="Kim", text="Good morning.", text_sha256="cd" * 32, voice="oversea_male1",
        language="en", speed=1.0, take=1, base_url=BASE_URL, task_id="17", audio_id="18",
        made=made or now(), archived=now(), audio=stored, cost=Cost(estimated_usd=Decimal("0.007")),
    )  # fmt: skip


async def sent(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 1000):
        yield data[start : start + 1000]


async def test_a_sound_is_described_as_it_is(store: LocalStore) -> None:
    stored = await store_speech(store, SPEECH, sent(SOUND), 1.8)
    assert stored.key == f"speech/ab/{SPEECH}.mp3"
    assert await store.read(stored.key) == SOUND
    assert (stored.size, stored.sha256) == (len(SOUND), hashlib.sha256(SOUND).hexdigest())
    assert stored.seconds == pytest.approx(1.8, abs=0.2)
    assert (stored.format, stored.sample_rate, stored.channels) == ("MP3", 16_000, 1)


async def test_a_sound_that_is_there_stays(store: LocalStore) -> None:
    first = await store_speech(store, SPEECH, sent(SOUND), None)
    other = speak("Good evening to all of you!", "uk_man2", 1.0)
    assert await store_speech(store, SPEECH, sent(other), None) == first
    assert await store.read(first.key) == SOUND


@pytest.mark.parametrize(
    ("data", "seconds", "said"),
    [
        (b"<html>no sound</html>", None, "is an HTML page"),
        (SOUND[: len(SOUND) // 2], None, "cut off"),
        (SOUND, 3.5, "3.50 s were announced"),
    ],
)
async def test_what_is_not_the_whole_right_sound_is_set_aside(
    data: bytes, seconds: float | None, said: str, store: LocalStore
) -> None:
    with pytest.raises(ClipRejected, match=said):
        await store_speech(store, SPEECH, sent(data), seconds)
    (aside,) = [found async for found in store.find("")]
    assert aside.key == f"speech/ab/{SPEECH}.{hashlib.sha256(data).hexdigest()}.aside"
    assert await store.read(aside.key) == data


async def test_the_first_sidecar_counts_and_a_damaged_one_stops(store: LocalStore) -> None:
    stored = await store_speech(store, SPEECH, sent(SOUND), None)
    sidecar = described(stored)
    assert await commit_speech(store, sidecar)
    assert not await commit_speech(store, sidecar.model_copy(update={"audio_id": "19"}))
    assert await read_speech(store, SPEECH) == sidecar
    await store.replace(f"speech/ab/{SPEECH}.json", b"{}")
    with pytest.raises(StorageUnavailable, match="cannot be read"):
        await read_speech(store, SPEECH)


@pytest.mark.parametrize(
    ("days", "base_url", "audio_id"),
    [(28.9, BASE_URL, "18"), (29.1, BASE_URL, None), (0, "https://elsewhere.example", None)],
)
def test_the_id_of_a_speech_is_used_where_it_was_made_and_for_29_days(
    days: float, base_url: str, audio_id: str | None
) -> None:
    sidecar = described(STORED, made=now() - timedelta(days=days))
    assert sidecar.usable_audio_id(base_url) == audio_id

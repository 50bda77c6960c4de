from __future__ import annotations

from decimal import Decimal
from typing import Any

import httpx
import pytest

from blocks.sandbox.measure import measure_audio
from blocks.sandbox.serve import RunningSandbox
from blocks.sandbox.speech import speak
from blocks.sandbox.voices import VOICES
from tests.blocks.sandbox.conftest import SPEECH, Create

SPEAK: dict[str, Any] = {
    "text": "Good morning to all of you, this is the news.",
    "voice_id": "oversea_male1",
    "voice_language": "en",
    "voice_speed": 1.0,
}


def spoken(api: httpx.Client, **fields: Any) -> dict[str, Any]:
    answer = api.post(SPEECH, json={**SPEAK, **fields})
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["data"])


def test_speech_is_charged_and_can_be_heard(
    api: httpx.Client, web: httpx.Client, sandbox: RunningSandbox
) -> None:
    data = spoken(api)
    audio = data["task_result"]["audios"][0]
    heard = web.get(audio["url"])
    assert heard.headers["content-type"] == "audio/mpeg"
    assert measure_audio(heard.content, 60) == Decimal(audio["duration"])
    charge = sandbox.ledger()["charges"][0]
    assert (charge["kind"], charge["units"], charge["usd"]) == ("tts", "0.05", "0.007")
    assert data["final_unit_deduction"] == "0.05"


def test_an_audio_id_makes_an_avatar_of_that_length(
    api: httpx.Client, create: Create, sandbox: RunningSandbox
) -> None:
    audio = spoken(api)["task_result"]["audios"][0]
    assert create(sound_file=None, audio_id=audio["id"]).status_code == 200
    assert sandbox.ledger()["charges"][1]["seconds"] == audio["duration"].rstrip("0")


def test_an_audio_id_lives_thirty_days(api: httpx.Client, create: Create, sandbox: RunningSandbox) -> None:
    audio_id = spoken(api)["task_result"]["audios"][0]["id"]
    sandbox.advance(29.9 * 86400)
    assert create(sound_file=None, audio_id=audio_id).status_code == 200
    sandbox.advance(0.2 * 86400)
    assert create(sound_file=None, audio_id=audio_id).json()["code"] == 1201


@pytest.mark.parametrize("text", ["Too short.", "much too long " * 70])
def test_speech_outside_the_seconds_of_an_avatar_is_spoken_but_makes_none(
    text: str, api: httpx.Client, create: Create
) -> None:
    audio_id = spoken(api, text=text)["task_result"]["audios"][0]["id"]
    answer = create(sound_file=None, audio_id=audio_id)
    assert answer.json()["message"] == "audio_id duration out of range"


def test_speech_can_take_its_time(api: httpx.Client, create: Create, sandbox: RunningSandbox) -> None:
    sandbox.set(tts_seconds=5)
    data = spoken(api)
    assert (data["task_status"], data["task_result"]) == ("processing", {})
    sandbox.advance(5)
    later = api.get(f"{SPEECH}/{data['task_id']}").json()["data"]
    assert later["task_status"] == "succeed"
    assert create(sound_file=None, audio_id=later["task_result"]["audios"][0]["id"]).status_code == 200


def test_a_task_is_found_only_under_its_own_path(api: httpx.Client, create: Create) -> None:
    task_id = create().json()["data"]["task_id"]
    assert api.get(f"{SPEECH}/{task_id}").json()["code"] == 1203


@pytest.mark.parametrize(
    ("fields", "same_as"), [({"voice_speed": 9}, 2.0), ({"voice_speed": 0.1}, 0.8), ({}, 1.0)]
)
def test_speed_is_clamped_not_refused(fields: dict[str, Any], same_as: float, api: httpx.Client) -> None:
    seconds = {
        Decimal(spoken(api, **chosen)["task_result"]["audios"][0]["duration"])
        for chosen in (fields, {"voice_speed": same_as})
    }
    assert len(seconds) == 1


def test_faster_speech_is_shorter(api: httpx.Client) -> None:
    slow, normal, fast = (
        Decimal(spoken(api, voice_speed=speed)["task_result"]["audios"][0]["duration"])
        for speed in (0.8, 1.0, 2.0)
    )
    assert slow > normal > fast


def test_text_of_a_thousand_characters_is_accepted(api: httpx.Client) -> None:
    assert spoken(api, text="a" * 1000)["task_status"] == "succeed"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"text": "a" * 1001}, "text is longer"),
        ({"text": " "}, "text is required"),
        ({"text": 5}, "text must be a string"),
        ({"voice_id": ""}, "voice_id is required"),
        ({"voice_language": "nl"}, "voice_language"),
        ({"voice_speed": "fast"}, "voice_speed"),
        ({"voice_speed": True}, "voice_speed"),
    ],
)
def test_speech_refuses_with_code_1201_and_charges_nothing(
    fields: dict[str, Any], said: str, api: httpx.Client, sandbox: RunningSandbox
) -> None:
    answer = api.post(SPEECH, json={**SPEAK, **fields})
    assert (answer.status_code, answer.json()["code"]) == (400, 1201)
    assert said in answer.json()["message"]
    assert sandbox.ledger()["totals"]["charges"] == 0


def test_without_a_language_the_voice_must_be_chinese(api: httpx.Client) -> None:
    body = {"text": SPEAK["text"], "voice_id": "oversea_male1"}
    assert api.post(SPEECH, json=body).json()["data"]["data"]["code"] == 1201
    assert api.post(SPEECH, json={**body, "voice_id": "genshin_vindi2"}).status_code == 200


def test_there_are_as_many_voices_as_are_known() -> None:
    assert {language: len(voices) for language, voices in VOICES.items()} == {"en": 27, "zh": 35}


def test_the_same_text_and_voice_give_the_same_bytes() -> None:
    assert speak("Hello there", "AOT", 1.0) == speak("Hello there", "AOT", 1.0)
    assert speak("Hello there", "AOT", 1.0) != speak("Hello there", "uk_man2", 1.0)

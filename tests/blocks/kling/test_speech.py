"""Speech is bought by one POST, read in every known shape, and its refusals say what to do."""

from __future__ import annotations

import asyncio
import json
import pickle
import socket
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from blocks.errors import (
    AvatarError,
    ContentRefused,
    NotSent,
    OutcomeUnknown,
    RequestRejected,
    TaskNotFound,
)
from blocks.kling.client import KlingClient
from blocks.kling.models import KlingTask, TaskStatus
from blocks.kling.speech import SpeechRequest, build_speech, read_speech, read_spoken
from blocks.sandbox.serve import RunningSandbox, running_sandbox
from blocks.web import guarded_client
from tests.blocks.kling.answers import ID, answer, sampled
from tests.blocks.kling.asking import KEY, QUICK, SPEECH, client_for
from tests.blocks.kling.wire import (
    Script,
    answering,
    half_a_body,
    half_a_head,
    never,
    no_answer,
    reset_instead_of_answer,
    serve,
    too_long_an_answer,
)

AUDIO = {"id": "102", "url": "https://cdn.example.net/102.mp3?signature=5ec2e7", "duration": "12.384"}


def spoken(data: dict[str, Any], **envelope: Any) -> KlingTask:
    return read_spoken(answer({"code": 0, "message": "SUCCEED", "data": data} | envelope), SPEECH)


class TestProtocol:
    def test_every_documented_field_is_sent_and_no_other(self) -> None:
        assert build_speech(SPEECH) == {
            "text": "Good morning.",
            "voice_id": "oversea_male1",
            "voice_language": "en",
            "voice_speed": 1.2,
        }

    @pytest.mark.parametrize(
        ("field", "right", "wrong"),
        [
            ("text", "x" * 1000, "x" * 1001),
            ("text", "\U0001f600" * 1000, " "),
            ("voice_language", "zh", "nl"),
            ("voice_speed", 0.8, 0.79),
            ("voice_speed", 2.0, 2.01),
        ],
    )
    def test_a_request_keeps_to_the_documented_limits(self, field: str, right: Any, wrong: Any) -> None:
        fields = SPEECH.model_dump()
        assert getattr(SpeechRequest.model_validate(fields | {field: right}), field) == right
        with pytest.raises(ValidationError):
            SpeechRequest.model_validate(fields | {field: wrong})

    def test_the_documented_answer_is_read_whole(self) -> None:
        task = read_spoken(sampled("tts-succeed"), SPEECH)
        assert (task.task_id, task.status, task.videos) == ("880000000000000101", TaskStatus.SUCCEED, ())
        assert task.audio
        assert (task.audio.id, task.audio.seconds) == ("880000000000000102", 12.384)
        assert task.audio.url.endswith("/880000000000000102.mp3")
        assert (task.charged_units, task.message) == ("0.05", "")

    @pytest.mark.parametrize(
        "data",
        [
            {"task_id": ID, "task_status": "succeed", "task_result": {"audios": [AUDIO]}},
            {"task_id": ID, "status": "SUCCESS", "data": {"task_result": {"audios": [AUDIO]}}},
            {"task_id": ID, "status": "succeeded", **AUDIO},
        ],
    )
    def test_speech_is_found_in_every_shape(self, data: dict[str, Any]) -> None:
        task = spoken(data)
        assert (task.task_id, task.status) == (ID, TaskStatus.SUCCEED)
        assert task.audio
        assert (task.audio.id, task.audio.url, task.audio.seconds) == ("102", AUDIO["url"], 12.384)

    def test_speech_without_a_link_still_has_its_id(self) -> None:
        task = spoken({"task_id": ID, "task_status": "succeed", "task_result": {"audios": [{"id": 102}]}})
        assert task.audio
        assert (task.audio.id, task.audio.url) == ("102", "")

    def test_speech_that_names_no_task_is_bought_all_the_same(self) -> None:
        task = spoken({"task_result": {"audios": [AUDIO]}})
        assert (task.task_id, task.status, task.audio and task.audio.id) == ("102", TaskStatus.SUCCEED, "102")

    def test_speech_that_is_still_being_made_is_a_task_to_read_later(self) -> None:
        task = spoken({"task_id": ID, "task_status": "processing", "task_result": {}})
        assert (task.task_id, task.status, task.audio) == (ID, TaskStatus.PROCESSING, None)
        later = answer({"code": 0, "data": {"task_status": "succeed", "task_result": {"audios": [AUDIO]}}})
        assert read_speech(later, ID).audio == spoken({"task_result": {"audios": [AUDIO]}}).audio

    def test_an_answer_that_describes_nothing_may_have_been_bought(self) -> None:
        with pytest.raises(OutcomeUnknown):
            spoken({})

    def test_a_link_is_in_no_dump_and_no_pickle(self) -> None:
        task = spoken({"task_id": ID, "task_status": "succeed", "task_result": {"audios": [AUDIO]}})
        assert "5ec2e7" not in f"{task!r} {task.model_dump_json()} {pickle.dumps(task)!r}"

    def test_a_voice_that_the_provider_does_not_know_is_said_clearly(self) -> None:
        with pytest.raises(RequestRejected, match="no voice 'oversea_male1' that speaks 'en'") as refused:
            read_spoken(sampled("error-nested-1201"), SPEECH)
        assert (refused.value.facts.service_code, refused.value.charged) == (1201, "no")
        assert "another voice" in refused.value.next_step

    def test_a_text_that_the_content_check_refuses_is_said_clearly(self) -> None:
        with pytest.raises(ContentRefused, match="refused the text") as refused:
            read_spoken(sampled("error-400-1301"), SPEECH)
        assert "Change the text" in refused.value.next_step


class TestClient:
    async def test_one_post_carries_the_request_and_brings_the_speech(self) -> None:
        async with serve(answering("tts-succeed")) as wire, client_for(wire.url) as client:
            task = await client.speak(SPEECH)
        (request,) = wire.requests
        assert (request.method, request.target) == ("POST", "/kling/v1/audio/tts")
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert request.headers["connection"] == "close"
        assert json.loads(request.body) == build_speech(SPEECH)
        assert task.audio

    @pytest.mark.parametrize(
        "script",
        [no_answer, reset_instead_of_answer, never, half_a_head, half_a_body, too_long_an_answer],
    )
    async def test_without_a_whole_answer_it_may_have_been_bought_and_is_not_repeated(
        self, script: Script
    ) -> None:
        async with serve(script) as wire, client_for(wire.url, QUICK) as client:
            with pytest.raises(AvatarError) as failure:
                await client.speak(SPEECH)
            await asyncio.sleep(0.02)
        assert type(failure.value) is OutcomeUnknown
        assert (wire.posts, wire.connections) == (1, 1)

    async def test_a_refused_connection_means_not_sent(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            async with client_for(f"http://127.0.0.1:{taken.getsockname()[1]}") as client:
                with pytest.raises(NotSent):
                    await client.speak(SPEECH)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def sandbox(server: RunningSandbox) -> RunningSandbox:
    server.reset()
    return server


class TestAgainstTheSandbox:
    async def test_what_is_spoken_can_be_fetched_and_read_again(self, sandbox: RunningSandbox) -> None:
        async with KlingClient(SecretStr(KEY), sandbox.url) as client, guarded_client(["127.0.0.1"]) as web:
            task = await client.speak(SPEECH)
            again = await client.get_speech(task.task_id)
            assert task.audio
            assert again.audio
            assert (again.audio.id, again.audio.seconds) == (task.audio.id, task.audio.seconds)
            heard = await web.get(again.audio.url)
        assert heard.headers["content-type"] == "audio/mpeg"
        (charge,) = sandbox.ledger()["charges"]
        assert (charge["kind"], Decimal(charge["units"])) == ("tts", Decimal(task.charged_units or 0))

    async def test_a_wrong_pair_of_voice_and_language_costs_nothing(self, sandbox: RunningSandbox) -> None:
        wrong = SPEECH.model_copy(update={"voice_language": "zh"})
        async with KlingClient(SecretStr(KEY), sandbox.url) as client:
            with pytest.raises(RequestRejected, match="no voice 'oversea_male1' that speaks 'zh'"):
                await client.speak(wrong)
            with pytest.raises(TaskNotFound):
                await client.get_speech(ID)
        assert sandbox.ledger()["totals"]["charges"] == 0

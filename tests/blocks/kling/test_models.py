"""What models refuse, normalise and keep to themselves."""

from __future__ import annotations

import copy
import pickle

import pytest
from pydantic import ValidationError

from blocks.kling.models import AvatarRequest, KlingTask, TaskStatus, Video

SIGNED = "https://cdn.example.net/kling/1.mp4?X-Amz-Signature=5ec2e7"


def request(**changes: object) -> AvatarRequest:
    fields: dict[str, object] = {
        "image": "aGVsbG8=",
        "sound_file": "d29ybGQ=",
        "prompt": "Calm presenter.",
        "external_task_id": "5b1c2f5e-3c0f-5d8a-9a41-7f5d0c9e1a01",
    }
    return AvatarRequest.model_validate(fields | changes)


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("submitted", TaskStatus.SUBMITTED),
        ("QUEUED", TaskStatus.SUBMITTED),
        ("NOT_START", TaskStatus.SUBMITTED),
        ("processing", TaskStatus.PROCESSING),
        ("IN_PROGRESS", TaskStatus.PROCESSING),
        ("in progress", TaskStatus.PROCESSING),
        ("in-progress", TaskStatus.PROCESSING),
        ("succeed", TaskStatus.SUCCEED),
        ("Succeeded", TaskStatus.SUCCEED),
        (" SUCCESS ", TaskStatus.SUCCEED),
        ("completed", TaskStatus.SUCCEED),
        ("failed", TaskStatus.FAILED),
        ("FAILURE", TaskStatus.FAILED),
        ("cancelled", TaskStatus.FAILED),
    ],
)
def test_a_gateways_word_means_one_of_klings_four(word: str, status: TaskStatus) -> None:
    assert TaskStatus.of(word) is status


@pytest.mark.parametrize("word", ["", "archived", "error", "succeed?", "unsuccessful", "expired", "成功"])
def test_an_unknown_word_is_still_running_and_never_success(word: str) -> None:
    assert TaskStatus.of(word) is TaskStatus.UNKNOWN
    assert not TaskStatus.of(word).is_final


def test_only_success_and_failure_are_final() -> None:
    assert {status for status in TaskStatus if status.is_final} == {TaskStatus.SUCCEED, TaskStatus.FAILED}


def test_a_delivery_link_stays_in_memory() -> None:
    task = KlingTask(task_id="1", status=TaskStatus.SUCCEED, videos=(Video(id="7", url=SIGNED, seconds=2.5),))
    assert task.video is not None
    assert task.video.url == SIGNED
    assert copy.deepcopy(task).video == task.video
    shown = f"{task!r} {task} {task.model_dump()} {task.model_dump_json()} {pickle.dumps(task)!r}"
    assert "5ec2e7" not in shown
    assert "cdn.example.net" not in shown


@pytest.mark.parametrize("way", ["json", "pickle"])
def test_a_task_that_was_read_back_is_whole_but_has_no_link(way: str) -> None:
    task = KlingTask(task_id="1", status=TaskStatus.SUCCEED, videos=(Video(id="7", url=SIGNED, seconds=2.5),))
    back: KlingTask = (
        pickle.loads(pickle.dumps(task))  # noqa: S301  # our own bytes
        if way == "pickle"
        else KlingTask.model_validate_json(task.model_dump_json())
    )
    assert back.videos[0].seconds == 2.5
    assert back.video is None


@pytest.mark.parametrize("model", [request(), KlingTask(task_id="1", status=TaskStatus.FAILED), Video()])
def test_models_do_not_change(model: AvatarRequest | KlingTask | Video) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(model, next(iter(type(model).model_fields)), "other")


@pytest.mark.parametrize(
    ("changes", "curable"),
    [
        ({"service_code": 1303}, True),
        ({"service_code": 1302}, True),
        ({"message": "Error: Parallel task over resource pack limit."}, True),
        ({"service_code": 1301}, False),
        ({"service_code": 1102, "message": "resource pack depleted"}, False),
        ({"message": "rejected by the platform content check"}, False),
        ({"status": TaskStatus.PROCESSING, "service_code": 1303}, False),
    ],
)
def test_a_failure_is_curable_only_when_too_many_ran_at_once(
    changes: dict[str, object], curable: bool
) -> None:
    task = KlingTask.model_validate({"task_id": "1", "status": TaskStatus.FAILED} | changes)
    assert task.is_curable is curable


@pytest.mark.parametrize(
    "changes",
    [
        {"sound_file": None},
        {"audio_id": "1"},
        {"sound_file": "", "audio_id": "1"},
        {"sound_file": None, "audio_id": ""},
        {"image": ""},
        {"image": "data:image/png;base64,aGVsbG8="},
        {"sound_file": "DATA:audio/mpeg;base64,aGVsbG8="},
        {"prompt": ""},
        {"prompt": "  \n"},
        {"prompt": "x" * 2501},
        {"mode": "standard"},
        {"callback_url": ""},
        {"external_task_id": ""},
        {"external_task_id": None},
    ],
    ids=str,
)
def test_what_the_provider_would_refuse_is_not_a_request(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        request(**changes)


def test_the_longest_prompt_and_either_voice_are_a_request() -> None:
    assert len(request(prompt="é" * 2500).prompt) == 2500
    assert request(sound_file=None, audio_id="880000000000000102").sound_file is None


def test_media_and_callback_are_in_no_repr_and_no_complaint() -> None:
    secret = {"image": "c2VjcmV0", "sound_file": "bXlzdGVyeQ==", "callback_url": "https://a.example/t0ken"}
    shown = repr(request(**secret))
    with pytest.raises(ValidationError) as refusal:
        request(**secret, audio_id="1")
    with pytest.raises(ValidationError) as other:
        request(**secret | {"image": "data:c2VjcmV0"})
    shown += f"{refusal.value} {other.value}"
    assert "external_task_id" in shown
    assert not any(word in shown for word in ("c2VjcmV0", "bXlzdGVyeQ", "t0ken"))

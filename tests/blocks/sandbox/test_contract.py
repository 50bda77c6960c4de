from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from blocks.sandbox.serve import RunningSandbox
from tests.blocks.sandbox.conftest import SPEECH, Create
from tests.blocks.sandbox.receiver import receiving

SAMPLES = Path(__file__).parents[2] / "contract"
SPEAK = {"text": "Good morning to all of you.", "voice_id": "oversea_male1", "voice_language": "en"}

# Seconds after which a task is asked for, and the marker of its prompt.
QUERIES = {
    "query-submitted": (0, ""),
    "query-processing": (10, ""),
    "query-succeed": (40, ""),
    "query-failed-content": (40, "[fault:failed-moderation]"),
    "query-succeed-without-url": (40, "[fault:succeed-without-url]"),
    "query-wrapped": (40, "[fault:wrapped-envelope]"),
    "query-variant-c": (40, "[fault:variant-c]"),
    "query-variant-d": (40, "[fault:variant-d]"),
}
REFUSALS: dict[str, dict[str, Any]] = {
    "error-400-gateway": {"prompt": ""},
    "error-500-invalid-request": {"prompt": "[fault:500-invalid-request]"},
    "error-429-plain": {"prompt": "[fault:429-plain]"},
    "error-400-1201": {"mode": "standard"},
    "error-400-1301": {"prompt": "[fault:1301]"},
    "error-429-1303": {"prompt": "[fault:429-1303]"},
    "error-429-1302": {"prompt": "[fault:429-1302]"},
    "error-429-1102": {"prompt": "[fault:429-1102]"},
    "error-503-5001": {"prompt": "[fault:503-5001]"},
    "error-504-5002": {"prompt": "[fault:504-5002-after-accept]"},
    "error-200-1200": {"prompt": "[fault:200-1200]"},
}
OTHERS = {
    "create-accepted",
    "error-401-invalid-key",
    "error-404-1203",
    "error-nested-1201",
    "tts-succeed",
    "callback-succeed",
    "callback-failed",
}


def sample(name: str) -> dict[str, Any]:
    return dict(json.loads((SAMPLES / f"{name}.json").read_text()))


def shape(value: Any) -> Any:
    """Keys and types, and the service code, which is part of the contract."""
    if isinstance(value, dict):
        return {key: inner if key == "code" else shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return type(value).__name__


def assert_same(name: str, answer: httpx.Response) -> None:
    wanted = sample(name)
    assert answer.headers["content-type"] == "application/json"
    assert (answer.status_code, shape(answer.json())) == (wanted["status"], shape(wanted["body"]))


def test_every_sample_is_answered_by_some_test() -> None:
    assert {path.stem for path in SAMPLES.glob("*.json")} == {*QUERIES, *REFUSALS, *OTHERS}


def test_an_accepted_task(create: Create) -> None:
    assert_same("create-accepted", create(external_task_id="ours"))


@pytest.mark.parametrize("name", QUERIES)
def test_a_query(
    name: str, sandbox: RunningSandbox, create: Create, query: Callable[[str], httpx.Response]
) -> None:
    seconds, marker = QUERIES[name]
    create(external_task_id="ours", prompt=f"Calm. {marker}")
    sandbox.advance(seconds)
    assert_same(name, query("ours"))


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal(name: str, create: Create) -> None:
    assert_same(name, create(**REFUSALS[name]))


def test_an_invalid_key(sandbox: RunningSandbox, create: Create) -> None:
    sandbox.set(key="right")
    assert_same("error-401-invalid-key", create())


def test_an_unknown_task(query: Callable[[str], httpx.Response]) -> None:
    assert_same("error-404-1203", query("880000000000000001"))


def test_finished_speech(api: httpx.Client) -> None:
    assert_same("tts-succeed", api.post(SPEECH, json=SPEAK))


def test_a_voice_of_another_language(api: httpx.Client) -> None:
    assert_same("error-nested-1201", api.post(SPEECH, json={**SPEAK, "voice_language": "zh"}))


@pytest.mark.parametrize(
    ("name", "marker"), [("callback-succeed", ""), ("callback-failed", "[fault:failed-moderation]")]
)
def test_a_callback(name: str, marker: str, sandbox: RunningSandbox, create: Create) -> None:
    with receiving() as (url, rung):
        create(external_task_id="ours", prompt=f"Calm. {marker}", callback_url=url)
        sandbox.advance(40)
        bodies = [rung.get(timeout=10).json() for _ in range(3)]
    assert shape(bodies[-1]) == shape(sample(name)["body"])

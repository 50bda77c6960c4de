from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from blocks.sandbox.serve import RunningSandbox
from tests.blocks.sandbox.conftest import Create
from tests.blocks.sandbox.media import sound, text

Query = Callable[[str], httpx.Response]


def created(answer: httpx.Response) -> dict[str, Any]:
    return dict(answer.json()["data"])


def test_statuses_move_with_the_clock(sandbox: RunningSandbox, create: Create, query: Query) -> None:
    task = created(create())
    seen = []
    for seconds in (0, 9, 1, 29, 1, 1000):
        sandbox.advance(seconds)
        data = query(task["task_id"]).json()["data"]
        seen.append((data["task_status"], data["updated_at"] - task["created_at"]))
    assert [status for status, _ in seen] == [
        "submitted",
        "submitted",
        "processing",
        "processing",
        "succeed",
        "succeed",
    ]
    assert [after // 1000 for _, after in seen] == [0, 0, 10, 10, 40, 40]


def test_longer_audio_renders_longer(sandbox: RunningSandbox, create: Create, query: Query) -> None:
    sandbox.set(seconds_per_audio_second=10)
    task_id = created(create(sound_file=text(sound(3.0))))["task_id"]
    sandbox.advance(69)
    assert query(task_id).json()["data"]["task_status"] == "processing"
    sandbox.advance(1)
    assert query(task_id).json()["data"]["task_status"] == "succeed"


def test_a_task_id_is_a_decimal_string_that_does_not_survive_a_float(create: Create) -> None:
    for _ in range(3):
        task_id = created(create())["task_id"]
        assert re.fullmatch(r"\d{18}", task_id)
        assert str(int(float(task_id))) != task_id


def test_a_success_says_what_it_is(sandbox: RunningSandbox, create: Create, query: Query) -> None:
    task = created(create(external_task_id="ours", sound_file=text(sound(2.5)), mode="pro"))
    sandbox.advance(40)
    data = query("ours").json()["data"]
    assert data["task_id"] == task["task_id"]
    assert data["task_info"] == {"external_task_id": "ours"}
    assert data["final_unit_deduction"] == "2"
    assert data["task_result"]["videos"][0]["duration"] == "2.5"


def test_lookup_by_external_id_can_be_switched_off(
    sandbox: RunningSandbox, create: Create, query: Query
) -> None:
    task = created(create(external_task_id="ours"))
    assert created(query("ours"))["task_id"] == task["task_id"]
    sandbox.set(lookup=False)
    assert (query("ours").status_code, query("ours").json()["code"]) == (404, 1203)
    assert query(task["task_id"]).status_code == 200


def test_a_reused_external_id_is_a_second_task_and_a_second_charge(
    sandbox: RunningSandbox, create: Create, query: Query
) -> None:
    first, second = created(create(external_task_id="ours")), created(create(external_task_id="ours"))
    assert first["task_id"] != second["task_id"]
    assert created(query("ours"))["task_id"] == second["task_id"]
    assert sandbox.ledger()["totals"]["charges"] == 2


def test_a_reused_external_id_can_be_rejected(sandbox: RunningSandbox, create: Create) -> None:
    sandbox.set(duplicate_external_id="reject")
    assert create(external_task_id="ours").status_code == 200
    again = create(external_task_id="ours")
    assert (again.status_code, again.json()["code"]) == (400, 1201)
    assert create(external_task_id="other").status_code == 200
    assert sandbox.ledger()["totals"]["charges"] == 2


def test_a_reused_external_id_can_be_replayed(sandbox: RunningSandbox, create: Create) -> None:
    sandbox.set(duplicate_external_id="replay")
    first = created(create(external_task_id="ours"))
    sandbox.advance(10)
    again = created(create(external_task_id="ours"))
    assert (again["task_id"], again["task_status"]) == (first["task_id"], "processing")
    assert sandbox.ledger()["totals"]["charges"] == 1


def test_tasks_without_an_external_id_are_never_the_same(sandbox: RunningSandbox, create: Create) -> None:
    sandbox.set(duplicate_external_id="replay")
    assert created(create())["task_id"] != created(create())["task_id"]


@pytest.mark.parametrize(("shape", "status"), [("kling", 404), ("gateway", 404), ("null", 200)])
def test_an_unknown_task_in_the_shapes_it_might_have(
    shape: str, status: int, sandbox: RunningSandbox, query: Query
) -> None:
    sandbox.set(unknown_task=shape)
    answer = query("880000000000000001")
    found = {"kling": "code", "gateway": "error", "null": "data"}[shape]
    assert answer.status_code == status
    assert answer.json()[found] == (1203 if shape == "kling" else answer.json()[found])
    assert "task_id" not in answer.text


def test_more_tasks_in_flight_than_allowed_are_refused_until_one_ends(
    sandbox: RunningSandbox, create: Create
) -> None:
    sandbox.set(max_in_flight=2)
    assert [create().status_code for _ in range(3)] == [200, 200, 429]
    assert create().json()["code"] == 1303
    sandbox.advance(40)
    assert create().status_code == 200
    assert sandbox.ledger()["totals"]["charges"] == 3


def test_each_external_id_finds_its_own_task(create: Create, query: Query) -> None:
    tasks = {f"job-{n}": created(create(external_task_id=f"job-{n}"))["task_id"] for n in range(20)}
    for name, task_id in tasks.items():
        assert created(query(name))["task_id"] == task_id

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from pydantic import ValidationError

from blocks.sandbox.script import Rule, Script, Subject, markers
from blocks.sandbox.serve import RunningSandbox
from tests.blocks.sandbox.conftest import AVATAR, Create

Query = Callable[[str], httpx.Response]


def fired(script: Script, subject: Subject, times: int = 1) -> list[bool]:
    return [script.fire("create", "refuse", subject) is not None for _ in range(times)]


def test_a_rule_fires_as_often_as_it_says() -> None:
    script = Script()
    script.add(Rule(fault="429-1302", count=2))
    assert fired(script, Subject(), 4) == [True, True, False, False]


def test_a_rule_without_a_count_takes_the_faults_own_and_null_is_for_ever() -> None:
    assert Rule(fault="dead-link").count == 1
    assert Rule(fault="dead-link", count=None).count is None
    assert Rule(fault="429-1302").count is None


def test_the_first_rule_that_is_left_fires() -> None:
    script = Script()
    script.add(Rule(fault="429-1302", count=1))
    script.add(Rule(fault="503-5001", count=1))
    names = [script.fire("create", "refuse", Subject()) for _ in range(3)]
    assert [one.name if one else None for one in names] == ["429-1302", "503-5001", None]


def test_a_rule_fires_only_where_everything_matches() -> None:
    script = Script()
    script.add(Rule(fault="429-1302", match={"external_task_id": "job-7", "prompt": "calm"}))
    for subject in (
        Subject("job-8", "calm"),
        Subject("job-7", "wild"),
        Subject(prompt="calm"),
    ):
        assert fired(script, subject) == [False]
    assert fired(script, Subject("x-job-7-y", "very calm")) == [True]


def test_a_rule_fires_only_at_its_endpoint() -> None:
    script = Script()
    script.add(Rule(fault="429-1302", endpoint="query"))
    assert fired(script, Subject()) == [False]
    assert script.fire("query", "refuse", Subject()) is not None


def test_chances_are_repeatable_and_do_not_hang_on_the_order_of_tasks() -> None:
    subjects = [Subject(f"job-{number}") for number in range(400)]
    runs = []
    for order in (subjects, subjects[::-1]):
        script = Script()
        script.add(Rule(fault="429-1302", probability=0.25, seed=5))
        runs.append({subject.name for subject in order if any(fired(script, subject))})
    assert runs[0] == runs[1]
    assert 60 < len(runs[0]) < 140
    other = Script()
    other.add(Rule(fault="429-1302", probability=0.25, seed=6))
    assert {subject.name for subject in subjects if any(fired(other, subject))} != runs[0]


def test_a_second_request_of_a_task_has_a_chance_of_its_own() -> None:
    script = Script()
    script.add(Rule(fault="429-1302", probability=0.5))
    assert set(fired(script, Subject("job-1"), 20)) == {True, False}


@pytest.mark.parametrize(
    "wrong",
    [
        {"fault": "nope"},
        {"fault": "dead-link", "endpoint": "create"},
        {"fault": "429-1302", "count": -1},
        {"fault": "429-1302", "probability": 2},
        {"fault": "429-1302", "match": {"mode": "std"}},
        {"fault": "429-1302", "colour": "red"},
    ],
)
def test_a_wrong_rule_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Rule.model_validate(wrong)


def test_markers_are_found_with_their_counts() -> None:
    text = "Calm [fault:429-1302:3] and [fault:dead-link][fault:stuck] [fault:] [fault:x:y]"
    assert markers(text) == [("429-1302", 3), ("dead-link", 1), ("stuck", None)]


def test_a_marker_is_counted_over_repeated_posts_of_the_same_job(
    create: Create, sandbox: RunningSandbox
) -> None:
    prompt = "[fault:429-1302:2] [fault:lost-response:1]"
    assert [create(prompt=prompt, external_task_id="a").status_code for _ in range(2)] == [429, 429]
    assert create(prompt=prompt, external_task_id="b").status_code == 429
    with pytest.raises(httpx.RemoteProtocolError):
        create(prompt=prompt, external_task_id="a")
    assert create(prompt=prompt, external_task_id="a").status_code == 200
    assert sandbox.ledger()["totals"]["charges"] == 2


def test_a_marker_of_a_query_stays_with_its_task(create: Create, query: Query) -> None:
    create(prompt="[fault:query-500]", external_task_id="a")
    create(external_task_id="b")
    assert [query(name).status_code for name in ("a", "b", "a")] == [500, 200, 500]


def test_an_unknown_marker_is_refused(create: Create) -> None:
    answer = create(prompt="[fault:typo]")
    assert (answer.status_code, answer.json()["code"]) == (400, 1200)
    assert "typo" in answer.json()["message"]


def test_a_header_holds_for_its_request_alone(create: Create, query: Query, api: httpx.Client) -> None:
    create(external_task_id="a")
    header = {"X-Sandbox-Fault": "query-500, dead-link"}
    assert api.get(f"{AVATAR}/a", headers=header).status_code == 500
    assert query("a").status_code == 200


def test_rules_can_be_added_seen_and_removed_over_http(create: Create, sandbox: RunningSandbox) -> None:
    rules = [{"fault": "429-1302", "count": 1, "retry_after": 7}, {"fault": "dead-link"}]
    sandbox.control("POST", "/faults", rules)
    answer = create()
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    seen = sandbox.control("GET", "/faults")
    told = [(rule["fault"], rule["endpoint"], rule["left"], rule["fired"]) for rule in seen["faults"]]
    assert told == [("429-1302", "create", 0, 1), ("dead-link", "delivery", 1, 0)]
    assert "dead-link" in seen["known"]
    sandbox.clear_faults()
    assert sandbox.control("GET", "/faults")["faults"] == []


def test_the_log_names_the_fault_that_acted(create: Create, sandbox: RunningSandbox) -> None:
    create(prompt="[fault:429-1302:1]")
    create(prompt="[fault:429-1302:1]")
    assert [entry["fault"] for entry in sandbox.requests()] == ["429-1302", None]

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from blocks.sandbox import faults
from blocks.sandbox.serve import RunningSandbox
from tests.blocks.sandbox.conftest import AVATAR, SPEECH, Create
from tests.blocks.sandbox.media import picture, sound, text

Query = Callable[[str], httpx.Response]
SPEAK = {"text": "Good morning to all of you.", "voice_id": "oversea_male1", "voice_language": "en"}

# Answer to a create request: status, service code or error.code, tasks that were charged.
CREATE: dict[str, tuple[int, int | str, int]] = {
    "500-after-accept": (500, 5000, 1),
    "504-5002-after-accept": (504, 5002, 1),
    "500-before-accept": (500, 5000, 0),
    "500-invalid-request": (500, "invalid_request", 0),
    "429-1302": (429, 1302, 0),
    "429-1303": (429, 1303, 0),
    "429-1102": (429, 1102, 0),
    "429-plain": (429, "", 0),
    "503-5001": (503, 5001, 0),
    "200-1200": (200, 1200, 0),
    "1301": (400, 1301, 0),
}
ELSEWHERE = {
    "lost-response",
    "slow",
    "html",
    "redirect",
    "failed-moderation",
    "failed-1303",
    "unknown-status",
    "stuck",
    "succeed-without-url",
    "wrapped-envelope",
    "variant-c",
    "variant-d",
    "query-500",
    "query-html",
    "query-1203-early",
}


def code(answer: httpx.Response) -> Any:
    body = answer.json()
    return body["error"]["code"] if "error" in body else body["code"]


def charges(sandbox: RunningSandbox) -> int:
    return int(sandbox.ledger()["totals"]["charges"])


def test_every_fault_of_the_api_has_a_test_here_and_a_line_in_the_docstring() -> None:
    of_the_api = {name for name, fault in faults.FAULTS.items() if fault.endpoints[0] != "delivery"}
    assert of_the_api == {*CREATE, *ELSEWHERE}
    for fault in faults.FAULTS.values():
        assert f"  {fault.name:22} {fault.says}" in (faults.__doc__ or "")


@pytest.mark.parametrize("name", CREATE)
def test_an_answer_to_create(name: str, create: Create, query: Query, sandbox: RunningSandbox) -> None:
    status, wanted, charged = CREATE[name]
    answer = create(prompt=f"Calm. [fault:{name}]", external_task_id="ours")
    assert (answer.status_code, code(answer)) == (status, wanted)
    assert charges(sandbox) == charged
    assert query("ours").status_code == (200 if charged else 404)


@pytest.mark.parametrize("reset", [False, True])
def test_lost_response_charges_and_cuts(
    reset: bool, create: Create, query: Query, sandbox: RunningSandbox
) -> None:
    sandbox.fault("lost-response", reset=reset)
    with pytest.raises(httpx.ReadError if reset else httpx.RemoteProtocolError):
        create(external_task_id="ours")
    assert charges(sandbox) == 1
    assert query("ours").json()["data"]["task_status"] == "submitted"
    assert sandbox.requests()[0]["status"] is None


def test_slow_accepts_after_the_client_has_gone(
    create: Create, query: Query, sandbox: RunningSandbox, api: httpx.Client
) -> None:
    sandbox.fault("slow", seconds=300, count=1)
    gone = threading.Event()

    def post() -> None:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                f"{sandbox.url}{AVATAR}",
                json={**_body(), "external_task_id": "ours"},
                headers={"Authorization": "Bearer key"},
                timeout=0.2,
                trust_env=False,
            )
        gone.set()

    threading.Thread(target=post).start()
    assert gone.wait(20)
    assert charges(sandbox) == 0
    sandbox.advance(300)
    _eventually(lambda: charges(sandbox) == 1)
    assert query("ours").status_code == 200


def test_html_is_a_page_and_charges_nothing(create: Create, sandbox: RunningSandbox) -> None:
    answer = create(prompt="[fault:html]")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert charges(sandbox) == 0


def test_redirect_points_to_another_host(create: Create, sandbox: RunningSandbox) -> None:
    sandbox.fault("redirect", location="http://127.0.0.1:9/away")
    answer = create()
    assert (answer.status_code, answer.headers["location"]) == (301, "http://127.0.0.1:9/away")
    assert charges(sandbox) == 0


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("failed-moderation", "rejected by the platform content check"),
        ("failed-1303", "parallel task over resource pack limit"),
    ],
)
def test_a_task_that_fails_is_accepted_first_and_given_back_later(
    name: str, said: str, create: Create, query: Query, sandbox: RunningSandbox
) -> None:
    assert create(prompt=f"[fault:{name}]", external_task_id="ours").json()["code"] == 0
    sandbox.advance(39)
    assert query("ours").json()["data"]["task_status"] == "processing"
    sandbox.advance(1)
    data = query("ours").json()["data"]
    assert (data["task_status"], data["task_status_msg"]) == ("failed", said)
    assert sandbox.ledger()["totals"]["refunds"] == 1


def test_unknown_status(create: Create, query: Query, sandbox: RunningSandbox) -> None:
    create(prompt="[fault:unknown-status:2]", external_task_id="ours")
    sandbox.advance(40)
    seen = [query("ours").json()["data"]["task_status"] for _ in range(3)]
    assert seen == ["reviewing", "reviewing", "succeed"]


def test_stuck_never_ends_and_stays_charged(create: Create, query: Query, sandbox: RunningSandbox) -> None:
    create(prompt="[fault:stuck]", external_task_id="ours")
    sandbox.advance(1_000_000)
    assert query("ours").json()["data"]["task_status"] == "processing"
    assert sandbox.tasks()[0]["status"] == "processing"
    assert sandbox.ledger()["totals"]["units"] == "0.8"


def test_stuck_by_rule_ends_when_the_rule_is_removed(
    create: Create, query: Query, sandbox: RunningSandbox
) -> None:
    sandbox.fault("stuck")
    create(external_task_id="ours")
    sandbox.advance(40)
    assert query("ours").json()["data"]["task_status"] == "processing"
    sandbox.clear_faults()
    assert query("ours").json()["data"]["task_status"] == "succeed"


def test_succeed_without_url(create: Create, query: Query, sandbox: RunningSandbox) -> None:
    create(prompt="[fault:succeed-without-url]", external_task_id="ours")
    assert query("ours").json()["data"]["task_status"] == "submitted"
    sandbox.advance(40)
    data = query("ours").json()["data"]
    assert (data["task_status"], data["task_result"]) == ("succeed", {"videos": []})


@pytest.mark.parametrize(
    ("name", "path", "words"),
    [
        ("wrapped-envelope", ("data", "status"), ["SUBMITTED", "IN_PROGRESS", "SUCCESS", "FAILURE"]),
        ("variant-c", ("data", "status"), ["submitted", "processing", "succeeded", "failed"]),
        ("variant-d", ("status",), ["submitted", "processing", "completed", "failed"]),
    ],
)
def test_other_envelopes_tell_every_status_and_deliver(
    name: str,
    path: tuple[str, ...],
    words: list[str],
    create: Create,
    query: Query,
    sandbox: RunningSandbox,
    web: httpx.Client,
) -> None:
    create(prompt=f"[fault:{name}]", external_task_id="ours")
    create(prompt=f"[fault:{name}] [fault:failed-moderation]", external_task_id="other")
    seen = []
    for seconds in (0, 10, 30):
        sandbox.advance(seconds)
        seen.append(_at(query("ours").json(), path))
    assert [*seen, _at(query("other").json(), path)] == words
    body = query("ours").json()
    inner = body["data"]["data"]["task_result"]["videos"][0] if name == "wrapped-envelope" else None
    link = inner["url"] if inner else body.get("url") or body["data"]["url"]
    assert web.get(link).status_code == 200


def test_an_envelope_without_a_task_id_can_answer_a_create(create: Create, sandbox: RunningSandbox) -> None:
    sandbox.fault("variant-c", endpoint="create")
    answer = create()
    assert answer.status_code == 200
    assert "task_id" not in answer.text
    assert charges(sandbox) == 1


def test_query_500(create: Create, query: Query) -> None:
    create(prompt="[fault:query-500:1]", external_task_id="ours")
    assert [query("ours").status_code for _ in range(2)] == [500, 200]


def test_query_html(create: Create, query: Query) -> None:
    create(prompt="[fault:query-html:1]", external_task_id="ours")
    assert query("ours").headers["content-type"].startswith("text/html")
    assert query("ours").json()["code"] == 0


def test_query_1203_early_is_over_after_two_queries(create: Create, query: Query) -> None:
    task_id = create(prompt="[fault:query-1203-early]", external_task_id="ours").json()["data"]["task_id"]
    assert [query(name).status_code for name in (task_id, "ours", task_id)] == [404, 404, 200]


def test_faults_of_posts_hit_speech_too(api: httpx.Client, sandbox: RunningSandbox) -> None:
    assert code(api.post(SPEECH, json={**SPEAK, "text": "Good day. [fault:429-1303]"})) == 1303
    assert charges(sandbox) == 0
    with pytest.raises(httpx.RemoteProtocolError):
        api.post(SPEECH, json={**SPEAK, "text": "Good day. [fault:lost-response]"})
    assert charges(sandbox) == 1


def _at(body: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        body = body[name]
    return body


def _body() -> dict[str, str]:
    return {"image": text(picture()), "sound_file": text(sound()), "prompt": "Calm."}


def _eventually(true: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(400):
        if true():
            return
        pause.wait(0.02)
    raise AssertionError("it never came true")

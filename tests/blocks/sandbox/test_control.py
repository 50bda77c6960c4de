from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from blocks.sandbox.blobs import Blobs
from blocks.sandbox.serve import RunningSandbox, running_sandbox
from tests.blocks.sandbox.conftest import AVATAR, Create
from tests.blocks.sandbox.media import picture, sound, text

SECRET = "whsec_c2VjcmV0LXNlY3JldA=="


def test_reset_forgets_everything(sandbox: RunningSandbox, create: Create) -> None:
    create()
    sandbox.set(lookup=False)
    sandbox.fault("429-1302")
    sandbox.advance(100)
    sandbox.reset()
    assert sandbox.tasks() == sandbox.requests() == sandbox.deliveries() == sandbox.callbacks() == []
    assert sandbox.ledger()["totals"]["charges"] == sandbox.ledger()["posts"] == 0
    assert sandbox.control("GET", "/faults")["faults"] == []
    assert sandbox.control("GET", "/settings")["lookup"] is True
    assert create().status_code == 200


def test_requests_are_logged_without_bodies_and_keys(
    sandbox: RunningSandbox, create: Create, api: httpx.Client
) -> None:
    task_id = create(external_task_id="ours").json()["data"]["task_id"]
    api.get(f"{AVATAR}/ours?secret=1")
    assert sandbox.requests() == [
        {"method": "POST", "path": AVATAR, "status": 200, "task_id": task_id, "fault": None},
        {"method": "GET", "path": f"{AVATAR}/ours", "status": 200, "task_id": task_id, "fault": None},
    ]


def test_secrets_are_set_and_never_shown(sandbox: RunningSandbox) -> None:
    shown = sandbox.control("POST", "/settings", {"key": "hidden-key", "callback_secret": SECRET})
    assert (shown["key"], shown["callback_secret"]) == (True, True)
    assert "hidden-key" not in str(shown)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/settings", {"colour": "red"}),
        ("/settings", {"submitted_seconds": -1}),
        ("/settings", {"callback_secret": "hidden-secret"}),
        ("/settings", [1]),
        ("/faults", {"fault": "typo"}),
        ("/faults", "text"),
        ("/advance", {"seconds": "soon"}),
        ("/advance", {}),
    ],
)
def test_a_wrong_control_is_a_400_that_does_not_repeat_the_value(
    path: str, content: Any, sandbox: RunningSandbox, api: httpx.Client
) -> None:
    before = sandbox.control("GET", "/settings")
    answer = api.post(f"/sandbox{path}", json=content)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert "hidden-secret" not in answer.text
    assert sandbox.control("GET", "/settings") == before


def test_a_control_that_is_no_json_is_a_400(api: httpx.Client) -> None:
    for path in ("/sandbox/settings", "/sandbox/faults", "/sandbox/advance"):
        assert api.post(path, content=b"{").status_code == 400


def test_two_sandboxes_know_nothing_of_each_other(sandbox: RunningSandbox, create: Create) -> None:
    create()
    with running_sandbox(lookup=False) as other:
        assert other.control("GET", "") == {"url": other.url, "delivery_url": other.delivery_url}
        assert other.control("GET", "/settings")["lookup"] is False
        assert other.tasks() == []
        url = other.url
    assert len(sandbox.tasks()) == 1
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)


def test_many_tasks_at_once_keep_their_books_straight(sandbox: RunningSandbox, create: Create) -> None:
    body = {"image": text(picture()), "sound_file": text(sound()), "prompt": "Calm."}

    async def all_of_them() -> set[str]:
        headers = {"Authorization": "Bearer key"}
        async with httpx.AsyncClient(headers=headers, trust_env=False, timeout=60) as client:
            posts = (
                client.post(sandbox.url + AVATAR, json={**body, "external_task_id": f"job-{number}"})
                for number in range(100)
            )
            return {answer.json()["data"]["task_id"] for answer in await asyncio.gather(*posts)}

    assert len(asyncio.run(all_of_them())) == 100
    ledger = sandbox.ledger()
    assert (ledger["posts"], ledger["totals"]["units"]) == (100, "80")


def test_memory_is_bounded_and_nothing_is_lost() -> None:
    async def story() -> tuple[int, list[bytes]]:
        blobs = Blobs(memory_bytes=250)
        try:
            for number in range(5):
                await blobs.put(f"blob-{number}", bytes([number]) * 100)
            held = blobs.held_bytes
            return held, [await blobs.get(f"blob-{number}") for number in range(5)]
        finally:
            blobs.close()

    held, found = asyncio.run(story())
    assert held == 200
    assert found == [bytes([number]) * 100 for number in range(5)]

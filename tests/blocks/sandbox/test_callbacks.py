from __future__ import annotations

import base64
import hashlib
import hmac
from queue import Queue
from typing import Any

import pytest

from blocks.sandbox.serve import RunningSandbox
from tests.blocks.sandbox.conftest import Create
from tests.blocks.sandbox.receiver import Rung, receiving

SECRET = "whsec_" + base64.b64encode(b"a key of some length").decode()


def statuses(rung: Queue[Rung], number: int) -> list[str]:
    return [rung.get(timeout=10).json()["task_status"] for _ in range(number)]


def test_each_change_is_told_in_order_without_anybody_asking(sandbox: RunningSandbox, create: Create) -> None:
    sandbox.set(submitted_seconds=0.02, render_seconds=0.02)
    with receiving() as (url, rung):
        create(callback_url=url)
        assert statuses(rung, 3) == ["submitted", "processing", "succeed"]


def test_a_callback_is_unsigned_without_a_secret(create: Create) -> None:
    with receiving() as (url, rung):
        create(callback_url=url)
        assert not [name for name in rung.get(timeout=10).headers if name.startswith("webhook-")]


def test_a_callback_is_signed_with_a_secret(sandbox: RunningSandbox, create: Create) -> None:
    sandbox.set(callback_secret=SECRET)
    with receiving() as (url, rung):
        create(callback_url=url)
        headers, raw = rung.get(timeout=10)
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + raw
    digest = hmac.new(b"a key of some length", signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"


@pytest.mark.parametrize(("often", "told"), [("twice", ["submitted"] * 2), ("once", ["submitted"])])
def test_callbacks_can_come_twice(
    often: str, told: list[str], sandbox: RunningSandbox, create: Create
) -> None:
    sandbox.set(callbacks=often)
    with receiving() as (url, rung):
        create(callback_url=url)
        sandbox.advance(10)
        seen = statuses(rung, len(told) + 1)
    assert seen == [*told, "processing"]


def test_callbacks_can_be_lost(sandbox: RunningSandbox, create: Create) -> None:
    sandbox.set(callbacks="never")
    with receiving() as (url, rung):
        create(callback_url=url)
        sandbox.set(callbacks="once")
        sandbox.advance(10)
        assert statuses(rung, 1) == ["processing"]


@pytest.mark.parametrize(("status", "answer"), [(500, 500), (301, 301)])
def test_what_the_receiver_answers_changes_nothing(
    status: int, answer: int, sandbox: RunningSandbox, create: Create
) -> None:
    with receiving(status) as (url, rung):
        create(callback_url=url)
        rung.get(timeout=10)
        sandbox.advance(40)
        statuses(rung, 2)
    assert _told(sandbox, 3) == [answer] * 3


def test_a_receiver_that_is_not_there_changes_nothing(sandbox: RunningSandbox, create: Create) -> None:
    with receiving() as (url, _):
        gone = url
    assert create(callback_url=gone).status_code == 200
    assert _told(sandbox, 1) == [None]


def _told(sandbox: RunningSandbox, number: int) -> list[Any]:
    told: list[Any] = []
    for _ in range(500):
        told = [entry["answer"] for entry in sandbox.callbacks()]
        if len(told) >= number:
            break
    return told

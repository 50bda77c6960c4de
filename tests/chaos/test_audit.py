"""The oracle itself: it must see a second charge, a lost clip and a wrong byte."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from tests.chaos.audit import Account, Books, audit, totals
from tests.chaos.plan import Plan, make_plans
from tests.chaos.shelf import Contents

NAMESPACE = "6f0f1c55-5d0b-4a44-9c0e-3a4f3e1d7a10"
CLIP = b"what the provider delivered"


class Objects(dict[str, bytes]):
    """An archive in memory."""

    def read(self, key: str) -> bytes:
        return self[key]


@pytest.fixture
def plan() -> Plan:
    return make_plans(1, 1, NAMESPACE, flows=0, pauses=False, slow_seconds=1)[0]


@pytest.fixture
def shelf(plan: Plan) -> Objects:
    """One archived job, as it should be."""
    folder, job_id = plan.job_id[:2], plan.job_id
    clip = {"sha256": hashlib.sha256(CLIP).hexdigest(), "size": len(CLIP)}
    sidecar = {"provided": {"task_id": "1"}, "clip": clip}
    return Objects(
        {
            f"clips/{folder}/{job_id}.mp4": CLIP,
            f"clips/{folder}/{job_id}.json": json.dumps(sidecar).encode(),
            f"journal/{folder}/{job_id}/0001.json": b'{"step": "intent"}',
            f"journal/{folder}/{job_id}/0002.json": b'{"step": "submitted"}',
        }
    )


def test_a_job_that_is_paid_and_archived_is_right(plan: Plan, shelf: Objects) -> None:
    assert _totals(plan, shelf, _charge(plan, "1")) == _sums(charged=1, archived=1)


def test_a_second_charge_for_a_job_is_a_double_charge_and_its_clip_is_lost(
    plan: Plan, shelf: Objects
) -> None:
    found = _totals(plan, shelf, _charge(plan, "1"), _charge(plan, "2"))
    assert found == _sums(charged=2, archived=1, double_charged=1, lost=1)


def test_a_second_purchase_counts_only_while_the_first_was_not_given_back(plan: Plan, shelf: Objects) -> None:
    again = {**_charge(plan, "1"), "external_task_id": plan.names[1]}
    given_back = {**_charge(plan, "2"), "refunded": True}
    assert _totals(plan, shelf, given_back, again) == _sums(charged=1, archived=1)
    assert _totals(plan, shelf, _charge(plan, "2"), again)["double_charged"] == 1


def test_a_charge_for_no_known_job_is_a_double_charge(plan: Plan, shelf: Objects) -> None:
    stray = {**_charge(plan, "2"), "external_task_id": "somebody else's"}
    assert _totals(plan, shelf, _charge(plan, "1"), stray) == _sums(charged=2, archived=1, double_charged=1)


def test_a_paid_job_without_a_clip_is_lost(plan: Plan, shelf: Objects) -> None:
    kept = Objects({key: data for key, data in shelf.items() if key.startswith("journal/")})
    assert _totals(plan, kept, _charge(plan, "1")) == _sums(charged=1, lost=1)


def test_a_paid_job_that_a_person_is_asked_about_is_not_lost(plan: Plan, shelf: Objects) -> None:
    kept = Objects({key: data for key, data in shelf.items() if key.startswith("journal/")})
    kept[f"journal/{plan.job_id[:2]}/{plan.job_id}/0002.json"] = b'{"step": "undecided"}'
    assert _totals(plan, kept, _charge(plan, "1")) == _sums(charged=1, undecided=1)


@pytest.mark.parametrize("spoiled", [CLIP[:-1], CLIP + b"\0", CLIP.replace(b"w", b"W")])
def test_a_clip_of_other_bytes_than_were_delivered_is_corrupt_and_lost(
    plan: Plan, shelf: Objects, spoiled: bytes
) -> None:
    shelf[f"clips/{plan.job_id[:2]}/{plan.job_id}.mp4"] = spoiled
    assert _totals(plan, shelf, _charge(plan, "1")) == _sums(charged=1, archived=1, corrupt=1, lost=1)


def test_a_sidecar_that_names_another_task_than_its_clip_came_from_is_corrupt(
    plan: Plan, shelf: Objects
) -> None:
    key = f"clips/{plan.job_id[:2]}/{plan.job_id}.json"
    shelf[key] = shelf[key].replace(b'"task_id": "1"', b'"task_id": "2"')
    assert _totals(plan, shelf, _charge(plan, "1"))["corrupt"] == 1


def test_a_sidecar_without_its_clip_is_corrupt(plan: Plan, shelf: Objects) -> None:
    del shelf[f"clips/{plan.job_id[:2]}/{plan.job_id}.mp4"]
    assert _totals(plan, shelf, _charge(plan, "1")) == _sums(charged=1, corrupt=1, lost=1)


def _charge(plan: Plan, task_id: str) -> dict[str, Any]:
    return {"task_id": task_id, "external_task_id": plan.names[0], "refunded": False}


def _totals(plan: Plan, shelf: Objects, *charges: dict[str, Any]) -> dict[str, int]:
    clips = [{"sha256": hashlib.sha256(CLIP).hexdigest()}]
    books = Books(charges, [{"task_id": "1", "clips": clips}, {"task_id": "2", "clips": []}])
    accounts: dict[str, Account] = audit([plan], books, Contents(shelf))
    return totals(accounts, books)


def _sums(**given: int) -> dict[str, int]:
    names = ("charged", "double_charged", "archived", "undecided", "lost", "corrupt")
    return dict.fromkeys(names, 0) | given

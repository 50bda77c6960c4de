from __future__ import annotations

from decimal import Decimal

import httpx

from blocks.sandbox.ledger import Charge, Ledger, plain
from blocks.sandbox.serve import RunningSandbox
from tests.blocks.sandbox.conftest import SPEECH, Create
from tests.blocks.sandbox.media import sound, text


def test_a_charge_is_exact_and_comes_with_the_acceptance(sandbox: RunningSandbox, create: Create) -> None:
    task = create(external_task_id="ours", sound_file=text(sound(2.345))).json()["data"]
    ledger = sandbox.ledger()
    assert ledger["charges"] == [
        {
            "task_id": task["task_id"],
            "external_task_id": "ours",
            "kind": "avatar",
            "units": "0.938",
            "usd": "0.13132",
            "seconds": "2.345",
            "mode": "std",
            "charged_at": task["created_at"],
            "refunded": False,
            "refunded_at": None,
        }
    ]
    assert ledger["totals"] == {"charges": 1, "refunds": 0, "units": "0.938", "usd": "0.13132"}


def test_pro_costs_twice_as_much(sandbox: RunningSandbox, create: Create) -> None:
    create(mode="std")
    create(mode="pro")
    assert [charge["units"] for charge in sandbox.ledger()["charges"]] == ["0.8", "1.6"]


def test_a_failed_task_is_given_back_when_it_fails(sandbox: RunningSandbox, create: Create) -> None:
    create(prompt="[fault:failed-moderation]")
    assert sandbox.ledger()["totals"]["units"] == "0.8"
    sandbox.advance(40)
    ledger = sandbox.ledger()
    assert ledger["totals"] == {"charges": 1, "refunds": 1, "units": "0", "usd": "0"}
    charge = ledger["charges"][0]
    assert charge["refunded"]
    assert charge["refunded_at"] >= charge["charged_at"] + 40_000


def test_a_failed_task_is_not_given_back_when_refunds_are_off(
    sandbox: RunningSandbox, create: Create
) -> None:
    sandbox.set(refund_failed=False)
    create(prompt="[fault:failed-moderation]")
    sandbox.advance(40)
    assert sandbox.ledger()["totals"] == {"charges": 1, "refunds": 0, "units": "0.8", "usd": "0.112"}


def test_every_post_is_counted_also_refused_ones(
    sandbox: RunningSandbox, create: Create, api: httpx.Client
) -> None:
    create()
    create(prompt="")
    create(prompt="[fault:429-1302]")
    sandbox.set(key="other")
    create()
    api.post(SPEECH, json={})
    ledger = sandbox.ledger()
    assert (ledger["posts"], ledger["tts_posts"], ledger["totals"]["charges"]) == (4, 1, 1)


def test_a_refund_is_given_once() -> None:
    ledger = Ledger()
    ledger.charge(Charge("1", None, "avatar", Decimal(2), Decimal(5), "std", 0))
    ledger.charge(Charge("2", None, "avatar", Decimal(3), Decimal(5), "std", 0))
    ledger.refund("1", 10)
    ledger.refund("1", 20)
    assert ledger.as_json()["totals"] == {"charges": 2, "refunds": 1, "units": "3", "usd": "0.42"}
    assert ledger.as_json()["charges"][0]["refunded_at"] == 10


def test_amounts_are_written_plainly() -> None:
    amounts = ("10.8164", "2.000", "100", "0.0000001", "0.80", "0")
    written = [plain(Decimal(amount)) for amount in amounts]
    assert written == ["10.8164", "2", "100", "0.0000001", "0.8", "0"]

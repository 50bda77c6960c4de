"""An address is genuine only when the secret made it, and a signature only when Kling's secret did."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime, tzinfo
from typing import Any

import pytest

from blocks.kling.callback import is_signed, job_of, says_still_running, token_of

JOB = "5b0c" * 16
SECRET = "a secret of more than thirty-two characters"
# The test vector of https://github.com/standard-webhooks/standard-webhooks, in all of its libraries.
SIGNING = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
VECTOR = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
VECTOR_BODY = b'{"test": 2432232314}'


def test_a_token_names_its_job_and_fits_into_a_path() -> None:
    token = token_of(JOB, SECRET)
    assert job_of(token, SECRET) == JOB
    assert len(token) == 86
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_tokens_of_different_jobs_and_secrets_have_nothing_in_common() -> None:
    codes = {
        base64.urlsafe_b64decode(token_of(job, secret) + "==")[32:]
        for job in (JOB, JOB[::-1])
        for secret in (SECRET, SECRET[::-1])
    }
    assert len(codes) == 4


def test_no_other_token_is_genuine() -> None:
    token = token_of(JOB, SECRET)
    foreign = token_of(JOB, SECRET[::-1])
    last = [token[:-1] + letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" if letter != token[-1]]
    flipped = [
        token[:place] + ("A" if letter != "A" else "B") + token[place + 1 :]
        for place, letter in enumerate(token)
    ]
    for other in (foreign, *last, *flipped, token + "A", token[:-1], token + "=", JOB, "", "ü" * 86, "\n"):
        assert job_of(other, SECRET) is None, other


@pytest.fixture
def on_the_day_of_the_vector(monkeypatch: pytest.MonkeyPatch) -> None:
    class Then(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.fromtimestamp(int(VECTOR["webhook-timestamp"]) + 299, UTC)

    monkeypatch.setattr("standardwebhooks.webhooks.datetime", Then)


@pytest.mark.usefixtures("on_the_day_of_the_vector")
def test_the_published_vector_is_genuine() -> None:
    assert is_signed(VECTOR, VECTOR_BODY, SIGNING)
    rotated = f"v1,AAAA {VECTOR['webhook-signature']}"
    assert is_signed(VECTOR | {"webhook-signature": rotated}, VECTOR_BODY, SIGNING)


def signed(body: bytes, moment: float, number: str = "msg_1") -> dict[str, str]:
    """Sign a call by hand, as provider's documentation describes it."""
    key = base64.b64decode(SIGNING.removeprefix("whsec_"))
    digest = hmac.new(key, f"{number}.{moment:.0f}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": number,
        "webhook-timestamp": f"{moment:.0f}",
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def test_a_signature_holds_for_five_minutes_and_for_these_bytes_alone() -> None:
    body = json.dumps({"task_status": "succeed"}).encode()
    now = time.time()
    good = signed(body, now)
    assert is_signed(good, body, SIGNING)
    assert not is_signed(good, body + b" ", SIGNING)
    assert not is_signed(good | {"webhook-id": "msg_2"}, body, SIGNING)
    assert not is_signed(signed(body, now - 330), body, SIGNING)
    assert not is_signed(signed(body, now + 330), body, SIGNING)
    for name in good:
        assert not is_signed({key: value for key, value in good.items() if key != name}, body, SIGNING)
        for wrong in ("", "v1", "v1,", "v1,ü", "v1,A", "v2,AAAA", "nan", "1e400", "\ud800"):
            assert not is_signed(good | {name: wrong}, body, SIGNING), (name, wrong)
    assert not is_signed(good, b"\xff\xfe", SIGNING)


@pytest.mark.parametrize(
    ("body", "still"),
    [
        (b'{"task_status": "submitted"}', True),
        (b'{"task_status": "processing"}', True),
        (b'{"task_status": "succeed"}', False),
        (b'{"task_status": "failed"}', False),
        (b'{"task_status": "a word nobody knows"}', False),
        (b'{"task_status": 7}', False),
        (b"[]", False),
        (b"null", False),
        (b"\xff", False),
        (b"[" * 60_000, False),
        (b"9" * 60_000, False),
        (b"", False),
    ],
    ids=lambda value: str(value)[:30],
)
def test_only_a_call_that_says_so_clearly_is_not_worth_a_look(body: bytes, still: bool) -> None:
    assert says_still_running(body) is still

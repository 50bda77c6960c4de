"""Opening answers: waits, request ids, codes and texts."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from blocks.kling.envelopes import Answer, Envelope


def opened(body: object, status: int = 200, **headers: str) -> Envelope:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Envelope(Answer(status, {name.replace("_", "-"): text for name, text in headers.items()}, content))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        (" 2.5 ", 2.5),
        ("86400", 300.0),
        ("Sat, 10 Oct 2026 12:00:20 GMT", 20.0),
        ("Sat, 10 Oct 2026 11:00:00 GMT", 0.0),
        ("Sat, 10 Oct 2026 12:00:20 -0000", 20.0),
        ("Sun, 11 Oct 2026 12:00:00 GMT", 300.0),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("nan", None),
        ("1e9", None),
    ],
)
def test_a_wait_is_seconds_or_a_date_and_never_longer_than_five_minutes(
    value: str, seconds: float | None
) -> None:
    answer = Answer(429, {"retry-after": value}, received_at=datetime(2026, 10, 10, 12, tzinfo=UTC))
    assert answer.retry_after == seconds


@pytest.mark.parametrize(
    ("envelope", "request_id"),
    [
        (opened({"request_id": "outer-1", "data": {"request_id": "inner-1"}}), "outer-1"),
        (opened({"data": {"data": {"request_id": "inner-2"}}}), "inner-2"),
        (opened({"error": {"message": "no (request id: 2026101012)"}}), "2026101012"),
        (opened({"message": "no", "data": {"message": "(Request-ID: 2026101013)"}}), "2026101013"),
        (opened(b"<html>", x_request_id="head-1"), "head-1"),
        (opened({}, x_oneapi_request_id="head-2", cf_ray="ray"), "head-2"),
        (opened(b"<html>", cf_ray="8c1-AMS"), "8c1-AMS"),
        (opened({"request_id": None, "message": None}), None),
    ],
)
def test_the_request_id_is_found_in_body_text_or_header(envelope: Envelope, request_id: str | None) -> None:
    assert envelope.request_id == request_id


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"code": 1303}, 1303),
        ({"code": "1303"}, 1303),
        ({"error": {"code": 1102}, "code": 1303}, 1102),
        ({"error": {"code": "invalid_request"}, "code": 1201}, 1201),
        ({"message": "x", "data": {"code": 1201}}, 1201),
        ({"message": "x", "data": {"message": "x", "data": {"code": 1201}}}, 1201),
        ({"code": 0, "data": {"code": 5000}}, 5000),
        ({"code": 0}, None),
        ({"code": 999}, None),
        ({"code": 6000}, None),
        ({"code": 1303.5}, None),
        ({"code": True}, None),
        ({"code": "13O3"}, None),
        ({"code": [1303], "data": [{"code": 1303}]}, None),
    ],
)
def test_the_service_code_is_the_first_number_from_1000_to_5999(body: object, code: int | None) -> None:
    assert opened(body).service_code == code


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"error": {"message": "first"}, "message": "second"}, "first"),
        ({"error": "first", "message": "second"}, "first"),
        ({"message": "first", "data": {"message": "second"}}, "first"),
        ({"message": "", "data": {"data": {"message": "inner"}}}, "inner"),
        ({"detail": "Not Found"}, "Not Found"),
        ({"message": 5}, ""),
    ],
)
def test_the_first_error_text_is_kept(body: object, text: str) -> None:
    assert opened(body).text == text


@pytest.mark.parametrize(
    ("body", "status", "accepted"),
    [
        ({"code": 0}, 200, True),
        ({"code": "success"}, 200, True),
        ({"code": "SUCCESS"}, 201, True),
        ({}, 200, True),
        ({"code": 1200}, 200, False),
        ({"code": -1}, 200, False),
        ({"code": False}, 200, False),
        ({"code": {}}, 200, False),
        ({"code": 0, "error": {"message": "no"}}, 200, False),
        ({"code": 0}, 302, False),
        ({"code": 0}, 500, False),
        ([], 200, False),
        (b"<html>", 200, False),
        (b"", 204, False),
    ],
)
def test_an_answer_accepts_by_http_status_and_outer_code(body: object, status: int, accepted: bool) -> None:
    assert opened(body, status).is_accepted is accepted


@pytest.mark.parametrize(
    "content",
    [b"[" * 100_000, b"9" * 10_000, b"\xff\xfe\x00", b'{"a":', b"null", b'"text"', b"NaN"],
    ids=["deep", "huge number", "no text", "half", "null", "string", "NaN"],
)
def test_what_is_no_json_object_opens_as_nothing(content: bytes) -> None:
    assert opened(content).document is None
    assert opened(content).layers == ()

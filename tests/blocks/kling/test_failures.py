"""What each failure means: who must act, whether it was bought, whether waiting helps."""

from __future__ import annotations

import json
import pickle

import pytest

from blocks.errors import (
    AccessRefused,
    AccountExhausted,
    AvatarError,
    ContentRefused,
    OutcomeUnknown,
    ProviderError,
    ProviderUnavailable,
    RequestRejected,
    SlowDown,
    TaskNotFound,
)
from blocks.kling.envelopes import Answer
from blocks.kling.protocol import read_created, read_task
from tests.blocks.kling.wire import CONTRACT, sample

ID = "880000000000000001"


def refused(answer: Answer) -> ProviderError:
    with pytest.raises(ProviderError) as failure:
        read_created(answer)
    return failure.value


def unread(answer: Answer) -> ProviderError:
    with pytest.raises(ProviderError) as failure:
        read_task(answer, ID)
    return failure.value


def answer(status: int, body: object = None, **headers: str) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, {name.replace("_", "-"): text for name, text in headers.items()}, content)


# https://www.klingai.com/document-api/api/get-started/error-codes
SERVICE_CODES: list[tuple[int, int, type[ProviderError], type[ProviderError]]] = [
    (401, 1000, AccessRefused, AccessRefused),
    (401, 1001, AccessRefused, AccessRefused),
    (401, 1002, AccessRefused, AccessRefused),
    (401, 1003, AccessRefused, AccessRefused),
    (401, 1004, AccessRefused, AccessRefused),
    (429, 1100, AccountExhausted, AccountExhausted),
    (429, 1101, AccountExhausted, AccountExhausted),
    (429, 1102, AccountExhausted, AccountExhausted),
    (403, 1103, AccessRefused, AccessRefused),
    (400, 1200, RequestRejected, TaskNotFound),
    (400, 1201, RequestRejected, TaskNotFound),
    (404, 1202, RequestRejected, TaskNotFound),
    (404, 1203, RequestRejected, TaskNotFound),
    (400, 1300, ContentRefused, ContentRefused),
    (400, 1301, ContentRefused, ContentRefused),
    (429, 1302, SlowDown, SlowDown),
    (429, 1303, SlowDown, SlowDown),
    (429, 1304, AccessRefused, AccessRefused),
    (500, 5000, OutcomeUnknown, ProviderUnavailable),
    (503, 5001, OutcomeUnknown, ProviderUnavailable),
    (504, 5002, OutcomeUnknown, ProviderUnavailable),
]


@pytest.mark.parametrize(("status", "code", "of_create", "of_read"), SERVICE_CODES)
@pytest.mark.parametrize("http", ["documented", "200", "500"])
def test_the_service_code_decides_whatever_the_http_status_is(
    status: int, code: int, of_create: type[ProviderError], of_read: type[ProviderError], http: str
) -> None:
    came = answer(status if http == "documented" else int(http), {"code": code, "message": "why"})
    for failure, kind in ((refused(came), of_create), (unread(came), of_read)):
        assert type(failure) is kind
        assert failure.facts.service_code == code
        assert failure.message.endswith("why")


# Error samples of the provider's documentation, by what they mean to a POST and to a read.
SAMPLES: dict[str, tuple[type[ProviderError], type[ProviderError]]] = {
    "error-200-1200": (RequestRejected, TaskNotFound),
    "error-400-1201": (RequestRejected, TaskNotFound),
    "error-400-1301": (ContentRefused, ContentRefused),
    "error-400-gateway": (RequestRejected, TaskNotFound),
    "error-401-invalid-key": (AccessRefused, AccessRefused),
    "error-404-1203": (RequestRejected, TaskNotFound),
    "error-429-1102": (AccountExhausted, AccountExhausted),
    "error-429-1302": (SlowDown, SlowDown),
    "error-429-1303": (SlowDown, SlowDown),
    "error-429-plain": (SlowDown, SlowDown),
    "error-500-invalid-request": (RequestRejected, TaskNotFound),
    "error-503-5001": (OutcomeUnknown, ProviderUnavailable),
    "error-504-5002": (OutcomeUnknown, ProviderUnavailable),
    "error-nested-1201": (RequestRejected, TaskNotFound),
}


@pytest.mark.parametrize("name", sorted(path.stem for path in CONTRACT.glob("error-*.json")))
def test_every_sample_of_an_error_is_understood(name: str) -> None:
    status, content = sample(name)
    came = answer(status, content)
    assert (type(refused(came)), type(unread(came))) == SAMPLES[name]
    assert refused(came).facts.http_status == status
    assert refused(came).facts.request_id


# https://apidoc.cometapi.com/errors/error-codes-handling
STATUSES: list[tuple[int, type[ProviderError], type[ProviderError]]] = [
    (101, OutcomeUnknown, ProviderUnavailable),
    (200, OutcomeUnknown, ProviderUnavailable),
    (204, OutcomeUnknown, ProviderUnavailable),
    (301, RequestRejected, ProviderUnavailable),
    (302, OutcomeUnknown, ProviderUnavailable),
    (303, OutcomeUnknown, ProviderUnavailable),
    (304, OutcomeUnknown, ProviderUnavailable),
    (307, RequestRejected, ProviderUnavailable),
    (308, RequestRejected, ProviderUnavailable),
    (400, RequestRejected, TaskNotFound),
    (401, AccessRefused, AccessRefused),
    (402, AccountExhausted, AccountExhausted),
    (403, AccessRefused, AccessRefused),
    (404, RequestRejected, TaskNotFound),
    (405, RequestRejected, ProviderUnavailable),
    (408, OutcomeUnknown, ProviderUnavailable),
    (409, OutcomeUnknown, ProviderUnavailable),
    (413, RequestRejected, ProviderUnavailable),
    (415, RequestRejected, ProviderUnavailable),
    (418, OutcomeUnknown, ProviderUnavailable),
    (422, RequestRejected, TaskNotFound),
    (424, OutcomeUnknown, ProviderUnavailable),
    (425, SlowDown, ProviderUnavailable),
    (429, SlowDown, SlowDown),
    (499, OutcomeUnknown, ProviderUnavailable),
    (500, OutcomeUnknown, ProviderUnavailable),
    (502, OutcomeUnknown, ProviderUnavailable),
    (503, OutcomeUnknown, ProviderUnavailable),
    (504, OutcomeUnknown, ProviderUnavailable),
    (520, OutcomeUnknown, ProviderUnavailable),
    (524, OutcomeUnknown, ProviderUnavailable),
    (599, OutcomeUnknown, ProviderUnavailable),
]


@pytest.mark.parametrize(("status", "of_create", "of_read"), STATUSES)
def test_without_a_code_the_http_status_decides(
    status: int, of_create: type[ProviderError], of_read: type[ProviderError]
) -> None:
    body = {"error": {"message": "why", "type": "comet_api_error", "param": "", "code": ""}}
    assert type(refused(answer(status, body))) is of_create
    assert type(unread(answer(status, body))) is of_read


@pytest.mark.parametrize(("status", "of_create"), [(status, kind) for status, kind, _ in STATUSES])
def test_a_web_page_means_to_a_post_what_its_status_means(
    status: int, of_create: type[ProviderError]
) -> None:
    failure = refused(answer(status, b"<!doctype html><title>?</title>", content_type="text/html"))
    assert type(failure) is of_create
    assert "base URL" in failure.message


@pytest.mark.parametrize("status", [200, 400, 404, 500, 502, 524])
def test_a_web_page_is_no_answer_to_a_read(status: int) -> None:
    failure = unread(answer(status, b"<html><body>?</body></html>", content_type="text/html; charset=utf-8"))
    assert type(failure) is ProviderUnavailable
    assert "base URL" in failure.message


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_names_the_base_url_and_where_it_leads_without_its_query(status: int) -> None:
    came = answer(status, b"", location="https://www.cometapi.com/kling?key=5ec2e7")
    for failure in (refused(came), unread(came)):
        assert "https://www.cometapi.com/kling" in failure.message
        assert "base URL and the path" in failure.message
        assert "5ec2e7" not in str(failure)


@pytest.mark.parametrize(("status", "charged"), [(400, "no"), (429, "no"), (301, "no"), (500, "unknown")])
def test_only_a_certain_refusal_says_that_nothing_was_charged(status: int, charged: str) -> None:
    assert refused(answer(status, {"message": "why"})).charged == charged


@pytest.mark.parametrize("status", [200, 400, 401, 404, 429, 500])
def test_a_failed_read_never_says_whether_the_task_was_charged(status: int) -> None:
    for body in ({"message": "why"}, {"code": 1301, "message": "why"}, {"code": 1303}):
        assert unread(answer(status, body)).charged == "unknown"


@pytest.mark.parametrize("status", [200, 400, 409, 429, 500])
def test_an_error_that_names_a_task_may_have_been_bought(status: int) -> None:
    came = answer(status, {"code": 1303, "message": "later", "data": {"task_id": ID}})
    failure = refused(came)
    assert type(failure) is OutcomeUnknown
    assert failure.facts.kling_task_id == ID


@pytest.mark.parametrize(
    "text",
    [
        "external_task_id already exists",
        "duplicate external_task_id",
        "the external task id must be unique",
        "External_Task_Id has been used",
    ],
)
def test_a_name_that_is_taken_may_mean_an_earlier_post_was_accepted(text: str) -> None:
    assert type(refused(answer(400, {"code": 1201, "message": text}))) is OutcomeUnknown
    assert (
        type(refused(answer(400, {"code": 1201, "message": "external_task_id too long"}))) is RequestRejected
    )


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"error": {"code": 1102, "message": "x"}, "code": 1303}, 429, AccountExhausted),
        ({"message": "x", "data": {"data": {"code": 1301}}}, 429, ContentRefused),
        ({"code": "1303", "message": "x"}, 200, SlowDown),
        ({"error": {"code": "invalid_request", "message": "x"}}, 502, RequestRejected),
        ({"error": {"code": "invalid_request", "message": "x"}, "code": 5000}, 500, OutcomeUnknown),
        ({"code": 1399, "message": "x"}, 429, SlowDown),
        ({"code": 1399, "message": "x"}, 200, OutcomeUnknown),
        ({"code": 5999, "message": "x"}, 400, RequestRejected),
    ],
)
def test_the_order_is_service_code_then_invalid_request_then_status(
    body: object, status: int, kind: type[ProviderError]
) -> None:
    assert type(refused(answer(status, body))) is kind


def test_a_wait_that_the_provider_names_is_carried() -> None:
    assert refused(answer(429, {"code": 1303}, retry_after="17")).facts.retry_after == 17
    assert unread(answer(503, b"", retry_after="9999")).facts.retry_after == 300
    assert unread(answer(503, b"")).facts.retry_after is None


def test_the_gateways_word_is_kept_where_there_is_no_service_code() -> None:
    assert (
        refused(answer(400, {"error": {"code": "invalid_request"}})).facts.service_code == "invalid_request"
    )
    assert refused(answer(400, {"error": {"code": ""}})).facts.service_code is None


def test_the_first_text_is_kept_short_and_without_secrets() -> None:
    image = "iVBORw0KGgo" * 40
    failure = refused(answer(400, {"message": f"bad image {image} at https://a.example/x?sig=5ec2e7 " * 3}))
    assert failure.message.startswith(
        "The provider refused the request: bad image [...] at https://a.example/x"
    )
    assert "5ec2e7" not in str(failure)
    assert "iVBORw0KGgo" not in str(failure)
    assert len(failure.message) < 400


def test_an_answer_that_was_cut_says_so() -> None:
    failure = refused(Answer(200, {}, b'{"code": 0, "da', cut="RemoteProtocolError: closed"))
    assert type(failure) is OutcomeUnknown
    assert "cut short: RemoteProtocolError" in failure.message


@pytest.mark.parametrize(
    "name", ["error-429-1303", "error-504-5002", "error-400-1301", "error-401-invalid-key"]
)
def test_failures_survive_pickling_with_their_facts(name: str) -> None:
    status, content = sample(name)
    for failure in (refused(answer(status, content, retry_after="5")), unread(answer(status, content))):
        back: AvatarError = pickle.loads(pickle.dumps(failure))  # noqa: S301  # our own bytes
        assert type(back) is type(failure)
        assert (back.facts, str(back)) == (failure.facts, str(failure))

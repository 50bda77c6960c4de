"""What failed requests mean."""

from __future__ import annotations

import copy
from typing import Any

import aiohttp
import pytest
from botocore import exceptions as botocore

from blocks.storage.s3.failures import explain, is_absent, is_passing, is_taken, is_unsupported


def answer(status: int, code: str, message: str = "hush") -> botocore.ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": message, "StringToSign": "hush", "AWSAccessKeyId": "hush"},
        "ResponseMetadata": {"HTTPStatusCode": status, "RequestId": "REQ-7"},
    }
    return botocore.ClientError(response, "PutObject")


PASSING = [
    answer(500, "InternalError"),
    answer(502, "502"),
    answer(503, "SlowDown"),
    answer(429, "TooManyRequests"),
    answer(409, "ConditionalRequestConflict"),
    answer(400, "RequestTimeout"),
    TimeoutError(),
    ConnectionResetError(),
    aiohttp.ClientPayloadError(),
    botocore.EndpointConnectionError(endpoint_url="http://a"),
    botocore.ConnectionClosedError(endpoint_url="http://a"),
    botocore.ReadTimeoutError(endpoint_url="http://a"),
    botocore.IncompleteReadError(actual_bytes=1, expected_bytes=2),
    botocore.ResponseStreamingError(error="cut"),
]
LASTING = [
    answer(403, "AccessDenied"),
    answer(404, "NoSuchKey"),
    answer(412, "PreconditionFailed"),
    answer(501, "NotImplemented"),
    answer(400, "ExpiredToken"),
    answer(301, "PermanentRedirect"),
    botocore.NoCredentialsError(),
    botocore.SSLError(endpoint_url="https://a", error="certificate"),
    botocore.ParamValidationError(report="bucket"),
]


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_what_may_pass_is_sent_again(error: Exception) -> None:
    assert is_passing(error)


@pytest.mark.parametrize("error", LASTING, ids=repr)
def test_what_lasts_is_not_sent_again(error: Exception) -> None:
    assert not is_passing(error)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (answer(403, "AccessDenied"), "Give the key these rights"),
        (answer(403, "403"), "Give the key these rights"),
        (answer(404, "NoSuchBucket"), "Create the bucket"),
        (answer(400, "ExpiredToken"), "Renew the session credentials"),
        (answer(403, "SignatureDoesNotMatch"), "Correct key and secret"),
        (answer(301, "PermanentRedirect"), "Set the region"),
        (answer(403, "RequestTimeTooSkewed"), "clock"),
        (answer(411, "MissingContentLength"), "when_required"),
        (botocore.NoCredentialsError(), "Give key and secret"),
        (answer(418, "Teapot"), "Check the Avatar Archive block"),
        (TimeoutError(), "no answer in time"),
        (botocore.EndpointConnectionError(endpoint_url="http://a"), "EndpointConnectionError"),
    ],
    ids=repr,
)
def test_a_person_is_told_what_to_do(error: Exception, expected: str) -> None:
    assert expected in str(explain(error, "PutObject", "s3://archive/a.json"))


def test_the_error_carries_the_facts_and_not_the_servers_words() -> None:
    error = explain(answer(503, "SlowDown"), "PutObject", "s3://archive/a.json")
    assert (error.facts.http_status, error.facts.service_code, error.facts.request_id) == (
        503,
        "SlowDown",
        "REQ-7",
    )
    assert "PutObject on s3://archive/a.json" in str(error)
    assert "hush" not in f"{error}{error!r}"
    assert str(copy.copy(error)) == str(error)


def test_absence_is_told_from_a_missing_bucket_and_from_refusals() -> None:
    def told(status: int, code: str) -> tuple[bool, bool, bool]:
        error = explain(answer(status, code), "GetObject", "s3://a/b")
        return is_absent(error), is_taken(error), is_unsupported(error)

    assert told(404, "NoSuchKey") == (True, False, False)
    assert told(404, "404") == (True, False, False)
    assert told(404, "NoSuchBucket") == (False, False, False)
    assert told(404, "NoSuchUpload") == (False, False, False)
    assert told(412, "PreconditionFailed") == (False, True, False)
    assert told(501, "NotImplemented") == (False, False, True)
    assert told(403, "AccessDenied") == (False, False, False)

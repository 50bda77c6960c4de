"""What a failed S3 request means: whether to send it again, and what a person can do."""

from __future__ import annotations

import aiohttp
from botocore import exceptions as botocore
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from blocks.errors import Facts, StorageUnavailable

FAILURES = (ClientError, BotoCoreError, ResponseParserError, aiohttp.ClientError, OSError)

# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_PASSING_CODES = {
    "BadDigest",
    "ConditionalRequestConflict",
    "IncompleteBody",
    "InternalError",
    "OperationAborted",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
}
_CUT = (
    botocore.ConnectionError,
    botocore.HTTPClientError,
    botocore.IncompleteReadError,
    botocore.ResponseStreamingError,
)
_SILENCE = (TimeoutError, botocore.ReadTimeoutError, botocore.ConnectTimeoutError)
_ABSENT_CODES = {"404", "NoSuchKey", "NotFound"}
_UNSUPPORTED_CODES = {"NotImplemented", "InvalidArgument", "501"}

_RIGHTS = (
    "Give the key these rights on the bucket: s3:GetObject, s3:PutObject, s3:DeleteObject, s3:ListBucket, "
    "s3:AbortMultipartUpload, s3:ListBucketMultipartUploads."
)
_RENEW = "Renew the session credentials in the Avatar Archive block (or of the worker), then run it again."
_GIVE = "Give key and secret in the Avatar Archive block, or credentials to the worker."
_KEYS = "Correct key and secret in the Avatar Archive block (or the worker's own credentials)."
_REGION = "Set the region of the bucket in the Avatar Archive block."
_CHECKSUMS = "Set checksums to when_required in the Avatar Archive block."
_SPACE = "Make room on the storage server, then run it again."
_NEXT_STEPS = {
    "AccessDenied": _RIGHTS,
    "403": _RIGHTS,
    "400": _RENEW,
    "NoSuchBucket": "Create the bucket, or correct the URL in the Avatar Archive block.",
    "InvalidBucketName": "Correct the URL in the Avatar Archive block.",
    "ExpiredToken": _RENEW,
    "ExpiredTokenException": _RENEW,
    "TokenRefreshRequired": _RENEW,
    "InvalidToken": _RENEW,
    "InvalidAccessKeyId": _KEYS,
    "SignatureDoesNotMatch": _KEYS,
    "AuthorizationHeaderMalformed": _REGION,
    "PermanentRedirect": _REGION,
    "301": _REGION,
    "RequestTimeTooSkewed": "Set the clock of this machine right, then run it again.",
    "MissingContentLength": _CHECKSUMS,
    "XAmzContentSHA256Mismatch": _CHECKSUMS,
    "QuotaExceeded": _SPACE,
    "XMinioStorageFull": _SPACE,
    "SSLError": "Check the certificate of the endpoint; AWS_CA_BUNDLE names the file of an own authority.",
    "NoCredentialsError": _GIVE,
    "PartialCredentialsError": _GIVE,
    "CredentialRetrievalError": _RENEW,
}


def is_passing(error: Exception) -> bool:
    """Tell whether the same request may succeed when it is sent again."""
    if isinstance(error, ClientError):
        status = _status(error) or 0
        return _code(error) in _PASSING_CODES or status == 429 or (status >= 500 and status != 501)
    if isinstance(error, BotoCoreError) and not isinstance(error, _CUT):
        return False
    return not isinstance(error, botocore.SSLError)


def explain(error: Exception, action: str, place: str) -> StorageUnavailable:
    """Return the error to raise for a failed request.

    Args:
        error: What the client raised; its text is not repeated, a server may put anything into it.
        action: The S3 action, such as `PutObject`.
        place: Bucket and key.
    """
    code = _code(error)
    if isinstance(error, ClientError):
        request_id = error.response.get("ResponseMetadata", {}).get("RequestId")
        facts = Facts(http_status=_status(error), service_code=code, request_id=request_id or None)
        return StorageUnavailable(f"S3 refused {action} on {place}", facts, _NEXT_STEPS.get(code))
    silent = isinstance(error, _SILENCE)
    what = "gave no answer in time" if silent else f"could not be asked ({code})"
    return StorageUnavailable(f"S3 {what} for {action} on {place}", Facts(), _NEXT_STEPS.get(code))


def is_absent(error: StorageUnavailable) -> bool:
    """Tell whether the object is simply not there."""
    return error.facts.http_status == 404 and error.facts.service_code in _ABSENT_CODES


def is_taken(error: StorageUnavailable) -> bool:
    """Tell whether a conditional write was refused because the key is taken."""
    return error.facts.http_status == 412


def is_unsupported(error: StorageUnavailable) -> bool:
    """Tell whether the server refuses conditional writes as such."""
    return error.facts.http_status == 501 or error.facts.service_code in _UNSUPPORTED_CODES


def _code(error: Exception) -> str:
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "unknown"))
    return type(error).__name__


def _status(error: ClientError) -> int | None:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status if isinstance(status, int) else None

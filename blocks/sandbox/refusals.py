"""Error bodies, each in the envelope that is documented for its family."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from itertools import count
from typing import Any

_numbers = count(1)


class Refusal(Exception):
    """An answer that is not a success.

    Args:
        status: HTTP status.
        body: The JSON body.
        headers: Further headers, such as `Retry-After`.
    """

    def __init__(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        super().__init__(status, body, headers)
        self.status = status
        self.body = body
        self.headers = headers or {}


def request_id() -> str:
    """Return an id as Kling's bodies carry it."""
    return str(uuid.uuid4())


# https://apidoc.cometapi.com/errors/error-codes-handling
def gateway(status: int, message: str, *, param: str = "", code: str = "") -> Refusal:
    """Return CometAPI's own envelope, with a request id inside the message as there."""
    number = f"{datetime.now(UTC):%Y%m%d%H%M%S}{next(_numbers) % 10**9:09d}"
    error = {
        "message": f"{message} (request id: {number})",
        "type": "comet_api_error",
        "param": param,
        "code": code,
    }
    return Refusal(status, {"error": error})


# https://www.klingai.com/document-api/api/get-started/error-codes
def kling(status: int, code: int, message: str) -> Refusal:
    """Return Kling's own envelope, passed through."""
    return Refusal(status, {"code": code, "message": message, "request_id": request_id()})


# https://cometapi.mintlify.app/api/video/kling/tts
def nested(code: int, message: str) -> Refusal:
    """Return Kling's envelope inside two of the gateway's; the top level has no `code`."""
    inner = {"code": code, "message": message, "request_id": request_id()}
    return Refusal(400, {"message": message, "data": {"message": message, "data": inner}})


def parameter(message: str) -> Refusal:
    """Return Kling's refusal of one field."""
    return kling(400, 1201, message)


def unknown_task(shape: str) -> Refusal:
    """Return the answer about a task that does not exist, in one of the shapes it might have."""
    if shape == "gateway":
        return gateway(404, "task not found")
    if shape == "null":
        body = {"code": 0, "message": "SUCCEED", "request_id": request_id(), "data": None}
        return Refusal(200, body)
    return kling(404, 1203, "task not found")

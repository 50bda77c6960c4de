"""Opening the provider's answers, whichever of its envelopes they come in. Pure: no I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any

from blocks.kling.redaction import redact

_LONGEST_WAIT_SECONDS = 300.0

# "a request id is frequently embedded in message"
# https://apidoc.cometapi.com/errors/error-codes-handling
_REQUEST_ID_IN_TEXT = re.compile(r"request[ _-]?id\W{1,3}([\w-]{8,80})", re.IGNORECASE)
_REQUEST_ID_HEADERS = ("x-request-id", "x-oneapi-request-id", "request-id", "cf-ray")

# 0 in Kling's envelope, the word in older pages of the gateway; never compare `message`.
# https://apidoc.cometapi.com/api/video/kling/omni-query
_ACCEPTED_CODES = (0, 200, "0", "200", "success", "succeed", "ok", "")


@dataclass(frozen=True)
class Answer:
    """One HTTP answer, as far as it arrived.

    Attributes:
        status: HTTP status.
        headers: Header fields; names in lower case, or a mapping that does not care.
        content: The body.
        cut: What ended the body too early, if anything did.
        received_at: When it came, for `Retry-After` dates.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: bytes = field(default=b"", repr=False)
    cut: str | None = None
    received_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def is_success(self) -> bool:
        """Whether the HTTP status is 2xx."""
        return 200 <= self.status < 300

    @property
    def is_redirect(self) -> bool:
        """Whether the HTTP status is 3xx."""
        return 300 <= self.status < 400

    @property
    def retry_after(self) -> float | None:
        """Seconds the provider asks us to wait, at most 300."""
        # https://www.rfc-editor.org/rfc/rfc9110#field.retry-after : seconds or a date.
        value = self.headers.get("retry-after", "").strip()
        if re.fullmatch(r"\d{1,9}(\.\d+)?", value):
            return min(float(value), _LONGEST_WAIT_SECONDS)
        try:
            moment = parsedate_to_datetime(value)
        except (ValueError, OverflowError):
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return min(max((moment - self.received_at).total_seconds(), 0.0), _LONGEST_WAIT_SECONDS)


class Envelope:
    """The JSON of an answer: its layers, codes, texts and request id. Absent parts read as `None`.

    Args:
        answer: The answer to open.
    """

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.document = _document(answer.content)

    @cached_property
    def layers(self) -> tuple[dict[str, Any], ...]:
        """The document, its `data`, the `data` of that and so on, from the outside in."""
        # https://cometapi.mintlify.app/api/video/kling/tts shows `data.data`; gateways add one more.
        layers = [self.document] if self.document is not None else []
        while layers and len(layers) < 4 and isinstance(inner := layers[-1].get("data"), dict):
            layers.append(inner)
        return tuple(layers)

    @cached_property
    def error(self) -> dict[str, Any]:
        """The gateway's error object, empty when there is none."""
        # https://apidoc.cometapi.com/errors/error-codes-handling
        error = (self.document or {}).get("error")
        return error if isinstance(error, dict) else {}

    @property
    def is_accepted(self) -> bool:
        """Whether the request was accepted, going by HTTP status and outer code; not by the task's status."""
        code = self.layers[0].get("code") if self.layers else None
        known = code is None or (_lower(code) in _ACCEPTED_CODES and not isinstance(code, bool))
        # A flat task may carry `error` as the reason of its failure; elsewhere it is the request's.
        refused = bool(self.error) and "task_id" not in (self.document or {})
        return self.answer.is_success and self.document is not None and known and not refused

    @cached_property
    def service_code(self) -> int | None:
        """Kling's service code, wherever it is: `error`, the top level, `data`, `data.data`."""
        # https://www.klingai.com/document-api/api/get-started/error-codes
        codes = (integer(part.get("code")) for part in (self.error, *self.layers))
        return next((code for code in codes if code is not None and 1000 <= code <= 5999), None)

    @property
    def gateway_code(self) -> str | None:
        """The gateway's own error code, a word; it is often empty."""
        code = self.error.get("code")
        return redact(code, 60) or None if isinstance(code, str) else None

    @cached_property
    def text(self) -> str:
        """The first error text, without secrets; empty when there is none."""
        return next((redact(text) for text in self._texts() if text.strip()), "")

    @property
    def excerpt(self) -> str:
        """The beginning of the body as it came, without secrets."""
        return redact(self.answer.content[:4000].decode(errors="replace"))

    @cached_property
    def request_id(self) -> str | None:
        """The provider's id of the request: from the body, an error text or a header."""
        for part in (*self.layers, self.error):
            if found := text_of(part.get("request_id")):
                return redact(found, 100)
        for text in self._texts():
            if match := _REQUEST_ID_IN_TEXT.search(text[:2000]):
                return match[1]
        headers = (self.answer.headers.get(name) for name in _REQUEST_ID_HEADERS)
        return next((redact(value, 100) for value in headers if value), None)

    def _texts(self) -> Iterator[str]:
        outer = self.document or {}
        messages = (part.get("message") for part in (self.error, *self.layers))
        for text in (outer.get("error"), *messages, outer.get("msg"), outer.get("detail")):
            if isinstance(text, str):
                yield text


def text_of(value: object) -> str | None:
    """Return a string or an integer as text that can be encoded; `None` for anything else and for nothing."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return None
    return value.encode("utf-8", "replace").decode().strip() or None


def integer(value: object) -> int | None:
    """Return a whole number, also when it is written as text; `None` for anything else."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value.strip()):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _document(content: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(content, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None

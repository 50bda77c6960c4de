"""What a failed answer means, for a POST that may have cost money and for a read. Pure: no I/O.

Kling's service code decides first, then the gateway's `invalid_request`, then the HTTP status: HTTP 429
covers both "wait" and "your money is gone", and HTTP 500 also carries mistakes of ours.
"""

from __future__ import annotations

import re

from blocks.errors import (
    AccessRefused,
    AccountExhausted,
    ContentRefused,
    Facts,
    OutcomeUnknown,
    ProviderError,
    ProviderUnavailable,
    RequestRejected,
    SlowDown,
    TaskNotFound,
)
from blocks.kling.envelopes import Envelope
from blocks.kling.redaction import redact
from blocks.kling.tasks import task_id_in

_Kind = type[ProviderError]

# https://www.klingai.com/document-api/api/get-started/error-codes
_REFUSED_BY_SERVICE_CODE: dict[int, _Kind] = {
    **dict.fromkeys((1000, 1001, 1002, 1003, 1004, 1103, 1304), AccessRefused),
    **dict.fromkeys((1100, 1101, 1102), AccountExhausted),
    **dict.fromkeys((1300, 1301), ContentRefused),
    **dict.fromkeys((1302, 1303), SlowDown),
}
# Money: an internal error or timeout of theirs may come after the task was stored.
_CREATE_BY_SERVICE_CODE: dict[int, _Kind] = {
    **_REFUSED_BY_SERVICE_CODE,
    **dict.fromkeys((1200, 1201, 1202, 1203), RequestRejected),
    **dict.fromkeys((5000, 5001, 5002), OutcomeUnknown),
}
_READ_BY_SERVICE_CODE: dict[int, _Kind] = {
    **_REFUSED_BY_SERVICE_CODE,
    **dict.fromkeys((1200, 1201, 1202, 1203), TaskNotFound),
    **dict.fromkeys((5000, 5001, 5002), ProviderUnavailable),
}

# https://apidoc.cometapi.com/errors/error-codes-handling
_REFUSED_BY_STATUS: dict[int, _Kind] = {
    **dict.fromkeys((401, 403, 407), AccessRefused),
    402: AccountExhausted,
    429: SlowDown,
}
# Money: only statuses that mean "not carried out" are here. 302 and 303 may follow a POST that was carried
# out, 408, 409, 423, 424, 499 and all of 5xx may too, and so may a status that nobody knows.
# https://www.rfc-editor.org/rfc/rfc9110#status.codes
_NOT_CARRIED_OUT = (400, 404, 405, 406, 410, 411, 413, 414, 415, 417, 421, 422, 426, 428, 431, 451)
_CREATE_BY_STATUS: dict[int, _Kind] = {
    **_REFUSED_BY_STATUS,
    **dict.fromkeys((301, 307, 308), RequestRejected),
    **dict.fromkeys(_NOT_CARRIED_OUT, RequestRejected),
    425: SlowDown,
}
# How an unknown task is answered is not documented, so everything that may mean it, means it here.
_MAY_BE_AN_UNKNOWN_TASK = frozenset({400, 404, 410, 422})

_HAPPENED: dict[_Kind, str] = {
    RequestRejected: "The provider refused the request",
    ContentRefused: "The provider's content check refused the image, the audio or the prompt",
    AccessRefused: "The provider refused access",
    AccountExhausted: "The provider says the account has no credit left or is blocked",
    SlowDown: "The provider asks to slow down",
    OutcomeUnknown: "The POST was sent and its answer does not tell whether it was accepted",
    ProviderUnavailable: "The provider gave no usable answer",
    TaskNotFound: "The provider does not know this Kling task",
}

# A repeated external task id is refused, replayed or carried out: nobody documents which. A refusal for that
# reason means that an earlier POST of ours may have been accepted.
_EXTERNAL_ID_IS_TAKEN = re.compile(
    r"external[ _]?task[ _]?id.*(exist|duplicat|repeat|unique|already|taken|used|conflict)"
    r"|(exist|duplicat|repeat|already|conflict).*external[ _]?task[ _]?id",
    re.IGNORECASE,
)

# A gateway answers an address it does not serve in the same envelope as a task it does not know.
_NO_SUCH_ROUTE = re.compile(
    r"invalid url|no (such )?(route|endpoint|page)|cannot get /|unknown (url|route|path|endpoint)"
    r"|(route|path|page|endpoint|url|method) (was )?not (found|allowed)"
    r"|^\W*(404)?\W*not found\W*(\(request id.*)?$",
    re.IGNORECASE,
)


def failure_of_create(envelope: Envelope) -> ProviderError:
    """Return what an answer to a POST means that does not accept the task.

    Only what certainly was not carried out is a refusal; everything else is `OutcomeUnknown`.
    """
    kind = _create_kind(envelope)
    contradiction = task_id_in(envelope)
    if contradiction is not None or _EXTERNAL_ID_IS_TAKEN.search(envelope.text):
        kind = OutcomeUnknown
    return _failure(kind, envelope, Facts(kling_task_id=contradiction))


def failure_of_read(envelope: Envelope, task_id: str | None = None) -> ProviderError:
    """Return what an answer to a query means that describes no task; never a verdict on the task."""
    return _failure(_read_kind(envelope), envelope, Facts(kling_task_id=task_id, charged="unknown"))


def failure_of_lookup(envelope: Envelope) -> ProviderError:
    """Return what an answer to a query by external task id means that neither found ours nor `is_absent`."""
    kind = _read_kind(envelope)
    kind = ProviderUnavailable if issubclass(kind, TaskNotFound) else kind
    return _failure(kind, envelope, Facts(charged="unknown"))


def is_absent(envelope: Envelope) -> bool:
    """Tell whether an answer to a query says that there is no such task, beyond misunderstanding.

    Money: "absent" lets a lost POST be repeated. So a wrong address, a web page, another error or an answer
    that makes no sense is not absence. Right after a POST it proves nothing yet either.
    """
    answer, document = envelope.answer, envelope.document
    if document is None or answer.cut or task_id_in(envelope) or _NO_SUCH_ROUTE.search(envelope.text):
        return False
    if envelope.service_code is not None:
        return envelope.service_code == 1203 and answer.status < 500
    if answer.status == 404:
        is_kling_error = document.get("code") is not None and isinstance(document.get("message"), str)
        return bool(envelope.error.get("message")) or is_kling_error
    is_null = "data" in document and document["data"] is None
    return answer.status == 200 and envelope.is_accepted and "code" in document and is_null


def _create_kind(envelope: Envelope) -> _Kind:
    if kind := _CREATE_BY_SERVICE_CODE.get(envelope.service_code or 0):
        return kind
    if _is_our_mistake(envelope):
        return RequestRejected
    return _CREATE_BY_STATUS.get(envelope.answer.status, OutcomeUnknown)


def _read_kind(envelope: Envelope) -> _Kind:
    if kind := _READ_BY_SERVICE_CODE.get(envelope.service_code or 0):
        return kind
    status = envelope.answer.status
    is_about_the_task = status in _MAY_BE_AN_UNKNOWN_TASK or _is_our_mistake(envelope) or is_absent(envelope)
    if envelope.document is not None and is_about_the_task:
        return TaskNotFound
    return _REFUSED_BY_STATUS.get(status, ProviderUnavailable)


def _is_our_mistake(envelope: Envelope) -> bool:
    # 500 "whose error.code is invalid_request is a client mistake, do not retry"
    # https://apidoc.cometapi.com/guides/error-codes-and-retry-strategy
    return envelope.gateway_code == "invalid_request"


def _failure(kind: _Kind, envelope: Envelope, known: Facts) -> ProviderError:
    answer = envelope.answer
    facts = Facts(
        kling_task_id=known.kling_task_id,
        http_status=answer.status,
        service_code=envelope.service_code or envelope.gateway_code,
        request_id=envelope.request_id,
        charged=known.charged,
        retry_after=answer.retry_after,
    )
    return kind(f"{_HAPPENED[kind]}: {_said(envelope)}", facts)


def _said(envelope: Envelope) -> str:
    answer = envelope.answer
    cut = f"; the answer was cut short: {answer.cut}" if answer.cut else ""
    if answer.is_redirect:
        # https://apidoc.cometapi.com/errors/error-codes-handling : a wrong path or base URL answers with 301.
        place = redact(answer.headers.get("location", ""))
        return f"it redirects to {place or 'nowhere'}; check the base URL and the path{cut}"
    if envelope.document is None:
        return f"{_what_came(envelope)}{cut}"
    if envelope.is_accepted:
        return f"its answer does not describe the Kling task: {envelope.excerpt}{cut}"
    return (envelope.text or envelope.excerpt) + cut


def _what_came(envelope: Envelope) -> str:
    answer = envelope.answer
    kind = redact(answer.headers.get("content-type", ""), 60).partition(";")[0]
    if not answer.content:
        return "an empty answer came"
    if "html" in kind or answer.content.lstrip()[:1] == b"<":
        return "a web page came instead of JSON; check the base URL and the path"
    return f"{kind or 'an answer'} that is not a JSON object came: {envelope.excerpt}"

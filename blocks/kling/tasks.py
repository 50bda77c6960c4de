"""Reading a Kling task out of an opened answer. Pure: no I/O."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlsplit

from blocks.kling.envelopes import Envelope, integer, text_of
from blocks.kling.models import Audio, KlingTask, TaskStatus, Video
from blocks.kling.redaction import redact

Layer = dict[str, Any]

_CODE_IN_TEXT = re.compile(r"\bcode\W{1,6}([1-5]\d{3})\b", re.IGNORECASE)


def task_in(envelope: Envelope, asked_id: str | None = None) -> KlingTask | None:
    """Return the Kling task that an accepted answer describes, or `None` when it describes none.

    Args:
        envelope: The opened answer.
        asked_id: The task id that was asked for. It stays the task's id whatever the answer calls it,
            because it is the one that answers.
    """
    layers = _task_layers(envelope)
    named = _first_text(layers, "task_id")
    task_id = asked_id or named
    # An answer without a task id describes the task that was asked for only if it says it is one.
    if task_id is None or not (named or ("code" in envelope.layers[0] and _words(layers))):
        return None
    status, word, notes = _status(layers)
    videos, audios = _videos(layers), audios_in(layers)
    if asked_id and named and named != asked_id:
        notes.append(f"the answer calls this task {redact(named, 60)}")
    if status is TaskStatus.SUCCEED and not videos and not audios:
        notes.append(f"no usable video link in: {envelope.excerpt}")
    reason = _reason(layers, failed=status is TaskStatus.FAILED)
    return KlingTask(
        task_id=task_id,
        status=status,
        provider_status=redact(word, 60),
        message=redact("; ".join(part for part in (reason, *notes) if part), 600),
        external_task_id=_first_text((*_children(layers, "task_info"), *layers), "external_task_id"),
        videos=videos,
        audios=audios,
        created_at=_first_moment(layers, "created_at"),
        updated_at=_first_moment(layers, "updated_at"),
        request_id=envelope.request_id,
        service_code=_failure_code(envelope, reason) if status is TaskStatus.FAILED else None,
        **_charges(layers),
    )


def task_id_in(envelope: Envelope) -> str | None:
    """Return the task id that an answer of any kind names."""
    return _first_text(envelope.layers, "task_id")


def _task_layers(envelope: Envelope) -> tuple[Layer, ...]:
    """Leave out an outer layer that is the envelope and not the task: its `status` is not the task's."""
    layers = envelope.layers
    return layers if layers and "task_id" in layers[0] else layers[1:]


def _status(layers: tuple[Layer, ...]) -> tuple[TaskStatus, str, list[str]]:
    words = _words(layers)
    known = [(TaskStatus.of(word), word) for word in words if TaskStatus.of(word) is not TaskStatus.UNKNOWN]
    if not known:
        return TaskStatus.UNKNOWN, words[0] if words else "", []
    # The outer word is the fresher one; but without a link an outer success is only the envelope's.
    # https://github.com/QuantumNous/new-api/issues/5715
    chosen = known[0]
    running = [pair for pair in known if not pair[0].is_final]
    if chosen[0] is TaskStatus.SUCCEED and running and not (_videos(layers) or audios_in(layers)):
        chosen = running[0]
    others = {word for word in words if TaskStatus.of(word) is not chosen[0]}
    return *chosen, [f"the answer also says {redact(word, 60)}" for word in sorted(others)]


def _words(layers: tuple[Layer, ...]) -> list[str]:
    values = (layer.get("task_status") or layer.get("status") for layer in layers)
    return [value for value in values if isinstance(value, str) and value.strip()]


def _videos(layers: tuple[Layer, ...]) -> tuple[Video, ...]:
    for entries in _results(layers, "videos"):
        if videos := tuple(Video.model_validate(_media(entry)) for entry in entries if _is_usable(entry)):
            return videos
    # Gateways that flatten the result: https://docs.crazyrouter.com/video/kling/query
    return next(((Video.model_validate(_media(layer)),) for layer in layers if _is_usable(layer)), ())


def audios_in(layers: tuple[Layer, ...]) -> tuple[Audio, ...]:
    """Return the speech that an answer delivers: each with an id or a link."""
    # https://klingai.com/document-api/api/video/avatar/text-to-speech.md
    for entries in _results(layers, "audios"):
        found = (_media(entry) | {"url": _link(entry)} for entry in entries)
        if audios := tuple(Audio.model_validate(each) for each in found if each["id"] or each["url"]):
            return audios
    return ()


def _results(layers: tuple[Layer, ...], name: str) -> Iterator[list[Layer]]:
    for result in _children(layers, "task_result"):
        entries = result.get(name)
        yield [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _link(entry: Layer) -> str:
    return text_of(entry.get("url")) or "" if _is_usable(entry) else ""


def _is_usable(entry: object) -> bool:
    url = text_of(entry.get("url")) if isinstance(entry, dict) else None
    try:
        parts = urlsplit(url or "")
        return parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        return False


def _media(entry: Layer) -> dict[str, Any]:
    return {
        "id": text_of(entry.get("id")) or "",
        "url": text_of(entry.get("url")) or "",
        "seconds": _seconds(entry.get("duration")),
    }


def _reason(layers: tuple[Layer, ...], *, failed: bool) -> str:
    names = (
        ("task_status_msg", "fail_reason", "error", "message")
        if failed
        else ("task_status_msg", "fail_reason")
    )
    for name in names:
        for layer in layers:
            value = layer.get(name)
            value = value.get("message") if isinstance(value, dict) else value
            if isinstance(value, str) and value.strip():
                return redact(value)
    return ""


def _charges(layers: tuple[Layer, ...]) -> dict[str, str | None]:
    balances = _children(layers, "final_balance_deduction")
    return {
        "charged_units": _first_decimal(layers, "final_unit_deduction"),
        "charged_quota": _first_decimal(balances, "quota"),
        "charged_list_price": _first_decimal(balances, "list_price"),
    }


def _failure_code(envelope: Envelope, reason: str) -> int | None:
    if envelope.service_code is not None:
        return envelope.service_code
    match = _CODE_IN_TEXT.search(reason)
    return int(match[1]) if match else None


def _children(layers: tuple[Layer, ...], name: str) -> tuple[Layer, ...]:
    return tuple(child for layer in layers if isinstance(child := layer.get(name), dict))


def _first_text(layers: tuple[Layer, ...], name: str) -> str | None:
    return next((found for layer in layers if (found := text_of(layer.get(name)))), None)


def _first_decimal(layers: tuple[Layer, ...], name: str) -> str | None:
    return next((found for value in _values(layers, name) if (found := _decimal(value)) is not None), None)


def _first_moment(layers: tuple[Layer, ...], name: str) -> datetime | None:
    return next((found for value in _values(layers, name) if (found := _moment(value)) is not None), None)


def _values(layers: tuple[Layer, ...], name: str) -> Iterator[object]:
    return (layer[name] for layer in layers if layer.get(name) is not None)


def _decimal(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = Decimal(str(value).strip()[:40])
    except InvalidOperation:
        return None
    return str(number) if number.is_finite() and number >= 0 else None


def _seconds(value: object) -> float | None:
    number = _decimal(value)
    seconds = float(number) if number is not None else 0.0
    return seconds if 0 < seconds < math.inf else None


def _moment(value: object) -> datetime | None:
    milliseconds = integer(value)
    if milliseconds is None or milliseconds <= 0:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None

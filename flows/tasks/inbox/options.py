"""What is written beside a portrait and a voice clip: a prompt or what to say, and options as JSON."""

from __future__ import annotations

import json

from blocks.errors import Fault, SourceUnavailable
from blocks.kling.sources import read_source
from flows.tasks.inbox.listing import File
from flows.tasks.inbox.pairing import Piece
from flows.tasks.manifest.manifest import Field, Row, read_fields
from flows.tasks.manifest.results import RowResult, stopped
from flows.tasks.request import Request

OPTIONS = (
    "prompt", "mode", "take", "name", "rights", "speak", "voice", "language", "speed", "speech_take"
)  # fmt: skip

_LONGEST_TEXT = 64 * 1024

Fields = tuple[dict[str, Field], tuple[Fault, ...]]


async def row_of(number: int, piece: Piece) -> Row | RowResult:
    """Return what a pair of files asks for, with what is wrong with it; the media are not read yet.

    Returns:
        The row, or the result when prompt or options cannot be read now.
    """
    if piece.faults:
        return Row(number, None, piece.faults)
    try:
        fields, faults = await _read_beside(piece)
    except SourceUnavailable as error:
        return stopped(number, piece.name, error)
    media = {"image": piece.of("portrait")[0].address}
    if voice := piece.of("voice clip"):
        media["audio"] = voice[0].address
    return Row(number, Request.model_validate({"name": piece.name, **fields, **media}), faults)


async def asks_to_speak(piece: Piece) -> bool:
    """Tell whether a piece without a voice clip has options that ask for speech: `"speak": true`.

    A piece whose options cannot be read now does not, until they can.
    """
    if not piece.may_speak:
        return False
    try:
        text = await _read_text(piece.of("options")[0], "options")
    except SourceUnavailable:
        return False
    fields, _ = _parse_options(text) if isinstance(text, str) else ({}, ())
    return fields.get("speak") is True


async def _read_beside(piece: Piece) -> Fields:
    fields: dict[str, Field] = {}
    faults: list[Fault] = []
    for file in piece.of("options"):
        text = await _read_text(file, "options")
        fields, wrong = _parse_options(text) if isinstance(text, str) else ({}, (text,))
        faults += wrong
    speaks = fields.pop("speak", False)
    if speaks and piece.of("voice clip"):
        faults.append(Fault("speak", "true beside a voice clip", "a voice clip, or a text to speak"))
    name = "text" if speaks else "prompt"
    for file in piece.of("prompt"):
        text = await _read_text(file, name)
        if isinstance(text, Fault):
            faults.append(text)
        elif name in fields:
            faults.append(Fault("prompt", "given twice", "a text file or a prompt among the options"))
        else:
            fields[name] = text
    return fields, tuple(faults)


async def _read_text(file: File, field: str) -> str | Fault:
    data = await read_source(file.address, _LONGEST_TEXT, field)
    if isinstance(data, Fault):
        return data
    try:
        text = data.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        text = "\0"
    return Fault(field, "no text in UTF-8", "text in UTF-8") if "\0" in text else text


def _parse_options(text: str) -> Fields:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        return {}, (Fault("options", "no JSON object", f"a JSON object with {', '.join(OPTIONS)}"),)
    unknown = tuple(
        Fault("options", f"unknown name {name[:40]!r}", f"names among {', '.join(OPTIONS)}")
        for name in record
        if name not in OPTIONS
    )
    fields, faults = read_fields({name: value for name, value in record.items() if name in OPTIONS})
    return fields, (*unknown, *faults)

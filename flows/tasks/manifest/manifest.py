"""A manifest: CSV or JSON Lines, with columns named like the parameters of the flows for one video."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from blocks.errors import Fault, InvalidRequest
from blocks.kling.sources import read_source
from flows.tasks.addresses import folder_of, joined, name_of
from flows.tasks.inbox.records import Record, read_records, unusable
from flows.tasks.request import Request

COLUMNS = tuple(Request.model_fields)
LONGEST_MANIFEST = 16 * 2**20

Field = str | int | float

_PLACES = frozenset({"image", "audio"})
_WHOLE_NUMBER = (int, re.compile(r"[+-]?\d{1,9}"), "a whole number from 1")
_DECIMAL = (float, re.compile(r"\d{1,3}(\.\d{1,6})?"), "a number such as 1.2")
_NUMBERS: dict[str, tuple[type[int] | type[float], re.Pattern[str], str]] = {
    "take": _WHOLE_NUMBER,
    "speech_take": _WHOLE_NUMBER,
    "speed": _DECIMAL,
}
_BETWEEN_CELLS = re.compile(r'[,;\t\r\n"]+')
_ESCAPED = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(/))")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a manifest.

    Attributes:
        number: From 1; header and blank lines are not counted.
        request: What it asks for, or `None` when that cannot be told.
        faults: What is wrong with the row itself; its inputs were not looked at.
    """

    number: int
    request: Request | None
    faults: tuple[Fault, ...] = ()

    @property
    def name(self) -> str:
        """What people call it."""
        return self.request.title if self.request and self.request.image else f"row {self.number}"


async def read_manifest(address: str) -> list[Row]:
    """Return the rows of a manifest; see `read_manifest_and_digest`."""
    rows, _ = await read_manifest_and_digest(address)
    return rows


async def read_manifest_and_digest(address: str) -> tuple[list[Row], str]:
    """Read a manifest; its inputs are not read yet. Costs nothing.

    Args:
        address: A path, `https://` or an object store, ending in `.csv` or `.jsonl`; at most 16 MiB.

    Returns:
        Its rows, and the SHA-256 of its bytes.

    Raises:
        InvalidRequest: It cannot be used as a whole: everything that is wrong with it.
        SourceUnavailable: It could not be read now.
    """
    data = await read_source(address, LONGEST_MANIFEST, "manifest")
    if isinstance(data, Fault):
        raise InvalidRequest((data,))
    return await asyncio.to_thread(parse_manifest, data, address), hashlib.sha256(data).hexdigest()


def parse_manifest(data: bytes, address: str) -> list[Row]:
    """Return the rows of a manifest that lies at `address`; relative references start from its folder.

    Raises:
        InvalidRequest: It cannot be used as a whole.
    """
    suffix = name_of(address).rpartition(".")[2].lower()
    if suffix not in {"csv", "jsonl"}:
        raise unusable(f"the name {name_of(address)[:80]!r}", "a name that ends in .csv or .jsonl")
    folder = folder_of(address)
    records = read_records(data, suffix, COLUMNS)
    return [_row(number, record, folder) for number, record in enumerate(records, 1)]


def mentioned(data: bytes, address: str) -> set[str]:
    """Return the address of everything that a manifest at `address` may name, even one that is broken."""
    text = data.decode("utf-8-sig", "replace")
    plain = _ESCAPED.sub(lambda found: chr(int(found[1], 16)) if found[1] else found[2], text)
    cells = (cell.strip() for cell in _BETWEEN_CELLS.split(plain))
    folder = folder_of(address)
    return {joined(folder, cell) for cell in cells if "." in cell[:4096]}


def read_fields(record: Mapping[str, object]) -> tuple[dict[str, Field], tuple[Fault, ...]]:
    """Return the parameters that a record gives, without the empty ones, and what is wrong with them."""
    fields: dict[str, Field] = {}
    faults = []
    for name, value in record.items():
        read = _read_field(name, value)
        if isinstance(read, Fault):
            faults.append(read)
        elif read is not None:
            fields[name] = read
    return fields, tuple(faults)


def _row(number: int, record: Record, folder: str) -> Row:
    if isinstance(record, Fault):
        return Row(number, None, (record,))
    fields, faults = read_fields(record)
    for name in _PLACES & fields.keys():
        fields[name] = joined(folder, str(fields[name]))
    return Row(number, Request.model_validate({"image": "", **fields}), faults)


def _read_field(name: str, value: object) -> Field | Fault | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if name == "speak":
        return value if isinstance(value, bool) else Fault(name, str(value)[:40], "true or false")
    if name in _NUMBERS:
        return _read_number(name, value)
    if not isinstance(value, str):
        return Fault(name, f"no text but {type(value).__name__}", "text")
    if any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in value):
        return Fault(name, "a zero byte or half of a character", "text that UTF-8 can hold")
    return value.strip()


def _read_number(name: str, value: object) -> Field | Fault:
    kind, pattern, limit = _NUMBERS[name]
    text = "" if isinstance(value, bool) else str(value).strip()
    return kind(text) if pattern.fullmatch(text) else Fault(name, text[:40], limit)

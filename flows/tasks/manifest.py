"""Reading a manifest: CSV or JSON Lines, with columns named like the parameters of generate-avatar."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from blocks.errors import Fault, InvalidRequest
from blocks.kling.sources import read_source
from flows.tasks.addresses import folder_of, joined, name_of
from flows.tasks.request import Request

COLUMNS = tuple(Request.model_fields)
LONGEST_MANIFEST = 16 * 2**20
MOST_ROWS = 100_000

_PLACES = {"image", "audio"}
_WHOLE_NUMBER = re.compile(r"[+-]?\d{1,9}")
_BETWEEN_CELLS = re.compile(r'[,;\t\r\n"]+')
_ESCAPED = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(/))")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a manifest.

    Attributes:
        number: From 1; header and blank lines are not counted.
        name: What people call it.
        request: What it asks for, or `None` when that cannot be told.
        faults: What is wrong with the row itself; its inputs were not looked at.
    """

    number: int
    name: str
    request: Request | None
    faults: tuple[Fault, ...] = ()


Record = Mapping[str, object] | Fault


async def read_manifest(address: str) -> list[Row]:
    """Read a manifest; its inputs are not read yet. Costs nothing.

    Args:
        address: A path, `https://` or any fsspec URL, ending in `.csv` or `.jsonl`; at most 16 MiB.

    Raises:
        InvalidRequest: It cannot be used as a whole: everything that is wrong with it.
        SourceUnavailable: It could not be read now.
    """
    data = await read_source(address, LONGEST_MANIFEST, "manifest")
    if isinstance(data, Fault):
        raise InvalidRequest((data,))
    return await asyncio.to_thread(parse_manifest, data, address)


def parse_manifest(data: bytes, address: str) -> list[Row]:
    """Return the rows of a manifest that lies at `address`; relative references start from its folder.

    Raises:
        InvalidRequest: It cannot be used as a whole.
    """
    suffix = name_of(address).rpartition(".")[2].lower()
    if suffix not in {"csv", "jsonl"}:
        raise _unusable(f"the name {name_of(address)[:80]!r}", "a name that ends in .csv or .jsonl")
    text = _text(data)
    records = list(_csv_records(text) if suffix == "csv" else _json_records(text))
    if not records:
        raise _unusable("no rows", "at least one row")
    if suffix == "jsonl":
        _check_columns({name: number for number, record in _objects(records) for name in record})
    folder = folder_of(address)
    return [_row(number, record, folder) for number, record in enumerate(records, 1)]


def mentioned(data: bytes, address: str) -> set[str]:
    """Return the address of everything that a manifest at `address` may name, even one that is broken."""
    text = data.decode("utf-8-sig", "replace")
    plain = _ESCAPED.sub(lambda found: chr(int(found[1], 16)) if found[1] else found[2], text)
    folder = folder_of(address)
    return {
        joined(folder, cell) for each in _BETWEEN_CELLS.split(plain) if "." in (cell := each.strip()[:4096])
    }


def _text(data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unusable(f"byte {error.start:,} is not UTF-8", "text in UTF-8") from None
    if "\0" in text:
        raise _unusable("zero bytes", "text in UTF-8")
    return text


def _csv_records(text: str) -> Iterator[Record]:
    first_line = text.lstrip().partition("\n")[0]
    delimiter = max(",;\t", key=first_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names: list[str] | None = None
    found = 0
    try:
        for line in reader:
            cells = [cell.strip() for cell in line]
            if not any(cells):
                continue
            if names is None:
                names = _header(cells)
                continue
            _check_count(found := found + 1)
            yield _record(names, cells, delimiter)
    except csv.Error as error:
        raise _unusable(f"line {reader.line_num}: {error}", "CSV as spreadsheets write it") from None


def _header(cells: list[str]) -> list[str]:
    names = [cell.lower() for cell in cells]
    while names and not names[-1]:
        names.pop()
    _check_columns(dict.fromkeys(names))
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise _unusable(f"column {', '.join(twice)} more than once", "each column once")
    return names


def _record(names: list[str], cells: list[str], delimiter: str) -> Record:
    if any(cells[len(names) :]):
        limit = f"at most {len(names)}, as many as columns; quote a cell that contains {delimiter!r}"
        return Fault("row", f"{len(cells)} cells", limit)
    return dict(zip(names, cells, strict=False))


def _json_records(text: str) -> Iterator[Record]:
    lines = (line for line in text.split("\n") if line.strip())
    for number, line in enumerate(lines, 1):
        _check_count(number)
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        yield value if isinstance(value, dict) else Fault("row", "no JSON object", "one JSON object a line")


def _objects(records: list[Record]) -> Iterator[tuple[int, Mapping[str, object]]]:
    """Return the objects with their row numbers, the first one last."""
    for number in range(len(records), 0, -1):
        record = records[number - 1]
        if not isinstance(record, Fault):
            yield number, record


def _check_columns(found: Mapping[str, int | None]) -> None:
    """Refuse unknown columns, and a manifest that cannot describe a single job.

    Raises:
        InvalidRequest: Everything that is wrong with the columns.
    """
    allowed = f"columns among {', '.join(COLUMNS)}"
    faults = [
        Fault("manifest", f"unknown column {name[:40]!r}" + (f" in row {row}" if row else ""), allowed)
        for name, row in found.items()
        if name not in COLUMNS
    ]
    if "image" not in found:
        faults.append(Fault("manifest", "no column image", "a column image"))
    if not {"audio", "audio_id"} & set(found):
        faults.append(Fault("manifest", "no column audio", "a column audio or audio_id"))
    if faults:
        raise InvalidRequest(tuple(faults[:20]))


def _check_count(number: int) -> None:
    if number > MOST_ROWS:
        raise _unusable(f"more than {MOST_ROWS:,} rows", f"at most {MOST_ROWS:,}; cut it into several")


def _row(number: int, record: Record, folder: str) -> Row:
    if isinstance(record, Fault):
        return Row(number, f"row {number}", None, (record,))
    fields: dict[str, object] = {}
    faults = []
    for name, value in record.items():
        read = read_field(name, value)
        if isinstance(read, Fault):
            faults.append(read)
        elif read is not None:
            fields[name] = joined(folder, read) if name in _PLACES and isinstance(read, str) else read
    request = Request.model_validate({"image": "", **fields})
    return Row(number, request.title if fields.get("image") else f"row {number}", request, tuple(faults))


def read_field(name: str, value: object) -> str | int | Fault | None:
    """Return the value of one parameter as a manifest or an options file gives it; `None` when it is empty."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if name == "take":
        whole = isinstance(value, int) and not isinstance(value, bool)
        if whole or (isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value.strip())):
            return int(str(value))
        return Fault(name, repr(value)[:40], "a whole number from 1")
    if not isinstance(value, str):
        return Fault(name, f"no text but {type(value).__name__}", "text")
    if any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in value):
        return Fault(name, "a zero byte or half of a character", "text that UTF-8 can hold")
    return value.strip()


def _unusable(found: str, limit: str) -> InvalidRequest:
    return InvalidRequest((Fault("manifest", found, limit),))

"""From the bytes of a CSV or JSON Lines file to its records."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping

from blocks.errors import Fault, InvalidRequest

MOST_ROWS = 100_000

Record = Mapping[str, object] | Fault


def read_records(data: bytes, suffix: str, columns: tuple[str, ...]) -> list[Record]:
    """Return the records of a file; one that cannot be told is a fault in its place.

    Args:
        data: UTF-8, with or without byte order mark.
        suffix: `csv` (separated by commas, semicolons or tabs) or `jsonl`.
        columns: The names that are known.

    Raises:
        InvalidRequest: The file cannot be used as a whole; everything that is wrong with it.
    """
    text = _text(data)
    records = list(_csv_records(text, columns) if suffix == "csv" else _json_records(text))
    if not records:
        raise unusable("no rows", "at least one row")
    if suffix == "jsonl":
        _check_names(dict(_first_rows(records)), columns)
    return records


def unusable(found: str, limit: str) -> InvalidRequest:
    """Return the error that a manifest as a whole cannot be used."""
    return InvalidRequest((Fault("manifest", found, limit),))


def _text(data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise unusable(f"byte {error.start:,} is not UTF-8", "text in UTF-8") from None
    if "\0" in text:
        raise unusable("zero bytes", "text in UTF-8")
    return text


def _csv_records(text: str, columns: tuple[str, ...]) -> Iterator[Record]:
    first_line = text.strip().partition("\n")[0]
    delimiter = max(",;\t", key=first_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names: list[str] | None = None
    number = 0
    try:
        for line in reader:
            cells = [cell.strip() for cell in line]
            if any(cells) and names is None:
                names = _header(cells, columns)
            elif any(cells) and names is not None:
                number += 1
                _check_count(number)
                yield _record(names, cells, delimiter)
    except csv.Error as error:
        raise unusable(f"line {reader.line_num}: {error}", "CSV as spreadsheets write it") from None


def _header(cells: list[str], columns: tuple[str, ...]) -> list[str]:
    names = [cell.lower() for cell in cells]
    while not names[-1]:
        names.pop()
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise unusable(f"column {', '.join(twice)[:80]!r} more than once", "each column once")
    _check_names(dict.fromkeys(names, 0), columns)
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


def _first_rows(records: list[Record]) -> Iterator[tuple[str, int]]:
    """Return each name with the rows that use it, the first of them last."""
    for number in range(len(records), 0, -1):
        record = records[number - 1]
        if not isinstance(record, Fault):
            yield from ((name, number) for name in record)


def _check_names(found: Mapping[str, int], columns: tuple[str, ...]) -> None:
    known = f"columns among {', '.join(columns)}"
    faults = tuple(
        Fault("manifest", f"unknown column {name[:40]!r}" + (f" in row {row}" if row else ""), known)
        for name, row in found.items()
        if name not in columns
    )
    if faults:
        raise InvalidRequest(faults[:20])


def _check_count(number: int) -> None:
    if number > MOST_ROWS:
        raise unusable(f"more than {MOST_ROWS:,} rows", f"at most {MOST_ROWS:,}; cut it into several")

from __future__ import annotations

import json
from pathlib import Path

import pytest

from blocks.errors import Fault, InvalidRequest
from flows.tasks.inbox import records
from flows.tasks.manifest import manifest as manifests
from flows.tasks.manifest.manifest import Row, mentioned, parse_manifest, read_manifest
from flows.tasks.request import DEFAULT_PROMPT


def parsed(text: str, name: str = "m.csv") -> list[Row]:
    return parse_manifest(text.encode(), f"/jobs/{name}")


def faults_of(text: str | bytes, name: str = "m.csv") -> tuple[Fault, ...]:
    data = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(InvalidRequest) as caught:
        parse_manifest(data, f"/jobs/{name}")
    return caught.value.faults


def test_columns_are_the_parameters_and_empty_cells_mean_the_default() -> None:
    row, other = parsed(
        "image,audio,prompt,mode,take,name\na.png, b.mp3 ,,pro,3,\n\nc.png,/d.wav,Smile,,,Kim\n"
    )
    assert row.request
    assert other.request
    assert (row.number, row.request.image, row.request.audio) == (1, "/jobs/a.png", "/jobs/b.mp3")
    assert (row.request.prompt, row.request.mode, row.request.take) == (DEFAULT_PROMPT, "pro", 3)
    assert (other.number, other.request.audio, other.request.prompt) == (2, "/d.wav", "Smile")
    assert (other.request.mode, other.request.take, other.name) == ("std", 1, "Kim")


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffimage,audio,prompt\na.png,b.mp3,\u00e9l\u00e8ve\n",
        "image;audio;prompt\r\na.png;b.mp3;\u00e9l\u00e8ve\r\n",
        "image\taudio\tprompt\na.png\tb.mp3\t\u00e9l\u00e8ve",
        'IMAGE, Audio ,"prompt",,\n"a.png","b.mp3","\u00e9l\u00e8ve",,\n,,,,\n',
    ],
)
def test_csv_is_read_as_spreadsheets_write_it(text: str) -> None:
    (row,) = parsed(text)
    assert row.request
    assert row.faults == ()
    assert (row.request.image, row.request.audio) == ("/jobs/a.png", "/jobs/b.mp3")
    assert row.request.prompt == "\u00e9l\u00e8ve"


def test_json_lines_are_read_too() -> None:
    lines = [
        '{"image": "a.png", "audio": "b.mp3", "take": 2, "name": null}',
        "",
        '{"image": "c.png", "audio_id": "7"}',
    ]
    first, second = parsed("\n".join(lines), "m.jsonl")
    assert first.request
    assert second.request
    assert (first.request.take, first.request.name, second.number) == (2, None, 2)
    assert (second.request.audio, second.request.audio_id) == (None, "7")


def test_faults_of_a_row_stay_with_the_row() -> None:
    rows = parsed("image,audio,take\na.png,b.mp3,two\na.png,b.mp3,1,extra\na.png,b.mp3,1\n")
    assert [[fault.field for fault in row.faults] for row in rows] == [["take"], ["row"], []]
    lines = [
        '{"image": "a.png", "audio": 7, "take": true}',
        "no json",
        "[1]",
        '{"image": "a.png", "audio": "b.mp3", "name": "\\ud800"}',
        '{"image": "a.png", "audio": "b.mp3", "take": 1' + "0" * 5000 + "}",
        "[" * 100_000,
    ]
    found = [[fault.field for fault in row.faults] for row in parsed("\n".join(lines), "m.jsonl")]
    assert found == [["audio", "take"], ["row"], ["row"], ["name"], ["row"], ["row"]]


@pytest.mark.parametrize(
    ("text", "name", "part"),
    [
        ("", "m.csv", "no rows"),
        ("image,audio\n", "m.csv", "no rows"),
        ("\n\n", "m.jsonl", "no rows"),
        ("image,audio\n", "m.xlsx", "m.xlsx"),
        ("image,audio,image\na,b,c\n", "m.csv", "more than once"),
        ('image,audio\na.png,"b.mp3\nc.png,d.mp3\n', "m.csv", "line"),
        (b"image,audio\na.png,\xff\xfe\n", "m.csv", "not UTF-8"),
        ("image,audio\na.png,b\0.mp3\n", "m.csv", "zero bytes"),
    ],
)
def test_a_manifest_that_cannot_be_used_says_why(text: str | bytes, name: str, part: str) -> None:
    (fault,) = faults_of(text, name)
    assert fault.field == "manifest"
    assert part in fault.found


def test_unknown_columns_are_reported_together() -> None:
    """A misspelled column would otherwise be a video with the default prompt, bought."""
    assert [fault.found for fault in faults_of("image,audio,promt,moed\na,b,c,d\n")] == [
        "unknown column 'promt'",
        "unknown column 'moed'",
    ]
    lines = '{"image": "a", "audio": "b"}\n{"image": "a", "audio": "b", "promt": ""}\n'
    assert [fault.found for fault in faults_of(lines, "m.jsonl")] == ["unknown column 'promt' in row 2"]


def test_rows_and_bytes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MOST_ROWS", 2)
    text = "image,audio\n" + "a,b\n" * 2
    assert len(parsed(text)) == 2
    assert "more than 2 rows" in faults_of(text + "a,b\n")[0].found
    assert "more than 2 rows" in faults_of("{}\n" * 3, "m.jsonl")[0].found


async def test_a_manifest_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifests, "LONGEST_MANIFEST", 20)
    path = tmp_path / "m.csv"
    path.write_text("image,audio\na,b\nc,d\n")
    assert len(await read_manifest(str(path))) == 2
    path.write_text("image,audio\na,b\nc,d\n\n")
    with pytest.raises(InvalidRequest, match="too large"):
        await read_manifest(str(path))


async def test_an_absent_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="does not exist"):
        await read_manifest(str(tmp_path / "m.csv"))


def test_files_are_found_mentioned_even_in_a_broken_manifest() -> None:
    csv = 'image;audio;promt\n"faces/a.png";../b.mp3;"x\n'
    assert {"/jobs/faces/a.png", "/b.mp3"} <= mentioned(csv.encode(), "/jobs/m.csv")
    line = json.dumps({"image": "\u00e9.png", "audio": "s3://bucket/b.mp3"}).replace("/", "\\/")
    assert {"/jobs/\u00e9.png", "s3://bucket/b.mp3"} <= mentioned(line.encode(), "/jobs/m.jsonl")


@pytest.mark.parametrize("odd", ["https://[bad/a.png", "file://[bad/a.png", "~nobody-has-this-name/a.png"])
def test_an_address_that_cannot_be_read_stops_no_other_row(odd: str) -> None:
    text = f"image,audio\n{odd},v.mp3\nok.png,ok.mp3\n".encode()
    first, second = parse_manifest(text, "/data/m.csv")
    assert first.name
    assert second.name == "ok + ok"
    assert "/data/ok.png" in mentioned(text, "/data/m.csv")

"""The timeline is readable for five jobs as for thousands, and what strangers wrote stays text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest

from blocks.storage.sidecar import Times
from flows.tasks.shown.timeline import MOST_LINES, NAMED_LINES, Line, timeline

START = datetime(2026, 11, 25, 12, tzinfo=UTC)
_SVG = "{http://www.w3.org/2000/svg}"


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def lines(count: int) -> list[Line]:
    return [Line(f"job {number}", number, number + 60.0, number + 63.0) for number in range(count)]


def drawn(jobs: list[Line]) -> tuple[ElementTree.Element, list[str]]:
    picture = ElementTree.fromstring(timeline(jobs))  # noqa: S314 # our own
    return picture, [text.text or "" for text in picture.iter(f"{_SVG}text")]


def test_each_phase_has_its_length() -> None:
    times = Times(submitted=after(10), finished=after(70), archived=after(75))
    assert Line.of("a", times, START) == Line("a", 10, 70, 75)
    picture, _ = drawn([Line("a", 25, 75, 100)])
    waited, rendered, downloaded = [path.attrib["d"] for path in picture.iter(f"{_SVG}path")][-4:-1]
    ends = [
        [float(end) for end in (path[1:].split(" ")[0], path.partition("H")[2])]
        for path in (waited, rendered, downloaded)
    ]
    whole = ends[2][1] - ends[0][0]
    assert [round((end - start) / whole, 2) for start, end in ends] == [0.25, 0.5, 0.25]


@pytest.mark.parametrize(
    "times",
    [
        Times(archived=after(75)),
        Times(submitted=after(-900), finished=after(-60), archived=after(75)),
        Times(submitted=after(100), finished=after(50), archived=after(75)),
    ],
    ids=["nothing is known", "it began before the batch", "the clocks differ"],
)
def test_what_makes_no_sense_has_no_length(times: Times) -> None:
    edges = Line.of("a", times, START).edges
    assert list(edges) == sorted(edges)
    assert (edges[0], edges[-1]) == (0, 75)


@pytest.mark.parametrize("count", [1, NAMED_LINES, NAMED_LINES + 1, MOST_LINES, MOST_LINES + 1, 5000])
def test_it_stays_small_in_bytes_and_on_the_page(count: int) -> None:
    picture, texts = drawn(lines(count))
    assert len(timeline(lines(count))) < 60_000
    assert float(picture.attrib["height"]) < 1200
    assert sum(text.startswith("job ") for text in texts) == (count if count <= NAMED_LINES else 0)
    assert (f"{count:,} jobs" in texts) == (count > MOST_LINES)


def test_a_name_is_text_and_nothing_else() -> None:
    hostile = '</text><script>alert(1)</script> & "x"\0\x1b[0m'
    picture, texts = drawn([Line(hostile, 1, 2, 3)])
    assert list(picture.iter(f"{_SVG}script")) == []
    assert any(text.startswith("</text><script>") for text in texts)

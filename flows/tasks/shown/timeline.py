"""The picture of a batch: when each job waited, rendered and was brought home. Pure: facts in, SVG out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple
from xml.sax.saxutils import escape

from blocks.storage.sidecar import Times

NAMED_LINES = 40
MOST_LINES = 200
_WIDTH, _RIGHT, _TOP = 720.0, 36.0, 56.0
_BUCKETS = 160
_PHASES = (("waited", "#9aa5b4"), ("Kling rendered", "#3b6fd8"), ("downloaded and checked", "#e08a1e"))
_ARCHIVED = ("archived", "#1f8a5b")
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)


class Line(NamedTuple):
    """One job, in seconds from the start of the batch.

    Attributes:
        name: What people call it.
        submitted: Kling had the task.
        rendered: Kling had ended it, as the provider says.
        archived: The clip was in the archive.
    """

    name: str
    submitted: float
    rendered: float
    archived: float

    @classmethod
    def of(cls, name: str, times: Times, start: datetime) -> Line:
        """Return the line of a job; what is not known, or lies before the step before it, has no length."""
        archived = max(0.0, (times.archived - start).total_seconds())
        known = [times.submitted or times.intended, times.finished]
        steps = [(at - start).total_seconds() if at else 0.0 for at in known]
        submitted = min(max(0.0, steps[0]), archived)
        return cls(name, submitted, min(max(submitted, steps[1]), archived), archived)

    @property
    def edges(self) -> tuple[float, float, float, float]:
        """Where the phases begin and end."""
        return (0.0, self.submitted, self.rendered, self.archived)


class Scale(NamedTuple):
    """Where a moment is in the picture.

    Attributes:
        left: Where the batch begins; to the left of it are names.
        end: Seconds at its right edge.
    """

    left: float
    end: float

    def at(self, seconds: float) -> float:
        """Return the place of a moment."""
        return self.left + (_WIDTH - self.left - _RIGHT) * seconds / self.end


def timeline(lines: Sequence[Line]) -> str:
    """Return the SVG: a line for each of up to `MOST_LINES` jobs, beyond that how many were in which phase.

    Args:
        lines: The jobs; at least one.
    """
    lines = sorted(lines, key=lambda line: (line.submitted, line.archived))
    end = max(1.0, *(line.archived for line in lines))
    draw = _rows if len(lines) <= MOST_LINES else _bands
    return draw(lines, end)


def _rows(lines: Sequence[Line], end: float) -> str:
    is_named = len(lines) <= NAMED_LINES
    step, scale = (20.0, Scale(168, end)) if is_named else (5.0, Scale(24, end))
    thick = step * 0.7
    paths: list[list[str]] = [[] for _ in _PHASES]
    names, dots = [], []
    for number, line in enumerate(lines):
        middle = _TOP + step * (number + 0.5)
        for path, (begin, finish) in zip(paths, pairwise(line.edges), strict=True):
            if finish > begin:
                path.append(f"M{scale.at(begin):.1f} {middle:.1f}H{scale.at(finish):.1f}")
        dots.append(f"M{scale.at(line.archived):.1f} {middle:.1f}h2.5")
        if is_named:
            names.append(_text(scale.left - 10, middle + 4, _short(line.name), "end"))
    coloured = zip([*paths, dots], [*_PHASES, _ARCHIVED], strict=True)
    marks = [
        f'<path d="{"".join(path)}" stroke="{colour}" stroke-width="{thick}"/>'
        for path, (_, colour) in coloured
    ]
    return _whole([*names, *marks], _TOP + step * len(lines), scale)


def _bands(lines: Sequence[Line], end: float) -> str:
    """Draw how many jobs were in which phase at each moment, the finished ones at the bottom."""
    height = 320.0
    bottom, job, scale = _TOP + height, height / len(lines), Scale(96, end)
    moments = [end * number / _BUCKETS for number in range(_BUCKETS + 1)]
    # From the bottom: archived, rendered by then, submitted by then, all.
    upper = [[sum(line.edges[step] <= moment for line in lines) for moment in moments] for step in (3, 2, 1)]
    upper.append([len(lines)] * len(moments))
    colours = (_ARCHIVED[1], *(colour for _, colour in reversed(_PHASES)))
    lower = [0] * len(moments)
    marks = []
    for counts, colour in zip(upper, colours, strict=True):
        there = [f"{scale.at(at):.1f} {bottom - n * job:.1f}" for at, n in zip(moments, counts, strict=True)]
        back = [f"{scale.at(at):.1f} {bottom - n * job:.1f}" for at, n in zip(moments, lower, strict=True)]
        marks.append(f'<path d="M{"L".join([*there, *reversed(back)])}Z" fill="{colour}"/>')
        lower = counts
    names = [
        _text(scale.left - 10, _TOP + 12, f"{len(lines):,} jobs", "end"),
        _text(scale.left - 10, bottom, "0", "end"),
    ]
    return _whole([*marks, *names], bottom, scale)


def _whole(marks: Sequence[str], bottom: float, scale: Scale) -> str:
    height = bottom + 40
    parts = [*_legend(), *_ticks(bottom, scale), *marks]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:g} {height:g}" '
        f'width="{_WIDTH:g}" height="{height:g}" font-family="system-ui,sans-serif" font-size="13" '
        f'fill="#1d2733"><rect width="100%" height="100%" rx="8" fill="#ffffff"/>{"".join(parts)}</svg>'
    )


def _legend() -> Iterator[str]:
    at = 16.0
    for name, colour in (*_PHASES, _ARCHIVED):
        yield f'<rect x="{at:g}" y="16" width="14" height="14" rx="3" fill="{colour}"/>'
        yield _text(at + 20, 28, name)
        at += 44 + 7.2 * len(name)


def _ticks(bottom: float, scale: Scale) -> Iterator[str]:
    step = next((step for step in _STEPS if scale.end / step <= 7), scale.end / 5)
    at = 0.0
    while at <= scale.end:
        x = scale.at(at)
        yield f'<path d="M{x:.1f} {_TOP - 6:g}V{bottom + 6:g}" stroke="#dfe4ea"/>'
        yield _text(x, bottom + 24, _clock(at), "middle")
        at += step


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _short(name: str) -> str:
    readable = "".join(letter if letter.isprintable() else " " for letter in name)
    return readable if len(readable) <= 20 else f"{readable[:19]}…"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if seconds < 60:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes}:{rest:02} min" if rest else f"{minutes} min"
    return f"{minutes // 60}:{minutes % 60:02} h"

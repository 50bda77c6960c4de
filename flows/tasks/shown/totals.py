"""What a batch came to: spent, made, slowest, and failures by reason. Pure: results in, markdown out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from flows.tasks.manifest.results import RowResult, counted, money
from flows.tasks.shown.markdown import plain

_SHOWN_NUMBERS = 10


def totals(results: Sequence[RowResult]) -> str:
    """Return the totals as a table of markdown."""
    made = [result for result in results if result.state == "archived"]
    facts = {
        "rows": f"{len(results):,}: {counted(result.state for result in results)}",
        "spent": money(results),
        "made": f"{_length(sum(result.seconds or 0 for result in made))} of video in {len(made):,} clips",
    }
    if slow := slowest(made):
        took, result = slow
        facts["slowest"] = f"{plain(result.name)}, row {result.row}: {_length(took)} from submit to archive"
    rows = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    return f"| | |\n| --- | --- |\n{rows}\n"


def slowest(made: Sequence[RowResult]) -> tuple[float, RowResult] | None:
    """Return the clip that took longest from its submit to the archive, and how many seconds."""
    timed = [
        ((times.archived - begun).total_seconds(), result.row, result)
        for result in made
        if (times := result.times) and (begun := times.submitted or times.intended)
    ]
    if not timed:
        return None
    took, _, result = max(timed, key=lambda each: each[:2])
    return took, result


def failures(results: Sequence[RowResult]) -> str:
    """Return a table of what went wrong, the most frequent reason first; nothing when all is well."""
    by_reason: dict[tuple[str, str], list[int]] = defaultdict(list)
    for result in results:
        if not result.is_settled:
            by_reason[result.error or result.state, result.next_step].append(result.row)
    ordered = sorted(by_reason.items(), key=lambda each: (-len(each[1]), each[0]))
    if not ordered:
        return ""
    lines = [
        f"| {plain(reason)} | {len(rows):,} | {_numbers(rows)} | {plain(next_step)} |"
        for (reason, next_step), rows in ordered
    ]
    table = "\n".join(["| reason | rows | which | what to do |", "| --- | --- | --- | --- |", *lines])
    return f"#### Not in the archive\n\n{table}\n"


def _numbers(rows: Sequence[int]) -> str:
    listed = ", ".join(str(row) for row in rows[:_SHOWN_NUMBERS])
    return f"{listed}, …" if len(rows) > _SHOWN_NUMBERS else listed


def _length(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes):,} min {rest:.0f} s" if minutes else f"{rest:.1f} s"

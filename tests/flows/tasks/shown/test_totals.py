"""A batch says what it spent and made, what was slowest, and why what is missing is missing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from blocks.storage.sidecar import Times
from flows.tasks.manifest.results import RowResult
from flows.tasks.shown.totals import failures, totals

START = datetime(2026, 11, 25, 12, tzinfo=UTC)


def made(row: int, took: float) -> RowResult:
    times = Times(submitted=START, archived=START + timedelta(seconds=took))
    return RowResult(
        row=row,
        name=f"row|{row}",
        state="archived",
        clip="s3://b/c.mp4",
        seconds=40,
        estimated_usd=Decimal("2.24"),
        times=times,
    )


def failed(row: int, error: str) -> RowResult:
    return RowResult(row=row, state="failed", error=error, next_step=f"Look at {error}")


def test_money_seconds_and_the_slowest_are_told() -> None:
    text = totals([made(1, 90), made(2, 200), failed(3, "TaskFailed")])
    assert "3: 2 archived, 1 failed" in text
    assert "4.48 US dollars" in text
    assert "1 min 20 s of video in 2 clips" in text
    assert r"row\|2, row 2: 3 min 20 s" in text


def test_nothing_made_has_no_slowest() -> None:
    text = totals([failed(1, "TaskFailed")])
    assert "0.0 s of video in 0 clips" in text
    assert "slowest" not in text


def test_failures_are_gathered_by_reason_the_most_frequent_first() -> None:
    results = [failed(1, "TaskFailed"), made(2, 1), *(failed(row, "ClipRejected") for row in range(3, 16))]
    first, second = failures(results).splitlines()[4:]
    assert first == "| ClipRejected | 13 | 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, … | Look at ClipRejected |"
    assert second.startswith("| TaskFailed | 1 | 1 |")
    assert failures([made(1, 1)]) == ""

"""Progress as people read it. Pure: no I/O."""

from __future__ import annotations

from flows.tasks.progress.tally import Seen, Wait

_MOST = 99.0
_GOOD = ("archived", "archived before", "duplicate")


def percent(seen: Seen) -> float:
    """Return how far a run is, from 0 to 100; what waits longer than expected stays at 99."""
    if seen.total:
        return 100.0 * min(seen.ended.total(), seen.total) / seen.total
    shares = [each.elapsed / each.expected for each in seen.waits if each.expected]
    return min(_MOST, 100.0 * min(shares)) if shares else 0.0


def counts(seen: Seen) -> str:
    """Return what became of the jobs of a batch, and what was spent."""
    done = sum(seen.ended[state] for state in _GOOD)
    failed = seen.ended.total() - done
    if seen.thing == "shards":
        return f"{done:,} of {seen.total:,} shards done, {failed:,} failed; their runs show their jobs"
    waiting = max(0, seen.total - seen.ended.total() - seen.running)
    return (
        f"{done:,} of {seen.total:,} done, {seen.running:,} running, {failed:,} failed, "
        f"{waiting:,} to come; about {seen.spent:.2f} US dollars spent by list price"
    )


def wait_of(wait: Wait) -> str:
    """Return how long a job has waited, how long it is expected to wait, and why."""
    if not wait.expected:
        return f"{wait.elapsed:.0f} s since the submit; there is no estimate"
    if wait.elapsed > wait.expected:
        return f"{wait.elapsed:.0f} s, longer than the expected {wait.expected:.0f} s: {wait.reason}"
    return f"{wait.elapsed:.0f} s of about {wait.expected:.0f} s: {wait.reason}"


def lines(seen: Seen) -> list[str]:
    """Return progress as plain lines: one for a batch, one for each job that waits otherwise."""
    if seen.total:
        return [counts(seen)]
    return [f"Kling task {each.kling_task_id}: {wait_of(each)}" for each in seen.waits]

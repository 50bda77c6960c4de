"""Was an answer really lost? What the workers and the provider noted, not what the journal says. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tests.chaos.plan import LOST_ANSWERS

_KNOWN = {"created submitted", "created deferred", "created refused"}


def lost_answer(marks: Iterable[str]) -> bool:
    """Tell whether a worker announced a POST and never got its answer, or died before writing it down."""
    in_doubt = is_answered = False
    for mark in marks:
        if mark == "creating intent":
            in_doubt, is_answered = True, False
        elif mark == "too late for intent" or mark in _KNOWN:
            in_doubt = False
        elif mark.startswith("answered"):
            is_answered = True
        elif mark == "created undecided" and is_answered:
            in_doubt = False
    return in_doubt


def marks_of(trace: str) -> list[str]:
    """Return the marks of a trace, without their times."""
    return [line.partition(" ")[2] for line in trace.splitlines()]


def spoiled_answer(fired: Iterable[str]) -> bool:
    """Tell whether one of the faults that fired at a create leaves its outcome unknown."""
    return any(name in LOST_ANSWERS for name in fired)

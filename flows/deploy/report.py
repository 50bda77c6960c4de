"""What the set-up did, one line each."""

from __future__ import annotations

from typing import Literal, NamedTuple

Outcome = Literal["created", "updated", "unchanged", "left out", "missing"]


class Result(NamedTuple):
    """What became of one thing.

    Attributes:
        kind: What it is, such as `work pool`.
        name: Its name.
        outcome: What was done.
        note: What the operator should know or do about it.
    """

    kind: str
    name: str
    outcome: Outcome
    note: str = ""

    def __str__(self) -> str:
        return f"{self.outcome:<9}  {self.kind:<17}  {self.name}" + (f": {self.note}" if self.note else "")

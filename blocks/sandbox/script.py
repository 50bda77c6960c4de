"""Which fault fires at which request: markers, headers and rules, counted."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from blocks.sandbox.faults import FAULTS, Endpoint, Phase

_MARKER = re.compile(r"\[fault:([\w-]+)(?::(\d+))?\]")
_HEADER = re.compile(r"\s*([\w-]+)(?::(\d+))?\s*(?:,|$)")


class Parameters(BaseModel):
    """What can be adjusted about a fault; `at` is a part of the clip, `reset` cuts with TCP RST."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 90.0
    retry_after: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    location: str = "http://127.0.0.1:9/elsewhere"
    status: int | str | None = None
    at: Annotated[float, Field(ge=0, le=1)] = 0.5
    reset: bool = False


_NO_CHANGES = Parameters()


class Rule(Parameters):
    """A fault asked for over HTTP or on the command line.

    Attributes:
        fault: Its name.
        count: How often it fires, over all tasks; `None` for ever. Left out: the fault's own.
        endpoint: Where it acts; left out: the fault's own.
        probability: Chance at each matching request.
        seed: Makes the chances repeatable; they hang on the task and its n-th request, not on the order
            in which tasks come.
        match: Parts of `external_task_id`, `prompt` or `task_id` that a request must have.
    """

    fault: str
    count: Annotated[int, Field(ge=0)] | None = None
    endpoint: Endpoint | None = None
    probability: Annotated[float, Field(ge=0, le=1)] = 1.0
    seed: int = 0
    match: dict[Literal["external_task_id", "prompt", "task_id"], str] = {}

    @model_validator(mode="before")
    @classmethod
    def _own_count(cls, data: Any) -> Any:
        known = FAULTS.get(data.get("fault", "")) if isinstance(data, dict) else None
        return {"count": known.count, **data} if known else data

    @model_validator(mode="after")
    def _known(self) -> Rule:
        if self.fault not in FAULTS:
            raise ValueError(f"no such fault; there are: {', '.join(FAULTS)}")
        if self.endpoint and self.endpoint not in FAULTS[self.fault].endpoints:
            raise ValueError(f"{self.fault} acts at: {', '.join(FAULTS[self.fault].endpoints)}")
        return self

    @property
    def acts_at(self) -> Endpoint:
        """The endpoint it acts at."""
        return self.endpoint or FAULTS[self.fault].endpoints[0]


@dataclass(frozen=True, slots=True)
class Subject:
    """What a request is about, as far as faults care."""

    external_task_id: str = ""
    prompt: str = ""
    task_id: str = ""
    header: str = ""

    @property
    def name(self) -> str:
        """What counts are kept by."""
        return self.task_id or self.external_task_id or self.prompt


@dataclass(frozen=True, slots=True)
class Fired:
    """A fault that acts now."""

    name: str
    parameters: Parameters = _NO_CHANGES


@dataclass(slots=True)
class _Scripted:
    number: int
    rule: Rule
    left: int | None
    fired: int = 0
    drawn: Counter[str] = field(default_factory=Counter)

    def applies(self, subject: Subject) -> bool:
        matches = all(part in getattr(subject, name) for name, part in self.rule.match.items())
        return self.left != 0 and matches and self._drawn(subject)

    def fire(self) -> Fired:
        self.fired += 1
        if self.left is not None:
            self.left -= 1
        return Fired(self.rule.fault, self.rule)

    def _drawn(self, subject: Subject) -> bool:
        if self.rule.probability >= 1:
            return True
        name = subject.external_task_id or subject.name
        self.drawn[name] += 1
        text = f"{self.rule.seed}:{self.rule.fault}:{name}:{self.drawn[name]}"
        draw = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
        return draw < self.rule.probability


def markers(text: str) -> list[tuple[str, int | None]]:
    """Return the faults named in a prompt or a text, with their counts."""
    return [_counted(found[1], found[2]) for found in _MARKER.finditer(text)]


def _counted(name: str, number: str | None) -> tuple[str, int | None]:
    if number is not None:
        return name, int(number)
    return name, FAULTS[name].count if name in FAULTS else None


class Script:
    """All faults that are asked for."""

    def __init__(self) -> None:
        self._rules: list[_Scripted] = []
        self._numbers = count(1)
        self._used: Counter[tuple[str, ...]] = Counter()

    def add(self, rule: Rule) -> int:
        """Add a rule; return its number."""
        number = next(self._numbers)
        self._rules.append(_Scripted(number, rule, rule.count))
        return number

    def clear(self) -> None:
        """Forget all rules and counts."""
        self._rules.clear()
        self._used.clear()

    def as_json(self) -> list[dict[str, Any]]:
        """Return the rules, what is left of them and how often they fired."""
        return [
            {
                "id": scripted.number,
                **scripted.rule.model_dump(exclude_unset=True),
                "endpoint": scripted.rule.acts_at,
                "left": scripted.left,
                "fired": scripted.fired,
            }
            for scripted in self._rules
        ]

    def fire(self, endpoint: Endpoint, phase: Phase, subject: Subject) -> Fired | None:
        """Return the fault that acts at this point of a request, and count it as used."""
        for name, limit in self._asked(endpoint, subject):
            if FAULTS[name].phase == phase and self._use(endpoint, name, subject, limit):
                return Fired(name)
        for scripted in self._rules:
            rule = scripted.rule
            at_this_point = rule.acts_at == endpoint and FAULTS[rule.fault].phase == phase
            if at_this_point and scripted.applies(subject):
                return scripted.fire()
        return None

    def _asked(self, endpoint: Endpoint, subject: Subject) -> Iterator[tuple[str, int | None]]:
        if "[fault:" in subject.prompt:
            for name, limit in markers(subject.prompt):
                fault = FAULTS.get(name)
                if fault and endpoint == (
                    "tts" if endpoint == "tts" in fault.endpoints else fault.endpoints[0]
                ):
                    yield name, limit
        for found in _HEADER.finditer(subject.header):
            fault = FAULTS.get(found[1])
            if fault and endpoint in fault.endpoints:
                yield _counted(found[1], found[2])

    def _use(self, endpoint: str, name: str, subject: Subject, limit: int | None) -> bool:
        if limit is None:
            return True
        used = (endpoint, name, subject.name)
        self._used[used] += 1
        return self._used[used] <= limit

"""Every named fault of the sandbox and how a run of the main flow ends under it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from blocks.errors import (
    AccountExhausted,
    AvatarError,
    Charged,
    ClipRejected,
    ClipUnavailable,
    ContentRefused,
    JobOverdue,
    NeedsDecision,
    RequestRejected,
    SlowDown,
    TaskFailed,
)
from blocks.sandbox.faults import FAULTS
from blocks.storage.journal import Step

Finish = Literal["run", "reconcile"]


@dataclass(frozen=True)
class Ending:
    """How an attempt ends, as journal and sandbox see it.

    Attributes:
        posts: POSTs that came in so far.
        charges: Charges so far, less what was given back.
        step: Last entry of the journal.
        error: What was raised; `None` when the clip is in the archive.
        charged: What the error says about money.
    """

    posts: int = 1
    charges: int = 1
    step: Step = Step.SUBMITTED
    error: type[AvatarError] | None = None
    charged: Charged | None = None


@dataclass(frozen=True)
class Case:
    """One fault, where it acts, how the run ends, and how the next attempt ends without the fault.

    Attributes:
        rule: Further fields of the sandbox's rule; without a count the fault's own holds.
        credentials: Fields of the credentials that differ.
        sandbox: Switches of the sandbox.
        proven: Whether another video was bought before, which shows whether the lookup works.
        later: Fields of the credentials that differ at the next attempt.
        finish: Whether the next attempt is a run or the reconcile flow.
    """

    fault: str
    ends: Ending
    next: Ending = Ending()
    endpoint: str = ""
    rule: dict[str, Any] = field(default_factory=dict)
    credentials: dict[str, Any] = field(default_factory=dict)
    sandbox: dict[str, Any] = field(default_factory=dict)
    proven: bool = False
    later: dict[str, Any] = field(default_factory=dict)
    finish: Finish = "run"

    @property
    def acts_at(self) -> str:
        return self.endpoint or FAULTS[self.fault].endpoints[0]

    def __str__(self) -> str:
        changes = {**self.rule, **self.credentials, **self.sandbox}
        dull = ("_seconds", "_minutes")
        shown = [f"{name}={value}" for name, value in changes.items() if not name.endswith(dull)]
        return "-".join([self.acts_at, self.fault, *shown, *(["proven"] if self.proven else [])])


ARCHIVED = Ending()


def _stopped(error: type[AvatarError], charged: Charged, **other: Any) -> Ending:
    return Ending(error=error, charged=charged, **other)


# What a POST may meet whose answer tells: nothing was bought, or it was and Kling failed it.
_REFUSED = [
    Case(name, _stopped(error, "no", charges=0, step=Step.REFUSED), Ending(posts=2), rule={"count": 1})
    for name, error in {
        "200-1200": RequestRejected,
        "500-invalid-request": RequestRejected,
        "redirect": RequestRejected,
        "1301": ContentRefused,
        "429-1102": AccountExhausted,
    }.items()
]
_BUSY = ("429-1302", "429-1303", "429-plain")
_WAITED_FOR = [Case(name, Ending(posts=3), Ending(posts=3), rule={"count": 2}) for name in _BUSY]
_TOO_BUSY = [
    Case(
        name,
        _stopped(SlowDown, "no", charges=0, step=Step.DEFERRED),
        Ending(posts=2),
        rule={"retry_after": 30},
        credentials={"wait_seconds": 1},
    )
    for name in _BUSY
]
_FAILED = [
    Case(
        "failed-moderation",
        _stopped(TaskFailed, "unknown", charges=0, step=Step.FAILED),
        _stopped(TaskFailed, "unknown", charges=0, step=Step.FAILED),
    ),
    Case("failed-1303", _stopped(TaskFailed, "unknown", charges=0, step=Step.FAILED), Ending(posts=2)),
]
_READABLE = [Case(name, ARCHIVED, endpoint="create") for name in ("wrapped-envelope", "variant-d")]

# What a POST may meet whose answer does not tell: whether the sandbox took it and charged for it.
_UNCLEAR = {
    "lost-response": True,
    "500-after-accept": True,
    "504-5002-after-accept": True,
    "slow": True,
    "variant-c": True,
    "500-before-accept": False,
    "503-5001": False,
    "html": False,
}
_UNSURE = _stopped(NeedsDecision, "unknown", charges=0, step=Step.UNDECIDED)
_UNSURE_BOUGHT = replace(_UNSURE, charges=1)
_POSTED_AGAIN = Ending(posts=2)
# By what became of the POST and by the lookup: how the run ends, and how the next attempt ends. "proven" is
# a probe that was seen to work with another video, which counts here too.
_BY_LOOKUP: dict[tuple[bool, str], tuple[Ending, Ending]] = {
    (True, "yes"): (ARCHIVED, ARCHIVED),
    (True, "no"): (_UNSURE_BOUGHT, ARCHIVED),
    (True, "probe"): (ARCHIVED, ARCHIVED),
    (True, "proven"): (Ending(posts=2, charges=2), Ending(posts=2, charges=2)),
    (False, "yes"): (_POSTED_AGAIN, _POSTED_AGAIN),
    (False, "no"): (_UNSURE, _POSTED_AGAIN),
    # Not found proves nothing before a lookup was seen to work.
    (False, "probe"): (_UNSURE, _UNSURE),
    (False, "proven"): (Ending(posts=3, charges=2), Ending(posts=3, charges=2)),
}


def _unclear(fault: str, lookup: str) -> Case:
    ends, following = _BY_LOOKUP[_UNCLEAR[fault], lookup]
    return Case(
        fault,
        ends,
        following,
        endpoint="create",
        rule={"count": 1},
        credentials={
            "lookup": "probe" if lookup == "proven" else lookup,
            "create_seconds": 3,
            "absence_seconds": 0.5,
        },
        proven=lookup == "proven",
        later={"lookup": "yes"} if lookup == "no" else {},
    )


def _slow(lookup: str) -> Case:
    """Return the case of a POST that is carried out three seconds after its sender gave it up."""
    case = _unclear("slow", lookup)
    patience = {"create_seconds": 1, "absence_seconds": 20}
    # Where absence cannot be proved there is no point in waiting: one look, here too early.
    ends = _UNSURE_BOUGHT if lookup == "probe" else case.ends
    return replace(case, ends=ends, rule={"count": 1, "seconds": 4}, credentials=case.credentials | patience)


_BY_ALL_LOOKUPS = [
    _slow(lookup) if fault == "slow" else _unclear(fault, lookup)
    for fault in _UNCLEAR
    for lookup in ("yes", "no", "probe", "proven")
]
# A provider that does not answer lookups: the first video shows it, and the lost one is left to a person.
_NO_LOOKUPS = Case(
    "lost-response",
    replace(_UNSURE, posts=2, charges=2),
    replace(_UNSURE, posts=2, charges=2),
    rule={"count": 1},
    sandbox={"lookup": False},
    proven=True,
)
# A provider that fails each POST, of which none was bought: it is not posted to for ever.
_NEVER_BOUGHT = Case(
    "500-before-accept",
    _stopped(SlowDown, "no", charges=0, step=Step.RELEASED),
    Ending(posts=2),
    rule={"count": None},
    credentials={"lookup": "yes", "create_seconds": 1, "absence_seconds": 0.1, "wait_seconds": 1},
)

# What a query may meet: it says nothing about the task.
_PASSING = [
    Case(name, ARCHIVED, endpoint="query", rule={"count": 3})
    for name in (
        *("lost-response", "200-1200", "500-before-accept", "500-invalid-request", "503-5001"),
        *("html", "redirect"),
        *_BUSY,
        *("unknown-status", "stuck", "query-500", "query-html", "query-1203-early"),
    )
]
_SHAPES = [Case(name, ARCHIVED, endpoint="query") for name in ("wrapped-envelope", "variant-c", "variant-d")]
_SLOW_READ = [
    Case(
        "slow",
        ARCHIVED,
        endpoint="query",
        rule={"seconds": 30, "count": 2},
        credentials={"read_seconds": 1.5},
    )
]
_SHORT = {"deadline_minutes": 0.02}
_OVERDUE: dict[str, Finish] = {
    "stuck": "reconcile",
    "unknown-status": "run",
    "query-500": "reconcile",
    "query-1203-early": "run",
    "html": "run",
    "429-plain": "reconcile",
}
_LASTING = [
    Case(
        name,
        _stopped(JobOverdue, "yes"),
        endpoint="query",
        rule={"count": None},
        credentials=_SHORT,
        finish=finish,
    )
    for name, finish in _OVERDUE.items()
] + [
    Case("429-1102", _stopped(AccountExhausted, "yes"), endpoint="query"),
    Case("succeed-without-url", _stopped(ClipUnavailable, "yes"), finish="reconcile"),
]

# What a download may meet: the clip is paid for and asked for again.
_FETCHED = [
    Case("dead-link", ARCHIVED),
    Case("dead-link", ARCHIVED, rule={"status": 404}),
    Case("expired-link", ARCHIVED),
    Case("delivery-500", ARCHIVED, rule={"count": 3}),
    Case("truncated-clip", ARCHIVED),
    Case("truncated-clip", ARCHIVED, sandbox={"ranges": False}),
    Case("stall", ARCHIVED, rule={"count": 1}),
    Case("stall", ARCHIVED, rule={"count": 1}, sandbox={"ranges": False}),
    Case("slow", ARCHIVED, endpoint="delivery", rule={"seconds": 0.2}),
    *(Case(name, ARCHIVED, rule={"count": 1}) for name in ("wrong-length", "broken-clip", "short-clip")),
]
_LOST: dict[str, tuple[type[AvatarError], Finish]] = {
    "dead-link": (ClipUnavailable, "run"),
    "expired-link": (ClipUnavailable, "reconcile"),
    "delivery-500": (ClipUnavailable, "reconcile"),
    "truncated-clip": (ClipUnavailable, "run"),
    "wrong-length": (ClipRejected, "run"),
    "broken-clip": (ClipRejected, "reconcile"),
    "short-clip": (ClipRejected, "run"),
    "silent-clip": (ClipRejected, "reconcile"),
}
_NOT_FETCHED = [
    Case(name, _stopped(error, "yes"), rule={"count": None}, finish=finish)
    for name, (error, finish) in _LOST.items()
]

CASES: list[Case] = [
    *(
        *_REFUSED,
        *_WAITED_FOR,
        *_TOO_BUSY,
        *_FAILED,
        *_READABLE,
        *_BY_ALL_LOOKUPS,
        _NO_LOOKUPS,
        _NEVER_BOUGHT,
    ),
    *(*_PASSING, *_SHAPES, *_SLOW_READ, *_LASTING, *_FETCHED, *_NOT_FETCHED),
]

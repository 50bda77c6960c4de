"""What happens to which job: kills, races and faults, all decided by the seed."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from blocks.kling.job import external_task_id_of, job_id_of

FACE = Path("blocks/sandbox/samples/portrait.png")
VOICE = Path("blocks/sandbox/samples/voice.mp3")
MODE = "std"

_MOST_PURCHASES = 8


class Boundary(StrEnum):
    """Where a process that works on a job is killed, or paused like a machine that is suspended."""

    BEFORE_INTENT = "before the intent"
    AFTER_INTENT = "after the intent, before the POST left"
    POST_LEFT = "after the POST left, before an answer"
    ANSWERED = "after the answer, before the id is in the journal"
    RECORDED = "after the id"
    POLLING = "while polling"
    DOWNLOADING = "while downloading"
    UPLOADING = "while uploading: written, not published"
    CLIP_STORED = "after the clip, before the sidecar"
    ANYWHERE = "anywhere, from outside"
    PAUSED = "paused before the POST, woken too late"
    PAUSED_SENDING = "paused as the POST begins, woken too late"


PAUSES = (Boundary.PAUSED, Boundary.PAUSED_SENDING)
KILLS = tuple(boundary for boundary in Boundary if boundary not in PAUSES)

# Who dies there may leave a Kling task behind that only a lookup finds.
_DOUBTFUL = {Boundary.AFTER_INTENT, Boundary.POST_LEFT, Boundary.ANSWERED, Boundary.ANYWHERE, *PAUSES}
# Only whoever wins a race comes there.
_FOR_WINNERS = {Boundary.AFTER_INTENT, Boundary.POST_LEFT, Boundary.ANSWERED, Boundary.RECORDED}

LOST_ANSWERS = (
    "lost-response",
    "500-after-accept",
    "504-5002-after-accept",
    "500-before-accept",
    "503-5001",
    "html",
    "slow",
)
_BUSY = ("429-1302", "429-1303")
_READS = ("query-500", "query-html", "lost-response", "wrapped-envelope", "query-1203-early")
_DELIVERY = ("dead-link", "expired-link", "truncated-clip", "stall", "broken-clip")


@dataclass(frozen=True)
class Kill:
    """The end of one process, or its pause.

    Attributes:
        boundary: Where.
        seconds: How long after the boundary; for `ANYWHERE`, which part of a run passes before.
    """

    boundary: Boundary
    seconds: float = 0.0

    @property
    def is_pause(self) -> bool:
        """Whether the process goes on afterwards."""
        return self.boundary in PAUSES


Round = tuple[Kill | None, ...]
"""Processes that run a job side by side, each with its end."""


@dataclass(frozen=True)
class Plan:
    """One wanted video and what is done to it.

    Attributes:
        number: Place in the campaign.
        scene: What tells it from the others: the beginning of its prompt.
        job_id: What the code under test will call it.
        names: The external task ids it may be bought under.
        rounds: Its runs with their kills; afterwards it is run again without any.
        rules: Faults of the sandbox that concern it alone.
        is_flow: Whether its runs are real flow runs instead of the functions under them.
        is_restarted: Whether it is run again at once after the last kill, or reconcile comes first.
    """

    number: int
    scene: str
    job_id: str
    names: tuple[str, ...]
    rounds: tuple[Round, ...]
    rules: tuple[dict[str, Any], ...]
    is_flow: bool
    is_restarted: bool

    @property
    def prompt(self) -> str:
        """What the avatar does."""
        return _prompt(self.scene)


def make_plans(
    jobs: int, seed: int, namespace: str, *, flows: float, pauses: bool, slow_seconds: float
) -> tuple[Plan, ...]:
    """Return what happens to each of `jobs` jobs.

    Args:
        jobs: How many.
        seed: Decides everything.
        namespace: In which external task ids are made.
        flows: Part of the jobs that run as real flows.
        pauses: Whether processes are paused too.
        slow_seconds: How late a slow provider accepts.
    """
    boundaries = (*KILLS, *PAUSES, None) if pauses else (*KILLS, None)
    image, voice = (hashlib.sha256(path.read_bytes()).hexdigest() for path in (FACE, VOICE))
    plans = []
    for number in range(jobs):
        chance = dice(seed, number)
        scene = f"Scene {number:04}."
        job_id = job_id_of(
            image_sha256=image, audio=f"sha256:{voice}", prompt=_prompt(scene), mode=MODE, take=1
        )
        rounds = tuple(_rounds(chance, boundaries[number % len(boundaries)], is_raced=number % 4 == 1))
        plan = Plan(
            number=number,
            scene=scene,
            job_id=job_id,
            names=tuple(external_task_id_of(namespace, job_id, n + 1) for n in range(_MOST_PURCHASES)),
            rounds=rounds,
            rules=tuple(_rules(chance, scene, rounds, slow_seconds)),
            is_flow=int((number + 1) * flows) > int(number * flows),
            is_restarted=chance.random() < 0.5,
        )
        plans.append(plan)
    return tuple(plans)


def _prompt(scene: str) -> str:
    return f"{scene} A person speaks to the camera."


def dice(*names: object) -> random.Random:
    """Return chances that are the same each time for the same names."""
    return random.Random("/".join(map(str, names)))  # noqa: S311 # repeatable, not secret


def _rounds(chance: random.Random, boundary: Boundary | None, *, is_raced: bool) -> Iterator[Round]:
    first = _kill(chance, boundary) if boundary else None
    rival = _kill(chance, chance.choice(KILLS)) if chance.random() < 0.3 else None
    if boundary in PAUSES:
        yield (first,)
        return
    yield (first, first if boundary in _FOR_WINNERS else rival) if is_raced else (first,)
    if first and chance.random() < 0.4:
        yield (_kill(chance, chance.choice(KILLS)),)


def _kill(chance: random.Random, boundary: Boundary) -> Kill:
    if boundary is Boundary.ANYWHERE:
        return Kill(boundary, chance.random())
    if boundary is Boundary.POST_LEFT:
        return Kill(boundary, chance.choice((0.0, 0.02, 0.2)))
    return Kill(boundary)


def _rules(
    chance: random.Random, scene: str, rounds: tuple[Round, ...], slow_seconds: float
) -> Iterator[dict[str, Any]]:
    match = {"match": {"prompt": scene}}
    lost, busy, read, late = (chance.random() < part for part in (0.25, 0.1, 0.3, 0.3))
    # A pause is followed by a second POST if anything is wrong; no fault shall hide it.
    is_paused = any(kill and kill.is_pause for processes in rounds for kill in processes)
    if is_paused:
        lost = False
    elif lost:
        name = chance.choice(LOST_ANSWERS)
        extra = {"seconds": slow_seconds} if name == "slow" else {"reset": chance.random() < 0.5}
        yield {"fault": name, "endpoint": "create", "count": 1, **extra, **match}
    elif busy:
        yield {"fault": chance.choice(_BUSY), "endpoint": "create", "count": 1, **match}
    elif chance.random() < 0.1:
        yield {"fault": "wrapped-envelope", "endpoint": "create", "count": 1, **match}
    if read:
        # "Not found" for a while is true after a POST; much later, when a doubt is looked up, it is a lie.
        kills = {kill.boundary for processes in rounds for kill in processes if kill}
        names = _READS[:-1] if lost or kills & _DOUBTFUL else _READS
        yield {"fault": chance.choice(names), "endpoint": "query", "count": chance.randint(1, 2), **match}
    if late:
        yield {"fault": chance.choice(_DELIVERY), "count": 1, **match}

"""What to do next after an error, with the very command or form. Pure: no I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from blocks.errors import (
    AvatarError,
    ClipError,
    InvalidRequest,
    JobGivenUp,
    JobOverdue,
    NeedsDecision,
    RequestRejected,
    TaskFailed,
    TaskIdNotRecorded,
)
from flows.tasks.help.page import command
from flows.tasks.shown.markdown import plain

_COMMANDS = "One of these commands does it, or in Prefect's UI: Deployments, *decide*, Run, Custom run."
_MODULES = {"decide": "decide", "reconcile-jobs": "reconcile"}
_BLOCK = re.compile(r"[\w./-]{1,200}")


@dataclass(frozen=True)
class Ran:
    """The run that failed.

    Attributes:
        flow: Name of its flow.
        is_deployed: Whether it is a run of a deployment, so that Prefect can start it again.
        parameters: What it was started with.
    """

    flow: str
    is_deployed: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def again(self) -> str:
        """How the same is run again."""
        if self.is_deployed:
            return "Run it again: *Retry* in the menu of the run's page takes the same parameters."
        return "Run it again: give the same command once more."

    @property
    def corrected(self) -> str:
        """How it is run with other parameters."""
        where = f"in {self._form}" if self.is_deployed else "by the same command"
        return f"Run it with other parameters, {where}."

    def another_take(self) -> str:
        """How another take of the same request is bought."""
        take = self.parameters.get("take", 1)
        following = take + 1 if isinstance(take, int) else 2
        how = f"in {self._form}, with Take {following}" if self.is_deployed else f"with `--take {following}`"
        return f"Another take costs again: run it {how}."

    def command_of(self, flow: str, **parameters: str) -> str:
        """Return the command that runs `decide` or `reconcile-jobs`, with the blocks of this run."""
        if not self.is_deployed:
            options = (f'--{name.replace("_", "-")} "{value}"' for name, value in parameters.items())
            return " ".join((f"python -m flows.{_MODULES[flow]}", *options))
        blocks = {name: self.parameters.get(name) for name in ("credentials", "store")}
        named = {name: ref for name, ref in blocks.items() if isinstance(ref, str) and _BLOCK.fullmatch(ref)}
        given = json.dumps({**parameters, **named}, ensure_ascii=False)
        return f"prefect deployment run {flow}/{flow}" + (f" --params '{given}'" if given != "{}" else "")

    @property
    def reconcile(self) -> str:
        """The command that finishes everything that is open, as a block."""
        return command(self.command_of("reconcile-jobs"))

    @property
    def _form(self) -> str:
        return f"Deployments, *{plain(self.flow)}*, Run, Custom run"


def steps_after(error: AvatarError, ran: Ran) -> list[str]:
    """Return what to do next: what the error says, then the command or the form for it."""
    return [plain(error.next_step), *_how(error, ran)]


def decide_commands(ran: Ran, job_id: str, kling_task_id: str | None = None) -> str:
    """Return the commands by which a person decides about a job of a run."""
    adopted = kling_task_id if kling_task_id and kling_task_id.isdecimal() else "…"
    # Prefect's UI cuts long lines, so what differs comes first.
    adopt = ran.command_of("decide", choice="adopt", kling_task_id=adopted, job_id=job_id)
    if kling_task_id:
        return command(adopt)
    others = (ran.command_of("decide", choice=choice, job_id=job_id) for choice in ("post again", "give up"))
    return command(adopt, *others)


def _how(error: AvatarError, ran: Ran) -> list[str]:
    if isinstance(error, NeedsDecision | TaskIdNotRecorded) and error.facts.job_id:
        commands = decide_commands(ran, error.facts.job_id, error.facts.kling_task_id)
        return [f"{_COMMANDS}\n\n{commands}", ran.again]
    if isinstance(error, TaskFailed | JobGivenUp) and error.next_step == error.default_next_step:
        return [ran.another_take()]
    if isinstance(error, InvalidRequest | RequestRejected):
        return [ran.corrected]
    if isinstance(error, JobOverdue | ClipError):
        return [f"{ran.again} Or finish everything that is open:\n\n{ran.reconcile}"]
    return [ran.again]

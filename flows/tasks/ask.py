"""Asking a person: a deployed run waits in Prefect's UI with a form, and frees its worker meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from prefect import runtime
from prefect.flow_runs import asuspend_flow_run

from blocks.errors import InvalidRequest, NeedsDecision, TaskNotFound
from blocks.kling.job import Job
from blocks.storage.journal import Entry, Standing, Step, now
from flows.tasks.connections import Connections
from flows.tasks.decision import Decision, decide_job
from flows.tasks.lookup import what_to_look_for
from flows.tasks.request import Request
from flows.tasks.submit import submit

Bought = TypeVar("Bought")

_FORM = """**Nobody can tell whether this {thing} was bought.**

{message}

| | |
| --- | --- |
| job | `{job_id}` |
| to look for | {what} |
| posted | {posted} |
| HTTP status, service code | {http_status}, {service_code} |
| request id | {request_id} |

Look for it in the provider's console or log. It is there: choose *adopt* and give its Kling
task id. It is not there: *post again*. Not answering costs nothing and loses nothing.
"""


async def submit_or_ask(job: Job, request: Request, connections: Connections) -> Entry:
    """Buy the video of a job; each time nobody can tell whether it was bought, a person is asked first.

    MAY spend money, once; after the answer "post again" once more.

    Raises:
        NeedsDecision: This run cannot wait because it has no deployment.
        AvatarError: See `flows.tasks.submit.submit_job`.
    """
    return await settled(partial(submit, job, request, connections), connections)


async def settled(buy: Callable[[], Awaitable[Bought]], connections: Connections) -> Bought:
    """Await `buy` until it is settled what was bought: a person is asked about each doubt."""
    while True:
        try:
            return await buy()
        except NeedsDecision as doubt:
            await ask_person(doubt, connections)


async def ask_person(doubt: NeedsDecision, connections: Connections) -> None:
    """Suspend the flow run until a person has decided, and write the decision to the journal.

    Each doubt is asked about once, and again when the answer cannot be used: the answer to an earlier one is
    never applied to a later one.

    Args:
        doubt: The error that says what is known.
        connections: Provider and archive.

    Raises:
        NeedsDecision: This run cannot wait because it has no deployment; the decide flow does the same.
    """
    job_id, note = doubt.facts.job_id or "", ""
    while True:
        last = await connections.archive.journal.last(job_id)
        if runtime.deployment.id is None or last is None:
            raise doubt
        if last.standing(now()) is not Standing.DOUBTFUL:
            return
        # MONEY: the key names the doubt, or "post again" would be repeated without asking.
        answer = await asuspend_flow_run(
            wait_for_input=Decision.with_initial_data(description=note + _form(doubt, last)), key=last.token
        )
        if not isinstance(answer, Decision):
            return
        try:
            await decide_job(job_id, answer, connections, by=runtime.flow_run.name or "")
        except (InvalidRequest, TaskNotFound) as refused:
            # MONEY: an entry of its own gives the doubt another key: a refused answer is not read again.
            await connections.archive.journal.append(job_id, last, Step.UNDECIDED, outcome=last.outcome)
            note = f"**The answer {answer.choice!r} could not be used:** {refused.message}\n\n"
        else:
            return


def _form(doubt: NeedsDecision, last: Entry) -> str:
    return _FORM.format(
        message=doubt.message,
        thing=last.thing,
        job_id=last.job_id,
        what=what_to_look_for(last),
        posted=f"{last.intended_at:%Y-%m-%d %H:%M:%S} UTC" if last.intended_at else "unknown",
        http_status=doubt.facts.http_status or "none",
        service_code=doubt.facts.service_code or "none",
        request_id=doubt.facts.request_id or "none",
    )

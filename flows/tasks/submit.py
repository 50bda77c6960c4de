"""The one place where money is spent: at most once for a job, whatever happens."""

from __future__ import annotations

import asyncio
import secrets
import time
from functools import partial

from prefect import runtime, task

from blocks.errors import (
    AvatarError,
    ContentRefused,
    Facts,
    JobGivenUp,
    NotSent,
    RequestRejected,
    SetupMissing,
    SlowDown,
    TaskFailed,
)
from blocks.kling.job import Job
from blocks.storage.journal import Entry, Standing, Step, now
from flows.tasks.body import build_request
from flows.tasks.caching import once_per_run
from flows.tasks.connections import Connections
from flows.tasks.events import emit_stopped, emit_submitted
from flows.tasks.logs import run_logger
from flows.tasks.lookup import clear_up
from flows.tasks.purchase import Order, purchase
from flows.tasks.request import Request
from flows.tasks.speech.speaking import give_voice

_LONGEST_PAUSE = 60.0
_LOOK_AGAIN = 2.0
_UNREACHABLE_SECONDS = 120.0


@task(
    name="submit",
    task_run_name="submit {job.name}",
    # MONEY: no retries here; what may be repeated is decided by the protocol, inside.
    retries=0,
    cache_policy=once_per_run("submit", "job"),
    result_serializer="json",
)
async def submit(job: Job, request: Request, connections: Connections) -> Entry:
    """Buy the video of a job, or hand back the one that was bought already. MAY spend money, once."""
    try:
        job = await give_voice(job, connections, submit_job)
        try:
            entry = await _submit_voiced(job, request, connections)
        except RequestRejected as refusal:
            if isinstance(refusal, ContentRefused) or not (job.speech and job.audio and job.audio_id):
                raise
            # Nothing was bought; it may be that the provider no longer knows its own speech.
            entry = await _submit_voiced(job.model_copy(update={"audio_id": None}), request, connections)
    except AvatarError as error:
        # A speech that stopped is named by its own id: the decide flow needs that.
        emit_stopped(job.job_id, job.name, error if error.facts.job_id else error.about(job_id=job.job_id))
        raise
    emit_submitted(entry)
    return entry


async def _submit_voiced(job: Job, request: Request, connections: Connections) -> Entry:
    build = partial(build_request, job, request, connections)
    return await submit_job(Order(job, build, run=runtime.flow_run.name or ""), connections)


async def submit_job(order: Order, connections: Connections) -> Entry:
    """Buy the video of a job, or hand back the one that was bought already.

    MAY spend money, at most once per job and take, across crashes, restarts and machines, as long as the
    archive's journal is reachable. Whoever creates the next journal entry may post; everybody else waits
    and adopts.

    Args:
        order: What is wanted.
        connections: Provider and archive.

    Returns:
        The journal entry that holds the Kling task id.

    Raises:
        TaskFailed: This take was bought before and Kling failed it.
        JobGivenUp: A person gave this take up.
        NeedsDecision: It may have been bought and nobody can tell.
        BudgetExceeded: A budget has too little left for it; nothing was bought.
        ProviderError: The provider refused it, or is busy for too long; nothing was bought.
    """
    patience = _Patience(connections.credentials.wait_seconds)
    last: Entry | None = None
    while True:
        last = await connections.archive.journal.last(order.job.job_id, after=last)
        standing = last.standing(now()) if last else Standing.FREE
        if last and standing is Standing.BOUGHT:
            if not order.is_speech:
                connections.in_flight.bought(order.job.job_id)
            return check_route(last, connections)
        if last and standing is Standing.CLOSED:
            raise closed(last)
        if last and standing is Standing.DOUBTFUL:
            last = await clear_up(check_route(last, connections), connections)
            patience.check(last)
        elif standing is Standing.BUSY:
            await asyncio.sleep(_LOOK_AGAIN)
        elif isinstance(order.job, Job) and (done := await _archived_before(order.job, connections)):
            return done
        else:
            # Speech is made while its POST waits, so it is never in flight.
            if not order.is_speech:
                await connections.in_flight.may_post(order.job.job_id)
            try:
                last = await purchase(order, last, connections)
            except (NotSent, SlowDown) as error:
                await patience.wait(error)


class _Patience:
    """Pauses as the provider asks, growing and with jitter, until it has been too long."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._started = time.monotonic()
        self._waits = 0

    async def wait(self, error: NotSent | SlowDown) -> None:
        self._waits += 1
        pause = min(_LONGEST_PAUSE, 2.0 ** min(self._waits, 6)) * (0.5 + secrets.randbelow(1000) / 1000)
        pause = max(pause, error.facts.retry_after or 0.0)
        limit = min(self._seconds, _UNREACHABLE_SECONDS) if isinstance(error, NotSent) else self._seconds
        if time.monotonic() + pause - self._started > limit:
            raise error
        run_logger().info("%s; nothing was bought. Trying again in %.0f s", error.message, pause)
        await asyncio.sleep(pause)

    def check(self, cleared: Entry) -> None:
        """Stop posting to a provider that answers one POST after the other with a failure.

        Raises:
            SlowDown: The last POST is known to have bought nothing, and it has been too long.
        """
        waited = time.monotonic() - self._started
        if cleared.step is Step.RELEASED and waited > self._seconds:
            raise SlowDown(
                f"The provider has failed every POST for {waited:.0f} s; each was looked up, none was bought",
                Facts(job_id=cleared.job_id),
            )


async def _archived_before(job: Job, connections: Connections) -> Entry | None:
    """Return an entry for a clip whose journal is gone, as in a copied archive: it is never bought again."""
    sidecar = await connections.archive.find_done(job.job_id)
    if sidecar is None:
        return None
    return Entry(
        job_id=job.job_id,
        number=0,
        step=Step.SUBMITTED,
        at=sidecar.times.archived,
        token="",
        claim="",
        external_task_id=sidecar.provided.external_task_id,
        base_url=sidecar.provided.base_url,
        query_path=connections.credentials.query_path,
        kling_task_id=sidecar.provided.task_id,
        job=job.model_dump(mode="json"),
    )


def closed(last: Entry) -> AvatarError:
    """Return the error that says why a job ended without a clip."""
    facts = Facts(
        job_id=last.job_id,
        kling_task_id=last.kling_task_id,
        http_status=last.outcome.http_status,
        service_code=last.outcome.service_code,
        request_id=last.outcome.request_id,
    )
    reason = f"on {last.at:%Y-%m-%d}: {last.outcome.message or 'no reason was given'}"
    if last.step is Step.GIVEN_UP:
        again = "Ask for another take of the speech if it is still wanted." if last.kind == "speech" else None
        return JobGivenUp(f"This take was given up {reason}", facts, again)
    return TaskFailed(f"Kling failed this take {reason}", facts)


def check_route(last: Entry, connections: Connections) -> Entry:
    """Refuse to collect a job from another API than the one it was sent to.

    Raises:
        SetupMissing: The credentials are for another API.
    """
    if last.base_url and last.base_url != connections.credentials.base_url:
        raise SetupMissing(
            f"This job was sent to {last.base_url}, but the credentials are for "
            f"{connections.credentials.base_url}",
            Facts(job_id=last.job_id, kling_task_id=last.kling_task_id),
            "Use the credentials it was sent with, another archive, or another take.",
        )
    return last

"""One purchase: claim the right to post in the journal, post once, write down how it ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from blocks.errors import AccessRefused, AvatarError, NotSent, RequestRejected, SlowDown
from blocks.kling.client import KlingClient
from blocks.kling.job import Job, Speech, body_bytes, external_task_id_of
from blocks.kling.models import AvatarRequest, KlingTask
from blocks.kling.speech import SPEECH_QUERY_PATH
from blocks.storage.journal import Entry, Outcome, Step, new_token, now
from flows.tasks.connections import Connections
from flows.tasks.logs import run_logger
from flows.tasks.metrics import count_unknown
from flows.tasks.record import record_outcome, record_submitted

CLAIM_SECONDS = 30.0
"""How long the intent may take to write; a slower archive means that nothing is posted."""

Result = TypeVar("Result")


async def create_avatar(client: KlingClient, request: AvatarRequest) -> KlingTask:
    """Buy one video: MAY SPEND MONEY."""
    return await client.create(request)


@dataclass(frozen=True)
class Order:
    """What is to be bought.

    Attributes:
        job: The wanted video, or the wanted speech.
        build: Reads the inputs again and builds the request that carries the given external task id.
        run: Name of the run, for people who read the journal.
        post: Sends that request by exactly one POST, and returns what was bought. MAY SPEND MONEY.
    """

    job: Job | Speech
    build: Callable[[str], Awaitable[Any]]
    run: str = ""
    post: Callable[[KlingClient, Any], Awaitable[KlingTask]] = create_avatar

    @property
    def is_speech(self) -> bool:
        """Whether speech is wanted: the provider takes no name of ours for it."""
        return isinstance(self.job, Speech)


async def purchase(order: Order, last: Entry | None, connections: Connections) -> Entry | None:
    """Claim the right to post, and post once. MAY spend money.

    Cancelling waits for the answer and writes it down first, so that none is lost.

    Args:
        order: What to buy.
        last: The newest journal entry; the claim is the entry after it.
        connections: Provider and archive.

    Returns:
        The newest entry known: `submitted` when it was bought, `undecided` when nobody can tell, `last` when
        somebody else was faster.

    Raises:
        BudgetExceeded: A budget has too little left for it; nothing was sent.
        NotSent: Nothing was bought; it may be repeated.
        SlowDown: Nothing was bought; it may be repeated after a while.
        ProviderError: The provider refused; nothing was bought.
    """
    number = (last.purchase + bool(last.kling_task_id)) if last else 1
    if order.is_speech:
        name = ""
    elif last and number == last.purchase and last.external_task_id:
        name = last.external_task_id
    else:
        name = external_task_id_of(connections.credentials.task_namespace, order.job.job_id, number)
    await connections.check_key(name or order.job.job_id)
    async with connections.bodies.room(body_bytes(order.job)):
        request = await order.build(name)
        # MONEY: reserved before it is announced, so that what is posted was within the budget.
        held = await connections.budget.reserve(order.job, number)
        started = held.started if held else time.monotonic()
        intent = await _claim(order, last, number, name, connections)
        if intent is None:
            return last
        post = partial(order.post, connections.client, request)
        return await _finish_even_if_cancelled(_post(intent, post, started, connections))


async def _claim(
    order: Order, last: Entry | None, number: int, name: str, connections: Connections
) -> Entry | None:
    credentials = connections.credentials
    patience = CLAIM_SECONDS + credentials.create_seconds + credentials.clock_margin_seconds
    return await connections.archive.journal.append(
        order.job.job_id,
        last,
        Step.INTENT,
        kind="speech" if order.is_speech else "avatar",
        claim=new_token(),
        purchase=number,
        attempt=last.attempt + 1 if last else 1,
        kling_task_id=None,
        submitted_at=None,
        audio_id=None,
        audio_seconds=None,
        intended_at=now(),
        expires_at=now() + timedelta(seconds=patience),
        external_task_id=name,
        base_url=credentials.base_url,
        query_path=SPEECH_QUERY_PATH if order.is_speech else credentials.query_path,
        run=order.run,
        job=order.job.model_dump(mode="json"),
    )


async def _post(
    intent: Entry, post: Callable[[], Awaitable[KlingTask]], started: float, connections: Connections
) -> Entry:
    try:
        if time.monotonic() - started > CLAIM_SECONDS:
            raise NotSent("The archive took too long to write the intent, so the POST was not sent")
        # MONEY: the one POST. What it answers goes to the journal before anything else happens.
        task = await post()
    except AvatarError as error:
        return await _not_accepted(intent, error.about(job_id=intent.job_id), connections)
    return await record_submitted(intent, task, connections)


async def _not_accepted(intent: Entry, error: AvatarError, connections: Connections) -> Entry:
    """Write down how the POST ended; raise unless the outcome is unknown."""
    step = Step.UNDECIDED
    if isinstance(error, (NotSent, SlowDown)):
        step = Step.DEFERRED
    elif isinstance(error, (RequestRejected, AccessRefused)):
        step = Step.REFUSED
    outcome = Outcome(
        message=error.message,
        service_code=error.facts.service_code,
        http_status=error.facts.http_status,
        request_id=error.facts.request_id,
        charged=error.charged,
    )
    entry = await record_outcome(intent, step, outcome, connections)
    if step is Step.UNDECIDED:
        run_logger().warning("%s", error)
        count_unknown(entry)
        return entry
    await connections.budget.release(intent)
    await connections.archive.journal.close(intent.job_id, intent.number)
    raise error


async def _finish_even_if_cancelled(work: Awaitable[Result]) -> Result:
    inner = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(inner)
    except asyncio.CancelledError:
        await asyncio.wait([inner])
        raise

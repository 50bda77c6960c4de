"""What one worker process does: run a job, reconcile, or write down what a person decided."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from unittest.mock import patch

from prefect.events.clients import NullEventsClient
from prefect.events.worker import EventsWorker
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_HOME,
    PREFECT_LOCAL_STORAGE_PATH,
    PREFECT_LOGGING_TO_API_ENABLED,
    temporary_settings,
)

from blocks import AvatarArchive
from blocks.errors import AvatarError, NeedsDecision
from blocks.kling.delivery import Delivery
from flows.avatar import generate_avatar
from flows.reconcile import _collect_all, reconcile_jobs
from flows.tasks import archive as archiving
from flows.tasks import collect, fetching, lookup, purchase, submit
from flows.tasks.archive import archive_clip
from flows.tasks.body import build_request
from flows.tasks.connections import connect
from flows.tasks.decision import Decision, decide_job
from flows.tasks.poll import wait_for_task
from flows.tasks.purchase import Order
from flows.tasks.request import Request
from flows.tasks.submit import submit_job
from flows.tasks.validate import check_request
from tests.chaos.hooks import Hooks
from tests.chaos.plan import FACE, VOICE, Plan
from tests.chaos.setup import Attempt, Setup
from tests.chaos.unsafe import NO_INTENT, SHARED_CREATE, forget_intents

DONE = 0
UNDECIDED = 3
STOPPED = 4


def run_job(setup: Setup, plan: Plan, attempt: Attempt) -> int:
    """Run one job to its end in this process, as a flow or by the functions under it."""
    work = _flow(setup, plan) if plan.is_flow else _job(setup, plan, attempt)
    return _run(setup, attempt, work)


def reconcile(setup: Setup, attempt: Attempt, *, is_flow: bool) -> int:
    """Look at every open job once; the reports go to a file beside the trace."""

    async def work() -> None:
        credentials, archive = setup.credentials(), AvatarArchive(**setup.archive)
        if is_flow:
            reports = await reconcile_jobs(credentials=credentials, store=archive)
        else:
            async with connect(credentials, archive) as connections:
                reports = await _collect_all(connections, 8)
        answer = [(report.job_id, report.state) for report in reports]
        setup.reports(attempt.label).write_text(json.dumps(answer))

    return _run(setup, attempt, work)


def decide(setup: Setup, attempt: Attempt, decisions: dict[str, Decision]) -> int:
    """Write down what a person decided about each job."""

    async def work() -> None:
        async with connect(setup.credentials(), AvatarArchive(**setup.archive)) as connections:
            for job_id, decision in decisions.items():
                await decide_job(job_id, decision, connections, by=attempt.label)

    return _run(setup, attempt, work)


def _job(setup: Setup, plan: Plan, attempt: Attempt) -> Callable[[], Awaitable[None]]:
    async def work() -> None:
        request = Request(image=str(FACE), audio=str(VOICE), prompt=plan.prompt)
        async with connect(setup.credentials(), AvatarArchive(**setup.archive)) as connections:
            job = await check_request(request, connections)
            if await connections.archive.find_done(job.job_id):
                return
            build = partial(build_request, job, request, connections)
            entry = await submit_job(Order(job, build, run=attempt.label), connections)
            await archive_clip(entry, await wait_for_task(entry, connections), connections)

    return work


def _flow(setup: Setup, plan: Plan) -> Callable[[], Awaitable[None]]:
    async def work() -> None:
        await generate_avatar(
            image=str(FACE),
            audio=str(VOICE),
            prompt=plan.prompt,
            credentials=setup.credentials(),
            store=AvatarArchive(**setup.archive),
        )

    return work


def _run(setup: Setup, attempt: Attempt, work: Callable[[], Awaitable[None]]) -> int:
    logging.basicConfig(level=logging.INFO)
    hooks = Hooks(
        setup.trace(attempt.label),
        attempt.kill,
        tuple(setup.folder / f"{label}.here" for label in attempt.rivals),
        shares=setup.unsafe == SHARED_CREATE,
    )
    hooks.install()
    if setup.unsafe == NO_INTENT:
        forget_intents(hooks)
    _hurry(setup)
    try:
        with _prefect(setup):
            asyncio.run(_awaited(work))
    except NeedsDecision:
        return UNDECIDED
    except AvatarError:
        logging.getLogger(__name__).exception("%s stopped", attempt.label)
        return STOPPED
    return DONE


async def _awaited(work: Callable[[], Awaitable[None]]) -> None:
    await work()


def _hurry(setup: Setup) -> None:
    """Shorten the waits that are no settings; nothing else is changed."""
    for module in (purchase, lookup):
        patch.object(module, "CLAIM_SECONDS", setup.claim_seconds).start()
    patch.object(collect, "_ANNOUNCED_FOR", timedelta(seconds=2)).start()
    patch.object(submit, "_LOOK_AGAIN", 0.2).start()
    patch.object(lookup, "_FIRST_PAUSE", 0.5).start()
    patch.object(fetching, "_PAUSES", (0.0, 0.2, 0.5, 1.0)).start()
    patch.object(archiving, "Delivery", partial(Delivery, stall_seconds=1.0, pause_seconds=0.1)).start()


@contextmanager
def _prefect(setup: Setup) -> Iterator[None]:
    home = setup.folder / "prefect"
    settings = {
        PREFECT_HOME: home,
        PREFECT_LOCAL_STORAGE_PATH: home / "storage",
        PREFECT_API_URL: setup.prefect_url or None,
        PREFECT_LOGGING_TO_API_ENABLED: False,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
    }
    if not setup.prefect_url:
        # Without a server to talk to, the first event would start one.
        EventsWorker.set_client_override(NullEventsClient)
    with temporary_settings(settings):
        yield

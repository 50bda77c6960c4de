"""What one worker process does: run a job, reconcile, or write down what a person decided."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
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

from blocks import AvatarArchive, CometAPICredentials
from blocks.errors import AvatarError, NeedsDecision
from blocks.kling.delivery import Delivery
from flows.avatar import generate_avatar
from flows.reconcile import _collect_all
from flows.tasks import archive as archiving
from flows.tasks import lookup, purchase, submit
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
from tests.chaos.plan import FACE, VOICE, Kill, Plan
from tests.chaos.unsafe import NO_INTENT, SHARED_CREATE, forget_intents

DONE = 0
UNDECIDED = 3
STOPPED = 4

CREATE_SECONDS = 2.0
# A slow provider accepts after the client has given up, and before "not found" counts as "never bought".
SLOW_SECONDS = CREATE_SECONDS + 0.7
ABSENCE_SECONDS = 4.0


@dataclass(frozen=True)
class Setup:
    """What all workers of a campaign share.

    Attributes:
        folder: Where traces and logs are written.
        base_url: The sandbox.
        archive: Fields of the archive's block.
        lookup: What the credentials say about lookups.
        claim_seconds: How long writing an intent may take.
        unsafe: The safety that is taken out, if any.
        prefect_url: API of the Prefect server for real flow runs.
    """

    folder: Path
    base_url: str
    archive: dict[str, Any]
    lookup: Any = "yes"
    claim_seconds: float = 1.0
    unsafe: str = ""
    prefect_url: str = ""

    def credentials(self) -> CometAPICredentials:
        """Return the credentials of an impatient account."""
        return CometAPICredentials(
            api_key="sandbox-key",
            base_url=self.base_url,
            lookup=self.lookup,
            create_seconds=CREATE_SECONDS,
            read_seconds=2,
            clock_margin_seconds=0.2,
            absence_seconds=ABSENCE_SECONDS,
            wait_seconds=20,
            first_poll_seconds=0.05,
            render_factor=0,
            poll_seconds=0.05,
            deadline_minutes=0.5,
        )


@dataclass(frozen=True)
class Attempt:
    """One worker process.

    Attributes:
        label: Its name; its trace and log are named so.
        kill: Where it dies.
        rivals: Labels of the processes that run the same job at the same time, itself first.
    """

    label: str
    kill: Kill | None = None
    rivals: tuple[str, ...] = field(default=())


def run_job(setup: Setup, plan: Plan, attempt: Attempt) -> int:
    """Run one job to its end in this process, as a flow or by the functions under it."""
    work = _flow(setup, plan) if plan.is_flow else _job(setup, plan, attempt)
    return _run(setup, attempt, work)


def reconcile(setup: Setup, attempt: Attempt) -> int:
    """Look at every open job once; the reports go to a file beside the trace."""

    async def work() -> None:
        async with connect(setup.credentials(), AvatarArchive(**setup.archive)) as connections:
            reports = await _collect_all(connections, 8)
        answer = [(report.job_id, report.state) for report in reports]
        reports_of(setup, attempt).write_text(json.dumps(answer))

    return _run(setup, attempt, work)


def decide(setup: Setup, attempt: Attempt, decisions: dict[str, Decision]) -> int:
    """Write down what a person decided about each job."""

    async def work() -> None:
        async with connect(setup.credentials(), AvatarArchive(**setup.archive)) as connections:
            for job_id, decision in decisions.items():
                await decide_job(job_id, decision, connections, by=attempt.label)

    return _run(setup, attempt, work)


def trace_of(setup: Setup, label: str) -> Path:
    """Return where a worker writes how far it came."""
    return setup.folder / f"{label}.trace"


def reports_of(setup: Setup, attempt: Attempt) -> Path:
    """Return where a worker that reconciles writes what it reports."""
    return setup.folder / f"{attempt.label}.json"


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
        trace_of(setup, attempt.label),
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
    patch.object(submit, "_LOOK_AGAIN", 0.2).start()
    patch.object(lookup, "_FIRST_PAUSE", 0.5).start()
    patch.object(archiving, "_PAUSES", (0.0, 0.2, 0.5, 1.0)).start()
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

"""Runs that fail, are cancelled or take too long: what they bought is collected, by whoever comes next."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, cast
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.events.worker import EventsWorker
from prefect.flow_engine import run_flow
from prefect.states import AwaitingRetry

from blocks import AvatarArchive, CometAPICredentials
from blocks.errors import JobOverdue
from blocks.sandbox.serve import RunningSandbox
from flows.avatar import generate_avatar
from flows.reconcile import reconcile_jobs
from tests.flows.story import Ask, drained, entries_of, eventually, open_jobs, steps


@pytest.fixture
def reconcile(credentials: CometAPICredentials, archive_block: AvatarArchive) -> Ask:
    return partial(reconcile_jobs, credentials=credentials, store=archive_block)


async def test_a_run_that_is_retried_repeats_only_what_failed(
    ask: Ask, sandbox: RunningSandbox, asserting_events_worker: EventsWorker
) -> None:
    sandbox.fault("delivery-500")
    state = await ask(return_state=True)
    assert state.is_failed()
    assert steps(await drained(asserting_events_worker))[-1] == ("archive", "Failed")
    sandbox.clear_faults()
    seen = len(asserting_events_worker._client.events)  # type: ignore[attr-defined] # as above
    sidecar = await run_again(state.state_details.flow_run_id)
    again = steps((await drained(asserting_events_worker))[seen:])
    assert again[-1] == ("archive", "Completed")
    assert [step for step in again if step[0] != "archive"] == [
        ("validate", "Cached"),
        ("submit", "Cached"),
        ("poll", "Cached"),
    ]
    assert sidecar.provided.task_id == sandbox.ledger()["charges"][0]["task_id"]
    assert sandbox.ledger()["posts"] == 1


async def run_again(flow_run_id: UUID) -> Any:
    """Do what `Retry` in the UI makes a worker do."""
    async with get_client() as client:
        await client.set_flow_run_state(flow_run_id, AwaitingRetry())
        flow_run = await client.read_flow_run(flow_run_id)
    run: Any = run_flow(cast("Any", generate_avatar), flow_run=flow_run)
    return await run


async def test_a_run_that_is_cancelled_while_it_waits_leaves_its_job_open(
    ask: Ask, sandbox: RunningSandbox, archive_block: AvatarArchive, reconcile: Ask
) -> None:
    sandbox.set(render_seconds=100)
    run = asyncio.ensure_future(ask())
    await eventually(lambda: any(task["queries"] > 1 for task in sandbox.tasks()))
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    (job_id,) = await open_jobs(archive_block)
    assert (await entries_of(archive_block, job_id))[-1].step == "submitted"
    assert [report.state for report in await reconcile()] == ["running"]
    sandbox.advance(200)
    assert [report.state for report in await reconcile()] == ["archived"]
    assert (sandbox.ledger()["posts"], await reconcile()) == (1, [])


async def test_a_run_that_is_cancelled_while_it_posts_writes_the_answer_down_first(
    ask: Ask, sandbox: RunningSandbox, archive_block: AvatarArchive, reconcile: Ask
) -> None:
    sandbox.fault("slow", endpoint="create", seconds=1)
    run = asyncio.ensure_future(ask())
    await eventually(lambda: sandbox.ledger()["posts"] == 1)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    (job_id,) = await open_jobs(archive_block)
    last = (await entries_of(archive_block, job_id))[-1]
    assert last.kling_task_id == sandbox.ledger()["charges"][0]["task_id"]
    await eventually(lambda: sandbox.tasks()[0]["status"] == "succeed")
    assert [report.state for report in await reconcile()] == ["archived"]
    assert (await ask()).provided.task_id == last.kling_task_id
    assert sandbox.ledger()["posts"] == 1


async def test_a_job_past_our_deadline_is_overdue_and_finished_later(
    ask: Ask,
    sandbox: RunningSandbox,
    credentials: CometAPICredentials,
    archive_block: AvatarArchive,
    asserting_events_worker: EventsWorker,
) -> None:
    sandbox.set(render_seconds=100)
    hasty = credentials.model_copy(update={"deadline_minutes": 0.02})
    with pytest.raises(JobOverdue) as overdue:
        await ask(credentials=hasty)
    job_id = overdue.value.facts.job_id
    assert overdue.value.charged == "yes"
    failed = [
        event for event in await drained(asserting_events_worker) if event.event == "kling-avatar.job.failed"
    ]
    assert [(event.payload["error"], event.payload["charged"]) for event in failed] == [("JobOverdue", "yes")]
    look = partial(reconcile_jobs, credentials=hasty, store=archive_block)
    assert [(report.job_id, report.state) for report in await look()] == [(job_id, "overdue")]
    sandbox.advance(200)
    assert [(report.job_id, report.state) for report in await look()] == [(job_id, "archived")]
    assert sandbox.ledger()["posts"] == 1

"""Going on with runs that wait without a worker: who waits for which job, and how it is resumed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import OrchestrationResult, SetStateStatus
from prefect.states import AwaitingRetry

from flows.tasks.connections import Connections
from flows.tasks.logs import run_logger

WAIT_KEY = "kling-task-"
"""How the key of a suspension begins that waits for a Kling task, not for a person."""

# A worker with a `--limit` (Prefect 3.8) ends with an error when it is given a run again whose former process
# has not ended yet: https://github.com/PrefectHQ/prefect/issues/11093
_REST_SECONDS = 30.0
_TAG = "kling-job:"
_MAY_SUSPEND = [
    StateType.SCHEDULED,
    StateType.PENDING,
    StateType.RUNNING,
    StateType.PAUSED,
    StateType.CRASHED,
]
_PAGE = 200
_GOES_ON = {"running", "submitting"}


def tag_of(job_id: str) -> str:
    """Return the tag by which the runs are found that wait for a job."""
    return f"{_TAG}{job_id}"


async def resume_waiting(job_id: str, client: PrefectClient) -> bool:
    """Resume every run that waits for the Kling task of a job. A run that waits for a person is left alone.

    Returns:
        Whether that is all; otherwise a run has not suspended yet, or was refused, and it is to be tried
        again a little later.
    """
    tagged = FlowRunFilter(
        tags=FlowRunFilterTags(all_=[tag_of(job_id)]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_MAY_SUSPEND)),
    )
    runs = await client.read_flow_runs(flow_run_filter=tagged, limit=_PAGE)
    return all([await _resume(run, client) for run in runs])


async def resume_settled(states: Mapping[str, str], connections: Connections) -> list[str]:
    """Resume the runs whose wait is over although nobody called: done, failed or overdue.

    Args:
        states: What reconcile found, for each open job; a job of this archive that is not there has ended.
        connections: Says which jobs are of this archive; runs of others are left alone.

    Returns:
        The names of the runs.
    """
    resumed = []
    async with get_client() as client:
        for run in await _all_waiting(client):
            job_id = next((tag.removeprefix(_TAG) for tag in run.tags if tag.startswith(_TAG)), "")
            known = job_id in states or await connections.archive.journal.last(job_id)
            if known and states.get(job_id) not in _GOES_ON and await _resume(run, client):
                resumed.append(run.name)
    return resumed


async def _all_waiting(client: PrefectClient) -> list[FlowRun]:
    wanted = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PAUSED, StateType.CRASHED])),
    )
    found: list[FlowRun] = []
    while page := await client.read_flow_runs(flow_run_filter=wanted, limit=_PAGE, offset=len(found)):
        found += page
    tagged = [run for run in found if any(tag.startswith(_TAG) for tag in run.tags)]
    return [run for run in tagged if await _wait_of(run, client)]


async def _wait_of(run: FlowRun, client: PrefectClient) -> State | None:
    """Return the state in which a run waits for a Kling task, or waited when it was taken for lost.

    A busy server may miss that a run was suspended, and then calls it crashed because it is silent.
    """
    state = run.state
    if state and state.is_crashed():
        states = sorted(await client.read_flow_run_states(run.id), key=lambda each: each.timestamp)
        # Nor may it matter that it was resumed already and never began, for want of a worker.
        began = (each for each in reversed(states) if not (each.is_crashed() or each.is_scheduled()))
        state = next(began, None)
    waits = state and state.is_paused() and (state.state_details.pause_key or "").startswith(WAIT_KEY)
    return state if waits else None


async def _resume(run: FlowRun, client: PrefectClient) -> bool:
    waits = await _wait_of(run, client)
    if waits is None or (datetime.now(UTC) - waits.timestamp).total_seconds() < _REST_SECONDS:
        return False
    answer: OrchestrationResult[None]
    if run.state and run.state.is_crashed():
        answer = await client.set_flow_run_state(run.id, AwaitingRetry(message="Its wait is over"))
    else:
        # A refusal has HTTP status 200 as well; only the body tells.
        answer = await client.resume_flow_run(run.id)
    if answer.status is not SetStateStatus.ACCEPT:
        return False
    run_logger().info("Resumed %s", run.name)
    return True

"""Task runs that nobody will ever end: their process was lost, or the news of their end was."""

from __future__ import annotations

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import TERMINAL_STATES, StateType
from prefect.states import Crashed

_OURS = "kling-avatar"
_PAGE = 200


async def close_left_running() -> int:
    """Close the task runs of our ended flow runs that Prefect still shows as running; return how many.

    The states of task runs travel as events, and a server that is killed loses those it has just taken in. A
    task run does not outlive its flow run, so what is left is not running. What became of each job is in the
    results of its flow run.
    """
    ended = FlowRunFilter(
        tags=FlowRunFilterTags(all_=[_OURS]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(TERMINAL_STATES))),
    )
    async with get_client() as client:
        return await close_task_runs(client, ended, "Its flow run has ended; its own end was not recorded")


async def close_task_runs(client: PrefectClient, of: FlowRunFilter, message: str) -> int:
    """Say of the task runs under way in these flow runs that they crashed; return how many there were."""
    under_way = TaskRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING])
    closed = 0
    while found := await client.read_task_runs(
        flow_run_filter=of,
        task_run_filter=TaskRunFilter(state=TaskRunFilterState(type=under_way)),
        limit=_PAGE,
    ):
        for each in found:
            await client.set_task_run_state(each.id, Crashed(message=message), force=True)
        closed += len(found)
        if len(found) < _PAGE:
            break
    return closed

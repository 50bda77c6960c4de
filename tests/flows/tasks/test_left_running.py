from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from prefect import flow, task
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import State
from prefect.states import Completed, Running

from flows.tasks.left_running import close_left_running


@flow(name="left")
def a_flow() -> None:
    """Stand for one of ours."""


@task(name="left")
def a_task() -> None:
    """Stand for a row."""


async def _left(client: PrefectClient, state: State[Any], tags: list[str]) -> UUID:
    """Create a flow run in `state` and in it a task run that runs; return the id of the task run."""
    flow_run = await client.create_flow_run(a_flow, tags=tags)
    running: State[Any] = Running()
    await client.set_flow_run_state(flow_run.id, state, force=True)
    task_run = await client.create_task_run(a_task, flow_run.id, dynamic_key="0", state=running)
    return task_run.id


@pytest.mark.parametrize(
    ("state", "tags", "becomes"),
    [
        (Completed(), ["kling-avatar"], "Crashed"),
        (Running(), ["kling-avatar"], "Running"),
        (Completed(), ["theirs"], "Running"),
    ],
)
async def test_task_runs_of_our_ended_runs_are_closed(
    state: State[Any], tags: list[str], becomes: str
) -> None:
    async with get_client() as client:
        left = await _left(client, state, tags)
        closed = await close_left_running()
        found = await client.read_task_run(left)
    assert (found.state_name, closed) == (becomes, int(becomes == "Crashed"))

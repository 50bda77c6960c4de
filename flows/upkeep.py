"""Upkeep: what automations run when a run of this project crashed, or when an automation failed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID, uuid4

from prefect import flow, get_run_logger
from prefect.artifacts import acreate_markdown_artifact
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import OrchestrationResult, SetStateStatus
from prefect.events import emit_event
from prefect.states import AwaitingRetry, Completed, Failed
from pydantic import Field

from flows.tasks.form import shown
from flows.tasks.help.hooks import explain_left, with_help
from flows.tasks.left_running import close_task_runs

_RESTART = "Restart after a crash"


@flow(name="retry-crashed", flow_run_name="retry {flow_run_id}", **with_help())
async def retry_crashed(
    flow_run_id: Annotated[
        str, shown("Flow run", "Id of the crashed run, or its resource id in an event.", minLength=36)
    ],
    attempts: Annotated[
        int, Field(ge=0, le=20), shown("Attempts", "How often one run is restarted at most.")
    ] = 2,
) -> None:
    """Start a crashed run again, at most `attempts` times; then leave it, and say so.

    Never pays by itself, and a run that starts again finds what it has bought in the journal. A run that is
    no longer crashed is left alone.
    """
    async with get_client() as client:
        run = await client.read_flow_run(UUID(flow_run_id.rpartition(".")[2]))
        states = sorted(await client.read_flow_run_states(run.id), key=lambda state: state.timestamp)
        restarts = sum(_is_restart(state) for state in states)
        if run.state is None or not run.state.is_crashed():
            return _end(Completed(message=f"{run.name} is {run.state_name} by now and was left alone"))
        lost = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
        await close_task_runs(client, lost, "Its process was lost")
        if waiting := _was_waiting(states):
            return _end(await _set(client, run, waiting, f"waits again: {waiting.name}"))
        if restarts >= attempts:
            await explain_left(run, client)
            return _end(_leave(run, restarts))
        which = f"{restarts + 1} of {attempts}"
        again: State = AwaitingRetry(message=f"{_RESTART}, {which}")
        return _end(await _set(client, run, again, f"was started again: {which}"))


def _is_restart(state: State) -> bool:
    return state.type == StateType.SCHEDULED and (state.message or "").startswith(_RESTART)


def _was_waiting(states: list[State]) -> State | None:
    """Return the state of a run that was suspended when a late heartbeat made it look lost."""
    earlier = [state for state in states if not state.is_crashed()]
    return earlier[-1] if earlier and earlier[-1].is_paused() else None


async def _set(client: PrefectClient, run: FlowRun, state: State, story: str) -> State:
    wanted: State = state.model_copy(update={"id": uuid4(), "timestamp": datetime.now(UTC)})
    answer: OrchestrationResult[None] = await client.set_flow_run_state(
        run.id, wanted, force=state.is_paused()
    )
    if answer.status is SetStateStatus.ACCEPT:
        return Completed(message=f"{run.name} {story}")
    return Failed(message=f"{run.name} could not be changed: {answer.status.value}")


def _leave(run: FlowRun, restarts: int) -> State:
    reason = (
        f"{run.name} crashed again after {restarts} restarts and was left. Its job stays open: "
        "reconcile-jobs archives what was bought. Run it again from its page once the cause is gone."
    )
    resource = {"prefect.resource.id": f"prefect.flow-run.{run.id}", "prefect.resource.name": run.name}
    emit_event("kling-avatar.run.left-crashed", resource, payload={"reason": reason})
    return Failed(message=reason)


@flow(name="alert", flow_run_name="alert: {what}")
async def alert(
    what: Annotated[str, shown("What", "What needs a person's attention.")],
    reason: Annotated[str, shown("Reason", "Why.")] = "",
) -> None:
    """End as a failed run that says what needs a person's attention.

    Prefect hides a failed automation action in an event; a failed run is seen in the list of runs, and
    whatever notifies about failed runs notifies about it.
    """
    get_run_logger().error("%s: %s", what, reason)
    await acreate_markdown_artifact(key="kling-avatar-alert", markdown=f"**{what}**\n\n{reason}")
    return _end(Failed(message=f"{what}: {reason}"))


def _end(state: State) -> None:
    """Return the state that a flow is to end in; Prefect takes it for the flow's result."""
    return state  # type: ignore[return-value]  # as above

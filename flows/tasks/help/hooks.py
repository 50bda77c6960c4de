"""The hooks that leave help on the page of a run, the same for every flow."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, TypedDict
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey
from prefect.client.schemas.objects import Artifact, FlowRun, State
from prefect.context import FlowRunContext
from prefect.flows import FlowStateHook
from prefect.logging.loggers import flow_run_logger

from blocks.archive import AvatarArchive
from blocks.errors import AvatarError
from blocks.storage.journal import Entry
from flows.tasks.connections import find_archive
from flows.tasks.help.crash import bought_by, tell_crash
from flows.tasks.help.page import Trouble, as_markdown
from flows.tasks.help.steps import Ran
from flows.tasks.help.told import tell, tell_chosen
from flows.tasks.logs import run_logger

KEY = "what-went-wrong"

_PATIENCE_SECONDS = 30.0
_ARCHIVE_SECONDS = 10.0


class Hooks(TypedDict):
    """The arguments of `prefect.flow` by which a flow has help on its page."""

    on_failure: list[FlowStateHook[..., Any]]
    on_crashed: list[FlowStateHook[..., Any]]
    on_completion: list[FlowStateHook[..., Any]]


def with_help() -> Hooks:
    """Return the hooks; each flow has lists of its own, because hooks can be added to them."""
    return {"on_failure": [explain], "on_crashed": [explain], "on_completion": [withdraw]}


async def explain(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Leave one artifact with help in a run that failed or crashed. Never raises, and costs nothing.

    Prefect runs this in the process of the run; in that of its worker when the process of the run was lost.
    """
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS), get_client() as client:
            await leave_help(flow_run.id, await _trouble(flow, flow_run, state, client), client)
    except Exception as error:  # noqa: BLE001 # help that cannot be left changes nothing
        logger = flow_run_logger(flow_run)
        logger.warning("No help could be left on the page of this run: %s", type(error).__name__)


async def withdraw(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Take the help away from a run that failed first and has completed after all. Never raises."""
    del flow, state
    if flow_run.run_count < 2:
        return
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS), get_client() as client:
            if found := await _find(flow_run.id, client):
                await client.delete_artifact(found.id)
    except Exception as error:  # noqa: BLE001 # as above
        logger = flow_run_logger(flow_run)
        logger.warning("Help from an earlier attempt stays on this page: %s", type(error).__name__)


async def explain_left(flow_run: FlowRun, client: PrefectClient) -> None:
    """Leave help on the page of a run that crashed too often, on its behalf. Never raises."""
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            flow = await client.read_flow(flow_run.flow_id)
            ran = Ran(flow.name, flow_run.deployment_id is not None, flow_run.parameters)
            bought = await bought_by(flow_run.id, client)
            await leave_help(flow_run.id, tell_crash(bought, ran, is_left=True), client)
    except Exception as error:  # noqa: BLE001 # as above
        run_logger().warning("No help could be left on the page of %s: %s", flow_run.id, type(error).__name__)


async def leave_help(flow_run_id: UUID, trouble: Trouble, client: PrefectClient) -> None:
    """Write the help of a run in place of that of an earlier attempt.

    Prefect shows the newest artifact first, so it is made anew rather than changed.
    """
    before, page = await _find(flow_run_id, client), as_markdown(trouble)
    in_short = f"Charged: {trouble.charged}. {trouble.title}"
    await client.create_artifact(
        ArtifactCreate(key=KEY, type="markdown", description=in_short, data=page, flow_run_id=flow_run_id)
    )
    if before:
        await client.delete_artifact(before.id)


async def _find(flow_run_id: UUID, client: PrefectClient) -> Artifact | None:
    wanted = ArtifactFilter(
        key=ArtifactFilterKey(any_=[KEY]), flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id])
    )
    found = await client.read_artifacts(artifact_filter=wanted, limit=1)
    return found[0] if found else None


async def _trouble(
    flow: Flow[..., Any], flow_run: FlowRun, state: State[Any], client: PrefectClient
) -> Trouble:
    context = FlowRunContext.get()
    parameters = context.parameters if context and context.parameters else flow_run.parameters
    ran = Ran(flow.name, flow_run.deployment_id is not None, parameters)
    if state.is_crashed():
        return tell_crash(await bought_by(flow_run.id, client), ran)
    error = await state.aresult(raise_on_failure=False)
    if not isinstance(error, BaseException):
        return tell_chosen(state.message or "", ran)
    return tell(error, ran, await _newest_entry(error, parameters))


async def _newest_entry(error: BaseException, parameters: Mapping[str, Any]) -> Entry | None:
    """Return what the journal says of the job that an error names, where the archive answers soon."""
    store = parameters.get("store")
    if not isinstance(error, AvatarError) or not error.facts.job_id:
        return None
    if not isinstance(store, AvatarArchive | str | None):
        return None
    try:
        async with asyncio.timeout(_ARCHIVE_SECONDS), (await find_archive(store)).open() as archive:
            return await archive.journal.last(error.facts.job_id)
    except (AvatarError, OSError):
        return None

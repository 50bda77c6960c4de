"""Request-avatar: an event asks for a video."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.deployments.flow_runs import arun_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed
from prefect.utilities.schema_tools.validation import validate as faults_in

from blocks.errors import Fault, InvalidRequest, SetupMissing
from flows.tasks.form import shown
from flows.tasks.help.hooks import with_help

_DEPLOYMENT = "generate-avatar/generate-avatar"


@flow(name="request-avatar", **with_help())
async def request_avatar(
    payload: Annotated[
        dict[str, Any], shown("Payload", "The parameters of generate-avatar; unknown ones are refused.")
    ],
    event_id: Annotated[
        str, shown("Event id", "Two requests with the same id are one run. Empty: always a new run.")
    ] = "",
) -> str:
    """Check what an event `kling-avatar.requested` asks for, and start a run of generate-avatar with it.

    Costs nothing by itself. A payload that generate-avatar does not take fails this run, with every fault in
    one message; a misspelt parameter is a fault too, because dropping it would buy the wrong video.

    Returns:
        The name of the run that was started.
    """
    wanted = {name: value for name, value in payload.items() if value is not None}
    _refuse_faults(wanted, await _schema())
    run = await arun_deployment(
        _DEPLOYMENT, parameters=wanted, timeout=0, as_subflow=False, idempotency_key=event_id or None
    )
    return Completed(message=f"Started {run.name} of {_DEPLOYMENT}", data=run.name)  # type: ignore[return-value]  # Prefect unwraps a returned state


async def _schema() -> dict[str, Any]:
    async with get_client() as client:
        try:
            deployment = await client.read_deployment_by_name(_DEPLOYMENT)
        except ObjectNotFound:
            raise SetupMissing(
                f"There is no deployment {_DEPLOYMENT}", next_step="Run `python -m flows.deploy`."
            ) from None
    return deployment.parameter_openapi_schema or {}


def _refuse_faults(wanted: dict[str, Any], schema: dict[str, Any]) -> None:
    """Judge a payload by the schema that the Run form uses.

    Raises:
        InvalidRequest: With every fault.
    """
    known = schema.get("properties", {})
    faults = [Fault(name, "unknown", f"one of {', '.join(known)}") for name in wanted if name not in known]
    faults += [
        Fault(_where(error.path), error.message[:200], "what its Run form takes")
        for error in faults_in(wanted, schema)
    ]
    if faults:
        raise InvalidRequest(tuple(faults))


def _where(path: Iterable[str | int]) -> str:
    return ".".join(str(part) for part in path) or "payload"

"""The automations: events start videos, crashed runs are found and started again, failures are shown."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events import AutomationCore, EventTrigger, Posture
from prefect.events.actions import ChangeFlowRunState, RunDeployment
from prefect.events.schemas.automations import Automation
from prefect.events.schemas.events import ResourceSpecification
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from blocks.errors import SetupMissing
from flows.deploy.report import Result

_TAG = ResourceSpecification.model_validate({"prefect.resource.id": "prefect.tag.kling-avatar"})
_RUNS = ResourceSpecification.model_validate({"prefect.resource.id": "prefect.flow-run.*"})
_ZOMBIES = "kling-avatar: zombies"
_SOMETHING = {"prefect.flow-run.*"}


class Patience(BaseModel):
    """How long automations wait; each field can be set as `AVATAR_<FIELD>`.

    Attributes:
        zombie_seconds: A run that is silent for so long counts as crashed. Heartbeats come every 30 seconds,
            and some of them are lost under load.
        crash_quiet_seconds: A crashed run is started again when nothing was heard of it for so long. A worker
            reports a crash a second time some seconds later; started again before that, it would run twice.
        crash_attempts: How often one run is started again at most.
    """

    model_config = ConfigDict(frozen=True)

    zombie_seconds: float = Field(default=180, ge=10)
    crash_quiet_seconds: float = Field(default=30, ge=10)
    crash_attempts: int = Field(default=2, ge=0, le=20)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Patience:
        """Read the fields from `AVATAR_<FIELD>`.

        Raises:
            SetupMissing: A variable has a value that its field does not take.
        """
        named = {name: environment.get(f"AVATAR_{name.upper()}") for name in cls.model_fields}
        try:
            return cls.model_validate({name: value for name, value in named.items() if value})
        except ValidationError as error:
            wrong = ", ".join(
                f"AVATAR_{str(fault['loc'][0]).upper()}: {fault['msg']}" for fault in error.errors()
            )
            raise SetupMissing(
                f"Variables cannot be used: {wrong}", next_step="Correct them or leave them out."
            ) from None


async def set_up_automations(client: PrefectClient, patience: Patience) -> AsyncIterator[Result]:
    """Create the automations, or update those that differ; one that an operator paused stays paused."""
    ids = {
        flow: (await client.read_deployment_by_name(f"{flow}/{flow}")).id
        for flow in ("request-avatar", "retry-crashed", "alert")
    }
    wanted = [
        _requested(ids["request-avatar"]),
        _zombies(patience),
        _crashed(ids["retry-crashed"], patience),
        _left(ids["alert"]),
    ]
    # Not itself: its own failure would go round in circles. Not the zombies: a heartbeat that arrives after
    # the end of its run makes it fire, and the server rightly refuses to change a run that has ended.
    watched = [each.name for each in wanted if each.name != _ZOMBIES]
    wanted.append(_failed_actions(ids["alert"], watched))
    for each in wanted:
        yield await _apply(each, client)


async def _apply(wanted: AutomationCore, client: PrefectClient) -> Result:
    found = await client.read_automations_by_name(wanted.name)
    if not found:
        await client.create_automation(wanted)
        return Result("automation", wanted.name, "created")
    note = "" if found[0].enabled else "paused"
    if _meaning(found[0]) == _meaning(wanted):
        return Result("automation", wanted.name, "unchanged", note)
    await client.update_automation(
        found[0].id, wanted.model_copy(update={"enabled": found[0].enabled, "tags": found[0].tags})
    )
    return Result("automation", wanted.name, "updated", note)


def _meaning(automation: AutomationCore | Automation) -> dict[str, Any]:
    return automation.model_dump(include={"name", "description", "trigger", "actions"})


def _requested(deployment: UUID) -> AutomationCore:
    return AutomationCore(
        name="kling-avatar: requested",
        description="An event kling-avatar.requested asks for a video; its payload is the flow's parameters.",
        trigger=EventTrigger(
            expect={"kling-avatar.requested"},
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[
            _run(deployment, payload="{{ event.payload }}", event_id="{{ event.id | string }}"),
        ],
    )


def _zombies(patience: Patience) -> AutomationCore:
    return AutomationCore(
        name=_ZOMBIES,
        description="A run that began and was not heard of again has lost its process: it has crashed.",
        trigger=EventTrigger(
            match=_RUNS,
            match_related=_TAG,
            after={"prefect.flow-run.Pending", "prefect.flow-run.Running", "prefect.flow-run.heartbeat"},
            expect=_SOMETHING,
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=patience.zombie_seconds),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                name="Crashed",
                message=f"Nothing was heard of its process for {patience.zombie_seconds:g} seconds",
            )
        ],
    )


def _crashed(deployment: UUID, patience: Patience) -> AutomationCore:
    return AutomationCore(
        name="kling-avatar: crashed",
        description="A crashed run is started again after a quiet time, a bounded number of times.",
        trigger=EventTrigger(
            match=_RUNS,
            match_related=_TAG,
            after={"prefect.flow-run.Crashed"},
            expect=_SOMETHING,
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=patience.crash_quiet_seconds),
        ),
        actions=[
            _run(deployment, flow_run_id="{{ event.resource.id }}", attempts=patience.crash_attempts),
        ],
    )


def _left(deployment: UUID) -> AutomationCore:
    return AutomationCore(
        name="kling-avatar: left crashed",
        description="A run that crashed too often is shown to a person.",
        trigger=EventTrigger(
            expect={"kling-avatar.run.left-crashed"},
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[_run(deployment, what="{{ event.resource.name }}", reason="{{ event.payload.reason }}")],
    )


def _failed_actions(deployment: UUID, names: list[str]) -> AutomationCore:
    return AutomationCore(
        name="kling-avatar: failed actions",
        description="What one of these automations could not do is shown to a person.",
        trigger=EventTrigger(
            match=ResourceSpecification.model_validate(
                {"prefect.resource.id": "prefect.automation.*", "prefect.resource.name": names}
            ),
            expect={"prefect.automation.action.failed"},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[
            _run(
                deployment,
                what="{{ event.resource.name }}",
                reason="{{ event.payload.reason | default('unknown') }}",
            )
        ],
    )


def _run(deployment: UUID, **parameters: Any) -> RunDeployment:
    return RunDeployment(source="selected", deployment_id=deployment, parameters=parameters)

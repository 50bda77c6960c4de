"""A run of a deployment, executed as a worker's process executes it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.responses import SetStateStatus
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow
from prefect.states import AwaitingRetry

from blocks.sandbox.serve import RunningSandbox
from flows.avatar import generate_avatar


@dataclass
class Deployed:
    """One run of the deployment, executed as a worker's process executes it."""

    client: PrefectClient
    sandbox: RunningSandbox
    settings: dict[str, Any]
    flow_run_id: UUID
    flow: Any = generate_avatar

    async def execute(self) -> Any:
        flow_run = await self.client.read_flow_run(self.flow_run_id)
        return await cast("Any", run_flow(self.flow, flow_run=flow_run))

    async def suspend(self) -> None:
        with pytest.raises(Pause):
            await self.execute()
        assert await self.state() == "Suspended"

    async def state(self) -> str | None:
        return (await self.client.read_flow_run(self.flow_run_id)).state_name

    async def form(self) -> tuple[str, dict[str, Any]]:
        """Return what the UI shows: the description and the schema of the fields."""
        state = (await self.client.read_flow_run(self.flow_run_id)).state
        assert state
        keys = state.state_details.run_input_keyset or {}
        description, schema = [
            json.loads(await self.client.read_flow_run_input(self.flow_run_id, keys[name]))
            for name in ("description", "schema")
        ]
        return description, schema

    async def answer(self, **fields: str) -> SetStateStatus:
        answered = await self.client.resume_flow_run(self.flow_run_id, run_input=fields)
        return answered.status

    async def retry(self) -> None:
        await self.client.set_flow_run_state(self.flow_run_id, AwaitingRetry())

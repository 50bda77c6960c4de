"""Runs of shards: started, waited for in few requests, and started again when their process was lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prefect import Flow
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterIdempotencyKey,
    FlowRunFilterParentFlowRunId,
)
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments.flow_runs import arun_deployment
from prefect.states import Cancelling

from flows.tasks.logs import run_logger
from flows.tasks.manifest.shard import Shard
from flows.tasks.progress.tally import Progress

DEPLOYMENT = "avatars-shard/avatars-shard"

_LOOK_SECONDS = 10.0
_ATTEMPTS = 3
# The automation for crashed runs goes first: it starts the same run again after a quiet time.
_CRASHED_SECONDS = 240.0
_PAGE = 100


@dataclass
class _Attempt:
    """The run of a shard: its number, since when it is crashed, and how it ended in the end."""

    number: int = 1
    crashed: float | None = None
    ended: State[Any] | None = None

    def judge(self, state: State[Any] | None) -> None:
        if state is None or not state.is_final():
            self.crashed = None
        elif not state.is_crashed():
            self.ended = state
        elif self.crashed is None:
            self.crashed = time.monotonic()
        elif time.monotonic() - self.crashed > _CRASHED_SECONDS:
            self.ended = state if self.number == _ATTEMPTS else None
            self.number, self.crashed = self.number + 1, None


async def see_through(
    shards: Sequence[Shard], parameters: Mapping[str, Any], progress: Progress
) -> dict[Shard, State[Any]]:
    """Run all shards on the work pool and return how each ended. MAY spend money, once for each job.

    One request for a hundred shards each ten seconds; this run holds no job itself. A run that was started
    again finds the shards that it has started before. A shard that stays crashed is started anew, three times
    at most: the journal keeps its new run from buying what the lost one bought.

    Args:
        shards: What is to be run.
        parameters: More parameters for each.
        progress: Counts the shards that have ended.
    """
    attempts = {shard: _Attempt() for shard in shards}
    progress.plan(len(shards), "shards")
    async with get_client() as client:
        while under_way := {shard: each for shard, each in attempts.items() if each.ended is None}:
            found = await _find(client, [_key(shard, each.number) for shard, each in under_way.items()])
            for shard, each in under_way.items():
                if run := found.get(_key(shard, each.number)):
                    each.judge(run.state)
                    if each.ended:
                        progress.end("archived" if each.ended.is_completed() else "failed")
                else:
                    await _start(shard, each.number, parameters)
            if any(each.ended is None for each in under_way.values()):
                await asyncio.sleep(_LOOK_SECONDS)
    return {shard: each.ended for shard, each in attempts.items() if each.ended}


async def cancel_shards(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Cancel the shards of a run that was cancelled, so that they buy nothing more."""
    del flow, state
    async with get_client() as client:
        for run in await client.read_flow_runs(
            flow_run_filter=FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[flow_run.id]))
        ):
            if run.state and not run.state.is_final():
                await client.set_flow_run_state(run.id, Cancelling(message="Its batch was cancelled"))


def _key(shard: Shard, attempt: int) -> str:
    return f"{shard.batch}/{shard.sha256}/{shard.first}-{shard.last}/{attempt}"


async def _find(client: PrefectClient, keys: Sequence[str]) -> dict[str, FlowRun]:
    found: dict[str, FlowRun] = {}
    for start in range(0, len(keys), _PAGE):
        page = FlowRunFilterIdempotencyKey(any_=list(keys[start : start + _PAGE]))
        runs = await client.read_flow_runs(flow_run_filter=FlowRunFilter(idempotency_key=page), limit=_PAGE)
        found |= {run.idempotency_key: run for run in runs if run.idempotency_key}
    return found


async def _start(shard: Shard, attempt: int, parameters: Mapping[str, Any]) -> None:
    again = f", attempt {attempt}" if attempt > 1 else ""
    await arun_deployment(
        DEPLOYMENT,
        parameters={**shard._asdict(), **parameters},
        flow_run_name=f"{shard.name}{again}",
        idempotency_key=_key(shard, attempt),
        timeout=0,
    )
    run_logger().info("Started %s%s", shard.name, again)

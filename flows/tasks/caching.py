"""When Prefect may skip a task: within one flow run only, and never as what keeps us from paying twice."""

from __future__ import annotations

import hashlib
from typing import Any

from prefect.cache_policies import CacheKeyFnPolicy, CachePolicy
from prefect.context import TaskRunContext
from pydantic import BaseModel

from blocks.kling.job import canonical_json


def once_per_run(step: str, *names: str) -> CachePolicy:
    """Return the policy that lets a retried or resumed flow run reuse what `step` returned.

    The key is made of the flow run and of our own canonical JSON of the named parameters, where a job or a
    journal entry stands for its id; never of pickled objects, whose hashes change with the code.

    Args:
        step: Name of the task.
        *names: Parameters that tell its calls apart.
    """

    def key(context: TaskRunContext, parameters: dict[str, Any]) -> str | None:
        run = context.task_run.flow_run_id
        if run is None:
            return None
        values = [_identity(parameters[name]) for name in names]
        return f"kling-avatar-{step}-{run}-{hashlib.sha256(canonical_json(values)).hexdigest()}"

    return CacheKeyFnPolicy(cache_key_fn=key)


def _identity(value: Any) -> Any:
    if job_id := getattr(value, "job_id", None):
        return job_id
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value

"""Which failures Prefect may answer by running a task again: those that pass with time.

A clip that was rejected is none of them: the task has fetched it twice, and reconcile-jobs looks again later.
"""

from __future__ import annotations

from typing import Any

from prefect.client.schemas.objects import State

from blocks.errors import (
    ClipUnavailable,
    NotSent,
    ProviderUnavailable,
    SlowDown,
    SourceUnavailable,
    StorageUnavailable,
)

_PASSING = (ClipUnavailable, NotSent, ProviderUnavailable, SlowDown, SourceUnavailable, StorageUnavailable)


def passes(error: BaseException) -> bool:
    """Tell whether a failure may be gone in a while."""
    return isinstance(error, _PASSING)


async def passes_with_time(task: Any, run: Any, state: State[Any]) -> bool:  # noqa: ARG001 # Prefect's signature
    """Tell whether the failure in `state` may be gone in a while."""
    try:
        await state.aresult()
    except Exception as error:  # noqa: BLE001 # any other failure is the answer "no"; raising would hide it
        return passes(error)
    return False

"""The safety taken out, to see that the oracle notices: each of these must make a campaign pay twice."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from blocks.storage.journal import Entry, Journal, Outcome, Step, new_token, now
from tests.chaos.hooks import Hooks

NO_INTENT = "no-intent"
SHARED_CREATE = "shared-create"


def forget_intents(hooks: Hooks) -> None:
    """Let this process post without writing down beforehand that it will."""
    append = Journal.append

    async def forgetful(
        journal: Journal, job_id: str, before: Entry | None, step: Step, **changes: Any
    ) -> Entry | None:
        if step is not Step.INTENT:
            return await append(journal, job_id, before, step, **changes)
        hooks.passed("creating intent")
        base = before.model_dump() if before else {"job_id": job_id}
        fresh = {"step": step, "number": before.number if before else 0, "token": new_token(), "at": now()}
        hooks.passed("created intent")
        return Entry.model_validate(base | {"outcome": Outcome()} | changes | fresh)

    patch.object(Journal, "append", forgetful).start()

"""Making a plan: what is wanted, looked at row by row. Only reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from blocks.errors import Fault, InvalidRequest
from blocks.storage.journal import now
from flows.tasks.budget.budget import Budget
from flows.tasks.budget.limits import Caps, account_limits
from flows.tasks.plan.plan import BudgetLeft, Plan
from flows.tasks.plan.readings import Readings
from flows.tasks.plan.rows import plan_rows
from flows.tasks.plan.sources import Lying, rows_of_inbox, rows_of_manifest, rows_of_request
from flows.tasks.request import Request


async def make_plan(
    wanted: Mapping[str, Any],
    readings: Readings,
    *,
    manifest: str | None = None,
    inbox: str | None = None,
    quiet_seconds: float = 60,
) -> Plan:
    """Say what a run would do for exactly one of a request, a manifest and an inbox, and what it would cost.

    Args:
        wanted: Fields of one `Request`, and `split`; it counts when it has an image.
        readings: What is read.
        manifest: Path or address.
        inbox: Folder or address.
        quiet_seconds: Newer files of an inbox are left.

    Raises:
        InvalidRequest: Not exactly one is given, or what is given cannot be used as a whole.
        AvatarError: It could not be read.
    """
    given = [name for name, value in (("manifest", manifest), ("inbox", inbox)) if value]
    given += ["image"] if wanted.get("image") else []
    if len(given) != 1:
        found = " and ".join(given) or "none of them"
        raise InvalidRequest((Fault("plan", found, "exactly one of manifest, inbox and image"),))
    lying = Lying([], [])
    if manifest:
        lying = Lying(await rows_of_manifest(manifest), [])
    elif inbox:
        lying = await rows_of_inbox(inbox, readings, quiet_seconds)
    else:
        request = Request.model_validate(
            {name: wanted[name] for name in Request.model_fields if name in wanted}
        )
        lying = Lying(rows_of_request(request, readings, split=wanted.get("split", False)), [])
    rows = [*await plan_rows(lying.rows, readings), *lying.left]
    return Plan(
        rows=tuple(rows),
        price_source=readings.credentials.price_source,
        budgets=await _budgets(readings),
        notes=readings.notes,
    )


async def _budgets(readings: Readings) -> tuple[BudgetLeft, ...]:
    """Return what the account may still spend, where that can be known."""
    if not readings.knows_account or (readings.place and readings.archive is None):
        return ()
    if readings.archive is None:
        left = [(limit, limit.usd) for limit in account_limits(readings.credentials, now())]
    else:
        left = await Budget(readings.credentials, readings.archive.store, Caps()).left()
    return tuple(BudgetLeft(period=limit.words, limit_usd=limit.usd, left_usd=rest) for limit, rest in left)

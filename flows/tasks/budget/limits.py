"""What may be spent, and what is said when it is too little. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import NamedTuple

from blocks.credentials import CometAPICredentials
from blocks.errors import BudgetExceeded, Shortfall
from blocks.storage.journal import new_token
from blocks.storage.ledger import Page

_SHOWN = Decimal("0.0001")


class Caps(NamedTuple):
    """What one run may spend, beside the budgets of its account.

    Attributes:
        run_usd: On all its purchases together, in US dollars.
        job_usd: On one video with its speech, in US dollars.
        run: Whose purchases count together for `run_usd`; the shards of a batch have one name.
    """

    run_usd: Decimal | None = None
    job_usd: Decimal | None = None
    run: str = ""

    @classmethod
    def of(cls, run: float | None = None, job: float | None = None, name: object = "") -> Caps:
        """Return caps from parameters of a flow; `name` is the run's id, or its batch's, if there is one."""
        run_usd, job_usd = (None if usd is None else Decimal(str(usd)) for usd in (run, job))
        return cls(run_usd, job_usd, str(name or new_token()))


class Limit(NamedTuple):
    """One budget of a ledger.

    Attributes:
        words: Which one, as it is named to people.
        usd: The whole of it.
        day: What belongs to that day counts; `None` counts everything in the ledger.
        renewed: When it begins anew.
    """

    words: str
    usd: Decimal
    day: date | None = None
    renewed: datetime | None = None

    def left(self, page: Page, without: str = "") -> Decimal:
        """Return what is neither spent nor reserved, apart from what one purchase has reserved itself."""
        return self.usd - page.used(self.day, without)


def account_limits(credentials: CometAPICredentials, at: datetime) -> list[Limit]:
    """Return the budgets of an account that hold at a moment."""
    today = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    next_month = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    limits = []
    if credentials.budget_usd_per_day is not None:
        limits.append(Limit("today", credentials.budget_usd_per_day, today.date(), today + timedelta(days=1)))
    if credentials.budget_usd_per_month is not None:
        limits.append(Limit("this month", credentials.budget_usd_per_month, None, next_month))
    return limits


def check_limits(thing: str, usd: Decimal, left: Iterable[tuple[Limit, Decimal]]) -> None:
    """Refuse what costs more than is left.

    Args:
        thing: What would be bought.
        usd: What it would cost.
        left: Each budget, with what is left of it.

    Raises:
        BudgetExceeded: With every budget that has too little left.
    """
    short = tuple(
        Shortfall(limit.words, rest, limit.usd, limit.renewed) for limit, rest in left if usd > rest
    )
    if not short:
        return
    listed = " and ".join(
        f"{_shown(max(each.left_usd, Decimal(0)), ROUND_FLOOR)} of {each.limit_usd:f} {each.budget}"
        for each in short
    )
    message = f"This {thing} would cost {_shown(usd, ROUND_CEILING)} US dollars; left are {listed}"
    raise BudgetExceeded(message, next_step=_next_step(usd, short), price_usd=usd, shortfalls=short)


def _next_step(usd: Decimal, short: Sequence[Shortfall]) -> str:
    renewed = [each.renewed for each in short]
    known = [moment for moment in renewed if moment]
    if len(known) < len(short):
        return "Run it with a higher max_cost or max_cost_per_job if it is wanted; nothing was charged."
    if any(usd > each.limit_usd for each in short):
        return "Raise the budget in the credentials block: all of it is too little; nothing was sent."
    return (
        f"Run it again after {max(known):%Y-%m-%d %H:%M} UTC, when that begins anew, or raise the budget "
        "in the CometAPI Credentials block; nothing was sent and nothing was charged."
    )


def _shown(usd: Decimal, rounding: str) -> str:
    """Return an amount with up to four decimals, never in favour of buying."""
    return f"{usd.quantize(_SHOWN, rounding):f}"

"""A plan as a whole: what it comes to, and how people read it."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict, computed_field

from blocks.kling.prices import in_cents
from flows.tasks.manifest.results import SHOWN_ROWS, counted
from flows.tasks.plan.rows import RowPlan

_LOOKED_AT_FIRST = ("invalid", "error", "left", "needs decision", "failed", "new")


class BudgetLeft(BaseModel):
    """A budget of the account, and what is left of it."""

    model_config = ConfigDict(frozen=True)

    period: str
    limit_usd: Decimal
    left_usd: Decimal

    def told(self, total_usd: Decimal) -> str:
        """Say what is left, and whether the total fits into it."""
        left, whole = max(self.left_usd, Decimal(0)), in_cents(self.limit_usd)
        fits = total_usd <= self.left_usd
        verdict = "the total fits" if fits else f"{in_cents(total_usd - left)} too little"
        return f"Budget {self.period}: {in_cents(left)} of {whole} US dollars left, {verdict}."


class Plan(BaseModel):
    """What would be done, and what it would cost by list price.

    Attributes:
        price_source: Where the prices come from.
        budgets: What the account may still spend.
        notes: What the plan could not take into account.
    """

    model_config = ConfigDict(frozen=True)

    rows: tuple[RowPlan, ...]
    price_source: str
    budgets: tuple[BudgetLeft, ...] = ()
    notes: tuple[str, ...] = ()

    @computed_field  # type: ignore[prop-decorator]  # mypy does not know this pair
    @property
    def total_usd(self) -> Decimal:
        """What all new videos with a known price cost by list price, in US dollars, exactly."""
        return sum((row.estimated_usd or Decimal(0) for row in self.rows), Decimal(0))

    @property
    def fits(self) -> bool:
        """Whether every budget has enough left for all of it, as far as the prices are known."""
        return all(self.total_usd <= budget.left_usd for budget in self.budgets)

    @property
    def unpriced(self) -> int:
        """How many new videos have no known price."""
        return sum(row.estimated_usd is None for row in self.rows)

    @property
    def cost(self) -> str:
        """What it comes to, in words."""
        estimated = [row.estimated_usd or Decimal(0) for row in self.rows if row.is_estimate]
        parts = [f"about {in_cents(self.total_usd)} US dollars by list price"]
        if estimated:
            usd = in_cents(sum(estimated, Decimal(0)))
            parts.append(f"of which {usd} by estimated seconds, for texts not spoken yet ({len(estimated)})")
        if self.unpriced:
            parts.append(f"without those whose price is not known ({self.unpriced})")
        return ", ".join(parts)

    @property
    def summary(self) -> str:
        """How many rows are in which state, and what a run would cost."""
        return f"{counted(row.state for row in self.rows)}; a run would cost {self.cost}"

    @property
    def remarks(self) -> list[str]:
        """What has to be said beside the numbers, a sentence each."""
        budgets = [budget.told(self.total_usd) for budget in self.budgets]
        return [*budgets, *self.notes, f"Prices: {self.price_source}."]


def table(rows: Sequence[RowPlan]) -> list[dict[str, Any]]:
    """Return the rows of a table artifact, what needs a look or costs money first, at most `SHOWN_ROWS`."""
    return [
        {
            "row": row.row or "",
            "state": row.state,
            "name": row.name,
            "seconds": f"{'about ' if row.is_estimate else ''}{row.seconds:g}" if row.seconds else "",
            "mode": row.mode,
            "USD (list)": price_of(row),
            "what or why": row.detail,
            "job": (row.job_id or "")[:12],
        }
        for row in in_order(rows)[:SHOWN_ROWS]
    ]


def in_order(rows: Sequence[RowPlan]) -> list[RowPlan]:
    """Return the rows with what needs a look or costs money first."""
    places = {state: place for place, state in enumerate(_LOOKED_AT_FIRST)}
    return sorted(rows, key=lambda row: (places.get(row.state, len(places)), row.row, row.name))


def price_of(row: RowPlan) -> str:
    """Return the price of a row as people read it."""
    if row.estimated_usd is None:
        return "unknown"
    return f"{row.estimated_usd:.4f}" if row.state == "new" else ""

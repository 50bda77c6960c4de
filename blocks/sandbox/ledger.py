"""What was charged and given back, in exact decimals."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

# Kling's list: 0.4 and 0.8 units a second, about 0.14 USD a unit; speech 0.05 units a call.
# https://inference.sh/apps/klingai/avatar.md
UNITS_PER_SECOND = {"std": Decimal("0.4"), "pro": Decimal("0.8")}
UNITS_PER_SPEECH = Decimal("0.05")
USD_PER_UNIT = Decimal("0.14")


def plain(amount: Decimal) -> str:
    """Return a decimal as text, exactly, without an exponent or trailing zeros."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def avatar_units(mode: str, seconds: Decimal) -> Decimal:
    """Return what a clip costs, in units; how the provider rounds is not known, so this does not round."""
    return UNITS_PER_SECOND[mode] * seconds


@dataclass(slots=True)
class Charge:
    """One charge; `seconds` and `mode` only for avatars, times in milliseconds."""

    task_id: str
    external_task_id: str | None
    kind: str
    units: Decimal
    seconds: Decimal
    mode: str | None
    charged_at: int
    refunded_at: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it for the outside, amounts as text."""
        return {
            "task_id": self.task_id,
            "external_task_id": self.external_task_id,
            "kind": self.kind,
            "units": plain(self.units),
            "usd": plain(self.units * USD_PER_UNIT),
            "seconds": plain(self.seconds),
            "mode": self.mode,
            "charged_at": self.charged_at,
            "refunded": self.refunded_at is not None,
            "refunded_at": self.refunded_at,
        }


class Ledger:
    """All charges since the last reset, and how many POSTs came in, refused ones included."""

    def __init__(self) -> None:
        self.posts = 0
        self.tts_posts = 0
        self._charges: dict[str, Charge] = {}
        self._net = Decimal(0)
        self._refunds = 0

    def charge(self, charge: Charge) -> None:
        """Book a charge; a task is charged at acceptance."""
        self._charges[charge.task_id] = charge
        self._net += charge.units

    def refund(self, task_id: str, at: int) -> None:
        """Give a charge back, once."""
        charge = self._charges[task_id]
        if charge.refunded_at is None:
            charge.refunded_at = at
            self._net -= charge.units
            self._refunds += 1

    def units(self, task_id: str) -> Decimal:
        """Return what the task was charged, in units."""
        return self._charges[task_id].units

    def as_json(self) -> dict[str, Any]:
        """Return charges and totals; `units` and `usd` of the totals are net of refunds."""
        totals = {
            "charges": len(self._charges),
            "refunds": self._refunds,
            "units": plain(self._net),
            "usd": plain(self._net * USD_PER_UNIT),
        }
        charges = [charge.as_json() for charge in self._charges.values()]
        return {"charges": charges, "totals": totals, "posts": self.posts, "tts_posts": self.tts_posts}

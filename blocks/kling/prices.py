"""What things cost: by list price before the POST, by the provider's own word after it. Pure: no I/O."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from pydantic import BaseModel, ConfigDict

_CENT = Decimal("0.01")


class Prices(BaseModel):
    """List prices of one account, in US dollars.

    How the provider rounds is not documented. So seconds count to the millisecond, as they are measured, and
    no amount is rounded: it is only when a sum is shown that it is rounded, once.

    Attributes:
        per_second_std: One second of video in mode `std`.
        per_second_pro: One second of video in mode `pro`.
        per_speech: One speech, whatever its length.
        per_unit: One Kling unit, in which the provider reports what it deducted.
        source: Where these come from, and of when they are.
    """

    model_config = ConfigDict(frozen=True)

    per_second_std: Decimal
    per_second_pro: Decimal
    per_speech: Decimal
    per_unit: Decimal
    source: str = ""

    def of_video(self, seconds: float, mode: str) -> Decimal:
        """Return the list price of so many seconds of video, exactly."""
        price = self.per_second_pro if mode == "pro" else self.per_second_std
        return price * Decimal(str(round(seconds, 3)))

    def of_units(self, units: Decimal) -> Decimal:
        """Return what a deduction of so many Kling units is worth, exactly."""
        return self.per_unit * units


def decimal_of(text: str | None) -> Decimal | None:
    """Return a number as the provider wrote it, or `None` where it wrote none that can be read."""
    try:
        return Decimal(text) if text else None
    except InvalidOperation:
        return None


def in_cents(usd: Decimal) -> str:
    """Return an amount as people read it: US dollars to the cent, half a cent rounded up."""
    return f"{usd.quantize(_CENT, ROUND_HALF_UP):,}"

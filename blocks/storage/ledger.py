"""Money that is reserved and spent: a chain of numbered pages in the archive, each created once.

Each page holds the whole state, so only the newest is read; a new one is created exclusively after it, so of
two writers one has to read again. Pages are never changed or removed. All amounts are US dollars, exact.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from blocks.errors import StorageUnavailable
from blocks.storage.journal import new_token
from blocks.storage.layout import ledger_key
from blocks.storage.store import Store


class Reserved(BaseModel):
    """Money that is kept for one purchase.

    Attributes:
        usd: How much, by list price.
        day: The day it counts for, in UTC.
        at: When it was reserved, or reserved anew by a later attempt.
        token: Of the attempt that reserved it last; only that one may release it.
    """

    model_config = ConfigDict(frozen=True)

    usd: Decimal
    day: date
    at: datetime
    token: str


class Page(BaseModel):
    """What is spent and reserved, as of one change.

    Attributes:
        number: Place in the chain, from 1; 0 is the empty page before the first.
        token: Unlike that of any other page, so that a writer recognises its own after a lost answer.
        spent: By day, in UTC.
        reserved: By purchase.
    """

    model_config = ConfigDict(frozen=True)

    version: int = 1
    number: int = 0
    token: str = ""
    spent: dict[date, Decimal] = Field(default_factory=dict)
    reserved: dict[str, Reserved] = Field(default_factory=dict)

    def used(self, day: date | None = None, without: str = "") -> Decimal:
        """Return what is spent and reserved, on one day or in all, without what one purchase has reserved."""
        spent = [usd for when, usd in self.spent.items() if day in {None, when}]
        held = [
            each.usd for name, each in self.reserved.items() if name != without and day in {None, each.day}
        ]
        return sum([*spent, *held], Decimal(0))

    def reserve(self, name: str, reserved: Reserved) -> Self:
        """Return the page on which a purchase has reserved so much, instead of what it had."""
        return self.model_copy(update={"reserved": {**self.reserved, name: reserved}})

    def release(self, name: str, token: str) -> Self:
        """Return the page without a reservation, unless a later attempt has reserved it anew."""
        held = self.reserved.get(name)
        return self._without(name) if held and held.token == token else self

    def settle(self, name: str, usd: Decimal | None, surplus: int = 0) -> Self:
        """Return the page on which a reservation has become spent money; without one, this page.

        Args:
            name: The purchase.
            usd: What was charged; `None` means what was reserved.
            surplus: How often it was bought besides, each time for what was reserved.
        """
        held = self.reserved.get(name)
        if held is None:
            return self
        charged = (held.usd if usd is None else usd) + surplus * held.usd
        spent = {**self.spent, held.day: self.spent.get(held.day, Decimal(0)) + charged}
        return self._without(name).model_copy(update={"spent": spent if charged else self.spent})

    def _without(self, name: str) -> Self:
        return self.model_copy(update={"reserved": {n: r for n, r in self.reserved.items() if n != name}})


class Ledger:
    """One chain of pages.

    Args:
        store: Where it is kept; it must create exclusively.
        book: Whose money, and of which period: see `blocks.storage.layout.ledger_key`.
    """

    def __init__(self, store: Store, book: str) -> None:
        self._store = store
        self._book = book

    async def last(self, after: Page | None = None) -> Page:
        """Return the newest page, or the empty page when there is none.

        Pages are found by number, because a listing may lag behind on some stores: in steps that double, then
        halve, so that a long chain takes few requests.

        Args:
            after: The newest page known so far.
        """
        known = after or Page()
        number = await self._newest(known.number)
        if number == known.number:
            return known
        key = ledger_key(self._book, number)
        data = await self._store.read(key)
        try:
            return Page.model_validate_json(data or b"")
        except ValidationError as error:
            raise StorageUnavailable(
                f"The page {key} of the ledger cannot be read: {error.error_count()} fields are wrong",
                next_step="Restore it from a backup; until it is readable nothing is bought on this budget.",
            ) from None

    async def append(self, before: Page, page: Page) -> Page | None:
        """Create the page after `before`, exclusively and durably.

        Returns:
            The page, or `None` when somebody else created that number first: read again.
        """
        fresh = page.model_copy(update={"number": before.number + 1, "token": new_token()})
        data = fresh.model_dump_json().encode()
        return fresh if await self._store.create(ledger_key(self._book, fresh.number), data) else None

    async def _newest(self, known: int) -> int:
        step = 1
        while await self._exists(known + step):
            known, step = known + step, step * 2
        while step > 1:
            step //= 2
            known += step if await self._exists(known + step) else 0
        return known

    async def _exists(self, number: int) -> bool:
        return await self._store.size(ledger_key(self._book, number)) is not None


def month_of(moment: datetime) -> str:
    """Return the month that a moment lies in, in UTC, as `2026-11`."""
    return f"{moment.astimezone(UTC):%Y-%m}"

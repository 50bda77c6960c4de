"""What one attempt holds of the budgets for its purchase."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from blocks.storage.book import Book
from blocks.storage.journal import new_token, now
from blocks.storage.ledger import Page, Reserved
from flows.tasks.budget.limits import Limit, check_limits


@dataclass
class Held:
    """The reservations of one attempt.

    Attributes:
        name: The purchase: job and number.
        thing: What is bought.
        usd: Its list price.
        day: The day it counts for, in UTC.
        token: Of the attempt: a later one that takes over has another.
        books: Where it is reserved so far.
        started: When it was reserved, by the monotonic clock: a POST that comes too long after is not sent.
    """

    name: str
    thing: str
    usd: Decimal
    day: date
    token: str = field(default_factory=new_token)
    books: tuple[Book, ...] = ()
    started: float = field(default_factory=time.monotonic)

    def reserved_on(self, page: Page, limits: Sequence[Limit]) -> Page:
        """Return the page with the reservation; called again when another process was faster.

        Raises:
            BudgetExceeded: Too little is left.
        """
        check_limits(self.thing, self.usd, [(limit, limit.left(page, self.name)) for limit in limits])
        self.started = time.monotonic()
        return page.reserve(self.name, Reserved(usd=self.usd, day=self.day, at=now(), token=self.token))

"""How the readers of sources say that the request, not the weather, is at fault."""

from __future__ import annotations


class Refused(Exception):
    """A source that trying again would not make readable.

    Args:
        found: What was found, without secrets.
        limit: What would have been right.
    """

    def __init__(self, found: str, limit: str) -> None:
        super().__init__(found, limit)
        self.found = found
        self.limit = limit

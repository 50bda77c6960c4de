"""The one error of measuring: the file is not what it should be."""

from __future__ import annotations


class MediaError(ValueError):
    """A file cannot be measured, because it is not media, is damaged, or asks for too much.

    Args:
        reason: Short, for people, completing "the file ..."; without any of the file's content.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

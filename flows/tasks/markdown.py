"""Text of others in a markdown artifact."""

from __future__ import annotations

import re

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+!|&~$:@-])")


def plain(text: str) -> str:
    """Return a text of others so that it is shown as it is, on one line."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))

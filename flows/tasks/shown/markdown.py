"""Text of others in a markdown artifact."""

from __future__ import annotations

import re

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+!|&~$:@-])")
# Prefect's UI makes links of what looks like one, escaped or not; a word joiner is not seen and breaks it up.
_LINKS = re.compile(r"(?<=:)(?=//)|(?<=www)(?=\.)|(?<=@)", re.IGNORECASE)


def plain(text: str) -> str:
    """Return a text of others so that it is shown as it is, on one line."""
    return _MARKDOWN.sub(r"\\\1", _LINKS.sub("\u2060", " ".join(text.split())))

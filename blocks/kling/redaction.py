"""Taking secrets out of texts that others wrote, before anybody reads them."""

from __future__ import annotations

import re

_LONGEST = 300
_LONGEST_LOOKED_AT = 4_000

_NAMED_VALUE = r"\b(signature|credential|token|secret|password|api_?key)(\"?\s*[=:]\s*\"?)[^\s\"',;&]{12,}"

_SECRETS = (
    # What follows `?` or `#` in an address may be a signature.
    (re.compile(r"(//[^\s\"'<>?#]*)[?#][^\s\"'<>]*"), r"\1"),
    (re.compile(r"\?[^\s\"'<>=?]*=[^\s\"'<>]*"), "?[...]"),
    (re.compile(r"//[^\s/@\"'<>]+@"), "//"),
    (re.compile(r"\bbearer\s+[^\s\"',;]+", re.IGNORECASE), "Bearer [...]"),
    (re.compile(r"\bsk-[\w*.-]{6,}"), "[key]"),
    (re.compile(_NAMED_VALUE, re.IGNORECASE), r"\1\2[...]"),
    (re.compile(r"(?:data:[\w/+.;-]*,)?[A-Za-z0-9+/_-]{80,}={0,2}"), "[...]"),
)


def redact(text: str, longest: int = _LONGEST) -> str:
    """Return `text` on one line, without secrets, cut to `longest` characters.

    Removed are queries and user names of addresses, bearer tokens, keys and long runs of base64.
    """
    text = "".join(letter if letter.isprintable() else " " for letter in text[:_LONGEST_LOOKED_AT])
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    text = " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 1] + "…"

"""The gallery's page: one HTML file that asks nobody outside for anything."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from flows.tasks.gallery.entry import Entry

_FILES = Path(__file__).parent / "page"
_FACTS = re.compile(r'<script type="application/json" id="facts">(.*?)</script>', re.DOTALL)


class Facts(BaseModel):
    """What the page says about itself.

    Attributes:
        updated: When something changed last.
        clips: How many there are.
        pieces: Keys of its data, relative to the page.
        expires: When its links end, of a page with links.
        entries: The clips themselves, of a page with links.
    """

    model_config = ConfigDict(frozen=True)

    updated: datetime
    clips: int
    pieces: tuple[str, ...] = ()
    expires: datetime | None = None
    entries: tuple[Entry, ...] = ()


def build(facts: Facts) -> bytes:
    """Return the page.

    Names and prompts are strangers' text. They are in it as data only, and a page may run no script but its
    own, by its digest.
    """
    style, script = ((_FILES / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    parts = {
        "policy": _policy(style, script, facts.entries),
        "style": style,
        "facts": _inert(facts.model_dump(mode="json", exclude_none=True)),
        "script": script,
    }
    page = (_FILES / "page.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], page).encode()


def facts_in(page: bytes | None) -> Facts | None:
    """Return what a page says about itself, or `None` when it is none of ours."""
    found = _FACTS.search((page or b"").decode("utf-8", "replace"))
    try:
        return Facts.model_validate_json(found[1]) if found else None
    except ValidationError:
        return None


def _inert(facts: dict[str, Any]) -> str:
    """Return JSON in which nothing can end the element that it stands in."""
    return json.dumps(facts, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _policy(style: str, script: str, linked: Sequence[Entry]) -> str:
    """Return the Content-Security-Policy: own style and script, media beside the page or where links lead."""
    places = " ".join(["'self'", "file:", *sorted({_origin(entry.clip) for entry in linked if entry.clip})])
    rules = {
        "default-src": "'none'",
        # Browsers that know 'strict-dynamic' take what the script loads, others what lies beside the page.
        "script-src": f"{_digest(script)} 'strict-dynamic' 'self' file:",
        "style-src": _digest(style),
        "img-src": places,
        "media-src": places,
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def _digest(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"

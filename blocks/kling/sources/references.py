"""What people write to say where an image or a voice clip is."""

from __future__ import annotations

import re

import httpx

from blocks.web import is_public_host

_LONGEST_SHOWN = 1024
_URL = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_CHAIN = re.compile(r"::(?=[a-z][a-z0-9+.-]*:)", re.IGNORECASE)
# An address without its scheme, as people paste it, may be signed as well.
_QUERY = re.compile(r"\?[^?/=]*=.*", re.DOTALL)
_USER = re.compile(r"^(.{0,12}//?)[^/@]*:[^/@]*@")
_HOST = re.compile(r"(?:[^:@\[\]]*|\[[0-9a-f:.]*\])(?::\d*)?", re.IGNORECASE)


def scheme_of(reference: str) -> str | None:
    """Return the scheme of a reference in small letters, such as `https`; `None` for a local path."""
    if is_inline(reference):
        return "data"
    url = _URL.match(reference)
    return url[1].lower() if url else None


def is_inline(reference: str) -> bool:
    """Tell whether a reference carries the file itself, as a `data:` URI."""
    return reference[:5].lower() == "data:"


def shown(reference: str) -> str:
    """Return a reference as it may be shown, logged and stored: without query, user name and content."""
    reference = reference.strip()
    if is_inline(reference):
        return "data:…"
    if len(reference) > _LONGEST_SHOWN and not _URL.match(reference):
        return f"a text of {len(reference):,} characters"
    visible = "::".join(_shown_part(part) for part in _CHAIN.split(reference))
    return "".join(letter if letter.isprintable() else "?" for letter in visible)


def sendable_url(reference: str) -> str | None:
    """Return the reference if the provider can fetch it by itself: an https URL on a public host.

    Nothing is looked up. Plain http is not among them: gateways were seen to take https audio only.
    """
    url = reference.strip()
    if any(letter.isspace() or not letter.isprintable() or letter == "\\" for letter in url):
        return None
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return None
    host = parsed.raw_host.decode("ascii")
    is_plain = parsed.scheme == "https" and not parsed.userinfo and "%" not in host
    return url if is_plain and is_public_host(host) else None


def _shown_part(part: str) -> str:
    if is_inline(part):
        return "data:…"
    url = _URL.match(part)
    if url is None:
        return _QUERY.sub("?…", _USER.sub(r"\1", part))
    visible = re.split(r"[?#]", part[url.end() :], maxsplit=1)[0]
    authority, slash, path = visible.partition("/")
    host = authority.rpartition("@")[2]
    # A user name with a slash or a colon in it: nobody can tell where the secret ends.
    if not _HOST.fullmatch(host):
        return f"{url[0]}…"
    return f"{url[0]}{host}{slash}{path}"[:_LONGEST_SHOWN]

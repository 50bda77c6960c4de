"""Checking key, base URL and query path before the first request is sent."""

from __future__ import annotations

import httpx
from pydantic import SecretStr

from blocks.errors import SetupMissing
from blocks.kling.protocol import is_query_template
from blocks.web import is_loopback


def usable_key(api_key: SecretStr) -> SecretStr:
    """Return the key without the white space that comes with copying.

    Raises:
        SetupMissing: It is empty or cannot be sent in a header.
    """
    key = api_key.get_secret_value().strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise SetupMissing(
            "The CometAPI key is empty or has characters that no key has",
            next_step="Copy the key from CometAPI's console into the CometAPI Credentials block again.",
        )
    return SecretStr(key)


def usable_base_url(base_url: str) -> str:
    """Return the base URL without a slash at its end.

    Raises:
        SetupMissing: It is not https (or http on this machine), or has a user name, a query or a fragment.
    """
    try:
        url = httpx.URL(base_url.strip())
    except httpx.InvalidURL:
        url = httpx.URL("")
    is_safe = url.scheme == "https" or (url.scheme == "http" and is_loopback(str(url)))
    if not is_safe or not url.host or url.userinfo or url.query or url.fragment:
        raise SetupMissing(
            "The base URL cannot be used: it must be https, or http on this machine, and a plain address",
            next_step="Correct the base URL of the CometAPI Credentials block.",
        )
    return str(url).rstrip("/")


def usable_query_path(path: str) -> str:
    """Return the query path.

    Raises:
        SetupMissing: It is not a path that contains `{task_id}` once.
    """
    if not is_query_template(path):
        raise SetupMissing(
            "The query path cannot be used: it must begin with one slash and contain {task_id} once",
            next_step="Correct the query path of the CometAPI Credentials block.",
        )
    return path

"""Which keys a store accepts, and which it keeps for itself."""

from __future__ import annotations

RESERVED = ("parts/", "capabilities/")

_LONGEST_KEY = 1024
_LONGEST_NAME = 255


def check_key(key: str) -> str:
    """Return `key` if it is relative, clean, and not the store's own.

    Raises:
        ValueError: It is empty, absolute, not normalised (`.`, `..`, empty names), too long, has a backslash
            or control character, or lies where stores keep their own things.
    """
    names = key.split("/")
    if any(name in {"", ".", ".."} or len(name.encode()) > _LONGEST_NAME for name in names):
        raise ValueError(f"{key[:80]!r} is not a clean relative key")
    if "\\" in key or any(ord(character) < 32 or ord(character) == 127 for character in key):
        raise ValueError(f"{key[:80]!r} has a backslash or a control character")
    if len(key.encode()) > _LONGEST_KEY:
        raise ValueError(f"{key[:80]!r}... is longer than {_LONGEST_KEY} bytes")
    if is_reserved(key):
        raise ValueError(f"{key[:80]!r} is kept for the store itself")
    return key


def check_prefix(prefix: str) -> str:
    """Return `prefix` if keys could start with it; it may be empty, and may end within a name or with `/`.

    Raises:
        ValueError: No acceptable key starts with it.
    """
    if prefix:
        check_key(prefix.removesuffix("/"))
    return prefix


def is_reserved(key: str) -> bool:
    """Tell whether `key` lies where stores keep their own things."""
    return f"{key}/".startswith(RESERVED)


def is_key(key: str) -> bool:
    """Tell whether `check_key` accepts `key`."""
    try:
        check_key(key)
    except ValueError:
        return False
    return True

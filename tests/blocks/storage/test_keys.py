"""Which keys and prefixes are accepted."""

from __future__ import annotations

import pytest

from blocks.storage.keys import check_key, check_prefix, is_key

BAD_KEYS = [
    "",
    "/etc/passwd",
    "..",
    "../a",
    "a/../b",
    "a/./b",
    "a//b",
    "a/",
    "a\\b",
    "a\0b",
    "a\nb",
    "x" * 256,
    "parts/a",
    "capabilities/a",
    "a/" * 512 + "b",
]


@pytest.mark.parametrize("key", BAD_KEYS, ids=ascii)
def test_unclean_keys_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match=r" is | has "):
        check_key(key)
    assert not is_key(key)


@pytest.mark.parametrize(
    "key", ["a", "clips/ab/x.mp4", "partsmore/a", "a/parts/b", "Jiří & co", "..a", "x" * 255]
)
def test_clean_keys_are_returned(key: str) -> None:
    assert check_key(key) == key
    assert is_key(key)


@pytest.mark.parametrize("prefix", ["", "a", "a/", "journal/ab/c", "par"])
def test_prefixes_may_be_empty_or_end_anywhere(prefix: str) -> None:
    assert check_prefix(prefix) == prefix


@pytest.mark.parametrize("prefix", ["/", "a//", "../", "parts/", "parts", "/etc"])
def test_prefixes_no_key_can_have_are_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match=r" is | has "):
        check_prefix(prefix)

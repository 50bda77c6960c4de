"""Keys, base URLs and query paths that cannot be used are refused before anything is sent."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from blocks.errors import SetupMissing
from blocks.kling.endpoint import usable_base_url, usable_key, usable_query_path


@pytest.mark.parametrize("key", ["", "  ", "sk-one two", "sk-one\nX-Injected: two", "sk-é", "sk-\x00"])
def test_a_key_that_cannot_be_sent_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(SetupMissing) as refusal:
        usable_key(SecretStr(key))
    assert "sk-" not in str(refusal.value)


def test_white_space_around_a_copied_key_is_dropped() -> None:
    assert usable_key(SecretStr(" sk-0123456789\n")).get_secret_value() == "sk-0123456789"


@pytest.mark.parametrize(
    "url",
    [
        "http://api.cometapi.com",
        "http://192.168.1.2:8787",
        "http://127.0.0.1.example.org",
        "ftp://127.0.0.1",
        "api.cometapi.com",
        "https://",
        "",
        "https://user:word@api.cometapi.com",
        "https://api.cometapi.com/?key=1",
        "https://api.cometapi.com/#part",
        "https://[::1",
    ],
)
def test_a_base_url_over_which_the_key_is_not_safe_is_refused(url: str) -> None:
    with pytest.raises(SetupMissing, match="base URL"):
        usable_base_url(url)


@pytest.mark.parametrize(
    ("url", "used"),
    [
        ("https://api.cometapi.com", "https://api.cometapi.com"),
        (" https://api.cometapi.com/ ", "https://api.cometapi.com"),
        ("https://gateway.example/comet/", "https://gateway.example/comet"),
        ("http://127.0.0.1:8787", "http://127.0.0.1:8787"),
        ("http://localhost:8787/", "http://localhost:8787"),
        ("http://[::1]:8787", "http://[::1]:8787"),
    ],
)
def test_https_and_this_machine_are_usable(url: str, used: str) -> None:
    assert usable_base_url(url) == used


def test_a_query_path_without_a_place_for_the_id_is_refused() -> None:
    with pytest.raises(SetupMissing, match="query path"):
        usable_query_path("/kling/v1/videos/image2video")

"""What may be shown of a reference, and what the provider can fetch by itself."""

from __future__ import annotations

import pytest

from blocks.kling.sources import sendable_url, shown


@pytest.mark.parametrize(
    ("reference", "visible"),
    [
        ("/data/a?b#c@d.png", "/data/a?b#c@d.png"),
        ("bucket.s3.amazonaws.com/a.png?X-Amz-Date=1&X-Amz-Signature=abc", "bucket.s3.amazonaws.com/a.png?…"),
        ("https:/example.com/a.png?sig=abc", "https:/example.com/a.png?…"),
        ("image=https://example.com/a.png?sig=abc#f", "image=https://example.com/a.png?…"),
        ("//user:pass@example.com/a.png?sig=abc", "//example.com/a.png?…"),
        ("faces/" + "x" * 300 + ".png", "faces/" + "x" * 300 + ".png"),
        ("https://example.com/a.png?X-Amz-Signature=abc#f", "https://example.com/a.png"),
        ("https://user:pass@example.com:8443/a@2x.png", "https://example.com:8443/a@2x.png"),
        ("https://user@example.com?token=abc", "https://example.com"),
        ("https://us/er:pass@example.com/a.png", "https://us/er:pass@example.com/a.png"),
        ("https://user:pa/ss@example.com/a.png", "https://…"),
        ("s3://bucket/a b/c@2x.png?versionId=1", "s3://bucket/a b/c@2x.png"),
        ("s3://key:sec/ret@bucket/a.png", "s3://…"),
        ("zip://a.png::https://u:p@example.com/a.zip?sig=1", "zip://a.png::https://example.com/a.zip"),
        ("http://[::1]:80/a?b", "http://[::1]:80/a"),
        ("https://[bad/a?secret", "https://…"),
        ("data:image/png;base64,AAAA", "data:…"),
        (" DATA:,x", "data:…"),
        ("a\nb\x1b[31m.png", "a?b?[31m.png"),
        ("Q" * 2_000, "a text of 2,000 characters"),
        ("https://example.com/" + "x" * 2_000, ("https://example.com/" + "x" * 2_000)[:1_024]),
    ],
)
def test_a_reference_is_shown_without_its_secrets(reference: str, visible: str) -> None:
    assert shown(reference) == visible


@pytest.mark.parametrize(
    "reference",
    [
        "https://assets.example.org/faces/host.png",
        "https://assets.example.org/a.png?X-Amz-Signature=abc",
        "HTTPS://assets.example.org:8443/a.png",
        "https://93.184.216.34/a.png",
        "https://[2606:4700::1111]/a.png",
        "https://münchen.de/a.png",
    ],
)
def test_a_public_https_address_is_sent_as_it_is(reference: str) -> None:
    assert sendable_url(f" {reference} ") == reference


@pytest.mark.parametrize(
    "reference",
    [
        "http://assets.example.org/a.png",
        "/faces/host.png",
        "s3://bucket/a.png",
        "data:image/png;base64,AAAA",
        "https://localhost/a.png",
        "https://127.0.0.1/a.png",
        "https://2130706433/a.png",
        "https://10.0.0.1/a.png",
        "https://[::1]/a.png",
        "https://printer/a.png",
        "https://printer.local/a.png",
        "https://db.internal./a.png",
        "https://user:pass@assets.example.org/a.png",
        "https://assets.example.org\\@127.0.0.1/a.png",
        "https://ex%61mple.org/a.png",
        "https://assets.example.org/a b.png",
        "https://assets.example.org/a\\b.png",
        "https://assets.example.org/a\u202e.png",
        "https://[bad/a.png",
        "https:///a.png",
        "",
    ],
)
def test_what_the_provider_cannot_fetch_is_not_sent(reference: str) -> None:
    assert sendable_url(reference) is None

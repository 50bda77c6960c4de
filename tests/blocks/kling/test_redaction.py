"""Secrets leave texts, the rest stays readable."""

from __future__ import annotations

import base64

import pytest

from blocks.kling.redaction import redact


@pytest.mark.parametrize(
    "text",
    [
        "cannot fetch https://a.example/face.png?X-Amz-Signature=5ec2e75ec2e7&x=1 now",
        "cannot fetch https://a.example/face.png#5ec2e75ec2e7",
        "cannot fetch https:\\/\\/a.example\\/face.png?sig=5ec2e75ec2e7",
        "cannot fetch /face.png?sig=5ec2e75ec2e7",
        "cannot fetch https://user:5ec2e75ec2e7@a.example/",
        "Authorization: Bearer 5ec2e75ec2e7",
        "incorrect API key provided: sk-5ec2e75ec2e7",
        'bad {"token":"5ec2e75ec2e7"}',
        "signature=5ec2e75ec2e7 is wrong",
        "bad image " + "5ec2e75ec2e7" * 10,
        "bad image data:image/png;base64," + "5ec2e75ec2e7" * 10,
    ],
)
def test_secrets_are_removed(text: str) -> None:
    assert "5ec2e7" not in redact(text)
    assert redact(text).startswith(text[:3])


def test_a_megabyte_of_base64_becomes_a_short_text() -> None:
    body = base64.b64encode(bytes(range(256)) * 4096).decode()
    assert redact(f"invalid image: {body}") == "invalid image: [...]"


@pytest.mark.parametrize(
    "text",
    [
        "sound_file duration out of range",
        "Voice id not found (request id: 20261010120000000000002)",
        "task 880000000000000001 of 5b1c2f5e-3c0f-5d8a-9a41-7f5d0c9e1a01: why? unknown",
        "see https://apidoc.cometapi.com/errors/error-codes-handling",
        "invalid token (request id: 20261010120000000000001)",
    ],
)
def test_plain_reasons_stay_as_they_are(text: str) -> None:
    assert redact(text) == text


def test_a_text_is_one_line_of_bounded_length() -> None:
    shown = redact("first\r\nsecond\x1b[31m \ud800third " + "word " * 200)
    assert shown.startswith("first second [31m third word")
    assert len(shown) == 300
    assert shown.isprintable()

"""Settings that fit together, and what they become."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from blocks.storage.s3.settings import S3Settings


@pytest.mark.parametrize(
    "given",
    [
        {"key": "a"},
        {"secret": "a"},
        {"token": "a"},
        {"kms_key_id": "a"},
        {"kms_key_id": "a", "server_side_encryption": "AES256"},
        {"storage_class": "GLACIER"},
        {"part_bytes": 2**20},
        {"attempts": 0},
        {"unknown": 1},
        {"tags": {str(number): "" for number in range(11)}},
    ],
    ids=str,
)
def test_what_does_not_fit_together_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        S3Settings.model_validate(given)


def test_secrets_are_in_no_representation() -> None:
    settings = S3Settings.model_validate({"key": "hush-1", "secret": "hush-2", "token": "hush-3"})
    assert "hush" not in f"{settings!r} {settings} {settings.model_dump_json()}"
    revealed = settings.client_options()
    assert [revealed[name] for name in ("key", "secret", "token")] == ["hush-1", "hush-2", "hush-3"]


def test_other_servers_get_path_style_a_region_and_no_surprising_checksums() -> None:
    options = S3Settings(endpoint_url="http://127.0.0.1:1").client_options()
    assert options["client_kwargs"] == {"region_name": "us-east-1"}
    config = options["config_kwargs"]
    assert config["s3"] == {"addressing_style": "path"}
    assert config["request_checksum_calculation"] == "when_required"
    assert config["response_checksum_validation"] == "when_required"


def test_aws_gets_its_own_defaults_and_one_attempt_a_request() -> None:
    options = S3Settings(region="eu-central-1").client_options()
    assert options["client_kwargs"] == {"region_name": "eu-central-1"}
    config = options["config_kwargs"]
    assert config["s3"] == {"addressing_style": "auto", "payload_signing_enabled": False}
    assert config["request_checksum_calculation"] == "when_supported"
    assert config["retries"] == {"total_max_attempts": 1}
    assert S3Settings().client_options()["client_kwargs"] == {}


def test_bodies_are_hashed_for_the_signature_only_where_no_tls_protects_them() -> None:
    secure = S3Settings(endpoint_url="HTTPS://s3.example.com").client_options()["config_kwargs"]
    plain = S3Settings(endpoint_url="http://s3.example.com").client_options()["config_kwargs"]
    assert secure["s3"]["payload_signing_enabled"] is False
    assert "payload_signing_enabled" not in plain["s3"]


def test_what_is_said_wins_over_the_defaults() -> None:
    settings = S3Settings(endpoint_url="http://a", path_style=False, checksums="when_supported", region="x")
    config = settings.client_options()["config_kwargs"]
    assert config["s3"] == {"addressing_style": "auto"}
    assert config["request_checksum_calculation"] == "when_supported"


@pytest.mark.parametrize("part_bytes", [5 * 2**20, 8 * 2**20])
def test_ten_thousand_parts_hold_the_largest_object_and_most_are_small(part_bytes: int) -> None:
    settings = S3Settings(part_bytes=part_bytes)
    sizes = [settings.part_size(number) for number in range(1, 10_001)]
    assert sum(sizes) >= 5 * 2**40
    assert max(sizes) <= 5 * 2**30
    assert set(sizes[:900]) == {part_bytes}


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("clips/a.mp4", "video/mp4"),
        ("clips/a.json", "application/json"),
        ("posters/A.JPG", "image/jpeg"),
        ("gallery/index.html", "text/html; charset=utf-8"),
        ("open/a.0001", "application/octet-stream"),
    ],
)
def test_content_types_follow_the_suffix(key: str, expected: str) -> None:
    assert S3Settings().object_options(key) == {"ContentType": expected}

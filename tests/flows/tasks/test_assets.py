"""An asset's key is an address without secrets that Prefect takes, or the digest of what it names."""

from __future__ import annotations

import pytest
from prefect.assets import Asset

from flows.tasks.assets import asset_key

DIGEST = "ab" * 32


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("s3://bucket/clips/ab/c.mp4", "s3://bucket/clips/ab/c.mp4"),
        ("file:///archive/c.mp4", "file:///archive/c.mp4"),
        ("/data/face.png", "file:///data/face.png"),
        ("https://example.org/face.png", "https://example.org/face.png"),
        ("face.png", f"sha256://{DIGEST}"),
        ("data:…", f"sha256://{DIGEST}"),
        ("https://…", f"sha256://{DIGEST}"),
        ("https://example.org/face.png?X-Amz-Signature=1", f"sha256://{DIGEST}"),
        ("file:///with%20space/c.mp4", f"sha256://{DIGEST}"),
        (f"s3://bucket/{'x' * 600}", f"sha256://{DIGEST}"),
    ],
)
def test_it_is_the_address_or_the_digest(address: str, key: str) -> None:
    assert asset_key(address, DIGEST) == key
    assert Asset(key=key).key == key

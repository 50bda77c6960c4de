"""What every store promises, kept by a production server."""

from __future__ import annotations

import pytest

from blocks.storage.s3.store import S3Store
from tests.blocks.storage.test_store_contract import *  # noqa: F403 # the same tests; only the store is another


@pytest.fixture  # type: ignore[no-redef]  # it takes the place of the one that came along
def store(small_parts: S3Store) -> S3Store:
    return small_parts

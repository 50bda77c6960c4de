"""What every store promises, kept by a production server."""

from __future__ import annotations

import pytest

from blocks.storage.s3.store import S3Store
from tests.blocks.storage import test_store_contract as contract

pytestmark = contract.pytestmark

globals().update({name: test for name, test in vars(contract).items() if name.startswith("test_")})


@pytest.fixture
def store(small_parts: S3Store) -> S3Store:
    """Take the place of the stores for which the contract is written."""
    return small_parts

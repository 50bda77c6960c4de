"""What Prefect asks of every Block, without a network."""

from __future__ import annotations

import re
from typing import Any

from prefect.blocks.core import Block
from prefect.testing.standard_test_suites.blocks import BlockStandardTestSuite
from pydantic import SecretStr

_LOGO = (
    r"https://raw\.githubusercontent\.com/PrefectHQ/prefect/[0-9a-f]{40}/assets/block-logos/[a-z0-9-]+\.png"
)


class OfflineBlockTestSuite(BlockStandardTestSuite):
    def test_has_a_valid_image(self, block: type[Block]) -> None:
        """Look at the address alone: Prefect's own test fetches it, and tests must run without a network."""
        assert re.fullmatch(_LOGO, str(block._logo_url))


def code_of(block: type[Block]) -> str:
    """Return the code of the example that Prefect's UI shows."""
    example = block.get_code_example() or ""
    (code,) = re.findall(r"```python\n(.*?)```", example, re.DOTALL)
    return str(code)


def fields_of(block: object) -> dict[str, Any]:
    """Return the fields of a block as they are, secrets revealed, without where it is stored."""
    assert isinstance(block, Block)
    values = {name: getattr(block, name) for name in type(block).model_fields}
    return {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in values.items()
    }

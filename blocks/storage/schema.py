"""The sidecar as a JSON Schema, for readers without this code: `python -m blocks.storage.schema` writes it.

The file beside this module is part of the package, and a copy of it lies in each archive at
`schema/sidecar-1.json`, so that an archive explains itself for as long as it exists.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from blocks.storage.layout import schema_key
from blocks.storage.sidecar import Sidecar
from blocks.storage.store import Store

SCHEMA_FILE = Path(__file__).with_name("sidecar.schema.json")

# https://json-schema.org/draft/2020-12/json-schema-core#name-the-id-keyword
_HEAD = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "urn:kling-avatar-flows:sidecar:1",
}
_VERSION = 1


class _WithoutFieldTitles(GenerateJsonSchema):
    """Pydantic makes a title of each field's name, which says nothing that the name does not."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 # pydantic's signature
        return False


def sidecar_schema() -> dict[str, Any]:
    """Return the schema of the sidecar as it is written: JSON Schema, draft 2020-12."""
    body = Sidecar.model_json_schema(mode="serialization", schema_generator=_WithoutFieldTitles)
    return _HEAD | body | {"required": ["schema_version", *body["required"]]}


def schema_text() -> str:
    """Return the schema as the text of a file."""
    return json.dumps(sidecar_schema(), indent=2, ensure_ascii=False) + "\n"


async def publish_schema(store: Store) -> bool:
    """Put the schema into an archive that has none. One read, and one write the first time.

    Returns:
        Whether it was absent.
    """
    if await store.read(schema_key(_VERSION)) is not None:
        return False
    await store.replace(schema_key(_VERSION), schema_text().encode())
    return True


def main() -> None:
    """Write the schema beside this module."""
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
    sys.stdout.write(f"{SCHEMA_FILE}\n")


if __name__ == "__main__":
    main()

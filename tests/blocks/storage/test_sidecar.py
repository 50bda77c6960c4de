"""The sidecar and its published schema say the same, and an old sidecar stays readable."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # ships no types
from pydantic import ValidationError

from blocks.storage.local import LocalStore
from blocks.storage.schema import SCHEMA_FILE, publish_schema, schema_text
from blocks.storage.sidecar import Sidecar

JOB = "5b" * 32
# As version 0.1.0 wrote it first, with every field that has no default and no other.
OLDEST: dict[str, Any] = {
    "schema_version": 1,
    "job_id": JOB,
    "name": "portrait + voice",
    "requested": {
        "image": {"reference": "face.png", "sha256": "0a" * 32, "size": 5},
        "prompt": "Speak.",
        "mode": "std",
    },
    "provided": {"base_url": "https://api.cometapi.com", "task_id": "88", "external_task_id": "e-1"},
    "clip": {
        "key": f"clips/5b/{JOB}.mp4",
        "size": 254_112,
        "sha256": "6d" * 32,
        "seconds": 5.6,
        "width": 540,
        "height": 720,
        "video_codec": "h264",
        "audio_codec": "aac",
    },
    "times": {"archived": "2026-10-01T12:00:00Z"},
    "cost": {"reported_units": "2.24"},
    "software": {"name": "kling-avatar-flows", "version": "0.1.0"},
}


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = json.loads(SCHEMA_FILE.read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_the_published_schema_is_that_of_the_model() -> None:
    assert SCHEMA_FILE.read_text() == schema_text(), "run `python -m blocks.storage.schema`"


def test_the_schema_names_itself_and_explains_every_field(validator: Draft202012Validator) -> None:
    schema = validator.schema
    assert schema["$id"] == "urn:kling-avatar-flows:sidecar:1"
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == "Kling avatar sidecar"
    described = dict(_descriptions(schema))
    assert {"requested", "sha256", "rights", "reported_units", "version"} <= described.keys()
    assert [name for name, description in described.items() if not description.endswith(".")] == []


def _descriptions(schema: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Return the description of each field; one that says what its model says stands there alone."""
    for model in (schema, *schema["$defs"].values()):
        for name, field in model["properties"].items():
            meant = schema["$defs"][field["$ref"].rpartition("/")[2]] if "$ref" in field else {}
            yield name, field.get("description", meant.get("description", ""))


def test_the_oldest_sidecar_still_loads_and_what_is_written_from_it_fits(
    validator: Draft202012Validator,
) -> None:
    sidecar = Sidecar.model_validate(OLDEST)
    assert (sidecar.times.created, sidecar.cost.reported_quota) == (None, None)
    validator.validate(OLDEST)
    validator.validate(json.loads(sidecar.model_dump_json()))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema_version",), 2),
        (("job_id",), "../../etc"),
        (("clip", "size"), -1),
        (("clip", "size"), "large"),
        (("clip", "sha256"), "6d"),
        (("clip", "seconds"), None),
        (("requested", "image"), None),
        (("requested", "image", "sha256"), "0A" * 32),
        (("requested", "take"), 0),
    ],
)
def test_schema_and_model_refuse_the_same(
    validator: Draft202012Validator, path: tuple[str, ...], value: object
) -> None:
    wrong = copy.deepcopy(OLDEST)
    place = wrong
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    assert not validator.is_valid(wrong)
    with pytest.raises(ValidationError):
        Sidecar.model_validate_json(json.dumps(wrong))


@pytest.mark.parametrize("name", ["job_id", "clip", "requested", "times", "schema_version"])
def test_the_schema_asks_for_what_a_reader_needs(validator: Draft202012Validator, name: str) -> None:
    assert not validator.is_valid({key: value for key, value in OLDEST.items() if key != name})


async def test_an_archive_gets_the_schema_once(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    assert await publish_schema(store)
    assert (tmp_path / "schema/sidecar-1.json").read_text() == SCHEMA_FILE.read_text()
    assert not await publish_schema(store)

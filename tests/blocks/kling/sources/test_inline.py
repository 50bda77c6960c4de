"""Files that the reference itself carries."""

from __future__ import annotations

import base64

import pytest

from tests.blocks.kling.sources.reading import DATA, LIMIT, fault, read


@pytest.mark.parametrize(
    "head", ["data:image/png;base64,", "DATA:;Base64,", "data:audio/mpeg;codecs=x;base64,"]
)
async def test_a_data_uri_carries_the_file_itself(head: str) -> None:
    content = base64.b64encode(DATA).decode()

    assert await read(head + content) == DATA
    assert await read(head + content.replace("+", "%2B").replace("/", "%2F")) == DATA
    assert await read(head + "\n".join(content[at : at + 76] for at in range(0, len(content), 76))) == DATA
    for limit in (LIMIT - 1, LIMIT - 2, LIMIT - 3, LIMIT - 4, 1):
        assert await fault(head + content, limit) == "data:… is too large"


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("data:image/png,hello", "a data: URI that is not base64"),
        ("data:", "a data: URI that is not base64"),
        ("data:image/png;base64,a$b$", "a data: URI whose base64 is damaged"),
        ("data:image/png;base64,abcde", "a data: URI whose base64 is damaged"),
        ("data:image/png;base64,", "data:… is an empty file"),
    ],
)
async def test_a_damaged_data_uri_is_refused(reference: str, found: str) -> None:
    assert await fault(reference) == found

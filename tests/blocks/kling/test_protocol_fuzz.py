"""Whatever a provider says, it is read or refused by our own errors."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.errors import ProviderError
from blocks.kling.envelopes import Answer
from blocks.kling.protocol import (
    read_created,
    read_lookup,
    read_task,
)
from tests.blocks.kling.answers import EXTERNAL_ID, ID, LINK
from tests.blocks.kling.wire import CONTRACT

NAMES = st.sampled_from([
    "code", "message", "msg", "detail", "data", "error", "task_id", "task_status", "status", "url", "id",
    "task_status_msg", "fail_reason", "task_info", "external_task_id", "task_result", "videos", "duration",
    "created_at", "updated_at", "request_id", "final_unit_deduction", "final_balance_deduction", "quota",
])  # fmt: skip
WORDS = ["succeed", "failed", "success", "submitted", ID, LINK, 0, 1203, 1303, "invalid_request"]
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(),
    st.sampled_from(WORDS),
)  # fmt: skip
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6)
)
HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "location", "content-type", "x-request-id"]), st.text(), max_size=4
)


@st.composite
def mutated_samples(draw: st.DrawFn) -> Any:
    """A contract sample in which one part was replaced."""
    path = draw(st.sampled_from(sorted(CONTRACT.glob("*.json"))))
    body = json.loads(path.read_bytes())["body"]
    place = body
    while isinstance(place, dict) and place:
        name = draw(st.sampled_from(sorted(place)))
        if not isinstance(place[name], dict) or draw(st.booleans()):
            place[name] = draw(JSON)
            break
        place = place[name]
    return body


@settings(max_examples=120, deadline=None, database=None, derandomize=True)
@given(
    status=st.sampled_from([200, 201, 204, 301, 400, 401, 404, 409, 429, 500, 503, 524]),
    body=st.one_of(JSON, mutated_samples(), st.binary()),
    headers=HEADERS,
)
def test_whatever_comes_is_read_or_refused_by_our_own_errors(
    status: int, body: Any, headers: dict[str, str]
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    came = Answer(status, headers, content)
    for read in (
        read_created,
        read_task,
        lambda it: read_task(it, ID),
        lambda it: read_lookup(it, EXTERNAL_ID),
    ):
        try:
            task = read(came)
        except ProviderError:
            continue
        assert task is None or (task.task_id and status < 300)

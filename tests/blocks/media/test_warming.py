"""What the measuring process warms up with is media that measures, so that each path is walked to its end."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from blocks.media.child import warming
from blocks.media.wire import Kind, answer


def test_each_kind_is_measured_whole_and_right(monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, Any] = {}

    def heard(kind: Kind, file: Any) -> bytes:
        found[kind] = json.loads(line := answer(kind, file))["facts"]
        return line

    monkeypatch.setattr(warming, "answer", heard)
    monkeypatch.setattr(warming, "gc", SimpleNamespace(collect=int, disable=int, freeze=int))
    warming.warm_up()
    assert (found["image"]["width"], found["audio"]["whole"]) == (8, True)
    # FFmpeg tells the size of this codec by its decoder only.
    assert (found["clip"]["video_codec"], found["clip"]["width"], found["clip"]["height"]) == (
        "mpeg4",
        16,
        16,
    )

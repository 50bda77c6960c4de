"""Looking a task up by our name for it: found, absent, or not known."""

from __future__ import annotations

import json

import pytest

from blocks.errors import ProviderUnavailable
from blocks.kling.envelopes import Answer
from blocks.kling.protocol import (
    read_lookup,
)
from tests.blocks.kling.answers import EXTERNAL_ID, ID, answer, sampled


class TestReadLookup:
    def test_our_task_is_found(self) -> None:
        task = read_lookup(sampled("query-succeed"), EXTERNAL_ID)
        assert task is not None
        assert task.task_id == ID

    def test_a_task_that_does_not_repeat_our_name_is_found(self) -> None:
        task = read_lookup(sampled("query-submitted"), EXTERNAL_ID)
        assert task is not None
        assert task.external_task_id is None

    @pytest.mark.parametrize(
        "data",
        [
            {"task_id": ID, "task_info": {"external_task_id": "of-another-customer"}},
            {"task_id": EXTERNAL_ID, "task_status": "submitted"},
            {"task_status": "submitted"},
        ],
        ids=["another name", "an echo", "no id"],
    )
    def test_what_is_not_surely_ours_is_neither_found_nor_absent(self, data: dict[str, object]) -> None:
        with pytest.raises(ProviderUnavailable):
            read_lookup(answer({"code": 0, "data": data}), EXTERNAL_ID)

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (404, {"code": 1203, "message": "task not found"}),
            (200, {"code": 1203, "message": "task not found"}),
            (400, {"error": {"message": "task not found", "code": 1203}}),
            (404, {"error": {"message": "task not found", "type": "comet_api_error", "code": ""}}),
            (404, {"code": 404, "message": "task not found"}),
            (200, {"code": 0, "message": "SUCCEED", "data": None}),
            (200, {"code": "success", "message": "", "data": None}),
        ],
    )  # fmt: skip
    def test_only_these_answers_say_that_there_is_no_such_task(self, status: int, body: object) -> None:
        assert read_lookup(answer(body, status), EXTERNAL_ID) is None

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (404, b"<html>Not Found</html>"),
            (404, b""),
            (404, {}),
            (404, {"detail": "Not Found"}),
            (404, {"message": "Not Found"}),
            (404, {"code": 1202, "message": "method invalid"}),
            (404, {"error": {"message": "Invalid URL (GET /kling/v1/x)", "type": "invalid_request_error"}}),
            (404, {"error": {"message": "no such route"}}),
            (404, {"error": {"message": "Page Not Found"}}),
            (404, {"error": {"message": ""}}),
            (404, {"error": {"message": "Not Found"}}),
            (404, {"error": {"message": "Not Found (request id: 20261010120000000000004)"}}),
            (404, {"code": 404, "message": "404 Not Found."}),
            (404, {"code": 404, "message": "x", "data": {"task_id": ID}}),
            (400, {"error": {"message": "task not found", "code": ""}}),
            (400, {"code": 1201, "message": "task_id invalid"}),
            (410, {"error": {"message": "gone"}}),
            (200, {"data": None}),
            (200, {"code": 0}),
            (200, {"code": 0, "data": {}}),
            (200, {"code": 0, "data": []}),
            (200, {"code": 7, "data": None}),
            (200, {"code": 0, "data": None, "error": {"message": "x"}}),
            (500, {"code": 1203, "message": "task not found"}),
            (503, {"code": 5001, "message": "maintenance"}),
            (301, b""),
            (204, b""),
        ],
        ids=str,
    )
    def test_everything_else_proves_nothing(self, status: int, body: object) -> None:
        with pytest.raises(ProviderUnavailable):
            read_lookup(answer(body, status), EXTERNAL_ID)

    def test_a_cut_answer_proves_nothing(self) -> None:
        content = json.dumps({"code": 0, "data": None}).encode()
        with pytest.raises(ProviderUnavailable):
            read_lookup(Answer(200, {}, content, cut="ReadError"), EXTERNAL_ID)

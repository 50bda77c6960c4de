"""What is sent, and how each known envelope is read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from blocks.errors import InvalidRequest, OutcomeUnknown, ProviderUnavailable
from blocks.kling.envelopes import Answer
from blocks.kling.models import AvatarRequest, TaskStatus
from blocks.kling.protocol import (
    CREATE_PATH,
    QUERY_PATH,
    build_create,
    is_query_template,
    query_path,
    read_created,
    read_task,
)
from tests.blocks.kling.answers import EXTERNAL_ID, ID, LINK, answer, sampled, task_of
from tests.blocks.kling.wire import CONTRACT, sample


class TestBuildCreate:
    def test_every_documented_field_that_is_set_is_sent_and_no_other(self) -> None:
        request = AvatarRequest(
            image="aGVsbG8=",
            sound_file="d29ybGQ=",
            prompt="Calm.",
            mode="pro",
            callback_url="https://bell.example.org/t0ken",
            external_task_id=EXTERNAL_ID,
        )
        assert build_create(request) == {
            "image": "aGVsbG8=",
            "sound_file": "d29ybGQ=",
            "prompt": "Calm.",
            "mode": "pro",
            "callback_url": "https://bell.example.org/t0ken",
            "external_task_id": EXTERNAL_ID,
        }

    def test_what_is_not_set_is_absent_rather_than_empty_and_the_mode_is_explicit(self) -> None:
        request = AvatarRequest(
            image="aGVsbG8=", audio_id="102", prompt="Calm.", external_task_id=EXTERNAL_ID
        )
        body = build_create(request)
        assert list(body) == ["image", "audio_id", "prompt", "mode", "external_task_id"]
        assert body["mode"] == "std"


class TestQueryPath:
    def test_the_default_is_the_path_of_the_post_with_the_id_appended(self) -> None:
        assert query_path(QUERY_PATH, ID) == f"{CREATE_PATH}/{ID}"

    def test_the_id_is_one_quoted_part_of_the_path(self) -> None:
        assert query_path("/v1/{task_id}/status", "a?b#c%2Fé:d") == "/v1/a%3Fb%23c%252F%C3%A9%3Ad/status"

    @pytest.mark.parametrize(
        "task_id", ["", ".", "..", "...", "../x", "a/b", "a\\b", "a b", "a\nb", "a\x00", "x" * 201]
    )
    def test_what_could_leave_its_place_is_refused(self, task_id: str) -> None:
        with pytest.raises(InvalidRequest, match="task_id"):
            query_path(QUERY_PATH, task_id)

    @pytest.mark.parametrize(
        "template",
        ["", "v1/{task_id}", "//host/{task_id}", "https://host/{task_id}", "/v1", "/{task_id}/{task_id}",
         "/v1?id={task_id}", "/v1#{task_id}", "/v1/{task_id} ", "/v1\\{task_id}", "/v1\n/{task_id}"],
    )  # fmt: skip
    def test_only_a_path_with_one_place_is_a_template(self, template: str) -> None:
        assert not is_query_template(template)
        assert is_query_template(QUERY_PATH)


class TestReadCreated:
    def test_the_documented_answer_is_the_task_that_was_bought(self) -> None:
        task = read_created(sampled("create-accepted"))
        assert (task.task_id, task.status) == (ID, TaskStatus.SUBMITTED)
        assert task.external_task_id == EXTERNAL_ID
        assert task.created_at == datetime(2026, 9, 21, 14, 13, 20, 123000, UTC)
        assert task.request_id is None

    def test_an_id_that_came_as_a_number_keeps_all_its_digits(self) -> None:
        task = read_created(answer(b'{"code":0,"data":{"task_id":880000000000000123}}'))
        assert task.task_id == "880000000000000123"
        assert task.status is TaskStatus.UNKNOWN

    @pytest.mark.parametrize("status", [200, 201, 202])
    def test_any_2xx_with_a_task_id_is_accepted(self, status: int) -> None:
        assert read_created(answer({"code": "success", "data": {"task_id": ID}}, status)).task_id == ID

    @pytest.mark.parametrize(
        "body",
        [
            {"code": 0, "data": {}},
            {"code": 0, "data": None},
            {"code": 0, "message": "SUCCEED"},
            {"code": 0, "data": {"task_id": ""}},
            {"code": 0, "data": {"task_id": 8.8e17}},
            {"code": 0, "data": {"task_id": True}},
            {"code": 0, "data": {"task_status": "submitted"}},
            {"code": 0, "data": [{"task_id": ID}]},
            {"code": -1, "message": "?"},
            [{"task_id": ID}],
            b"",
            b"<html><body>Welcome</body></html>",
            b'{"code":0,"data":{"task_id":"8800',
        ],
        ids=str,
    )
    def test_a_2xx_without_a_task_id_may_have_been_bought(self, body: object) -> None:
        with pytest.raises(OutcomeUnknown) as doubt:
            read_created(answer(body))
        assert doubt.value.charged == "unknown"
        assert doubt.value.facts.http_status == 200

    def test_a_whole_acceptance_counts_even_if_the_connection_was_cut_after_it(self) -> None:
        status, content = sample("create-accepted")
        assert read_created(Answer(status, {}, content, cut="ReadError")).task_id == ID


class TestReadTask:
    @pytest.mark.parametrize(
        ("name", "status"),
        [
            ("query-submitted", TaskStatus.SUBMITTED),
            ("query-processing", TaskStatus.PROCESSING),
            ("query-succeed", TaskStatus.SUCCEED),
            ("query-wrapped", TaskStatus.SUCCEED),
            ("query-variant-c", TaskStatus.SUCCEED),
            ("query-variant-d", TaskStatus.SUCCEED),
            ("query-succeed-without-url", TaskStatus.SUCCEED),
            ("query-failed-content", TaskStatus.FAILED),
        ],
    )
    def test_every_documented_state_in_every_envelope_is_read(self, name: str, status: TaskStatus) -> None:
        assert read_task(sampled(name), ID).status is status

    def test_no_sample_of_a_query_is_left_out(self) -> None:
        queries = {path.stem for path in CONTRACT.glob("query-*.json")}
        for name in queries:
            assert read_task(sampled(name), ID).task_id == ID

    @pytest.mark.parametrize("name", ["query-succeed", "query-wrapped", "query-variant-c", "query-variant-d"])
    def test_the_link_is_found_in_every_envelope(self, name: str) -> None:
        video = read_task(sampled(name), ID).video
        assert video is not None
        assert video.url == LINK

    def test_klings_whole_answer_is_kept(self) -> None:
        task = read_task(sampled("query-succeed"))
        assert task.videos[0].id == "880000000000000777"
        assert task.videos[0].seconds == 27.041
        assert (task.charged_units, task.charged_quota, task.charged_list_price) == ("10.8164", "0", "0")
        assert task.external_task_id == EXTERNAL_ID
        assert task.request_id == "5e0a4a0e-31d5-4b3c-8f0c-0d6c1f9a1003"
        assert task.updated_at == datetime(2026, 9, 21, 14, 20, 12, 4000, UTC)
        assert task.provider_status == "succeed"
        assert task.message == ""

    def test_a_success_without_a_link_keeps_what_the_provider_said(self) -> None:
        task = read_task(sampled("query-succeed-without-url"))
        assert task.video is None
        assert "no usable video link" in task.message
        assert '"videos": []' in task.message

    def test_the_reason_of_a_failure_is_kept(self) -> None:
        task = read_task(sampled("query-failed-content"))
        assert task.message == "rejected by the platform content check"
        assert not task.is_curable

    @pytest.mark.parametrize(
        "link", ["", None, 5, "ftp://a.example/x", "https://", "javascript:x", "/x.mp4", "http://[x"]
    )
    def test_a_link_that_is_no_address_is_no_link(self, link: object) -> None:
        videos = [{"id": "1", "url": link}, {"id": "2", "url": LINK, "duration": "x"}]
        task = task_of(task_status="succeed", task_result={"videos": videos})
        assert [video.id for video in task.videos] == ["2"]
        assert task.videos[0].seconds is None

    @pytest.mark.parametrize(
        ("outer", "inner", "status"),
        [
            ("FAILURE", "processing", TaskStatus.FAILED),
            ("FAILURE", "succeed", TaskStatus.FAILED),
            ("IN_PROGRESS", "submitted", TaskStatus.PROCESSING),
            ("SUCCESS", "failed", TaskStatus.SUCCEED),
            ("SUCCESS", "processing", TaskStatus.PROCESSING),
            ("ARCHIVED", "failed", TaskStatus.FAILED),
            ("ARCHIVED", "brewing", TaskStatus.UNKNOWN),
        ],
    )
    def test_the_outer_status_wins_and_the_other_word_is_recorded(
        self, outer: str, inner: str, status: TaskStatus
    ) -> None:
        task = task_of(status=outer, data={"code": 0, "data": {"task_status": inner}})
        assert task.status is status
        assert task.provider_status in {outer, inner}
        if status is not TaskStatus.UNKNOWN:
            (other,) = {outer, inner} - {task.provider_status}
            assert f"also says {other}" in task.message

    @pytest.mark.parametrize("word", ["processing", "failed"])
    def test_the_status_of_an_envelope_is_not_the_status_of_the_task(self, word: str) -> None:
        body = {"code": 0, "status": "success", "data": {"task_id": ID, "task_status": word}}
        assert read_task(answer(body)).status is TaskStatus(word)

    def test_an_unknown_word_is_kept_verbatim_and_runs_on(self) -> None:
        task = task_of(task_status="Brewing")
        assert (task.status, task.provider_status) == (TaskStatus.UNKNOWN, "Brewing")

    @pytest.mark.parametrize(
        "data",
        [
            {"task_status": "failed", "task_status_msg": "parallel task over resource pack limit"},
            {"status": "FAILURE", "fail_reason": "upstream: {'code': 1303, 'message': 'later'}"},
            {"status": "FAILURE", "data": {"code": 1302, "message": "too fast"}},
            {"status": "FAILURE", "fail_reason": "", "error": {"message": "code: 1303"}},
        ],
    )
    def test_a_parallel_limit_that_surfaces_late_is_curable(self, data: dict[str, object]) -> None:
        assert task_of(**data).is_curable

    def test_a_failed_flat_task_may_carry_its_reason_as_error(self) -> None:
        body = {"task_id": ID, "status": "failed", "error": {"code": 1301, "message": "content"}}
        task = read_task(answer(body))
        assert (task.status, task.service_code, task.message) == (TaskStatus.FAILED, 1301, "content")

    @pytest.mark.parametrize(
        "field", ["task_info", "task_result", "created_at", "updated_at", "final_unit_deduction",
                  "final_balance_deduction", "task_status_msg", "request_id", "watermark_info"]
    )  # fmt: skip
    @pytest.mark.parametrize(
        "value", [None, {}, [], "", 0, -1, "x", 1e400, {"videos": [None, 1, {}]}], ids=str
    )
    def test_any_optional_field_may_be_null_empty_or_nonsense(self, field: str, value: object) -> None:
        task = task_of(task_status="processing", **{field: value})
        assert task.status is TaskStatus.PROCESSING

    def test_a_moment_no_calendar_has_is_no_moment(self) -> None:
        assert task_of(created_at=10**17, updated_at="1790000000123").created_at is None
        assert task_of(created_at=10**17, updated_at="1790000000123").updated_at is not None

    def test_the_id_that_was_asked_for_stays_the_id(self) -> None:
        task = read_task(answer({"code": 0, "data": {"task_id": "99", "task_status": "processing"}}), ID)
        assert task.task_id == ID
        assert "99" in task.message

    @pytest.mark.parametrize(
        "body",
        [
            {"status": "failed", "message": "internal"},
            {"status": "error", "data": {}},
            {"data": {"status": "failed"}},
            {"code": 0, "data": {}},
            {"code": 0, "data": {"task_status": ""}},
            {"code": 0},
            {"code": 7, "data": {"task_id": ID, "task_status": "failed"}},
        ],
        ids=str,
    )
    def test_what_does_not_describe_the_task_is_no_verdict_on_it(self, body: object) -> None:
        with pytest.raises(ProviderUnavailable) as failure:
            read_task(answer(body), ID)
        assert failure.value.charged == "unknown"
        assert failure.value.facts.kling_task_id == ID

    def test_a_cut_answer_is_no_verdict(self) -> None:
        status, content = sample("query-failed-content")
        with pytest.raises(ProviderUnavailable, match="cut short: ReadError"):
            read_task(Answer(status, {}, content, cut="ReadError"), ID)

    def test_a_link_in_a_message_loses_its_signature(self) -> None:
        task = task_of(task_status="failed", task_status_msg=f"cannot read {LINK}?sig=5ec2e7")
        assert "5ec2e7" not in repr(task)

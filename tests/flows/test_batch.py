from __future__ import annotations

import asyncio
import json
import pickle
import sys
from pathlib import Path

import fsspec
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import State
from prefect.events.worker import EventsWorker

from blocks import AvatarArchive, CometAPICredentials
from blocks.errors import InvalidRequest
from blocks.kling.models import KlingTask
from blocks.sandbox.serve import RunningSandbox
from blocks.storage.journal import Entry
from flows.batch import generate_avatars, main
from flows.tasks import poll
from flows.tasks.connections import Connections
from flows.tasks.manifest import groups, rows
from flows.tasks.manifest.batch import Batch
from flows.tasks.manifest.results import SHOWN_ROWS, NotAllArchived, RowResult, table
from tests.flows.desk import bought, newest_table, put_text, results_beside, write_manifest
from tests.flows.story import drained


@pytest.fixture(autouse=True)
def fast(sandbox: RunningSandbox) -> None:
    sandbox.set(fast_clip=True)


async def ran(
    manifest: str, credentials: CometAPICredentials, archive: AvatarArchive, **parameters: object
) -> State[Batch]:
    state: State[Batch] = await generate_avatars(
        manifest, credentials=credentials, store=archive, return_state=True, **parameters
    )
    return state


async def results_of(state: State[Batch]) -> list[RowResult]:
    outcome = await state.aresult(raise_on_failure=False)
    assert isinstance(outcome, Batch | NotAllArchived), outcome
    return [RowResult.model_validate(result.model_dump()) for result in outcome.results]


def states(results: list[RowResult]) -> list[str]:
    return [result.state for result in results]


async def test_each_row_becomes_a_video_and_a_second_run_costs_nothing(
    tmp_path: Path, sandbox: RunningSandbox, credentials: CometAPICredentials, archive_block: AvatarArchive
) -> None:
    manifest = write_manifest(
        tmp_path / "in", "kim.png,kim.mp3,one", "kim.png,kim.mp3,two", "kim.png,kim.mp3,three"
    )
    first = await ran(manifest, credentials, archive_block)
    assert (first.name, first.is_completed()) == ("AllArchived", True)
    assert bought(sandbox) == (3, 3)
    written = results_beside(manifest)
    assert [(line["row"], line["state"], line["charged"]) for line in written] == [
        (1, "archived", "yes"),
        (2, "archived", "yes"),
        (3, "archived", "yes"),
    ]
    clips = [Path(line["clip"].removeprefix("file://")) for line in written]
    assert all(clip.stat().st_size > 1000 for clip in clips)
    assert all(float(line["estimated_usd"]) > 0 and line["seconds"] > 2 for line in written)

    again = await ran(manifest, credentials, archive_block)
    assert again.name == "AllArchived"
    assert states(await results_of(again)) == ["archived before"] * 3
    assert bought(sandbox) == (3, 3)
    rows_shown, description = await newest_table("generate-avatars")
    assert [row["state"] for row in rows_shown] == ["archived before"] * 3
    assert "3 archived before" in description
    assert str(Path(manifest).with_suffix(".results.jsonl")) in description


async def test_a_bad_row_stops_no_other(
    tmp_path: Path, sandbox: RunningSandbox, credentials: CometAPICredentials, archive_block: AvatarArchive
) -> None:
    manifest = write_manifest(
        tmp_path / "in",
        "kim.png,kim.mp3,good,std,1",
        "nobody.png,kim.mp3,good,hd,x",
        "kim.png,kim.mp3,[fault:failed-moderation],std,1",
        "kim.png,kim.mp3,[fault:1301],std,1",
        columns="image,audio,prompt,mode,take",
    )
    state = await ran(manifest, credentials, archive_block)
    assert (state.name, state.is_failed()) == ("PartlyArchived", True)
    good, invalid, failed, refused = await results_of(state)
    assert [good.state, invalid.state, failed.state, refused.state] == [
        "archived",
        "invalid",
        "failed",
        "failed",
    ]
    assert all(part in invalid.message for part in ("take: x", "mode: 'hd'", "nobody.png does not exist"))
    assert (invalid.charged, invalid.error) == ("no", "InvalidRequest")
    assert (failed.error, failed.charged) == ("TaskFailed", "unknown")
    assert (refused.error, refused.charged, refused.clip) == ("ContentRefused", "no", None)
    assert refused.next_step
    assert bought(sandbox)[0] == 3
    shown, _ = await newest_table("generate-avatars")
    assert [row["row"] for row in shown] == [2, 3, 4, 1]


async def test_stop_buys_nothing_when_a_row_cannot_be_used(
    tmp_path: Path, sandbox: RunningSandbox, credentials: CometAPICredentials, archive_block: AvatarArchive
) -> None:
    manifest = write_manifest(tmp_path / "in", "kim.png,kim.mp3,one", "kim.png,,two")
    state = await ran(manifest, credentials, archive_block, on_invalid="stop")
    assert state.name == "NoneArchived"
    assert states(await results_of(state)) == ["not bought", "invalid"]
    assert bought(sandbox) == (0, 0)
    put_text(Path(manifest), "image,audio,prompt\nkim.png,kim.mp3,one\n")
    assert (await ran(manifest, credentials, archive_block, on_invalid="stop")).name == "AllArchived"


async def test_rows_that_ask_for_the_same_are_one_job(
    tmp_path: Path, sandbox: RunningSandbox, credentials: CometAPICredentials, archive_block: AvatarArchive
) -> None:
    manifest = write_manifest(
        tmp_path / "in", "kim.png,kim.mp3,one", "kim.png,kim.mp3,two", "./kim.png,kim.mp3, one"
    )
    state = await ran(manifest, credentials, archive_block)
    assert state.name == "AllArchived"
    first, _, third = await results_of(state)
    assert (third.state, third.message) == ("duplicate", "The same job as row 1")
    assert (third.clip, third.job_id) == (first.clip, first.job_id)
    assert bought(sandbox) == (2, 2)


async def test_a_lost_answer_is_reported_and_the_next_run_adopts_what_was_bought(
    tmp_path: Path, sandbox: RunningSandbox, credentials: CometAPICredentials, archive_block: AvatarArchive
) -> None:
    manifest = write_manifest(
        tmp_path / "in", "kim.png,kim.mp3,one", "kim.png,kim.mp3,[fault:lost-response:1]"
    )
    blind = credentials.model_copy(update={"lookup": "no"})
    state = await ran(manifest, blind, archive_block)
    assert state.name == "PartlyArchived"
    _, lost = await results_of(state)
    assert (lost.state, lost.charged, lost.error) == ("needs decision", "unknown", "NeedsDecision")
    assert "decide flow" in lost.next_step
    seeing = credentials.model_copy(update={"lookup": "yes"})
    again = await ran(manifest, seeing, archive_block)
    assert states(await results_of(again)) == ["archived before", "archived"]
    assert bought(sandbox) == (2, 2)


async def test_an_overdue_row_stays_open_and_is_finished_by_the_next_run(
    tmp_path: Path, sandbox: RunningSandbox, credentials: CometAPICredentials, archive_block: AvatarArchive
) -> None:
    manifest = write_manifest(tmp_path / "in", "kim.png,kim.mp3,one")
    sandbox.set(render_seconds=3600)
    hasty = credentials.model_copy(update={"deadline_minutes": 0.005})
    (overdue,) = await results_of(await ran(manifest, hasty, archive_block))
    assert (overdue.state, overdue.charged) == ("overdue", "yes")
    assert overdue.kling_task_id
    sandbox.advance(3600)
    assert (await ran(manifest, credentials, archive_block)).name == "AllArchived"
    assert bought(sandbox) == (1, 1)


async def test_a_cancelled_batch_leaves_its_jobs_open_and_the_next_run_finishes_them(
    tmp_path: Path, sandbox: RunningSandbox, credentials: CometAPICredentials, archive_block: AvatarArchive
) -> None:
    manifest = write_manifest(tmp_path / "in", *(f"kim.png,kim.mp3,{number}" for number in range(5)))
    sandbox.set(render_seconds=3600)
    running = asyncio.create_task(
        generate_avatars(manifest, at_once=3, credentials=credentials, store=archive_block)
    )
    while bought(sandbox)[1] < 3:
        await asyncio.sleep(0.05)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert bought(sandbox) == (3, 3)
    assert len(list((tmp_path / "archive" / "open").iterdir())) == 3
    sandbox.set(render_seconds=0)
    sandbox.advance(3600)
    assert (await ran(manifest, credentials, archive_block)).name == "AllArchived"
    assert bought(sandbox) == (5, 5)
    assert list((tmp_path / "archive" / "open").iterdir()) == []


async def test_two_runs_of_the_same_manifest_buy_each_video_once(
    tmp_path: Path, sandbox: RunningSandbox, credentials: CometAPICredentials, archive_block: AvatarArchive
) -> None:
    manifest = write_manifest(tmp_path / "in", *(f"kim.png,kim.mp3,{number}" for number in range(3)))
    both = await asyncio.gather(
        ran(manifest, credentials, archive_block), ran(manifest, credentials, archive_block)
    )
    assert [state.name for state in both] == ["AllArchived"] * 2
    assert bought(sandbox) == (3, 3)
    assert len(results_beside(manifest)) == 3


async def test_never_more_jobs_in_flight_than_asked_for(
    tmp_path: Path, sandbox: RunningSandbox, credentials: CometAPICredentials, archive_block: AvatarArchive
) -> None:
    sandbox.set(max_in_flight=2)
    patience = credentials.model_copy(update={"wait_seconds": 0})
    manifest = write_manifest(tmp_path / "in", *(f"kim.png,kim.mp3,{number}" for number in range(4)))
    assert (await ran(manifest, patience, archive_block, at_once=2)).name == "AllArchived"
    assert bought(sandbox) == (4, 4)


@pytest.mark.parametrize(("shown_in_steps", "task_runs", "retries"), [(50, 8, 1), (1, 1, 0)])
async def test_a_failure_after_the_purchase_is_tried_again_and_nothing_is_bought_again(
    shown_in_steps: int,
    task_runs: int,
    retries: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    sandbox: RunningSandbox,
    credentials: CometAPICredentials,
    archive_block: AvatarArchive,
    asserting_events_worker: EventsWorker,
) -> None:
    monkeypatch.setattr(rows, "_SHOWN_IN_STEPS", shown_in_steps)
    manifest = write_manifest(tmp_path / "in", "kim.png,kim.mp3,[fault:dead-link:6]", "kim.png,kim.mp3,two")
    assert (await ran(manifest, credentials, archive_block)).name == "AllArchived"
    assert bought(sandbox) == (2, 2)
    events = [event.event for event in await drained(asserting_events_worker)]
    assert events.count("prefect.task-run.AwaitingRetry") == retries
    assert events.count("prefect.task-run.Completed") == task_runs
    assert events.count("prefect.task-run.Pending") == task_runs


async def test_many_rows_are_few_task_runs_that_tell_the_truth(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    sandbox: RunningSandbox,
    credentials: CometAPICredentials,
    archive_block: AvatarArchive,
) -> None:
    monkeypatch.setattr(rows, "_SHOWN_IN_STEPS", 1)
    monkeypatch.setattr(groups, "_ROWS", 2)
    manifest = write_manifest(
        tmp_path / "in",
        "kim.png,kim.mp3,one",
        "kim.png,kim.mp3,two",
        "kim.png,missing.mp3,three",
        "kim.png,kim.mp3,[fault:failed-moderation]",
        "kim.png,kim.mp3,five",
    )
    state = await ran(manifest, credentials, archive_block)
    assert bought(sandbox)[0] == 4
    async with get_client() as client:
        told: list[tuple[str, str, str | None]] = []
        chosen = FlowRunFilter(id=FlowRunFilterId(any_=[state.state_details.flow_run_id]))
        for _ in range(200):
            runs = await client.read_task_runs(flow_run_filter=chosen)
            told = sorted((run.name, run.state.type.value, run.state.message) for run in runs if run.state)
            if len(told) == 2 and all(kind in {"COMPLETED", "FAILED"} for _, kind, _ in told):
                break
            await asyncio.sleep(0.1)
    assert told == [
        ("rows 1 to 2", "COMPLETED", "2 archived"),
        ("rows 4 to 5", "FAILED", "1 archived, 1 failed"),
    ]


@pytest.mark.parametrize("error", [RuntimeError("https://example.com/?secret"), asyncio.CancelledError()])
async def test_an_unexpected_error_of_a_row_stops_no_other_and_is_not_quoted(
    tmp_path: Path,
    credentials: CometAPICredentials,
    archive_block: AvatarArchive,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
) -> None:
    async def fails_for_one(entry: Entry, connections: Connections) -> KlingTask:
        if entry.job["prompt"] == "bad":
            raise error
        return await wait_for_task(entry, connections)

    wait_for_task = poll.wait_for_task
    monkeypatch.setattr(poll, "wait_for_task", fails_for_one)
    manifest = write_manifest(tmp_path / "in", "kim.png,kim.mp3,bad", "kim.png,kim.mp3,good")
    bad, good = await results_of(await ran(manifest, credentials, archive_block, at_once=1))
    assert (bad.state, bad.charged, good.state) == ("error", "unknown", "archived")
    assert type(error).__name__ in bad.message
    assert "secret" not in bad.model_dump_json()


async def test_results_go_to_the_archive_where_the_manifest_cannot_have_them(
    tmp_path: Path, credentials: CometAPICredentials, archive_block: AvatarArchive
) -> None:
    manifest = write_manifest(tmp_path / "in", "kim.png,kim.mp3,one")
    (tmp_path / "in" / "m.results.jsonl").mkdir()
    batch = await (await ran(manifest, credentials, archive_block)).aresult()
    written = Path(batch.written_to.removeprefix("file://"))
    assert written.is_relative_to(tmp_path / "archive" / "results")
    assert json.loads(written.read_text())["state"] == "archived"
    assert sorted(path.name for path in (tmp_path / "in").iterdir()) == [
        "kim.mp3",
        "kim.png",
        "m.csv",
        "m.results.jsonl",
    ]


async def test_a_manifest_in_a_bucket_has_its_inputs_and_results_beside_it(
    tmp_path: Path, face: str, voice: str, credentials: CometAPICredentials, archive_block: AvatarArchive
) -> None:
    bucket = fsspec.filesystem("memory")
    bucket.pipe_file("/batch/in/faces/kim.png", Path(face).read_bytes())
    bucket.pipe_file("/batch/in/kim.mp3", Path(voice).read_bytes())
    bucket.pipe_file("/batch/in/m.jsonl", b'{"image": "faces/kim.png", "audio": "kim.mp3"}\n')
    state = await ran("memory://batch/in/m.jsonl", credentials, archive_block)
    assert (await state.aresult()).written_to == "memory://batch/in/m.results.jsonl"
    assert json.loads(bucket.cat_file("/batch/in/m.results.jsonl"))["state"] == "archived"


async def test_a_manifest_with_a_misspelled_column_buys_nothing(
    tmp_path: Path, sandbox: RunningSandbox, credentials: CometAPICredentials, archive_block: AvatarArchive
) -> None:
    manifest = write_manifest(tmp_path / "in", "kim.png,kim.mp3,one", columns="image,audio,promt")
    with pytest.raises(InvalidRequest, match="unknown column 'promt'"):
        await generate_avatars(manifest, credentials=credentials, store=archive_block)
    assert bought(sandbox) == (0, 0)


def test_the_command_prints_what_became_of_each_row(
    tmp_path: Path,
    sandbox: RunningSandbox,
    archive_block: AvatarArchive,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COMETAPI_KEY", "sandbox-key")
    monkeypatch.setenv("COMETAPI_BASE_URL", sandbox.url)
    monkeypatch.setenv("COMETAPI_FIRST_POLL_SECONDS", "0.1")
    monkeypatch.setenv("COMETAPI_RENDER_FACTOR", "0")
    monkeypatch.setenv("COMETAPI_POLL_SECONDS", "0.1")
    monkeypatch.setenv("AVATAR_ARCHIVE_URL", archive_block.url)
    manifest = write_manifest(tmp_path / "in", "kim.png,kim.mp3,one", "nobody.png,kim.mp3,two")
    monkeypatch.setattr(sys, "argv", ["batch", manifest, "--at-once", "2"])
    with pytest.raises(SystemExit, match="1 archived, 1 invalid"):
        main()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["state"] for line in lines] == ["archived", "invalid"]
    put_text(Path(manifest), "image,audio,prompt\nkim.png,kim.mp3,one\n")
    main()
    assert json.loads(capsys.readouterr().out)["state"] == "archived before"


def test_a_table_shows_at_most_so_many_rows_and_what_needs_a_look_first() -> None:
    results = [RowResult(row=row, state="archived", clip="clip") for row in range(1, SHOWN_ROWS + 1)]
    shown = table([*results, RowResult(row=SHOWN_ROWS + 1, state="invalid", message="why")])
    assert len(shown) == SHOWN_ROWS
    assert (shown[0]["row"], shown[0]["clip or reason"]) == (SHOWN_ROWS + 1, "why")


def test_the_error_of_a_batch_can_be_pickled_with_its_results() -> None:
    error = NotAllArchived("1 invalid", results=[RowResult(row=1, state="invalid")])
    copy = pickle.loads(pickle.dumps(error.about(job_id="a")))  # noqa: S301 # our own bytes
    assert (copy.results, copy.facts.job_id, str(copy)) == (error.results, "a", str(error))

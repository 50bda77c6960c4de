"""A deployed run frees its worker while Kling works, and goes on when it is called, or when nobody calls."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.states import Crashed

from blocks import AvatarArchive, CometAPICredentials
from blocks.errors import JobOverdue, TaskFailed
from blocks.sandbox.serve import RunningSandbox
from blocks.storage.sidecar import Sidecar
from flows.avatar import generate_avatar
from flows.reconcile import reconcile_jobs
from flows.speech import speak_avatar
from flows.tasks.waiting import bell, resume
from tests.flows.calling import SECRET, path_of, receiver, saying
from tests.flows.deployed import Deployed
from tests.flows.spoken import books
from tests.flows.story import Ask, entries_of, eventually, open_jobs
from tests.servers import free_port

URL = "https://bell.example.org/kling"
Start = Callable[..., Awaitable[Deployed]]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bell, "_PAUSES", (0.0, *[0.2] * 50))
    monkeypatch.setattr(resume, "_REST_SECONDS", 0.0)


@pytest.fixture
def called(credentials: CometAPICredentials) -> CometAPICredentials:
    fields = {"callback_secret": SECRET, "callback_url": URL, "lookup": "no"}
    return CometAPICredentials.model_validate(dict(credentials) | fields)


@pytest.fixture
def prompt(tmp_path: Path) -> str:
    """Make the job of each test another one: all share a server, and runs are found by their job."""
    return f"Speaks as in {tmp_path}"


@pytest.fixture
async def start(
    limited: None,
    sandbox: RunningSandbox,
    called: CometAPICredentials,
    archive_block: AvatarArchive,
    face: str,
    voice: str,
    prompt: str,
) -> AsyncIterator[Start]:
    """Yield what starts one run of the deployment after the other; their videos take an hour to render."""
    sandbox.set(fast_clip=True, render_seconds=3600, callbacks="never")
    block_id = await archive_block.asave("of-this-test", overwrite=True)
    deployment = await generate_avatar.ato_deployment("suspending", tags=["kling-avatar"])
    deployment_id = await deployment.aapply()
    async with get_client() as client:

        async def begin(take: int = 1, **fields: Any) -> Deployed:
            await called.model_copy(update=fields).asave("called", overwrite=True)
            parameters = {
                "image": face,
                "audio": voice,
                "take": take,
                "prompt": prompt,
                "wait": "callback",
                "credentials": "called",
                "store": {"$ref": str(block_id)},
            }
            started = await client.create_flow_run_from_deployment(deployment_id, parameters=parameters)
            return Deployed(client, sandbox, {"credentials": called, "store": archive_block}, started.id)

        yield begin


async def job_of_only(run: Deployed) -> str:
    [job_id] = await open_jobs(run.settings["store"])
    return job_id


async def becomes(run: Deployed, state: str) -> None:
    async with asyncio.timeout(60):
        while await run.state() != state:
            await asyncio.sleep(0.1)


def reads(sandbox: RunningSandbox) -> list[str]:
    """Return the requests to the provider's API, by method."""
    return [entry["method"] for entry in sandbox.requests()]


async def test_it_waits_without_a_process_and_goes_on_when_it_is_called(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await start()
    await run.suspend()
    job_id = await job_of_only(run)
    async with receiver(monkeypatch) as provider:
        await provider.post(path_of(job_id), content=saying("processing"))
        await provider.post(path_of(job_id, SECRET[::-1]), content=saying("succeed"))
        await asyncio.sleep(0.5)
        assert await run.state() == "Suspended"
        run.sandbox.advance(3600)
        await provider.post(path_of(job_id), content=saying("succeed"))
        await provider.post(path_of(job_id), content=saying("succeed"))
        await becomes(run, "Resuming")
    sidecar = await run.execute()
    assert await run.state() == "Completed"
    assert sidecar.job_id == job_id
    assert [entry.step for entry in await entries_of(run.settings["store"], job_id)] == [
        "intent",
        "submitted",
    ]
    # The key is proved, the video is bought, the task is read once.
    assert reads(run.sandbox) == ["GET", "POST", "GET"]
    flow_run = await run.client.read_flow_run(run.flow_run_id)
    assert set(flow_run.tags) == {"kling-avatar", f"kling-job:{job_id}"}


async def test_a_spoken_text_waits_for_all_its_clips_and_buys_each_once(
    limited: None,
    sandbox: RunningSandbox,
    called: CometAPICredentials,
    archive_block: AvatarArchive,
    face: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sandbox.set(fast_clip=True, render_seconds=3600, callbacks="never")
    block_id = await archive_block.asave("of-this-test", overwrite=True)
    await called.model_copy(update={"max_audio_seconds": 8}).asave("called", overwrite=True)
    deployment = await speak_avatar.ato_deployment("suspending", tags=["kling-avatar"])
    deployment_id = await deployment.aapply()
    sentence = (
        "Good morning to all of you, this is the news of {}. And it goes on for a little while longer. "
    )
    parameters = {
        "image": face,
        "text": sentence.format("today") + sentence.format("tomorrow"),
        "voice": "oversea_male1",
        "split": True,
        "wait": "callback",
        "credentials": "called",
        "store": {"$ref": str(block_id)},
    }
    async with get_client() as client:
        started = await client.create_flow_run_from_deployment(deployment_id, parameters=parameters)
        settings = {"credentials": called, "store": archive_block}
        run = Deployed(client, sandbox, settings, started.id, speak_avatar)
        await run.suspend()
        jobs = await open_jobs(archive_block)
        clips = len(jobs)
        assert clips > 1
        flow_run = await client.read_flow_run(run.flow_run_id)
        assert {f"kling-job:{job}" for job in jobs} <= set(flow_run.tags)
        bought = books(sandbox)
        async with receiver(monkeypatch) as provider:
            sandbox.advance(3600)
            await provider.post(path_of(jobs[0]), content=saying("succeed"))
            await becomes(run, "Resuming")
        sidecars = await run.execute()
    assert sorted(sidecar.job_id for sidecar in sidecars) == sorted(jobs)
    assert books(sandbox) == bought
    assert bought[:2] == (clips, clips)


async def test_the_provider_calls_the_receiver_in_both_modes(
    start: Start, ask: Ask, prefect_environment: dict[str, str], tmp_path: Path
) -> None:
    """The command of the README, over real HTTP; its log does not show the token."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/kling"
    run = await start(callback_url=url)
    run.sandbox.set(callbacks="once")
    # Prefect's own logging keeps uvicorn's lines back below this level.
    environment = prefect_environment | {
        "COMETAPI_CALLBACK_SECRET": SECRET,
        "PREFECT_SERVER_LOGGING_LEVEL": "INFO",
    }
    with _running(port, environment, tmp_path / "log"):
        await eventually(lambda: _answers(port))
        await run.suspend()
        jobs = {await job_of_only(run)}
        run.sandbox.advance(3600)
        await becomes(run, "Resuming")
        run.sandbox.set(render_seconds=0.1)
        polling = run.settings["credentials"].model_copy(update={"callback_url": url})
        jobs.add((await ask(take=2, credentials=polling)).job_id)
        await eventually(lambda: [entry["answer"] for entry in run.sandbox.callbacks()] == [200] * 6)
    log = (tmp_path / "log").read_text()
    assert log.count("POST /[...] HTTP/1.1") >= 6
    assert not [job for job in jobs if path_of(job)[-40:] in log]
    assert (await run.execute()).job_id in jobs


@contextmanager
def _running(port: int, environment: dict[str, str], log: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "uvicorn", "flows.callback:app", "--port", str(port)]
    with (
        log.open("w") as output,
        subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=output, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/", trust_env=False, timeout=5).is_success
    except httpx.TransportError:
        return False


async def test_a_call_before_it_has_suspended_is_tried_again(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider may be faster than the answer to the POST; and a call is no answer of a person."""
    run = await start()
    run.sandbox.fault("lost-response", count=1)
    await run.suspend()
    job_id = await job_of_only(run)
    run.sandbox.advance(3600)
    async with receiver(monkeypatch) as provider:
        await provider.post(path_of(job_id), content=saying("succeed"))
        await asyncio.sleep(0.5)
        assert await run.state() == "Suspended"
        (charge,) = run.sandbox.ledger()["charges"]
        await run.answer(choice="adopt", kling_task_id=charge["task_id"])
        run.sandbox.fault("stuck", count=2)  # for the check of the answer, and for the look
        await run.suspend()
        await becomes(run, "Resuming")
    assert (await run.execute()).job_id == job_id
    assert run.sandbox.ledger()["posts"] == 1


async def test_an_early_call_costs_a_look_and_it_waits_on(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await start()
    await run.suspend()
    job_id = await job_of_only(run)
    async with receiver(monkeypatch) as provider:
        await provider.post(path_of(job_id), content=b"what is this?")
        await becomes(run, "Resuming")
        await run.suspend()
        run.sandbox.advance(3600)
        await provider.post(path_of(job_id), content=saying("succeed"))
        await becomes(run, "Resuming")
    assert (await run.execute()).job_id == job_id


async def test_it_is_not_resumed_while_its_process_may_still_be_ending(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker with a limit of its own would end with an error."""
    run = await start()
    await run.suspend()
    job_id = await job_of_only(run)
    monkeypatch.setattr(resume, "_REST_SECONDS", 3600.0)
    assert not await resume.resume_waiting(job_id, run.client)
    assert await run.state() == "Suspended"
    monkeypatch.setattr(resume, "_REST_SECONDS", 0.0)
    assert await resume.resume_waiting(job_id, run.client)
    assert await run.state() == "Resuming"


@pytest.mark.parametrize("resumed", [False, True])
@pytest.mark.parametrize("by", ["call", "reconcile"])
async def test_a_wait_that_was_taken_for_a_crash_ends_all_the_same(
    start: Start, by: str, *, resumed: bool
) -> None:
    """A busy server may lose the event that a run was suspended, and then its silence looks like a crash."""
    run = await start()
    await run.suspend()
    job_id = await job_of_only(run)
    if resumed:
        await run.client.resume_flow_run(run.flow_run_id)
    await run.client.set_flow_run_state(run.flow_run_id, Crashed(), force=True)
    run.sandbox.advance(3600)
    if by == "call":
        assert await resume.resume_waiting(job_id, run.client)
    else:
        await reconcile_jobs(**run.settings)
    assert await run.state() == "AwaitingRetry"
    assert (await run.execute()).job_id == job_id
    assert run.sandbox.ledger()["posts"] == 1


async def test_reconcile_finds_what_nobody_called_about(start: Start) -> None:
    run = await start()
    await run.suspend()
    (report,) = await reconcile_jobs(**run.settings)
    assert (report.state, await run.state()) == ("running", "Suspended")
    run.sandbox.advance(3600)
    (report,) = await reconcile_jobs(**run.settings)
    assert (report.state, await run.state()) == ("archived", "Resuming")
    assert (await run.execute()).job_id == report.job_id
    assert run.sandbox.ledger()["posts"] == 1


async def test_reconcile_finds_what_another_run_has_archived(start: Start, ask: Ask, prompt: str) -> None:
    run = await start()
    await run.suspend()
    run.sandbox.advance(3600)
    await ask(prompt=prompt, **run.settings)
    assert await open_jobs(run.settings["store"]) == []
    assert await reconcile_jobs(**run.settings) == []
    assert await run.state() == "Resuming"


async def test_runs_of_another_archive_are_left_alone(start: Start, tmp_path: Path) -> None:
    run = await start()
    await run.suspend()
    other = AvatarArchive(url=str(tmp_path / "other"))
    assert await reconcile_jobs(credentials=run.settings["credentials"], store=other) == []
    assert await run.state() == "Suspended"


async def test_a_failed_task_ends_it_as_polling_would(start: Start) -> None:
    run = await start()
    run.sandbox.fault("failed-moderation")
    await run.suspend()
    run.sandbox.advance(3600)
    await reconcile_jobs(**run.settings)
    with pytest.raises(TaskFailed, match="content check"):
        await run.execute()


async def test_it_does_not_wait_for_ever(start: Start) -> None:
    run = await start(deadline_minutes=0.001)
    run.settings["credentials"] = run.settings["credentials"].model_copy(update={"deadline_minutes": 0.001})
    await run.suspend()
    await asyncio.sleep(0.1)
    (report,) = await reconcile_jobs(**run.settings)
    assert report.state == "overdue"
    with pytest.raises(JobOverdue):
        await run.execute()
    assert await open_jobs(run.settings["store"]) == [report.job_id]


async def test_where_nobody_could_go_on_with_it_it_polls_and_says_so(
    ask: Ask, called: CometAPICredentials, sandbox: RunningSandbox, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        sidecar = await ask(wait="callback", credentials=called)
    assert isinstance(sidecar, Sidecar)
    assert "keeps its worker and polls: it is not a run of a deployment" in caplog.text


async def test_without_a_callback_url_it_polls_and_says_so(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    run = await start(callback_url="")
    run.sandbox.set(render_seconds=0.1)
    await run.execute()
    assert "has no callback URL" in caplog.text


async def test_one_run_tells_the_next_that_the_key_was_taken(start: Start) -> None:
    run = await start()
    await run.suspend()
    assert reads(run.sandbox) == ["GET", "POST"]
    await (await start(take=2)).suspend()
    assert reads(run.sandbox) == ["GET", "POST", "POST"]

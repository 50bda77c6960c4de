"""Every run that fails says on its page what happened, whether money was spent, and what to do next."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import Artifact, State
from prefect.states import Crashed, Running

from blocks import AvatarArchive, CometAPICredentials
from blocks.errors import ClipUnavailable
from blocks.sandbox.serve import RunningSandbox
from flows import avatar
from flows.avatar import generate_avatar
from flows.batch import generate_avatars
from flows.tasks.help import hooks
from flows.upkeep import retry_crashed
from tests.flows.desk import write_manifest
from tests.flows.story import Ask, entries_of, eventually, open_jobs
from tests.flows.test_interrupted import run_again


async def help_of(flow_run_id: UUID) -> str:
    """Return the one artifact with help on the page of a run; empty when there is none."""
    found = [each for each in await artifacts_of(flow_run_id) if each.key == hooks.KEY]
    assert len(found) <= 1, found
    return str(found[0].data) if found else ""


async def artifacts_of(flow_run_id: UUID) -> list[Artifact]:
    wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id]))
    async with get_client() as client:
        return await client.read_artifacts(artifact_filter=wanted)


def run_of(state: State[Any]) -> UUID:
    assert state.state_details.flow_run_id
    return state.state_details.flow_run_id


async def test_a_refused_request_lists_every_fault(ask: Ask) -> None:
    state = await ask(prompt=" ", take=0, return_state=True)
    page = await help_of(run_of(state))
    assert "The parameters were not accepted" in page, "Prefect itself refuses a take below 1"
    assert "**No.** Nothing was spent." in page
    page = await help_of(run_of(await ask(prompt=" ", audio_id="17", return_state=True)))
    assert re.findall(r"^- \*\*(.+?)\*\*: ", page, re.MULTILINE) == ["audio", "prompt"]
    assert "**No.** Nothing was spent." in page
    assert "row `InvalidRequest`" in page


async def test_a_doubt_names_the_job_and_the_commands_that_decide(
    ask: Ask, sandbox: RunningSandbox, credentials: CometAPICredentials, archive_block: AvatarArchive
) -> None:
    sandbox.fault("lost-response", count=1)
    state = await ask(credentials=credentials.model_copy(update={"lookup": "no"}), return_state=True)
    page = await help_of(run_of(state))
    (job_id,) = await open_jobs(archive_block)
    entry = (await entries_of(archive_block, job_id))[-1]
    assert f"| job | `{job_id}` |" in page
    assert f"| external task id | `{entry.external_task_id}` |" in page
    assert "**Unknown.**" in page
    assert f"about {entry.job['estimated_usd'].rstrip('0')} US dollars by list price if it was bought" in page
    for choice in ('"adopt" --kling-task-id "…"', '"post again"', '"give up"'):
        assert f'python -m flows.decide --choice {choice} --job-id "{job_id}"\n' in page


async def test_a_failed_task_says_what_it_cost_and_how_another_take_is_bought(
    ask: Ask, sandbox: RunningSandbox
) -> None:
    sandbox.fault("failed-moderation", count=1)
    page = await help_of(run_of(await ask(take=4, return_state=True)))
    (task,) = sandbox.tasks()
    assert f"| Kling task | `{task['task_id']}` |" in page
    assert "with `--take 5`" in page
    assert "Run it again" not in page


async def test_help_goes_when_the_run_completes_after_all(ask: Ask, sandbox: RunningSandbox) -> None:
    sandbox.fault("delivery-500")
    flow_run_id = run_of(await ask(return_state=True))
    page = await help_of(flow_run_id)
    assert re.search(r"\*\*Yes\.\*\* Money was spent\. It costs about 0\.3\d+ US dollars", page)
    assert "\npython -m flows.reconcile\n" in page.replace("   ", "")
    with pytest.raises(ClipUnavailable):
        await run_again(flow_run_id)
    assert await help_of(flow_run_id)
    sandbox.clear_faults()
    await run_again(flow_run_id)
    assert await help_of(flow_run_id) == ""


async def test_a_batch_counts_its_reasons(
    tmp_path: Path, sandbox: RunningSandbox, credentials: CometAPICredentials, archive_block: AvatarArchive
) -> None:
    sandbox.set(fast_clip=True)
    rows = (
        "kim.png,kim.mp3,a",
        "nobody.png,kim.mp3,b",
        "nobody.png,kim.mp3,c",
        "kim.png,kim.mp3,[fault:1301]",
    )
    state = await generate_avatars(
        write_manifest(tmp_path, *rows), credentials=credentials, store=archive_block, return_state=True
    )
    page = await help_of(run_of(state))
    assert "### 3 of 4 are not in the archive" in page
    counted = re.findall(r"^- \*\*(\d .+)\.\*\* ", page, re.MULTILINE)
    assert counted == ["2 invalid, InvalidRequest", "1 failed, ContentRefused"]
    assert "3 not paid for" in page


async def test_an_unexpected_error_is_named_by_its_class_only(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise LookupError("Bearer sk-secret")

    monkeypatch.setattr(avatar, "validate", fail)
    page = await help_of(run_of(await ask(return_state=True)))
    assert "unexpected LookupError" in page
    assert "sk-secret" not in page


async def test_help_that_cannot_be_left_changes_nothing(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("the server is gone")

    monkeypatch.setattr(hooks, "leave_help", fail)
    state = await ask(prompt=" ", return_state=True)
    assert (state.name, await help_of(run_of(state))) == ("Failed", "")


async def test_a_run_that_is_killed_says_what_it_had_bought(ask: Ask, sandbox: RunningSandbox) -> None:
    sandbox.set(render_seconds=100)
    name = f"killed {uuid4()}"
    run = asyncio.ensure_future(ask(name=name))
    await eventually(lambda: any(task["queries"] > 1 for task in sandbox.tasks()))
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    async with get_client() as client:
        (crashed,) = [each for each in await client.read_flow_runs() if each.name.startswith(name)]
    page = await help_of(crashed.id)
    assert "### The run crashed" in page
    assert "\npython -m flows.reconcile\n" in page.replace("   ", "")


async def test_a_run_that_crashed_too_often_gets_its_help_from_upkeep(ask: Ask) -> None:
    async with get_client() as client:
        lost = await client.create_flow_run(generate_avatar, parameters={}, name=f"lost {uuid4()}")
        turns: list[State[Any]] = [Running(), Crashed(message="lost")]
        for state in turns:
            await client.set_flow_run_state(lost.id, state, force=True)
    told: Any = await retry_crashed(str(lost.id), attempts=0, return_state=True)
    assert told.is_failed()
    assert "### The run crashed too often and was left" in await help_of(lost.id)
    assert "crashed again after 0 restarts" in await help_of(run_of(told))

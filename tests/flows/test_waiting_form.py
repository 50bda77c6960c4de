"""A deployed run that nobody can judge waits with a form, and goes on as a person answers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.responses import SetStateStatus

from blocks import AvatarArchive, CometAPICredentials
from blocks.errors import JobGivenUp
from blocks.sandbox.serve import RunningSandbox
from flows.avatar import generate_avatar
from flows.decide import decide
from flows.reconcile import reconcile_jobs
from tests.flows.deployed import Deployed


@pytest.fixture
async def run(
    sandbox: RunningSandbox,
    credentials: CometAPICredentials,
    archive_block: AvatarArchive,
    face: str,
    voice: str,
    limited: None,
) -> AsyncIterator[Deployed]:
    sandbox.set(fast_clip=True)
    unsure = credentials.model_copy(update={"lookup": "no"})
    await unsure.asave("unsure", overwrite=True)
    block_id = await archive_block.asave("of-this-test", overwrite=True)
    deployment = await generate_avatar.ato_deployment("waiting")
    async with get_client() as client:
        started = await client.create_flow_run_from_deployment(
            await deployment.aapply(),
            parameters={
                "image": face,
                "audio": voice,
                "credentials": "unsure",
                "store": {"$ref": str(block_id)},
            },
        )
        settings = {"credentials": unsure, "store": archive_block}
        yield Deployed(client, sandbox, settings, started.id)


async def test_the_form_says_what_is_known_and_offers_the_choices(run: Deployed) -> None:
    run.sandbox.fault("504-5002-after-accept", count=1)
    await run.suspend()
    description, schema = await run.form()
    (charge,) = run.sandbox.ledger()["charges"]
    for known in (charge["external_task_id"], "504, 5002", "request id", "Nobody can tell"):
        assert known in description
    assert schema["properties"]["choice"]["enum"] == ["adopt", "post again", "give up"]
    assert {field["title"] for field in schema["properties"].values()} == {"Choice", "Kling task id"}
    assert schema["required"] == ["choice"]


async def test_a_task_that_was_adopted_is_collected_by_the_run_itself(run: Deployed) -> None:
    run.sandbox.fault("lost-response", count=1)
    await run.suspend()
    (charge,) = run.sandbox.ledger()["charges"]
    assert await run.answer(choice="adopt", kling_task_id=charge["task_id"]) is SetStateStatus.ACCEPT
    sidecar = await run.execute()
    assert await run.state() == "Completed"
    assert sidecar.provided.task_id == charge["task_id"]
    assert run.sandbox.ledger()["posts"] == 1


async def test_a_job_that_is_posted_again_is_bought_by_the_run_itself(run: Deployed) -> None:
    run.sandbox.fault("500-before-accept", count=1)
    await run.suspend()
    assert await run.answer(choice="post again") is SetStateStatus.ACCEPT
    sidecar = await run.execute()
    (charge,) = run.sandbox.ledger()["charges"]
    assert sidecar.provided.task_id == charge["task_id"]
    assert run.sandbox.ledger()["posts"] == 2


async def test_a_job_that_is_given_up_ends_the_run(run: Deployed) -> None:
    run.sandbox.fault("lost-response", count=1)
    await run.suspend()
    await run.answer(choice="give up")
    with pytest.raises(JobGivenUp):
        await run.execute()
    assert (await run.state(), run.sandbox.ledger()["posts"]) == ("Failed", 1)


async def test_nobody_answering_changes_nothing(run: Deployed) -> None:
    run.sandbox.fault("lost-response", count=1)
    await run.suspend()
    before = run.sandbox.ledger()
    (report,) = await reconcile_jobs(**run.settings)
    assert report.state == "needs decision"
    assert (await run.state(), run.sandbox.ledger()) == ("Suspended", before)


@pytest.mark.parametrize("answer", [{"choice": "buy"}, {}, {"kling_task_id": "17"}], ids=str)
async def test_an_answer_that_the_form_does_not_offer_is_refused(
    answer: dict[str, str], run: Deployed
) -> None:
    run.sandbox.fault("lost-response", count=1)
    await run.suspend()
    assert await run.answer(**answer) is SetStateStatus.REJECT
    assert await run.state() == "Suspended"


async def test_an_answer_to_one_doubt_is_never_applied_to_the_next(run: Deployed) -> None:
    """Otherwise "post again" would go on paying without anybody asking for it."""
    run.sandbox.fault("lost-response", count=2)
    await run.suspend()
    await run.answer(choice="post again")
    await run.suspend()
    assert len(run.sandbox.ledger()["charges"]) == 2
    newest = run.sandbox.ledger()["charges"][-1]
    await run.answer(choice="adopt", kling_task_id=newest["task_id"])
    assert (await run.execute()).provided.task_id == newest["task_id"]
    assert run.sandbox.ledger()["posts"] == 2


async def test_a_mistyped_answer_is_asked_for_again(run: Deployed) -> None:
    run.sandbox.fault("lost-response", count=1)
    await run.suspend()
    await run.answer(choice="adopt", kling_task_id="880000000000000001")
    await run.suspend()
    assert "The answer 'adopt' could not be used" in (await run.form())[0]
    (charge,) = run.sandbox.ledger()["charges"]
    await run.answer(choice="adopt", kling_task_id=charge["task_id"])
    assert (await run.execute()).provided.task_id == charge["task_id"]
    assert run.sandbox.ledger()["posts"] == 1


async def test_a_refused_answer_is_never_applied_later(run: Deployed) -> None:
    """What was refused because the provider knew better must not be done when the provider is silent."""
    seeing = run.settings["credentials"].model_copy(update={"lookup": "probe"})
    await seeing.asave("unsure", overwrite=True)
    run.sandbox.fault("lost-response", count=1)
    # Not found: when the key is tried, when the answer is lost, and when the run goes on; then it appears.
    run.sandbox.fault("query-1203-early", count=3)
    await run.suspend()
    await run.answer(choice="post again")
    await run.suspend()
    assert "was bought for this job; adopt it" in (await run.form())[0]
    run.sandbox.fault("query-500")
    await run.answer(choice="give up")
    with pytest.raises(JobGivenUp):
        await run.execute()
    assert run.sandbox.ledger()["posts"] == 1


async def test_what_was_settled_meanwhile_is_not_asked_again(run: Deployed) -> None:
    run.sandbox.fault("lost-response", count=1)
    await run.suspend()
    (charge,) = run.sandbox.ledger()["charges"]
    (report,) = await reconcile_jobs(**run.settings)
    await decide(report.job_id, "adopt", charge["task_id"], **run.settings)
    await run.retry()
    assert (await run.execute()).provided.task_id == charge["task_id"]
    assert run.sandbox.ledger()["posts"] == 1

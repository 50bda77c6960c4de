"""When nobody can tell whether a video was bought, a person decides, once for each doubt."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from blocks import AvatarArchive, CometAPICredentials
from blocks.errors import (
    AvatarError,
    InvalidRequest,
    JobGivenUp,
    JobInProgress,
    NeedsDecision,
    ProviderUnavailable,
    TaskNotFound,
)
from blocks.kling.models import AvatarRequest
from blocks.sandbox.serve import RunningSandbox
from blocks.storage.journal import Entry, Outcome, Step, now
from flows.avatar import generate_avatar
from flows.decide import decide
from flows.reconcile import reconcile_jobs
from flows.tasks.connections import connect
from flows.tasks.decision import Choice, Decision, decide_job
from tests.blocks.sandbox.media import picture, sound, text
from tests.flows.story import Ask, eventually

JOB = "ab" * 32
NAME = "b5f1c2d3-0000-5000-8000-000000000001"
CHOICES: tuple[Choice, ...] = ("adopt", "post again", "give up")


class Doubt:
    """A job in the journal and, by its name, a Kling task at the sandbox."""

    def __init__(self, credentials: CometAPICredentials, place: AvatarArchive) -> None:
        self.credentials = credentials
        self.place = place

    async def buy(self, name: str = NAME) -> str:
        request = AvatarRequest(
            image=text(picture()), sound_file=text(sound()), prompt="Calm.", external_task_id=name
        )
        async with self.credentials.get_client() as client:
            return (await client.create(request)).task_id

    async def write(self, step: Step, **changes: Any) -> Entry:
        """Write an intent and then `step`."""
        async with self.place.open() as archive:
            fields = {"claim": "1", "external_task_id": NAME, "job": {"name": "Kim"}, "intended_at": now()}
            intent = await archive.journal.append(JOB, None, Step.INTENT, **fields, **changes)
            if step is Step.INTENT:
                assert intent
                return intent
            written = await archive.journal.append(JOB, intent, step, **changes)
            assert written
            return written

    async def last(self) -> Entry | None:
        async with self.place.open() as archive:
            return await archive.journal.last(JOB)

    async def decide(self, choice: Choice, kling_task_id: str = "", job_id: str = JOB) -> Entry:
        async with connect(self.credentials, self.place) as connections:
            return await decide_job(
                job_id, Decision(choice=choice, kling_task_id=kling_task_id), connections, by="Ann"
            )


@pytest.fixture
def doubt(sandbox: RunningSandbox, credentials: CometAPICredentials, archive_block: AvatarArchive) -> Doubt:
    sandbox.set(fast_clip=True)
    return Doubt(credentials, archive_block)


BUSY = {"expires_at": now() + timedelta(hours=1)}
STANDINGS: dict[str, tuple[Step, dict[str, Any]]] = {
    "in doubt": (Step.UNDECIDED, {}),
    "in doubt since its process died": (Step.INTENT, {"expires_at": now() - timedelta(seconds=1)}),
    "deferred": (Step.DEFERRED, {}),
    "refused": (Step.REFUSED, {}),
    "released": (Step.RELEASED, {}),
    "failed": (Step.FAILED, {"kling_task_id": "17"}),
    "failed for want of room": (Step.FAILED, {"kling_task_id": "17", "outcome": Outcome(curable=True)}),
    "given up": (Step.GIVEN_UP, {}),
}


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize(("step", "changes"), STANDINGS.values(), ids=STANDINGS)
async def test_any_choice_is_open_while_nothing_is_being_posted_or_collected(
    choice: Choice, step: Step, changes: dict[str, Any], doubt: Doubt
) -> None:
    before = await doubt.write(step, **changes)
    task_id = await doubt.buy() if choice == "adopt" else ""
    written = await doubt.decide(choice, task_id)
    expected = {"adopt": Step.SUBMITTED, "post again": Step.RELEASED, "give up": Step.GIVEN_UP}
    assert (written.step, written.number, written.run) == (expected[choice], before.number + 1, "Ann")
    assert written.kling_task_id == (task_id or before.kling_task_id)
    assert written.outcome.message == f"A person decided: {choice}"
    assert await doubt.last() == written


@pytest.mark.parametrize("choice", CHOICES)
async def test_nobody_decides_about_a_job_that_is_being_posted(choice: Choice, doubt: Doubt) -> None:
    before = await doubt.write(Step.INTENT, **BUSY)
    with pytest.raises(JobInProgress) as refused:
        await doubt.decide(choice, "17")
    assert refused.value.facts.job_id == JOB
    assert await doubt.last() == before


async def test_what_is_being_collected_is_not_posted_again(doubt: Doubt) -> None:
    before = await doubt.write(Step.SUBMITTED, kling_task_id="17")
    with pytest.raises(InvalidRequest, match="being collected"):
        await doubt.decide("post again")
    assert await doubt.last() == before
    assert (await doubt.decide("give up")).step is Step.GIVEN_UP


async def test_what_the_provider_finds_is_not_posted_again(doubt: Doubt, sandbox: RunningSandbox) -> None:
    """Whoever looked it up by hand may have looked too early."""
    before = await doubt.write(Step.UNDECIDED)
    task_id = await doubt.buy()
    with pytest.raises(InvalidRequest, match=f"{task_id} was bought for this job; adopt it") as refused:
        await doubt.decide("post again")
    assert (refused.value.charged, await doubt.last()) == ("yes", before)
    blind = doubt.credentials.model_copy(update={"lookup": "no"})
    assert (await Doubt(blind, doubt.place).decide("post again")).step is Step.RELEASED


@pytest.mark.parametrize("fault", ["query-500", "query-html"])
async def test_where_the_provider_does_not_tell_a_person_decides(
    fault: str, doubt: Doubt, sandbox: RunningSandbox
) -> None:
    await doubt.write(Step.UNDECIDED)
    sandbox.fault(fault)
    assert (await doubt.decide("post again")).step is Step.RELEASED


async def test_a_kling_task_that_gives_way_to_another_is_not_forgotten(doubt: Doubt) -> None:
    await doubt.write(Step.SUBMITTED, kling_task_id="17")
    task_id = await doubt.buy()
    adopted = await doubt.decide("adopt", task_id)
    assert (adopted.kling_task_id, adopted.surplus_task_ids) == (task_id, ("17",))
    assert (await doubt.decide("adopt", task_id)).surplus_task_ids == ("17",)


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("job_id", ["cd" * 32, "Kim", "../" + "ab" * 32, ""])
async def test_a_job_that_is_not_in_the_archive_is_refused(choice: Choice, job_id: str, doubt: Doubt) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await doubt.decide(choice, "17", job_id)
    assert [fault.field for fault in refused.value.faults] == ["job_id"]


@pytest.mark.parametrize("given", ["", " "])
async def test_to_adopt_a_task_one_has_to_name_it(given: str, doubt: Doubt) -> None:
    before = await doubt.write(Step.UNDECIDED)
    with pytest.raises(InvalidRequest, match="kling_task_id: empty"):
        await doubt.decide("adopt", given)
    assert await doubt.last() == before


async def test_a_task_that_the_provider_does_not_know_is_not_adopted(doubt: Doubt) -> None:
    before = await doubt.write(Step.UNDECIDED)
    with pytest.raises(TaskNotFound):
        await doubt.decide("adopt", "880000000000000001")
    assert await doubt.last() == before


async def test_a_task_of_another_job_is_not_adopted(doubt: Doubt, sandbox: RunningSandbox) -> None:
    before = await doubt.write(Step.UNDECIDED)
    other = await doubt.buy("b5f1c2d3-0000-5000-8000-000000000002")
    # The sandbox names the external task id of a finished task only, as Kling's examples do.
    await eventually(lambda: sandbox.tasks()[0]["status"] == "succeed")
    with pytest.raises(InvalidRequest, match="000000000002"):
        await doubt.decide("adopt", other)
    assert await doubt.last() == before


async def test_nothing_is_adopted_unseen(doubt: Doubt, sandbox: RunningSandbox) -> None:
    before = await doubt.write(Step.UNDECIDED)
    task_id = await doubt.buy()
    sandbox.fault("query-500")
    with pytest.raises(ProviderUnavailable):
        await doubt.decide("adopt", task_id)
    assert await doubt.last() == before


@pytest.fixture
def ask(doubt: Doubt, face: str, voice: str) -> Ask:
    unsure = doubt.credentials.model_copy(update={"lookup": "no"})
    return partial(generate_avatar, image=face, audio=voice, credentials=unsure, store=doubt.place)


async def in_doubt(ask: Ask, sandbox: RunningSandbox, fault: str) -> str:
    """Run into a doubt and return the id of the job."""
    sandbox.fault(fault, count=1)
    with pytest.raises(NeedsDecision) as stopped:
        await ask()
    return str(stopped.value.facts.job_id)


@pytest.mark.parametrize("by", ["run", "reconcile"])
@pytest.mark.parametrize("given_up_before", [False, True])
async def test_what_was_adopted_is_collected(
    by: str, given_up_before: bool, ask: Ask, doubt: Doubt, sandbox: RunningSandbox
) -> None:
    job_id = await in_doubt(ask, sandbox, "lost-response")
    settings: dict[str, Any] = {"credentials": doubt.credentials, "store": doubt.place}
    if given_up_before:
        await decide(job_id, "give up", **settings)
    (charge,) = sandbox.ledger()["charges"]
    entry = await decide(job_id, "adopt", charge["task_id"], **settings)
    assert entry.kling_task_id == charge["task_id"]
    if by == "run":
        assert (await ask()).provided.task_id == charge["task_id"]
    else:
        await eventually(lambda: sandbox.tasks()[0]["status"] == "succeed")
        assert [report.state for report in await reconcile_jobs(**settings)] == ["archived"]
        async with doubt.place.open() as archive:
            assert await archive.find_done(job_id)
    assert sandbox.ledger()["posts"] == 1


async def test_what_is_to_be_posted_again_is_posted_by_the_next_run_only(
    ask: Ask, doubt: Doubt, sandbox: RunningSandbox
) -> None:
    job_id = await in_doubt(ask, sandbox, "500-before-accept")
    await decide(job_id, "post again", credentials=doubt.credentials, store=doubt.place)
    assert await reconcile_jobs(credentials=doubt.credentials, store=doubt.place) == []
    assert sandbox.ledger()["posts"] == 1
    sidecar = await ask()
    assert sandbox.ledger()["posts"] == 2
    assert [charge["external_task_id"] for charge in sandbox.ledger()["charges"]] == [
        sidecar.provided.external_task_id
    ]


async def test_what_was_given_up_is_left_alone(ask: Ask, doubt: Doubt, sandbox: RunningSandbox) -> None:
    job_id = await in_doubt(ask, sandbox, "lost-response")
    await decide(job_id, "give up", credentials=doubt.credentials, store=doubt.place)
    before = sandbox.requests()
    with pytest.raises(JobGivenUp, match="A person decided: give up") as left:
        await ask()
    assert "another take" in left.value.next_step
    assert await reconcile_jobs(credentials=doubt.credentials, store=doubt.place) == []
    assert sandbox.requests() == before


async def test_the_flow_says_what_is_wrong_in_one_sentence(doubt: Doubt) -> None:
    with pytest.raises(AvatarError, match="not in this archive"):
        await decide("cd" * 32, "give up", credentials=doubt.credentials, store=doubt.place)

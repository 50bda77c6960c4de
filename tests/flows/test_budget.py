"""Budgets are never overspent, and no money stays locked; what is bought already is never refused."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from blocks import AvatarArchive, CometAPICredentials
from blocks.errors import BudgetExceeded, ContentRefused, NeedsDecision, PriceUnknown, TaskFailed
from blocks.sandbox.serve import RunningSandbox
from blocks.storage import book
from blocks.storage.ledger import Ledger, Page, month_of
from flows.batch import generate_avatars
from flows.inbox import watch_inbox
from flows.plan import plan
from flows.reconcile import reconcile_jobs
from flows.shard import avatars_shard
from flows.tasks.budget import budget, stale
from tests.blocks.sandbox.media import picture, sound
from tests.flows.budget_race import SECONDS, race
from tests.flows.desk import bought, put_media, write_manifest
from tests.flows.spoken import Say
from tests.flows.story import Ask, entries_of

EURO = Decimal("1.00")
VIDEO = Decimal("0.14")
MORNING = datetime(2026, 11, 25, 9, tzinfo=UTC)


@pytest.fixture(autouse=True)
def hurried(sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.set(fast_clip=True, submitted_seconds=0, render_seconds=0)
    monkeypatch.setattr(book, "GATHER_SECONDS", 0.01)
    monkeypatch.setattr(stale, "CLAIM_SECONDS", 0.3)


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    (tmp_path / "ann.png").write_bytes(picture())
    (tmp_path / "voice.wav").write_bytes(sound(SECONDS))
    return tmp_path


@pytest.fixture
def ask(ask: Ask, inputs: Path) -> Ask:
    """Ask for videos that cost 0.14 US dollars each."""
    return partial(ask, image=str(inputs / "ann.png"), audio=str(inputs / "voice.wav"))


def limited(credentials: CometAPICredentials, **budgets: Any) -> CometAPICredentials:
    return credentials.model_copy(
        update={f"budget_usd_per_{period}": Decimal(usd) for period, usd in budgets.items()}
    )


async def page_of(
    credentials: CometAPICredentials, archive: AvatarArchive, period: str | None = None
) -> Page:
    async with archive.open() as opened:
        month = period or month_of(datetime.now(UTC))
        return await Ledger(opened.store, f"{credentials.task_namespace}/{month}").last()


def charged(sandbox: RunningSandbox) -> Decimal:
    return Decimal(sandbox.ledger()["totals"]["usd"])


async def test_eight_processes_never_overspend_and_a_killed_one_leaves_nothing_locked(
    ask: Ask,
    inputs: Path,
    sandbox: RunningSandbox,
    credentials: CometAPICredentials,
    archive_block: AvatarArchive,
) -> None:
    account = limited(credentials, day=EURO)
    ended = race(inputs, account, archive_block, processes=8, each=2)
    # The one that was killed before its POST still holds the price of a video.
    assert sorted(ended) == ["refused"] * 10 + ["submitted"] * 6
    assert (charged(sandbox), bought(sandbox)) == (6 * VIDEO, (6, 6))
    assert (await page_of(account, archive_block)).used() == 7 * VIDEO

    reports = await reconcile_jobs(credentials=account, store=archive_block)
    assert [report.state for report in reports] == ["archived"] * 6
    page = await page_of(account, archive_block)
    assert (page.reserved, page.used()) == ({}, charged(sandbox))

    await ask(prompt="seventh", credentials=account)
    with pytest.raises(BudgetExceeded, match=re.escape("left are 0.0200 of 1.00 today")):
        await ask(prompt="eighth", credentials=account)
    assert EURO - VIDEO < charged(sandbox) <= EURO
    assert (await page_of(account, archive_block)).used() == charged(sandbox)


async def test_a_refusal_says_what_it_costs_what_is_left_and_when_it_begins_anew(
    ask: Ask,
    sandbox: RunningSandbox,
    credentials: CometAPICredentials,
    archive_block: AvatarArchive,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [MORNING]
    monkeypatch.setattr(budget, "now", lambda: clock[0])
    account = limited(credentials, day="0.20", month="0.40")
    await ask(prompt="one", credentials=account)
    with pytest.raises(BudgetExceeded) as refused:
        await ask(prompt="two", credentials=account)
    assert refused.value.message == ("This video would cost 0.1400 US dollars; left are 0.0600 of 0.20 today")
    assert "after 2026-11-26 00:00 UTC" in refused.value.next_step
    assert (refused.value.charged, refused.value.price_usd) == ("no", VIDEO)
    clock[0] = MORNING.replace(day=26)
    await ask(prompt="two", credentials=account)
    clock[0] = MORNING.replace(day=27)
    with pytest.raises(BudgetExceeded, match=re.escape("0.1200 of 0.40 this month")) as refused:
        await ask(prompt="three", credentials=account)
    assert "after 2026-12-01 00:00 UTC" in refused.value.next_step
    assert [short.budget for short in refused.value.shortfalls] == ["this month"]
    clock[0] = datetime(2026, 12, 1, tzinfo=UTC)
    await ask(prompt="three", credentials=account)
    assert bought(sandbox) == (3, 3)
    november, december = [await page_of(account, archive_block, month) for month in ("2026-11", "2026-12")]
    assert (november.used(), december.used()) == (2 * VIDEO, VIDEO)
    # What is archived is never refused.
    await ask(prompt="one", credentials=limited(credentials, day="0"))


async def test_what_was_not_charged_is_given_back_and_what_is_in_doubt_is_not(
    ask: Ask, sandbox: RunningSandbox, credentials: CometAPICredentials, archive_block: AvatarArchive
) -> None:
    account = limited(credentials, day=VIDEO).model_copy(update={"lookup": "no"})
    sandbox.fault("1301", count=1)
    with pytest.raises(ContentRefused):
        await ask(prompt="refused", credentials=account)
    sandbox.fault("failed-moderation", count=1)
    with pytest.raises(TaskFailed):
        await ask(prompt="failed", credentials=account)
    sandbox.fault("429-1303", count=2)
    sandbox.fault("lost-response", count=1)
    with pytest.raises(NeedsDecision):
        await ask(prompt="lost", credentials=account)
    await reconcile_jobs(credentials=account, store=archive_block)
    with pytest.raises(BudgetExceeded, match=re.escape("left are 0.0000 of 0.14 today")):
        await ask(prompt="another", credentials=account)
    page = await page_of(account, archive_block)
    assert (page.spent, [held.usd for held in page.reserved.values()]) == ({}, [VIDEO])
    # Once it is found it is adopted, whatever the budget, and what was reserved is spent.
    seeing = limited(credentials, day="0").model_copy(update={"lookup": "yes"})
    await ask(prompt="lost", credentials=seeing)
    page = await page_of(account, archive_block)
    assert (page.reserved, page.used()) == ({}, charged(sandbox))
    assert len(sandbox.ledger()["charges"]) == 2


async def test_a_batch_buys_what_fits_and_says_of_the_rest_that_it_is_over_budget(
    inputs: Path, sandbox: RunningSandbox, credentials: CometAPICredentials, archive_block: AvatarArchive
) -> None:
    (inputs / "dear.wav").write_bytes(sound(5))
    rows = [*(f"ann.png,voice.wav,{number}" for number in range(4)), "ann.png,dear.wav,dear"]
    manifest = write_manifest(inputs, *rows)
    run: Any = partial(generate_avatars, manifest, at_once=2, credentials=credentials, store=archive_block)
    state = await run(max_cost=0.3, max_cost_per_job=0.2, return_state=True)
    outcome = await state.aresult(raise_on_failure=False)
    assert state.name == "PartlyArchived"
    assert "2 archived, 3 over budget" in state.message
    over = [row for row in outcome.results if row.state == "over budget"]
    assert {(row.error, row.charged) for row in over} == {("BudgetExceeded", "no")}
    assert [row.message for row in over][-1].endswith(
        "0.2800 US dollars; left are 0.2000 of 0.2 for each video"
    )
    assert "0.0200 of 0.3 for this run" in over[0].message
    assert "higher max_cost" in over[0].next_step
    assert charged(sandbox) == 2 * VIDEO
    account = limited(credentials, day="0.5")
    made = await plan(manifest, credentials=account, store=archive_block)
    assert "Budget today: 0.50 of 0.50 US dollars left, 0.06 too little." in made.remarks
    state = await run(credentials=limited(credentials, day="10"), return_state=True)
    assert state.name == "AllArchived"


async def test_the_shards_of_a_batch_share_its_budget_and_one_that_begins_again_has_no_more(
    inputs: Path, sandbox: RunningSandbox, credentials: CometAPICredentials, archive_block: AvatarArchive
) -> None:
    manifest = write_manifest(inputs, *(f"ann.png,voice.wav,{number}" for number in range(4)))
    sha256 = hashlib.sha256(Path(manifest).read_bytes()).hexdigest()
    cut = partial(avatars_shard, manifest, sha256, batch="one", credentials=credentials, store=archive_block)
    for first, last in ((1, 3), (4, 4), (1, 3)):
        await cut(first=first, last=last, max_cost=0.3, return_state=True)
    assert bought(sandbox) == (2, 2)
    await cut(first=1, last=4, max_cost=0.56)
    assert charged(sandbox) == 4 * VIDEO


async def test_an_inbox_leaves_what_is_over_budget_to_its_next_run(
    tmp_path: Path, sandbox: RunningSandbox, credentials: CometAPICredentials, archive_block: AvatarArchive
) -> None:
    put_media(tmp_path / "inbox", "kim")
    watch: Any = partial(
        watch_inbox,
        str(tmp_path / "inbox"),
        quiet_seconds=0.05,
        credentials=credentials,
        store=archive_block,
        return_state=True,
    )
    for name, told in (("Problems", "1 over budget; 1 with new problems"), ("Completed", "1 over budget")):
        state = await watch(max_cost=0.1)
        assert (state.name, state.message) == (name, told)
    assert (await watch()).message == "1 archived"
    assert bought(sandbox) == (1, 1)


async def test_what_has_no_known_price_is_refused_while_a_budget_applies(
    ask: Ask, sandbox: RunningSandbox
) -> None:
    with pytest.raises(PriceUnknown, match="not known"):
        await ask(audio=None, audio_id="880000000000000001", max_cost=100)
    with pytest.raises(BudgetExceeded, match=re.escape("left are 0.1399 of 0.1399 for each video")):
        await ask(max_cost=0.1399)
    await ask(max_cost=0.14)
    assert bought(sandbox) == (1, 1)


async def test_speech_and_video_of_a_text_are_paid_from_the_same_budget(
    say: Say, sandbox: RunningSandbox, credentials: CometAPICredentials, archive_block: AvatarArchive
) -> None:
    account = limited(credentials, month="5")
    await say(credentials=account, max_cost=1)
    page = await page_of(account, archive_block)
    assert (page.reserved, page.used()) == ({}, charged(sandbox))
    with pytest.raises(BudgetExceeded, match="This speech would cost"):
        await say(credentials=account, speech_take=2, max_cost=0.001)
    with pytest.raises(BudgetExceeded, match="This video would cost"):
        await say(credentials=account, speech_take=2, max_cost=0.1)
    assert [charge["kind"] for charge in sandbox.ledger()["charges"]].count("avatar") == 1


async def test_without_a_budget_nothing_is_read_or_written_for_it(
    ask: Ask, archive_block: AvatarArchive
) -> None:
    sidecar = await ask()
    assert not (Path(archive_block.url) / "budget").exists()
    assert (await entries_of(archive_block, sidecar.job_id))[-1].step == "submitted"

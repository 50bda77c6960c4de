"""Whatever goes wrong at the provider: nothing is bought twice, and what was bought is not lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from prefect.events.clients import AssertingEventsClient
from prefect.events.worker import EventsWorker

from blocks.errors import NeedsDecision
from blocks.sandbox.faults import FAULTS
from blocks.storage.journal import Step
from tests.blocks.media.samples import mp3
from tests.flows.fault_table import CASES, Case
from tests.flows.trials import Trial, try_all

pytestmark = pytest.mark.timeout(600)


def of(cases: Iterable[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", list(cases), ids=str)


@pytest.fixture(scope="module")
def trials(
    request: pytest.FixtureRequest, impatient: None, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Trial | BaseException]:
    """Try out the cases of the tests that were selected."""
    folder = tmp_path_factory.mktemp("trials")
    (folder / "voice.mp3").write_bytes(mp3(2.2))
    selected: dict[str, Any] = {
        str(item.callspec.params["case"]): item.callspec.params["case"]
        for item in request.session.items
        if item.path == request.path and isinstance(item, pytest.Function) and hasattr(item, "callspec")
    }
    with pytest.MonkeyPatch.context() as patch:
        # The events of a hundred runs at once are more than a SQLite server takes in.
        events = EventsWorker.instance(AssertingEventsClient)
        patch.setattr(EventsWorker, "instance", lambda *_: events)
        try:
            return asyncio.run(try_all(selected.values(), folder, folder / "voice.mp3"))
        finally:
            # Another file on the same worker of pytest-xdist would find these events among its own.
            events.drain()


@pytest.fixture
def trial(case: Case, trials: dict[str, Trial | BaseException]) -> Trial:
    tried = trials[str(case)]
    if isinstance(tried, BaseException):
        raise tried
    return tried


def test_every_fault_is_tried_wherever_it_acts() -> None:
    wanted = {(fault.name, place) for fault in FAULTS.values() for place in fault.endpoints if place != "tts"}
    assert {(case.fault, case.acts_at) for case in CASES} == wanted
    assert len({str(case) for case in CASES}) == len(CASES)


@of(CASES)
def test_the_run_ends_as_stated(case: Case, trial: Trial) -> None:
    assert trial.ended == case.ends


@of(CASES)
def test_the_next_attempt_ends_as_stated(case: Case, trial: Trial) -> None:
    assert trial.ended_next == (case.next if case.ends.error else case.ends)


@pytest.mark.parametrize(
    "case", [case for case in CASES if not (case.next.error or case.ends.charges > 1)], ids=str
)
def test_the_clip_is_archived_in_the_end_and_nothing_stays_open(case: Case, trial: Trial) -> None:
    assert trial.sidecar
    assert trial.sidecar.provided.task_id == trial.entry.kling_task_id
    assert trial.sidecar.provided.surplus_task_ids == ()
    assert trial.sidecar.clip.sha256 in trial.delivered
    assert trial.open_marks == []


@of(case for case in CASES if case.acts_at != "create")
def test_trouble_with_reading_is_no_verdict(case: Case, trial: Trial) -> None:
    """Neither a query nor a download that fails ends a job whose Kling task succeeds."""
    assert (trial.ended.posts, trial.ended.charges, trial.ended.step) == (1, 1, Step.SUBMITTED)
    assert trial.ended.charged != "no"
    assert (trial.ended_next.error, trial.ended_next.posts) == (None, 1)


@of(case for case in CASES if case.ends.step is Step.UNDECIDED)
def test_a_job_in_doubt_stays_in_sight_of_reconcile(case: Case, trial: Trial) -> None:
    assert (trial.open_marks == [trial.entry.job_id]) == (case.next.error is NeedsDecision)


@of(case for case in CASES if case.ends.error)
def test_an_error_names_its_job_and_what_was_bought(case: Case, trial: Trial) -> None:
    assert trial.error
    assert trial.error.facts.job_id == trial.entry.job_id
    if trial.ended.step in (Step.SUBMITTED, Step.FAILED):
        assert trial.error.facts.kling_task_id
        assert trial.error.facts.kling_task_id in str(trial.error)

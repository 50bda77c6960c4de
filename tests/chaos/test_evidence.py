"""Which notes of a worker prove that an answer was lost."""

from __future__ import annotations

import pytest

from tests.chaos.evidence import lost_answer

ASKED = ["looking up", "creating intent", "created intent", "posting", "sending", "post left"]


@pytest.mark.parametrize("died_after", range(2, len(ASKED) + 1))
def test_an_answer_is_lost_when_the_worker_ends_between_intent_and_answer(died_after: int) -> None:
    assert lost_answer(ASKED[:died_after])


def test_an_answer_is_lost_when_it_came_and_was_not_written_down() -> None:
    assert lost_answer([*ASKED, "answered 200", "creating submitted"])


def test_an_answer_is_lost_when_none_came_and_that_was_written_down() -> None:
    assert lost_answer([*ASKED, "creating undecided", "created undecided"])


@pytest.mark.parametrize("step", ["submitted", "deferred", "refused"])
def test_an_answer_is_not_lost_when_its_outcome_was_written_down(step: str) -> None:
    assert not lost_answer([*ASKED, "answered 200", f"creating {step}", f"created {step}"])


def test_an_answer_that_came_and_says_nothing_is_no_loss_that_a_worker_can_prove() -> None:
    assert not lost_answer([*ASKED, "answered 500", "creating undecided", "created undecided"])


def test_who_lost_the_race_for_the_intent_has_no_answer_to_lose() -> None:
    assert not lost_answer(["looking up", "creating intent", "too late for intent", "polling"])


def test_who_only_doubts_what_another_process_did_has_no_answer_to_lose() -> None:
    assert not lost_answer(["creating undecided", "created undecided"])

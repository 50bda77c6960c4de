"""Every error carries its facts whole through pickle and ends with what to do next."""

from __future__ import annotations

import inspect
import pickle
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from blocks import errors
from blocks.errors import AvatarError, Charged, Facts, Fault, InvalidRequest
from blocks.web import UnsafeAddress

FACTS = Facts(
    job_id="ab" * 32,
    kling_task_id="880000000000000001",
    http_status=429,
    service_code=1303,
    request_id="5e0a4a0e-31d5-4b3c-8f0c-0d6c1f9a3003",
    charged="no",
    retry_after=2.5,
)
FAULTS = (Fault("image", "299 x 300 pixels", "each side at least 300 pixels"), Fault("take", "0", "from 1"))


def family(kind: type[AvatarError]) -> Iterator[type[AvatarError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from family(child)


EVERY = [kind for kind in family(AvatarError) if kind.__module__ in {"blocks.errors", "blocks.web"}]
CHARGED: dict[Charged, set[str]] = {
    "yes": {"JobOverdue", "TaskIdNotRecorded", "ClipError", "ClipUnavailable", "ClipRejected"},
    "unknown": {
        "ProviderUnavailable",
        "TaskNotFound",
        "OutcomeUnknown",
        "TaskFailed",
        "JobInProgress",
        "NeedsDecision",
        "JobGivenUp",
        "StorageUnavailable",
    },
}
of_every = pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)


def made(kind: type[AvatarError], facts: Facts = FACTS, next_step: str | None = "Call Ann.") -> AvatarError:
    what = FAULTS if issubclass(kind, InvalidRequest) else "It did not work"
    return kind(what, facts, next_step)  # type: ignore[arg-type] # one class takes faults, the others text


def drawn(tree: str) -> dict[str, str]:
    """Return each class of a drawn tree with its parent."""
    parents: dict[str, str] = {}
    path: list[str] = []
    for line in tree.splitlines():
        if found := re.match(r"([│├└─ ]*)([A-Z]\w+)", line):
            path = [*path[: len(found[1]) // 4], found[2]]
            parents[found[2]] = path[-2] if len(path) > 1 else ""
    return parents


def test_the_drawn_tree_is_the_real_one() -> None:
    tree = (inspect.getdoc(errors) or "").split("```")[1]
    real = {kind.__name__: kind.__bases__[0].__name__ for kind in EVERY if kind is not UnsafeAddress}
    assert drawn(tree) == real | {"AvatarError": ""}


def test_every_error_class_of_the_module_is_tested() -> None:
    defined = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)}
    assert defined | {UnsafeAddress} == set(EVERY)


@of_every
def test_pickle_keeps_type_message_facts_and_next_step(kind: type[AvatarError]) -> None:
    error = made(kind)
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 # our own bytes
    assert type(copy) is kind
    assert (copy.message, copy.facts, copy.next_step) == (error.message, FACTS, "Call Ann.")
    assert (str(copy), copy.args) == (str(error), error.args)
    assert getattr(copy, "faults", None) == getattr(error, "faults", None)


@of_every
def test_pickle_keeps_the_ids_that_were_added_later(kind: type[AvatarError]) -> None:
    error = made(kind, Facts()).about(job_id="cd" * 32, kling_task_id="17")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 # our own bytes
    assert copy.facts == Facts(job_id="cd" * 32, kling_task_id="17")
    assert str(copy) == str(error)


@of_every
def test_about_adds_ids_keeps_the_rest_and_returns_the_error_itself(kind: type[AvatarError]) -> None:
    error = made(kind)
    assert error.about(job_id="cd" * 32) is error
    assert error.facts == replace(FACTS, job_id="cd" * 32)
    error.about(kling_task_id="17")
    assert error.facts == replace(FACTS, job_id="cd" * 32, kling_task_id="17")
    error.about()
    assert error.facts == replace(FACTS, job_id="cd" * 32, kling_task_id="17")


@of_every
def test_the_text_names_what_is_known_and_ends_with_the_next_step(kind: type[AvatarError]) -> None:
    text = str(made(kind))
    for known in ("ab" * 32, "880000000000000001", "HTTP 429", "1303", "5e0a4a0e", "charged: no"):
        assert known in text
    assert text.endswith(". Next: Call Ann.")


@of_every
def test_without_facts_the_class_says_whether_it_was_charged_and_what_to_do(kind: type[AvatarError]) -> None:
    error = made(kind, Facts(), None)
    expected = next((charged for charged, names in CHARGED.items() if kind.__name__ in names), "no")
    assert error.charged == expected
    assert re.fullmatch(
        rf".+ \(charged: {expected}\)\. Next: {re.escape(kind.default_next_step)}", str(error), re.DOTALL
    )
    assert kind.default_next_step.endswith(".")


def test_a_fact_about_the_charge_outweighs_the_class() -> None:
    assert made(errors.ClipRejected, Facts(charged="no")).charged == "no"
    assert made(errors.RequestRejected, Facts(charged="unknown")).charged == "unknown"


def test_an_invalid_request_lists_every_fault_by_number() -> None:
    error = InvalidRequest(FAULTS)
    assert error.faults == FAULTS
    assert error.message == (
        "The request cannot be sent: (1) image: 299 x 300 pixels; each side at least 300 pixels; "
        "(2) take: 0; from 1"
    )

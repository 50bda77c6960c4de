"""A job that nobody can judge waits in Prefect with a form; an answer over the API goes on with it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.deploy.stage import FACE, VOICE, Stage, wait_for
from tests.servers import run

# A busy machine needs a minute to start a process.
pytestmark = pytest.mark.timeout(900)

_SAVE = """\
from blocks import CometAPICredentials

found = CometAPICredentials.from_environment()
found.lookup = "no"
found.save("no-lookup", overwrite=True)
"""


@pytest.fixture(scope="module", autouse=True)
def _block(stage: Stage, crew: subprocess.Popen[bytes]) -> Iterator[None]:
    done = run("-c", _SAVE, environment=stage.environment)
    assert done.returncode == 0, done.stderr
    yield
    stage.sandbox.clear_faults()
    [saved] = [each for each in stage.post("/block_documents/filter") if each["name"] == "no-lookup"]
    stage.call("DELETE", f"/block_documents/{saved['id']}")


def doubtful(stage: Stage, take: int, fault: str) -> str:
    """Start a run whose answer is lost; wait until it is suspended."""
    stage.sandbox.fault(fault, count=1)
    flow_run_id = stage.start("generate-avatar", image=FACE, audio=VOICE, take=take, credentials="no-lookup")
    wait_for(lambda: stage.run_of(flow_run_id)["state_name"] == "Suspended", stage.log_tail)
    return flow_run_id


def form(stage: Stage, flow_run_id: str) -> tuple[str, Any]:
    """Return the description and the schema that the UI shows."""
    keys = stage.run_of(flow_run_id)["state"]["state_details"]["run_input_keyset"]
    description = stage.get(f"/flow_runs/{flow_run_id}/input/{keys['description']}")
    return str(description), stage.get(f"/flow_runs/{flow_run_id}/input/{keys['schema']}")


def answer(stage: Stage, flow_run_id: str, **fields: str) -> None:
    """Answer the form as the UI does; a refusal of the answer has HTTP status 200 and a body that says so."""
    told = stage.post(f"/flow_runs/{flow_run_id}/resume", {"run_input": fields})
    assert told["status"] == "ACCEPT", told


def test_the_form_says_what_is_known_and_adopting_costs_nothing_more(stage: Stage) -> None:
    charges = stage.charges()
    flow_run_id = doubtful(stage, 41, "lost-response")
    description, schema = form(stage, flow_run_id)
    bought = stage.sandbox.ledger()["charges"][-1]
    assert bought["external_task_id"] in description
    assert set(schema["properties"]) == {"choice", "kling_task_id"}
    answer(stage, flow_run_id, choice="adopt", kling_task_id=bought["task_id"])
    assert stage.ended(flow_run_id)["state_type"] == "COMPLETED"
    assert stage.clip_of(flow_run_id).is_file()
    assert stage.charges() - charges == 1


def test_what_was_not_bought_is_posted_again_when_a_person_says_so(stage: Stage) -> None:
    charges = stage.charges()
    flow_run_id = doubtful(stage, 42, "500-before-accept")
    assert stage.charges() == charges
    answer(stage, flow_run_id, choice="post again", kling_task_id="")
    assert stage.ended(flow_run_id)["state_type"] == "COMPLETED"
    assert stage.charges() - charges == 1


def test_an_answer_to_one_doubt_is_never_applied_to_the_next(stage: Stage) -> None:
    """Otherwise "post again" would go on paying without anybody asking for it."""
    charges = stage.charges()
    flow_run_id = doubtful(stage, 43, "lost-response")
    stage.sandbox.fault("lost-response", count=1)
    answer(stage, flow_run_id, choice="post again", kling_task_id="")
    wait_for(lambda: stage.states(flow_run_id).count("Suspended") == 2, stage.log_tail)
    assert stage.charges() - charges == 2
    answer(stage, flow_run_id, choice="give up", kling_task_id="")
    ended = stage.ended(flow_run_id)
    assert ended["state_type"] == "FAILED"
    assert "given up" in ended["state"]["message"]
    assert stage.charges() - charges == 2


def test_nobody_answering_costs_nothing_and_loses_nothing(stage: Stage) -> None:
    charges = stage.charges()
    flow_run_id = doubtful(stage, 44, "lost-response")
    stage.ended(stage.start("reconcile-jobs", credentials="no-lookup"))
    assert stage.run_of(flow_run_id)["state_name"] == "Suspended"
    assert stage.charges() - charges == 1
    task_id = stage.sandbox.ledger()["charges"][-1]["task_id"]
    job_id = stage.post(
        "/events/filter", {"filter": {"event": {"name": ["kling-avatar.job.needs-decision"]}}}
    )
    newest = job_id["events"][0]["payload"]["job_id"]
    decided = stage.start("decide", job_id=newest, choice="adopt", kling_task_id=task_id)
    assert stage.ended(decided)["state_type"] == "COMPLETED"
    stage.ended(stage.start("reconcile-jobs"))
    assert stage.charges() - charges == 1
    assert list(stage.archive.rglob(f"{newest}.mp4"))

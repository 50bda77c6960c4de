"""Processes are really killed; nothing is paid twice and nothing that was paid for is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import Any

import pytest

from tests.deploy.stage import Abandoned, Stage, process_of, seconds_between, show, wait_for

# A busy machine needs a minute to start a process.
pytestmark = pytest.mark.timeout(900)


def test_a_run_is_found_and_finished_when_its_worker_was_killed(
    stage: Stage, abandoned: Abandoned, crew: subprocess.Popen[bytes]
) -> None:
    ended = stage.ended(abandoned.flow_run_id, "COMPLETED")
    clip = stage.clip_of(abandoned.flow_run_id)
    assert clip.stat().st_size > 0
    turns = [name for name in stage.states(abandoned.flow_run_id) if name in {"Crashed", "AwaitingRetry"}]
    assert turns == ["Crashed", "AwaitingRetry"]
    assert stage.run_of(abandoned.foreign_id)["state_name"] == "Pending"
    ours = json.loads(clip.with_suffix(".json").read_text())["provided"]["external_task_id"]
    assert [charge["external_task_id"] for charge in stage.sandbox.ledger()["charges"]].count(ours) == 1
    show("worker killed", seconds=seconds_between(ended["start_time"], ended["end_time"]))


def test_a_run_that_crashes_too_often_is_left_and_a_person_is_told(
    stage: Stage, crew: subprocess.Popen[bytes]
) -> None:
    """The flow's process dies twice, one restart is allowed; what it had bought is collected all the same."""
    foreign = stage.foreign("CRASHED")
    flow_run_id = stage.buy(12)
    charges = stage.charges()
    os.kill(process_of(flow_run_id, crew.pid), signal.SIGKILL)
    wait_for(lambda: "### The run crashed\n" in stage.help_of(flow_run_id), stage.log_tail)
    wait_for(lambda: _runs_again(stage, flow_run_id), stage.log_tail)
    os.kill(process_of(flow_run_id, crew.pid), signal.SIGKILL)
    told = wait_for(lambda: _about(stage, flow_run_id), lambda: str(stage.states(flow_run_id)))
    assert "crashed again after 1 restarts and was left" in stage.ended(told["id"])["state"]["message"]
    assert stage.states(flow_run_id).count("AwaitingRetry") == 1
    page = stage.help_of(flow_run_id)
    assert "### The run crashed too often and was left" in page
    assert f"`{stage.sandbox.ledger()['charges'][-1]['task_id']}`" in page
    assert stage.run_of(flow_run_id)["state_name"] == "Crashed"
    assert stage.states(foreign) == ["Crashed"]
    stage.sandbox.advance(3600)
    assert stage.ended(stage.start("reconcile-jobs"))["state_type"] == "COMPLETED"
    assert stage.clip_of(flow_run_id).stat().st_size > 0
    assert stage.charges() == charges


def test_a_run_that_waits_for_a_person_is_not_started_again(
    stage: Stage, crew: subprocess.Popen[bytes]
) -> None:
    """A heartbeat that arrives after the run was suspended makes it look lost; the form must survive that."""
    details = {"pause_timeout": "2099-01-01T00:00:00Z", "pause_key": "doubt", "pause_reschedule": True}
    waiting = {"type": "PAUSED", "name": "Suspended", "state_details": details}
    flow_run_id = stage.foreign("RUNNING")
    for state in (waiting, {"type": "CRASHED", "name": "Crashed"}):
        stage.post(f"/flow_runs/{flow_run_id}/set_state", {"state": state, "force": True})
    ended = stage.ended(stage.start("retry-crashed", flow_run_id=flow_run_id))
    assert ended["state_type"] == "COMPLETED", ended["state"]
    found = stage.run_of(flow_run_id)["state"]
    assert (found["name"], found["state_details"]["pause_key"]) == ("Suspended", "doubt")


def _runs_again(stage: Stage, flow_run_id: str) -> bool:
    found = stage.run_of(flow_run_id)
    return bool(found["run_count"] == 2 and found["state_name"] == "Running")


def _about(stage: Stage, flow_run_id: str) -> Any:
    name = stage.run_of(flow_run_id)["name"]
    return next((each for each in stage.runs("alert") if name in each["name"]), None)

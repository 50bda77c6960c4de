"""Events, schedules and commands on a server with a worker."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import StateType

from tests.deploy.stage import FACE, VOICE, Stage, seconds_between, show, wait_for
from tests.servers import run

# A busy machine needs a minute to start a process.
pytestmark = pytest.mark.timeout(900)

_README = Path("README.md")
_EMIT = next(
    code
    for code in re.findall(r"```python\n(.*?)```", _README.read_text(), re.DOTALL)
    if "emit_event" in code
)
_CHAIN = next(
    code
    for code in re.findall(r"```yaml\n(.*?)```", _README.read_text(), re.DOTALL)
    if "job.archived" in code
)
_THEIRS = """\
from prefect import flow


@flow
def publish(clip: str, job_id: str) -> None:
    print(job_id, clip)
"""


def _only_new(stage: Stage, name: str, before: set[str]) -> Any:
    def look() -> Any:
        new = [each for each in stage.runs(name) if each["id"] not in before]
        assert len(new) <= 1
        return new[0] if new else None

    return wait_for(look, lambda: f"no run of {name}")


def _ids(stage: Stage, name: str) -> set[str]:
    return {each["id"] for each in stage.runs(name)}


def test_an_event_becomes_a_clip_with_typed_parameters(
    stage: Stage, crew: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    before, charges = _ids(stage, "generate-avatar"), stage.charges()
    script = tmp_path / "emit.py"
    script.write_text(_EMIT.replace("s3://bucket/face.png", FACE).replace("s3://bucket/voice.mp3", VOICE))
    done = run(str(script), environment=stage.environment)
    assert done.returncode == 0, done.stderr
    request = _only_new(stage, "request-avatar", set())
    assert stage.ended(request["id"])["state_type"] == "COMPLETED"
    made = stage.ended(_only_new(stage, "generate-avatar", before)["id"])
    assert made["state_type"] == "COMPLETED", made["state"]
    assert made["parameters"] == {"image": FACE, "audio": VOICE, "mode": "pro", "take": 2}
    assert stage.charges() - charges == 1
    assert stage.clip_of(made["id"]).stat().st_size > 0
    [event] = stage.events("kling-avatar.requested")
    show(
        "event",
        to_request_start=seconds_between(event["occurred"], stage.run_of(request["id"])["start_time"]),
        to_video_start=seconds_between(event["occurred"], made["start_time"]),
        to_clip=seconds_between(event["occurred"], made["end_time"]),
    )


def test_the_same_request_from_the_command_line_costs_nothing(
    stage: Stage, crew: subprocess.Popen[bytes]
) -> None:
    command = ("-m", "prefect", "deployment", "run", "generate-avatar/generate-avatar")
    wanted = (f"image={FACE}", f"audio={VOICE}", "take=5", "store=default")
    parameters = [part for value in wanted for part in ("-p", value)]
    outcomes = []
    for _ in range(2):
        before = _ids(stage, "generate-avatar")
        done = run(*command, *parameters, environment=stage.environment)
        assert done.returncode == 0, done.stdout + done.stderr
        ended = stage.ended(_only_new(stage, "generate-avatar", before)["id"])
        outcomes.append((ended["state_name"], ended["parameters"]["take"], stage.charges()))
    assert outcomes[0][0] == "Completed"
    assert outcomes[1] == ("AlreadyArchived", 5, outcomes[0][2])


def test_a_malformed_event_is_one_failed_run_that_says_why(
    stage: Stage, crew: subprocess.Popen[bytes]
) -> None:
    requests, videos, charges = _ids(stage, "request-avatar"), _ids(stage, "generate-avatar"), stage.charges()
    payload = {"image": FACE, "promt": "Hello", "mode": "4k", "take": "2"}
    stage.emit("kling-avatar.requested", payload, {"prefect.resource.id": "kling-avatar.request.bad"})
    ended = stage.ended(_only_new(stage, "request-avatar", requests)["id"])
    assert ended["state_type"] == StateType.FAILED.value
    message = ended["state"]["message"]
    for fault in ("promt: unknown", "'4k' is not one of ['std', 'pro']", "'2' is not of type 'integer'"):
        assert fault in message
    assert (_ids(stage, "generate-avatar"), stage.charges()) == (videos, charges)


def test_the_schedule_runs_reconcile_jobs(stage: Stage, crew: subprocess.Popen[bytes]) -> None:
    [planned] = stage.deployment("reconcile-jobs")["schedules"]
    assert planned["schedule"]["interval"] == 600
    with stage.often("reconcile-jobs"):
        ended = wait_for(
            lambda: next(
                (
                    each
                    for each in stage.runs("reconcile-jobs")
                    if each["auto_scheduled"] and each["state_type"] == "COMPLETED"
                ),
                None,
            ),
            stage.log_tail,
        )
    assert re.match("Open jobs: ", ended["state"]["message"])
    show("schedule", to_start=seconds_between(ended["expected_start_time"], ended["start_time"]))


def test_what_an_automation_could_not_do_becomes_a_failed_run(
    stage: Stage, crew: subprocess.Popen[bytes]
) -> None:
    """Only of our automations; another project's are its own."""
    before = _ids(stage, "alert")
    for name, reason in (("another: automation", "not ours"), ("kling-avatar: requested", "409, it said")):
        resource = {"prefect.resource.id": "prefect.automation.1", "prefect.resource.name": name}
        stage.emit("prefect.automation.action.failed", {"reason": reason}, resource)
    ended = stage.ended(_only_new(stage, "alert", before)["id"])
    assert (ended["name"], ended["state_type"]) == ("alert: kling-avatar: requested", "FAILED")
    assert "409, it said" in ended["state"]["message"]


def test_a_flow_of_others_is_triggered_by_an_archived_clip(
    stage: Stage, crew: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    """Deployed as the README says, by people who know nothing of this project's code."""
    (tmp_path / "theirs.py").write_text(_THEIRS)
    (tmp_path / "prefect.yaml").write_text(_CHAIN)
    done = run(
        "-m", "prefect", "--no-prompt", "deploy", "--all", environment=stage.environment, folder=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    made = stage.ended(stage.start("generate-avatar", image=FACE, audio=VOICE, take=6))
    assert made["state_type"] == "COMPLETED", made["state"]
    published = stage.ended(_only_new(stage, "publish", set())["id"])
    assert published["state_type"] == "COMPLETED", published["state"]
    assert published["parameters"]["clip"] == stage.clip_of(made["id"]).as_uri()


def test_workers_take_the_code_from_git(stage: Stage, crew: subprocess.Popen[bytes], tmp_path: Path) -> None:
    repository = tmp_path / "code.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", ".", str(repository)], check=True)
    subprocess.run(["git", "-C", str(repository), "branch", "--force", "released", "HEAD"], check=True)
    report = stage.deploy(AVATAR_GIT_URL=repository.as_uri(), AVATAR_GIT_BRANCH="released")
    assert "updated    deployment         generate-avatar/generate-avatar" in report
    try:
        ended = stage.ended(stage.start("generate-avatar", image=FACE, audio=VOICE, take=7))
    finally:
        stage.deploy()
    assert ended["state_type"] == "COMPLETED", ended["state"]
    assert "git_clone" in (stage.folder / "worker-crew.log").read_text()

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # ships no types
from prefect.settings import PREFECT_API_URL, temporary_settings

from blocks.archive import AvatarArchive
from blocks.errors import SetupMissing
from flows.deploy.__main__ import main
from flows.deploy.automations import Patience
from flows.deploy.blocks import _absolute
from flows.deploy.deployments import read_wanted
from tests.deploy.stage import Stage

# A busy machine needs a minute to start a process.
pytestmark = pytest.mark.timeout(900)

_VOLATILE = {"last_polled", "status", "active_slots", "estimated_run_time", "slot_decay_per_second"}


def _state(stage: Stage) -> dict[str, Any]:
    """Return everything that was set up, with the ids and the times of its last change."""
    kinds = {
        "deployments": "/deployments/filter",
        "automations": "/automations/filter",
        "work pools": "/work_pools/filter",
        "limits": "/v2/concurrency_limits/filter",
        "block types": "/block_types/filter",
        "blocks": "/block_documents/filter",
    }
    return {kind: [_steady(kind, each) for each in stage.post(path)] for kind, path in kinds.items()}


def _steady(kind: str, found: dict[str, Any]) -> dict[str, Any]:
    # Workers and slots that come and go move these; what a new set-up would change is the version.
    volatile = _VOLATILE | ({"updated"} if kind in {"deployments", "limits"} else set())
    steady = {key: value for key, value in found.items() if key not in volatile}
    if trigger := steady.get("trigger"):
        # The server keeps these as sets and lists them in any order.
        steady["trigger"] = {
            **trigger,
            "after": sorted(trigger["after"]),
            "expect": sorted(trigger["expect"]),
        }
    return steady


def test_one_command_sets_up_all_that_runs_need(stage: Stage) -> None:
    found = _state(stage)
    assert {each["name"] for each in found["deployments"]} == {
        "generate-avatar",
        "generate-avatars",
        "avatars-shard",
        "request-avatar",
        "speak-avatar",
        "reconcile-jobs",
        "verify-archive",
        "plan",
        "update-gallery",
        "decide",
        "retry-crashed",
        "alert",
    }
    assert {each["name"] for each in found["automations"]} == {
        "kling-avatar: requested",
        "kling-avatar: zombies",
        "kling-avatar: crashed",
        "kling-avatar: left crashed",
        "kling-avatar: failed actions",
    }
    assert [each["name"] for each in found["work pools"]] == ["kling-avatar"]
    assert {each["name"] for each in found["limits"] if ":" not in each["name"]} == {
        "kling-avatar-in-flight",
        "kling-avatar-waiting",
    }
    assert {f"{each['block_type']['slug']}/{each['name']}" for each in found["blocks"]} == {
        "cometapi-credentials/default",
        "avatar-archive/default",
    }
    assert "sandbox-key" not in stage.first_report
    assert (
        "left out   deployment         watch-inbox/watch-inbox: AVATAR_INBOX_URL is not set"
        in stage.first_report
    )


def test_a_second_time_changes_nothing_and_says_so(stage: Stage) -> None:
    before = _state(stage)
    report = stage.deploy()
    assert _state(stage) == before
    assert {line.split("  ")[0] for line in report.splitlines()} == {"unchanged", "left out"}


def test_what_an_operator_changed_is_kept(stage: Stage) -> None:
    """A paused automation, a limit and a block document are the operator's."""
    automation = next(
        each for each in _state(stage)["automations"] if each["name"] == "kling-avatar: left crashed"
    )
    stage.patch(f"/automations/{automation['id']}", {"enabled": False})
    stage.patch("/v2/concurrency_limits/kling-avatar-in-flight", {"limit": 9})
    before = _state(stage)
    try:
        report = stage.deploy(
            COMETAPI_KEY="another", AVATAR_MAX_IN_FLIGHT="3", AVATAR_CRASH_QUIET_SECONDS="11"
        )
        after = _state(stage)
        assert "updated    automation         kling-avatar: crashed" in report
        assert "unchanged  automation         kling-avatar: left crashed: paused" in report
        assert {**after, "automations": 0} == {**before, "automations": 0}
        assert [each["id"] for each in after["automations"]] == [each["id"] for each in before["automations"]]
    finally:
        stage.patch(f"/automations/{automation['id']}", {"enabled": True})
        stage.deploy()


def test_an_unreachable_server_is_one_clear_sentence() -> None:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}), pytest.raises(SystemExit) as ended:
        _main_without_arguments()
    assert "No Prefect server answers at http://127.0.0.1:9/api" in str(ended.value)


def test_a_missing_address_is_one_clear_sentence() -> None:
    with temporary_settings(restore_defaults={PREFECT_API_URL}), pytest.raises(SystemExit) as ended:
        _main_without_arguments()
    assert "PREFECT_API_URL is not set" in str(ended.value)


def _main_without_arguments() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["python -m flows.deploy"])
        main()


def test_every_deployment_can_be_loaded_and_names_pool_tags_and_schema() -> None:
    for wanted in read_wanted({"AVATAR_INBOX_URL": "inbox"}):
        assert wanted.unset == []
        assert wanted.entry["work_pool"]["name"] == "kling-avatar"
        assert wanted.entry["tags"] in (["kling-avatar"], ["kling-avatar-upkeep"])
        assert wanted.entry["enforce_parameter_schema"] is True
        assert wanted.entry["description"]
        limit = wanted.entry.get("concurrency_limit")
        assert limit is None or limit["collision_strategy"] in {"ENQUEUE", "CANCEL_NEW"}


def test_an_entry_that_names_an_unset_variable_is_left_out() -> None:
    assert {each.name: each.unset for each in read_wanted({}) if each.unset} == {
        "watch-inbox/watch-inbox": ["AVATAR_INBOX_URL"]
    }


def test_code_comes_from_git_when_an_address_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVATAR_GIT_URL", "https://git.example/avatars.git")
    monkeypatch.delenv("AVATAR_GIT_BRANCH", raising=False)
    [pull] = {str(each.entry["pull"]) for each in read_wanted({"AVATAR_GIT_URL": "x"})}
    assert pull == str(
        [{"prefect.deployments.steps.git_clone": {"repository": "https://git.example/avatars.git"}}]
    )


def test_a_changed_flow_or_entry_changes_the_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first = {each.name: each.version for each in read_wanted({})}
    text = Path("prefect.yaml").read_text()
    changed = text.replace("limit: 10\n", "limit: 11\n", 1)
    assert changed != text
    (tmp_path / "prefect.yaml").write_text(changed)
    monkeypatch.setattr("flows.deploy.deployments._FILE", tmp_path / "prefect.yaml")
    second = {each.name: each.version for each in read_wanted({})}
    assert {name for name in first if first[name] != second[name]} == {"generate-avatar/generate-avatar"}


def test_the_file_names_no_secret_and_no_path_of_a_machine() -> None:
    text = Path("prefect.yaml").read_text()
    assert "api_key" not in text
    assert str(Path.cwd()) not in text
    assert yaml.safe_load(text)["definitions"]["job"]["work_pool"]["job_variables"] == {
        "env": {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}
    }


def test_a_relative_archive_is_made_absolute() -> None:
    assert _absolute(AvatarArchive(url="archive")) == AvatarArchive(url=str(Path.cwd() / "archive"))
    assert _absolute(AvatarArchive(url="s3://bucket/clips")) == AvatarArchive(url="s3://bucket/clips")


@pytest.mark.parametrize(
    ("variable", "value"),
    [("AVATAR_ZOMBIE_SECONDS", "9"), ("AVATAR_CRASH_QUIET_SECONDS", "soon"), ("AVATAR_CRASH_ATTEMPTS", "-1")],
)
def test_a_wrong_time_is_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(SetupMissing, match=variable):
        Patience.from_environment({variable: value})

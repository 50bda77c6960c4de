"""What people put into a folder becomes videos by the schedule alone."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from tests.deploy.stage import Stage, show, wait_for
from tests.flows.desk import put_media, put_text, rest

# A busy machine needs a minute to start a process.
pytestmark = pytest.mark.timeout(900)


def test_new_files_become_clips_by_the_schedule(stage: Stage, crew: subprocess.Popen[bytes]) -> None:
    inbox = stage.folder / "inbox"
    put_media(inbox, "kim", "half")
    put_text(inbox / "kim.txt", "Speaks to the inbox.")
    rest(inbox / "half.mp3", age=-3600)
    put_text(inbox / "bad.png", "no picture")
    put_text(inbox / "bad.wav", "no sound")
    charges = stage.charges()
    report = stage.deploy(AVATAR_INBOX_URL=str(inbox))
    assert "created    deployment         watch-inbox/watch-inbox" in report
    with stage.often("watch-inbox"):
        first, second = wait_for(lambda: _ended(stage, 2), stage.log_tail)
    assert first["auto_scheduled"]
    assert (first["state_name"], second["state_name"]) == ("Problems", "Completed")
    assert first["state"]["message"].startswith("1 archived, 1 invalid, 1 waiting")
    assert second["state"]["message"].startswith("1 archived")
    assert stage.clip_of(first["id"]).stat().st_size > 0
    assert stage.charges() - charges == 1
    show("inbox", runs=len(stage.runs("watch-inbox")), first=first["state"]["message"])


def _ended(stage: Stage, number: int) -> list[Any] | None:
    """Return the first runs of the schedule that were carried out, in their order."""
    runs = [run for run in stage.runs("watch-inbox") if run["state_type"] in {"COMPLETED", "FAILED"}]
    return sorted(runs, key=lambda run: run["start_time"])[:number] if len(runs) >= number else None

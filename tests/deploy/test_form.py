"""The Run form, in a browser."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.deploy.stage import FACE, VOICE, Stage, wait_for

# A busy machine needs a minute to start a process.
pytestmark = pytest.mark.timeout(900)

_CHROMIUM = Path("/usr/bin/chromium")
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_SECONDS = 1000.0


@pytest.fixture
def page(stage: Stage, tmp_path: Path) -> Iterator[Page]:
    if not _CHROMIUM.exists():
        pytest.skip(f"there is no {_CHROMIUM}: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=_ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 1500})
        page.set_default_timeout(60 * _SECONDS)
        yield page
        browser.close()


def test_the_run_form_refuses_a_bad_value_and_starts_a_good_one(
    stage: Stage, crew: subprocess.Popen[bytes], page: Page, tmp_path: Path
) -> None:
    before = {run["id"] for run in stage.runs("generate-avatar")}
    page.goto(f"{stage.ui}/v2/deployments/deployment/{stage.deployment('generate-avatar')['id']}/run")
    page.get_by_label("Portrait").fill(FACE)
    page.get_by_label("Voice clip").fill(VOICE)
    name = page.get_by_role("textbox", name="Name (Optional)")
    name.fill("much " * 41)
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_text("is too long").first).to_be_visible(timeout=60 * _SECONDS)
    page.screenshot(path=tmp_path / "refused.png")
    assert {run["id"] for run in stage.runs("generate-avatar")} == before
    name.fill("nods")
    page.get_by_label("Take").fill("21")
    page.get_by_label("Select a block").first.click()
    page.get_by_role("option", name="default").click()
    expect(page.get_by_role("option")).to_have_count(0)
    page.screenshot(path=tmp_path / "filled.png")
    [made, *_] = wait_for(lambda: _press_submit(page, stage, before))
    page.goto(f"{stage.ui}/v2/runs/flow-run/{made['id']}")
    expect(page.get_by_text("Completed").first).to_be_visible(timeout=150 * _SECONDS)
    page.screenshot(path=tmp_path / "completed.png")
    ended = stage.ended(made["id"])
    assert (ended["state_name"], ended["name"]) == ("Completed", "nods (std, take 21)")
    assert ended["parameters"]["take"] == 21
    assert "block_document_id" in ended["parameters"]["credentials"]["$ref"]
    assert stage.clip_of(made["id"]).stat().st_size > 0


def _press_submit(page: Page, stage: Stage, before: set[str]) -> list[Any]:
    """Press Submit and return the runs that are new; a busy server answers 503, and people press again."""
    # A click is lost while the list of blocks is still closing; a key is not.
    page.get_by_role("button", name="Submit").press("Enter")
    page.wait_for_timeout(10 * _SECONDS)
    return [run for run in stage.runs("generate-avatar") if run["id"] not in before]

"""Workers die at every boundary while the provider fails, and every video is paid for once and archived."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL

from tests.chaos.judgement import Verdict
from tests.chaos.matrix import SECONDS
from tests.chaos.plan import KILLS, Boundary
from tests.chaos.unsafe import NO_INTENT, SHARED_CREATE

# Half a minute where nothing else runs.
pytestmark = pytest.mark.timeout(600)

Campaigns = Callable[[str], Verdict]


@pytest.fixture(scope="module")
def campaigns(prefect_api: None, tmp_path_factory: pytest.TempPathFactory) -> Campaigns:
    """Run all campaigns at once, because they mostly wait; return how one of them ended."""
    folder = tmp_path_factory.mktemp("chaos")
    command = [sys.executable, "-m", "tests.chaos.matrix", str(folder), PREFECT_API_URL.value() or ""]
    with subprocess.Popen(command, start_new_session=True) as matrix:
        try:
            matrix.wait(SECONDS)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(matrix.pid, signal.SIGKILL)

    def ended(name: str) -> Verdict:
        verdict = Path(folder / f"{name}.json")
        assert verdict.exists(), (folder / f"{name}.log").read_text()
        return Verdict(**json.loads(verdict.read_text()))

    return ended


def test_every_video_is_paid_once_and_archived_wherever_its_worker_dies(campaigns: Campaigns) -> None:
    ended = campaigns("lookup")
    assert ended.complaints == []
    assert ended.sums["charged"] == ended.sums["archived"] == ended.sums["jobs"]
    assert set(KILLS) - ended.kills.keys() <= {Boundary.ANYWHERE}


def test_two_runs_that_race_for_one_job_buy_it_once(campaigns: Campaigns) -> None:
    ended = campaigns("lookup")
    assert ended.races > 0
    assert ended.sums["double_charged"] == 0


@pytest.mark.parametrize("name", ["no-lookup", "probe"])
def test_without_lookups_nothing_is_paid_twice_and_only_lost_answers_need_a_person(
    campaigns: Campaigns, name: str
) -> None:
    ended = campaigns(name)
    assert ended.complaints == []
    assert ended.sums["undecided"] > 0
    assert ended.sums["archived"] + ended.sums["undecided"] == ended.sums["jobs"]


def test_the_promise_holds_in_a_bucket(campaigns: Campaigns) -> None:
    ended = campaigns("s3")
    assert ended.complaints == []
    assert ended.sums["charged"] == ended.sums["archived"] == ended.sums["jobs"]


@pytest.mark.parametrize("name", [NO_INTENT, SHARED_CREATE])
def test_a_second_payment_is_noticed_when_the_safety_is_taken_out(campaigns: Campaigns, name: str) -> None:
    ended = campaigns(name)
    assert ended.sums["double_charged"] > 0
    assert f"double_charged: {ended.sums['double_charged']}" in ended.complaints

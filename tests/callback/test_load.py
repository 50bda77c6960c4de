"""The receiver under load, beside a plain application in the same run. It needs `wrk`: Debian has it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from blocks.kling.callback import token_of
from tests.callback.conftest import SECRET, Waiting, resident_mib, serving
from tests.deploy.stage import show
from tests.servers import free_port

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed"),
]

_SCRIPT = """\
local paths = {"%s", "%s", "/kling/nothing"}
local number = 0
wrk.method = "POST"
wrk.body = '{"task_id": "880000000000000001", "task_status": "succeed"}'
request = function()
  number = number + 1
  return wrk.format(nil, paths[number %% #paths + 1])
end
"""


def load(port: int, script: Path, seconds: int) -> float:
    """Send as much as it takes, right and wrong addresses in turn; return answers per second."""
    command = ["wrk", "-t1", "-c32", f"-d{seconds}s", "-s", str(script), f"http://127.0.0.1:{port}"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    assert "Non-2xx" not in printed, printed
    assert "Socket errors" not in printed, printed
    rate = re.search(r"Requests/sec:\s+([\d.]+)", printed)
    assert rate, printed
    return float(rate[1])


def test_it_answers_nearly_as_fast_as_an_application_that_does_nothing(
    waiting: Waiting, tmp_path: Path
) -> None:
    script = tmp_path / "calls.lua"
    right, wrong = (f"/kling/{token_of('ab' * 32, secret)}" for secret in (SECRET, SECRET[::-1]))
    script.write_text(_SCRIPT % (right, wrong))
    ports = free_port(), free_port()
    with (
        serving("flows.callback:app", ports[0], waiting.stage) as receiver,
        serving("tests.callback.plain:app", ports[1], waiting.stage),
    ):
        load(ports[0], script, 5)
        before = resident_mib(receiver.pid)
        rates = [(load(ports[0], script, 5), load(ports[1], script, 5)) for _ in range(3)]
        after = resident_mib(receiver.pid)
    ratio = sum(ours for ours, _ in rates) / sum(plain for _, plain in rates)
    show("receiver under load", rates=rates, ratio_to_plain=round(ratio, 2), mib=[before, after])
    assert after - before < 10

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from blocks.sandbox.__main__ import main
from blocks.sandbox.faults import FAULTS
from tests.blocks.sandbox.conftest import AVATAR
from tests.blocks.sandbox.media import picture, sound, text

COMMAND = [sys.executable, "-m", "blocks.sandbox"]


@contextmanager
def started(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command until its first line; `folder` takes its temporary files."""
    with subprocess.Popen(
        [*COMMAND, "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline()
        finally:
            process.kill()


def test_json_tells_the_urls_the_options_hold_and_sigterm_ends_it_whatever_is_open(tmp_path: Path) -> None:
    temporary, samples = tmp_path / "temporary", tmp_path / "samples"
    temporary.mkdir()
    options = ("--json", "--key", "right", "--no-lookup", "--render-seconds", "9", "--fault", "429-1302:1")
    with started(temporary, *options, "--fault", "slow", "--write-samples", str(samples)) as (process, line):
        told = json.loads(line)
        url = told["url"]
        assert set(told) == {"url", "delivery_url", "pid"}
        assert told["pid"] == process.pid
        settings = httpx.get(f"{url}/sandbox/settings", trust_env=False).json()
        assert (settings["key"], settings["lookup"], settings["render_seconds"]) == (True, False, 9)
        assert post(url).status_code == 429
        waiting = threading.Thread(target=post_into_the_dark, args=(url,))
        waiting.start()
        while not any(entry["fault"] == "slow" for entry in httpx.get(f"{url}/sandbox/requests").json()):
            pass
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=10)
        waiting.join()
    assert (process.returncode, errors) == (0, "")
    assert not list(temporary.iterdir())
    assert (samples / "face.png").read_bytes().startswith(b"\x89PNG")
    assert (samples / "voice.mp3").stat().st_size > 10_000


def test_the_greeting_names_the_command_to_try_and_sigint_ends_it(tmp_path: Path) -> None:
    with started(tmp_path, "--write-samples", str(tmp_path / "samples")) as (process, first):
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert process.stderr is not None
        rest, errors = process.stdout.read(), process.stderr.read()
        assert (process.wait(10), errors) == (0, "")
    assert f"COMETAPI_KEY=x COMETAPI_BASE_URL={first.split()[-1]} .venv/bin/python -m flows.avatar" in rest
    assert f"--image {tmp_path}/samples/face.png --audio {tmp_path}/samples/voice.mp3" in rest
    assert [path.name for path in tmp_path.iterdir()] == ["samples"]


def test_help_lists_every_fault(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    for fault in FAULTS.values():
        assert f"  {fault.name:22} {fault.says}" in shown


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--fault", "typo"), "no such fault"),
        (("--fault", "slow:many"), "count"),
        (("--callback-secret", "hidden"), "whsec_"),
        (("--render-seconds", "-1"), "render_seconds"),
        (("--port", "70000"), "cannot listen"),
    ],
)
def test_a_wrong_option_is_told_in_one_line(
    options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(list(options))
    errors = capsys.readouterr().err
    assert ended.value.code == 2
    assert said in errors.splitlines()[-1]
    assert "hidden" not in errors


def post(url: str) -> httpx.Response:
    body = {"image": text(picture()), "sound_file": text(sound()), "prompt": "Calm."}
    headers = {"Authorization": "Bearer right"}
    return httpx.post(url + AVATAR, json=body, headers=headers, trust_env=False, timeout=30)


def post_into_the_dark(url: str) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        post(url)

"""Files of this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from blocks.errors import Fault, SourceUnavailable
from tests.blocks.kling.sources.reading import DATA, LIMIT, fault, read


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a face é #1.png"
    path.write_bytes(DATA)
    return path


async def test_a_local_file_is_read_by_path_and_by_url(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(path.parent))

    assert await read(str(path)) == DATA
    assert await read(f"  {path}\n") == DATA
    assert await read(path.as_uri()) == DATA
    assert await read(path.as_uri().replace("file:///", "file://localhost/")) == DATA
    assert await read(f"~/{path.name}") == DATA


async def test_a_file_on_the_limit_is_read_and_a_longer_one_is_not(path: Path) -> None:
    assert await read(str(path), LIMIT) == DATA
    assert await read(str(path), LIMIT - 1) == Fault("image", f"{path} is too large", "at most 1,023 bytes")


async def test_local_faults_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    os.mkfifo(tmp_path / "pipe")

    assert await fault(f"{tmp_path}/none.png") == f"{tmp_path}/none.png does not exist on this worker"
    assert await fault(f"{empty}/below") == f"{empty}/below does not exist on this worker"
    assert await fault(str(tmp_path)) == f"{tmp_path} is a folder"
    assert await fault(f"{tmp_path}/pipe") == f"{tmp_path}/pipe is no regular file"
    assert await fault(str(empty)) == f"{empty} is an empty file"
    assert await fault("") == "empty"
    assert await fault("~no-such-user/a.png") == "~no-such-user/a.png does not exist on this worker"
    assert await fault("a\0b") == "a?b does not exist on this worker"
    assert await fault("file://elsewhere/a.png") == "file://elsewhere/a.png names another machine"


async def test_base64_without_its_prefix_is_no_file_name_and_is_not_shown() -> None:
    assert await fault("A" * 5_000) == "a text of 5,000 characters is no file name"


async def test_a_file_that_may_not_be_read_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests may run as root, who may read everything, so the system's answer is given here."""

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("blocks.kling.sources.local._open_without_waiting", refuse)
    assert await fault(str(path)) == f"{path} may not be read by this worker"


async def test_a_file_system_that_fails_may_be_tried_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("blocks.kling.sources.local._open_without_waiting", fail)
    with pytest.raises(SourceUnavailable, match="Input/output error"):
        await read(str(path))

"""What the tests of batches and inboxes share: folders with portraits and voices, and a look at the books."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

from prefect.artifacts import Artifact

from blocks.sandbox.serve import RunningSandbox
from tests.flows.conftest import SAMPLES


def put_media(folder: Path, *stems: str) -> None:
    """Put a portrait and a voice clip for each name into a folder, as if they had been there for long."""
    for stem in stems:
        (folder / stem).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SAMPLES / "portrait.png", folder / f"{stem}.png")
        shutil.copy(SAMPLES / "voice.mp3", folder / f"{stem}.mp3")
        rest(folder / f"{stem}.png", folder / f"{stem}.mp3")


def put_text(path: Path, text: str, age: float = 600.0) -> None:
    """Write a small file, as if it had been there for so many seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    rest(path, age=age)


def rest(*paths: Path, age: float = 600.0) -> None:
    """Make files look as if nobody had written to them for so many seconds."""
    for path in paths:
        os.utime(path, (time.time() - age, time.time() - age))


def write_manifest(folder: Path, *rows: str, columns: str = "image,audio,prompt", name: str = "m.csv") -> str:
    """Put a manifest with these rows, and the portrait and voice `kim` beside it; return its path."""
    put_media(folder, "kim")
    put_text(folder / name, "\n".join([columns, *rows]) + "\n")
    return str(folder / name)


def results_beside(manifest: str) -> list[dict[str, Any]]:
    """Return the lines of the result manifest."""
    written = Path(manifest).with_suffix(".results.jsonl")
    return [json.loads(line) for line in written.read_text().splitlines()]


def bought(sandbox: RunningSandbox) -> tuple[int, int]:
    """Return how many POSTs came and how many videos were charged."""
    ledger = sandbox.ledger()
    return ledger["posts"], len(ledger["charges"])


async def newest_table(key: str) -> tuple[list[dict[str, Any]], str]:
    """Return the rows and the description of the newest table artifact with this key."""
    found = await Artifact.aget(key)
    assert found is not None
    assert isinstance(found.data, str)
    return json.loads(found.data), found.description or ""

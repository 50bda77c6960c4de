"""This project as people use it: the flow `generate_avatars` on a manifest, with a local archive.

Without jobs it does what every run does besides: the same imports, a flow run, open connections.
"""

from __future__ import annotations

import asyncio
import csv
import sys
from pathlib import Path

from prefect import flow

from blocks import AvatarArchive, CometAPICredentials
from flows.batch import generate_avatars
from flows.tasks.connections import connect
from tests.bench.contenders.work import IMAGE, POLL_SECONDS, SOUND, prompt


@flow(name="nothing")
async def open_connections(credentials: CometAPICredentials, store: AvatarArchive) -> None:
    """Do nothing with open connections."""
    async with connect(credentials, store):
        pass


def write_manifest(place: Path, jobs: int) -> None:
    """Write a manifest of that many rows."""
    with place.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "audio", "prompt", "name"))
        writer.writerows((IMAGE, SOUND, prompt(number), f"job {number}") for number in range(jobs))


async def main(url: str, folder: str, jobs: int) -> None:
    """Make all videos, all of them in flight at once."""
    waits = {"first_poll_seconds": POLL_SECONDS, "render_factor": 0, "poll_seconds": POLL_SECONDS}
    credentials = CometAPICredentials.model_validate({"api_key": "x", "base_url": url, **waits})
    store = AvatarArchive(url=str(Path(folder) / "archive"))
    if not jobs:
        await open_connections(credentials, store)
        return
    manifest = Path(folder) / "manifest.csv"
    write_manifest(manifest, jobs)
    await generate_avatars(
        manifest=str(manifest), at_once=min(jobs, 1000), credentials=credentials, store=store
    )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))

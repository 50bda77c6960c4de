"""The four steps of this project, without Prefect's task runs around them.

Usage: `python -m tests.bench.steps URL FOLDER JOBS`.
"""

from __future__ import annotations

import asyncio
import sys
from functools import partial

from blocks import AvatarArchive, CometAPICredentials
from flows.tasks.archive import archive_clip
from flows.tasks.body import build_request
from flows.tasks.connections import Connections, connect
from flows.tasks.poll import wait_for_task
from flows.tasks.purchase import Order
from flows.tasks.request import Request
from flows.tasks.submit import submit_job
from flows.tasks.validate import check_request


async def make_one(connections: Connections, number: int) -> None:
    """Validate, submit, poll, archive."""
    request = Request(
        image="blocks/sandbox/samples/portrait.png",
        audio="blocks/sandbox/samples/voice.mp3",
        prompt=f"bench {number}",
    )
    job = await check_request(request, connections)
    entry = await submit_job(Order(job, partial(build_request, job, request, connections)), connections)
    await archive_clip(entry, await wait_for_task(entry, connections), connections)


async def main(url: str, folder: str, jobs: str) -> None:
    """Make all videos side by side."""
    credentials = CometAPICredentials.model_validate(
        {"api_key": "x", "base_url": url, "first_poll_seconds": 0.5, "render_factor": 0, "poll_seconds": 0.5}
    )
    async with connect(credentials, AvatarArchive(url=folder)) as connections:
        await asyncio.gather(*(make_one(connections, number) for number in range(int(jobs))))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))

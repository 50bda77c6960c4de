"""The flow that people write first: four Prefect tasks a job over one httpx client, nothing else."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import httpx
from prefect import flow, task

from tests.bench.contenders.work import CONNECTIONS, CREATE_PATH, HEADERS, POLL_SECONDS, body


@task
async def validate(number: int) -> int:
    """Look at the inputs."""
    if not body(number)["image"]:
        raise ValueError("no image")
    return number


@task
async def submit(client: httpx.AsyncClient, url: str, number: int) -> str:
    """Post."""
    answer = await client.post(url + CREATE_PATH, json=body(number))
    return str(answer.json()["data"]["task_id"])


@task
async def poll(client: httpx.AsyncClient, url: str, task_id: str) -> dict[str, Any]:
    """Wait."""
    while True:
        await asyncio.sleep(POLL_SECONDS)
        found: dict[str, Any] = (await client.get(f"{url}{CREATE_PATH}/{task_id}")).json()["data"]
        if found["task_status"] == "succeed":
            return found


@task
async def archive(client: httpx.AsyncClient, found: dict[str, Any], place: Path) -> None:
    """Download."""
    clip = await client.get(found["task_result"]["videos"][0]["url"])
    clip.raise_for_status()
    place.write_bytes(clip.content)


@flow(name="naive")
async def make_all(url: str, folder: str, jobs: int) -> None:
    """Make all videos side by side."""
    limits = httpx.Limits(max_connections=CONNECTIONS)
    async with httpx.AsyncClient(limits=limits, headers=HEADERS, timeout=300, trust_env=False) as client:

        async def make_one(number: int) -> None:
            task_id = await submit(client, url, await validate(number))
            await archive(client, await poll(client, url, task_id), Path(folder) / f"{number}.mp4")

        await asyncio.gather(*(make_one(number) for number in range(jobs)))


if __name__ == "__main__":
    asyncio.run(make_all(sys.argv[1], sys.argv[2], int(sys.argv[3])))

"""The script that people write by hand on httpx: no journal, no checks, no archive to speak of."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import httpx

from tests.bench.contenders.work import CONNECTIONS, CREATE_PATH, HEADERS, POLL_SECONDS, body


async def make_one(client: httpx.AsyncClient, url: str, folder: Path, number: int) -> None:
    """Submit, poll, download."""
    answer = await client.post(url + CREATE_PATH, json=body(number))
    task_id = answer.json()["data"]["task_id"]
    while True:
        await asyncio.sleep(POLL_SECONDS)
        task = (await client.get(f"{url}{CREATE_PATH}/{task_id}")).json()["data"]
        if task["task_status"] == "succeed":
            break
    clip = await client.get(task["task_result"]["videos"][0]["url"])
    clip.raise_for_status()
    (folder / f"{number}.mp4").write_bytes(clip.content)


async def main(url: str, folder: str, jobs: str) -> None:
    """Make all videos side by side."""
    limits = httpx.Limits(max_connections=CONNECTIONS)
    async with httpx.AsyncClient(limits=limits, headers=HEADERS, timeout=300, trust_env=False) as client:
        await asyncio.gather(*(make_one(client, url, Path(folder), number) for number in range(int(jobs))))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))

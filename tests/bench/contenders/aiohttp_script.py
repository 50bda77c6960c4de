"""The script that people write by hand on aiohttp: no journal, no checks, no archive to speak of."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import aiohttp

from tests.bench.contenders.work import CONNECTIONS, CREATE_PATH, HEADERS, POLL_SECONDS, body


async def make_one(client: aiohttp.ClientSession, url: str, folder: Path, number: int) -> None:
    """Submit, poll, download."""
    async with client.post(url + CREATE_PATH, json=body(number)) as answer:
        task_id = (await answer.json())["data"]["task_id"]
    while True:
        await asyncio.sleep(POLL_SECONDS)
        async with client.get(f"{url}{CREATE_PATH}/{task_id}") as answer:
            task = (await answer.json())["data"]
        if task["task_status"] == "succeed":
            break
    async with client.get(task["task_result"]["videos"][0]["url"]) as clip:
        clip.raise_for_status()
        (folder / f"{number}.mp4").write_bytes(await clip.read())


async def main(url: str, folder: str, jobs: str) -> None:
    """Make all videos side by side."""
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    timeout = aiohttp.ClientTimeout(total=300)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=HEADERS) as client:
        await asyncio.gather(*(make_one(client, url, Path(folder), number) for number in range(int(jobs))))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))

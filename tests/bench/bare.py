"""The script that people write by hand: no journal, no checks, no archive to speak of.

Usage: `python -m tests.bench.bare URL FOLDER JOBS`.
"""

from __future__ import annotations

import asyncio
import base64
import sys
from pathlib import Path

import httpx

PATH = "/kling/v1/videos/avatar/image2video"


async def make_one(client: httpx.AsyncClient, url: str, folder: Path, number: int) -> None:
    """Submit, poll, download."""
    image = base64.b64encode(Path("blocks/sandbox/samples/portrait.png").read_bytes()).decode()
    sound = base64.b64encode(Path("blocks/sandbox/samples/voice.mp3").read_bytes()).decode()
    body = {"image": image, "sound_file": sound, "prompt": f"bench {number}", "mode": "std"}
    answer = await client.post(url + PATH, json=body)
    task_id = answer.json()["data"]["task_id"]
    while True:
        await asyncio.sleep(0.5)
        task = (await client.get(f"{url}{PATH}/{task_id}")).json()["data"]
        if task["task_status"] == "succeed":
            break
    clip = await client.get(task["task_result"]["videos"][0]["url"])
    (folder / f"{number}.mp4").write_bytes(clip.content)


async def main(url: str, folder: str, jobs: str) -> None:
    """Make all videos side by side."""
    limits, headers = httpx.Limits(max_connections=100), {"Authorization": "Bearer x"}
    async with httpx.AsyncClient(limits=limits, headers=headers, timeout=60, trust_env=False) as client:
        await asyncio.gather(*(make_one(client, url, Path(folder), number) for number in range(int(jobs))))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))

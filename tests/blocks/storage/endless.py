"""A process that streams into a store until it is killed, and tells how far it is."""

from __future__ import annotations

import asyncio
import subprocess
import sys

from tests.blocks.storage.plain import command, open_quickly


def kill_while_writing(url: str, key: str, mebibytes: int, endpoint_url: str = "") -> None:
    """Start a process that streams into `key`, and SIGKILL it when so much is written."""
    with subprocess.Popen(command(__name__, url, key, endpoint_url), stdout=subprocess.PIPE) as process:
        assert process.stdout
        for line in process.stdout:
            if int(line) >= mebibytes:
                break
        process.kill()
    assert process.returncode == -9


async def _stream(url: str, key: str, endpoint_url: str) -> None:
    store = open_quickly(url, endpoint_url)
    async with store.writer(key) as writer:
        for number in range(1000):
            await writer.write(bytes(2**20))
            sys.stdout.write(f"{number}\n")
            sys.stdout.flush()
            await asyncio.sleep(0.01)


if __name__ == "__main__":
    asyncio.run(_stream(*sys.argv[1:]))

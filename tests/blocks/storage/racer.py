"""Many processes that create the same object at the same moment."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys

from tests.blocks.storage.plain import command, open_quickly


def race(url: str, key: str, processes: int, each: int, endpoint_url: str = "") -> list[bool]:
    """Start `processes` at once with `each` creators in them and return which creator won."""
    words = command(__name__, url, key, str(processes), str(each), endpoint_url)
    done = subprocess.run(words, check=True, capture_output=True, timeout=60)
    won = dict(json.loads(line) for line in done.stdout.splitlines())
    return [created for process in range(processes) for created in won[process]]


async def _create(url: str, key: str, numbers: range, endpoint_url: str) -> list[bool]:
    store = open_quickly(url, endpoint_url)
    created = await asyncio.gather(*(store.create(key, b"creator %d" % number) for number in numbers))
    await store.close()
    return created


def _main(url: str, key: str, processes: str, each: str, endpoint_url: str) -> None:
    open_quickly(url, endpoint_url)
    starter, gun = os.pipe()
    children = []
    for process in range(int(processes)):
        child = os.fork()
        if child == 0:
            os.close(gun)
            os.read(starter, 1)
            numbers = range(process * int(each), (process + 1) * int(each))
            created = asyncio.run(_create(url, key, numbers, endpoint_url))
            os.write(1, json.dumps([process, created]).encode() + b"\n")
            os._exit(0)
        children.append(child)
    os.close(gun)
    if any(os.waitpid(child, 0)[1] for child in children):
        sys.exit("a creator failed")


if __name__ == "__main__":
    _main(*sys.argv[1:])

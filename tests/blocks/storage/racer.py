"""Many processes that create the same object at the same moment."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

from tests import racing
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

    def create(process: int) -> list[bool]:
        numbers = range(process * int(each), (process + 1) * int(each))
        return asyncio.run(_create(url, key, numbers, endpoint_url))

    racing.race(int(processes), create)


if __name__ == "__main__":
    _main(*sys.argv[1:])

"""This project with four task runs a job, as it shows up to 50 rows, whatever their number."""

from __future__ import annotations

import asyncio
import sys

from flows.tasks.manifest import rows
from tests.bench.contenders.this_project import main

if __name__ == "__main__":
    rows._SHOWN_IN_STEPS = sys.maxsize
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))

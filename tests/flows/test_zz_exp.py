from __future__ import annotations
import time, tracemalloc, gc
from blocks.sandbox.serve import Sandbox
from flows.avatar import generate_avatar

async def test_times(sandbox, credentials, archive_block, face, voice):
    tracemalloc.start(40)
    for take in (1,2):
        t=time.perf_counter(); c=time.process_time()
        s = await generate_avatar(image=face, audio=voice, take=take, credentials=credentials, store=archive_block)
        print("run", time.perf_counter()-t, time.process_time()-c)
    gc.collect()
    print(sandbox.ledger()["totals"])

from __future__ import annotations
import time
from blocks.sandbox.serve import Sandbox
from flows.avatar import generate_avatar

async def test_times(sandbox, credentials, archive_block, face, voice):
    for take in (1,2,3,1):
        t=time.perf_counter(); c=time.process_time()
        s = await generate_avatar(image=face, audio=voice, take=take, credentials=credentials, store=archive_block)
        print("run", time.perf_counter()-t, time.process_time()-c)
    print(sandbox.ledger()["totals"])

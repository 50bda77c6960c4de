"""Many processes that buy at the same moment, and one before them that dies between reservation and POST."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from blocks import AvatarArchive, CometAPICredentials
from blocks.errors import BudgetExceeded
from blocks.kling.job import AudioInput, ImageInput, Job, job_id_of
from blocks.storage.journal import Entry
from flows.tasks import purchase
from flows.tasks.body import build_request
from flows.tasks.connections import connect
from flows.tasks.purchase import Order
from flows.tasks.request import Request
from flows.tasks.submit import submit_job
from tests import racing
from tests.servers import run

SECONDS = 2.5
USD = Decimal("0.14")


def race(
    folder: Path, credentials: CometAPICredentials, archive: AvatarArchive, processes: int, each: int
) -> list[str]:
    """Let one process die, then start the others at once; return how each of their jobs ended.

    Args:
        folder: Has the inputs, `ann.png` and `voice.wav` of 2.5 seconds.
        credentials: With a budget.
        archive: A local folder.
        processes: How many race.
        each: How many jobs each of them wants.
    """
    wanted = credentials.model_dump(mode="json", exclude={"api_key", "callback_secret", "signing_secret"})
    wanted["api_key"] = credentials.api_key.get_secret_value()
    words = (json.dumps(wanted), archive.url, str(processes), str(each))
    done = run("-m", __name__, *words, environment={**os.environ, "FOLDER": str(folder)})
    assert done.returncode == 0, done.stderr
    return [ended for line in done.stdout.splitlines() for ended in json.loads(line)[1]]


def job_of(request: Request) -> Job:
    image, audio = Path(request.image).read_bytes(), Path(request.audio or "").read_bytes()
    digests = [hashlib.sha256(data).hexdigest() for data in (image, audio)]
    return Job(
        job_id=job_id_of(
            image_sha256=digests[0],
            audio=f"sha256:{digests[1]}",
            prompt=request.prompt,
            mode=request.mode,
            take=request.take,
        ),
        name=request.prompt,
        image=ImageInput(reference=request.image, sha256=digests[0], size=len(image), width=320, height=400),
        audio=AudioInput(reference=request.audio or "", sha256=digests[1], size=len(audio), seconds=SECONDS),
        prompt=request.prompt,
        mode="std",
        estimated_usd=USD,
    )


async def _buy(credentials: CometAPICredentials, archive: AvatarArchive, prompts: list[str]) -> list[str]:
    folder = Path(os.environ["FOLDER"])
    async with connect(credentials, archive) as connections:

        async def buy(prompt: str) -> str:
            image, audio = str(folder / "ann.png"), str(folder / "voice.wav")
            request = Request(image=image, audio=audio, prompt=prompt)
            job = job_of(request)
            build = partial(build_request, job, request, connections)
            try:
                entry: Entry = await submit_job(Order(job, build), connections)
            except BudgetExceeded:
                return "refused"
            return entry.step.value

        return [await buy(prompt) for prompt in prompts]


def _die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _main(given: str, url: str, processes: str, each: str) -> None:
    credentials, archive = CometAPICredentials(**json.loads(given)), AvatarArchive(url=url)
    dying = os.fork()
    if dying == 0:
        with patch.object(purchase, "_claim", _die):
            asyncio.run(_buy(credentials, archive, ["dying"]))
        os._exit(1)
    if os.waitpid(dying, 0)[1] != signal.SIGKILL:
        sys.exit("it did not die where it was told to")

    def buy(process: int) -> list[str]:
        prompts = [f"{process} {number}" for number in range(int(each))]
        return asyncio.run(_buy(credentials, archive, prompts))

    racing.race(int(processes), buy)


if __name__ == "__main__":
    _main(*sys.argv[1:])

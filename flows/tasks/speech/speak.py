"""The task that makes speech, and the person who is asked when nobody can tell whether it was bought."""

from __future__ import annotations

from functools import partial

from prefect import task

from blocks.errors import AvatarError
from blocks.kling.job import Job
from flows.tasks.ask import settled
from flows.tasks.caching import once_per_run
from flows.tasks.connections import Connections
from flows.tasks.events import emit_stopped
from flows.tasks.speech.speaking import give_voice
from flows.tasks.submit import submit_job


@task(
    name="speak",
    task_run_name="speak {job.name}",
    # MONEY: no retries here; what may be repeated is decided by the protocol, inside.
    retries=0,
    cache_policy=once_per_run("speak", "job"),
    result_serializer="json",
)
async def speak(job: Job, connections: Connections) -> Job:
    """Make the speech of a job, or take the one that was made before. MAY spend money, once."""
    try:
        return await give_voice(job, connections, submit_job)
    except AvatarError as error:
        emit_stopped(job.job_id, job.name, error)
        raise


async def speak_or_ask(job: Job, connections: Connections) -> Job:
    """Make the speech of a job; each time nobody can tell whether it was bought, a person is asked first.

    MAY spend money, once; after the answer "post again" once more.

    Raises:
        NeedsDecision: This run cannot wait because it has no deployment.
        AvatarError: See `flows.tasks.speech.speaking.give_voice`.
    """
    return await settled(partial(speak, job, connections), connections)

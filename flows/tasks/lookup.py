"""Clearing up doubt: was a job bought whose answer was lost?"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from blocks.errors import (
    AccessRefused,
    Facts,
    NeedsDecision,
    NotSent,
    ProviderError,
    ProviderUnavailable,
    SlowDown,
)
from blocks.kling.models import KlingTask
from blocks.storage.journal import Entry, Outcome, Step, now
from blocks.storage.layout import learned_key
from flows.tasks.connections import Connections
from flows.tasks.logs import run_logger
from flows.tasks.metrics import count_unknown
from flows.tasks.purchase import CLAIM_SECONDS
from flows.tasks.record import record_submitted

_REMEMBERED = timedelta(days=1)
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 30.0


async def clear_up(entry: Entry, connections: Connections, *, wait: bool = True) -> Entry:
    """Find out whether the job of a doubtful entry was bought; never posts, costs nothing.

    Found: its Kling task is adopted. Provably absent: the job is released and may be posted again under the
    same name. Otherwise the doubt is written down and a person decides.

    Args:
        entry: The doubtful entry.
        connections: Provider and archive.
        wait: Whether to wait until a task that is not found has had time to appear.

    Returns:
        The entry that was written: `submitted` or `released`, by us or by somebody faster; without `wait`
        the entry itself when it is too early to tell.

    Raises:
        NeedsDecision: It cannot be known.
        ProviderError: The provider did not answer the question; the job stays as it is.
    """
    if entry.kind == "speech":
        raise await _undecided(entry, connections, "the provider takes no name of ours for speech")
    if connections.credentials.lookup == "no":
        raise await _undecided(entry, connections, "lookup by external task id is switched off")
    task = await _search(entry, connections, wait=wait)
    if task is not None:
        run_logger().info("Found Kling task %s by its external task id; adopting it", task.task_id)
        return await record_submitted(entry, task, connections)
    if not await can_prove_absence(connections):
        raise await _undecided(entry, connections, "the provider is not known to answer such lookups")
    if now() < _settled(entry, connections):
        return entry
    outcome = Outcome(message="Looked up by its external task id and not found: never bought", charged="no")
    released = await connections.archive.journal.append(entry.job_id, entry, Step.RELEASED, outcome=outcome)
    return released or await _reread(entry, connections)


def _settled(entry: Entry, connections: Connections) -> datetime:
    """Return when a task that is not found by then was never bought."""
    credentials = connections.credentials
    ended = CLAIM_SECONDS + credentials.create_seconds + credentials.absence_seconds
    return (entry.intended_at or entry.at) + timedelta(seconds=ended)


async def _search(entry: Entry, connections: Connections, *, wait: bool) -> KlingTask | None:
    """Look for the task once, or until it is found or has had time to appear."""
    settled = _settled(entry, connections) if wait else now()
    trusted = await can_prove_absence(connections)
    pause = _FIRST_PAUSE
    while True:
        try:
            task = await connections.client.find(entry.external_task_id)
        except AccessRefused:
            raise
        except ProviderError:
            if now() >= settled:
                if trusted:
                    raise
                return None
        else:
            if task is not None or now() >= settled or not trusted:
                return task
        await asyncio.sleep(min(pause, max(0.0, (settled - now()).total_seconds())))
        pause = min(pause * 2, _LONGEST_PAUSE)


async def _undecided(entry: Entry, connections: Connections, reason: str) -> NeedsDecision:
    outcome = entry.outcome.model_copy(
        update={"message": entry.outcome.message or "The POST was announced and its outcome never written"}
    )
    journal = connections.archive.journal
    if entry.step is not Step.UNDECIDED and await journal.append(
        entry.job_id, entry, Step.UNDECIDED, outcome=outcome
    ):
        count_unknown(entry)
    facts = Facts(
        job_id=entry.job_id,
        http_status=outcome.http_status,
        service_code=outcome.service_code,
        request_id=outcome.request_id,
    )
    return NeedsDecision(
        f"Nobody can tell whether this {entry.thing} was bought: {outcome.message.rstrip('.')}; {reason}",
        facts,
        f"Look for {what_to_look_for(entry)} in the provider's console or log, then run the "
        f"decide flow for job {entry.job_id}: adopt the Kling task, post again, or give up.",
    )


def what_to_look_for(entry: Entry) -> str:
    """Return by what a person finds the Kling task of a doubtful entry."""
    if entry.kind == "speech":
        when = f"{entry.intended_at:%Y-%m-%d %H:%M:%S} UTC" if entry.intended_at else "an unknown time"
        return f"speech in voice {entry.job.get('voice', '')!r} that was made at {when}"
    return f"external task id {entry.external_task_id}"


async def _reread(entry: Entry, connections: Connections) -> Entry:
    return await connections.archive.journal.last(entry.job_id, after=entry) or entry


async def can_prove_absence(connections: Connections) -> bool:
    """Tell whether "not found" from this provider means "never bought"."""
    if connections.credentials.lookup != "probe":
        return connections.credentials.lookup == "yes"
    return await _remembered(connections) is True


async def learn_lookup(entry: Entry, connections: Connections) -> None:
    """See, once per account, whether a task that was read is found by our name for it too. Costs nothing."""
    if connections.credentials.lookup != "probe" or await _remembered(connections) is not None:
        return
    try:
        task = await connections.client.find(entry.external_task_id)
    except (AccessRefused, ProviderUnavailable, SlowDown, NotSent):
        return
    except ProviderError:
        task = None
    works = task is not None and task.task_id == entry.kling_task_id
    connections.known[_lookup_key(connections)] = works
    memory = {"works": works, "seen": now().isoformat()}
    await connections.archive.store.replace(_lookup_key(connections), json.dumps(memory).encode())


async def _remembered(connections: Connections) -> bool | None:
    key = _lookup_key(connections)
    if key not in connections.known:
        data = await connections.archive.store.read(key)
        if data is None:
            return None
        memory = json.loads(data)
        fresh = datetime.now(UTC) - datetime.fromisoformat(memory["seen"]) < _REMEMBERED
        if not memory["works"] and not fresh:
            return None
        connections.known[key] = memory["works"]
    return connections.known[key]


def _lookup_key(connections: Connections) -> str:
    account = f"{connections.credentials.base_url} {connections.credentials.query_path}"
    return learned_key(f"lookup-{sha256(account.encode()).hexdigest()[:16]}")

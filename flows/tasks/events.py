"""What other flows may trigger on: one event for each turn in the life of a job, and assets that are made."""

from __future__ import annotations

import uuid
from typing import Any

from prefect.events import emit_event

from blocks.errors import AvatarError, NeedsDecision
from blocks.storage.journal import Entry
from blocks.storage.sidecar import Sidecar
from blocks.storage.speech import SpeechSidecar
from flows.tasks.assets import emit_clip_asset, emit_speech_asset
from flows.tasks.metrics import count_speech, count_stopped

_EVENTS = uuid.UUID("0d6a6a0e-6d0f-4d4e-8f53-0f7f6a6f2c11")


def emit_submitted(entry: Entry) -> None:
    """Say that a job has a Kling task."""
    facts = {
        "kling_task_id": entry.kling_task_id,
        "mode": entry.job.get("mode"),
        "estimated_usd": _number(entry.job.get("estimated_usd")),
    }
    _emit("submitted", entry.job_id, entry.job["name"], facts, once=f"{entry.kling_task_id}")


def emit_archived(sidecar: Sidecar, clip: str) -> None:
    """Say that a clip is in the archive, at the address `clip`."""
    facts = {
        "kling_task_id": sidecar.provided.task_id,
        "clip": clip,
        "seconds": sidecar.clip.seconds,
        "size": sidecar.clip.size,
        "sha256": sidecar.clip.sha256,
        "mode": sidecar.requested.mode,
        "estimated_usd": _number(sidecar.cost.estimated_usd),
        "reported_units": _number(sidecar.cost.reported_units),
        "waited_seconds": sidecar.times.waited_seconds,
    }
    _emit("archived", sidecar.job_id, sidecar.name, facts, once=sidecar.times.archived.isoformat(), clip=clip)
    emit_clip_asset(sidecar, clip)


def emit_speech_made(sidecar: SpeechSidecar, audio: str) -> None:
    """Say that a speech is in the archive, at the address `audio`."""
    count_speech(sidecar)
    facts = {
        "speech_id": sidecar.speech_id,
        "name": sidecar.name,
        "kling_task_id": sidecar.task_id,
        "audio_id": sidecar.audio_id,
        "audio": audio,
        "seconds": sidecar.audio.seconds,
        "size": sidecar.audio.size,
        "sha256": sidecar.audio.sha256,
    }
    resource = {
        "prefect.resource.id": f"kling-avatar.speech.{sidecar.speech_id}",
        "prefect.resource.name": sidecar.name,
        "kling-avatar.audio": audio,
    }
    once = f"made {sidecar.speech_id} {sidecar.archived.isoformat()}"
    emit_event("kling-avatar.speech.made", resource, payload=facts, id=uuid.uuid5(_EVENTS, once))
    emit_speech_asset(sidecar, audio)


def emit_stopped(job_id: str, name: str, error: AvatarError) -> None:
    """Say that a job failed, or that a person has to decide."""
    count_stopped(error)
    kind = "needs-decision" if isinstance(error, NeedsDecision) else "failed"
    facts = {
        "kling_task_id": error.facts.kling_task_id,
        "error": type(error).__name__,
        "message": error.message,
        "charged": error.charged,
        "next_step": error.next_step,
    }
    _emit(kind, job_id, name, facts)


def _number(amount: object) -> float | None:
    return None if amount is None else float(str(amount))


def _emit(
    kind: str, job_id: str, name: str, payload: dict[str, Any], once: str | None = None, **labels: str
) -> None:
    """Emit an event; what is named by `once` has the same id each time, so that Prefect counts it once."""
    resource = {"prefect.resource.id": f"kling-avatar.job.{job_id}", "prefect.resource.name": name}
    emit_event(
        event=f"kling-avatar.job.{kind}",
        resource=resource | {f"kling-avatar.{label}": value for label, value in labels.items()},
        payload={"job_id": job_id, "name": name, **payload},
        id=uuid.uuid5(_EVENTS, f"{kind} {job_id} {once}") if once else uuid.uuid4(),
    )

"""Orders: a request that broke no limit becomes a task, and a charge."""

from __future__ import annotations

from anyio import to_thread

from blocks.sandbox.faults import FAILURES, answer
from blocks.sandbox.intake import Sound
from blocks.sandbox.ledger import UNITS_PER_SPEECH, avatar_units
from blocks.sandbox.limits import AvatarFields, SpeechFields, check_seconds
from blocks.sandbox.refusals import parameter
from blocks.sandbox.script import Subject
from blocks.sandbox.speech import speak
from blocks.sandbox.state import Sandbox
from blocks.sandbox.tasks import Task


async def order_avatar(sandbox: Sandbox, fields: AvatarFields, subject: Subject) -> Task:
    """Look at image and audio, accept a task and charge for it.

    Raises:
        Refusal: It is not accepted; nothing is charged.
    """
    image = await sandbox.intake.image(fields.image)
    if fields.sound_file is not None:
        sound = await sandbox.intake.sound(fields.sound_file)
    else:
        sound = _spoken_before(sandbox, fields.audio_id or "")
    sandbox.catch_up()
    before = _ordered_before(sandbox, fields)
    return before or _buy_avatar(sandbox, fields, image, sound, subject)


async def order_speech(sandbox: Sandbox, fields: SpeechFields) -> Task:
    """Speak, and charge for it."""
    data = await to_thread.run_sync(speak, fields.text, fields.voice_id, fields.speed)
    sound = await sandbox.intake.speech(data)
    task = Task(
        task_id=sandbox.tasks.new_id(),
        media_id=sandbox.tasks.new_id(),
        kind="tts",
        seconds=sound.seconds,
        audio=sound.digest,
        created_at=sandbox.clock.milliseconds(),
        prompt=fields.text,
    )
    sandbox.keep(task, UNITS_PER_SPEECH, 0.0, sandbox.settings.tts_seconds)
    return task


def _spoken_before(sandbox: Sandbox, audio_id: str) -> Sound:
    sandbox.catch_up()
    task = sandbox.tasks.by_media(audio_id)
    oldest = sandbox.clock.now() - sandbox.settings.audio_id_days * 86400
    if task is None or task.kind != "tts" or task.status != "succeed" or task.created_at < oldest * 1000:
        raise parameter("audio_id not found or expired")
    check_seconds("audio_id", task.seconds)
    return Sound(task.audio, task.seconds)


def _ordered_before(sandbox: Sandbox, fields: AvatarFields) -> Task | None:
    name = fields.external_task_id
    before = sandbox.tasks.by_external_id(name) if name else None
    if before is None or sandbox.settings.duplicate_external_id == "accept":
        return None
    if sandbox.settings.duplicate_external_id == "reject":
        raise parameter("external_task_id already exists")
    return before


def _buy_avatar(sandbox: Sandbox, fields: AvatarFields, image: str, sound: Sound, subject: Subject) -> Task:
    settings = sandbox.settings
    most = settings.max_in_flight
    if most is not None and sandbox.tasks.in_flight >= most and (busy := answer("429-1303")):
        raise busy
    outcome = sandbox.script.fire("create", "outcome", subject)
    task = Task(
        task_id=sandbox.tasks.new_id(),
        media_id=sandbox.tasks.new_id(),
        kind="avatar",
        seconds=sound.seconds,
        audio=sound.digest,
        created_at=sandbox.clock.milliseconds(),
        image=image,
        mode=fields.mode,
        prompt=fields.prompt,
        external_task_id=fields.external_task_id,
        callback_url=fields.callback_url,
        failure=FAILURES[outcome.name] if outcome else None,
    )
    rendering = settings.render_seconds + settings.seconds_per_audio_second * float(sound.seconds)
    sandbox.keep(task, avatar_units(fields.mode, sound.seconds), settings.submitted_seconds, rendering)
    if task.failure is None:
        sandbox.clips.begin(task, fast=settings.fast_clip)
    return task

"""Kling's speech as CometAPI serves it: what is sent, and what an answer means. Pure: no I/O."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from blocks.errors import ContentRefused, ProviderError, RequestRejected
from blocks.kling.envelopes import Answer, Envelope
from blocks.kling.failures import failure_of_create
from blocks.kling.models import Audio, KlingTask, TaskStatus
from blocks.kling.protocol import read_task
from blocks.kling.tasks import audios_in, task_in

Language = Literal["en", "zh"]

# https://cometapi.mintlify.app/api/video/kling/tts
SPEECH_PATH = "/kling/v1/audio/tts"
TEXT_MAX_CHARACTERS = 1000
SLOWEST, FASTEST = 0.8, 2.0

# Reported only: neither CometAPI nor Kling documents a query for speech.
SPEECH_QUERY_PATH = SPEECH_PATH + "/{task_id}"


class SpeechRequest(BaseModel):
    """One request for speech. Sending it costs money.

    Attributes:
        text: What is said: 1 to 1000 characters, counted as Unicode code points.
        voice_id: Who says it.
        voice_language: What the voice speaks.
        voice_speed: How fast, with one decimal; 1 is normal. Out of range the provider clamps it.
    """

    model_config = ConfigDict(frozen=True)

    text: str = Field(min_length=1, max_length=TEXT_MAX_CHARACTERS, pattern=r"\S")
    voice_id: str = Field(min_length=1, pattern=r"\S")
    voice_language: Language
    voice_speed: float = Field(default=1.0, ge=SLOWEST, le=FASTEST)


def build_speech(request: SpeechRequest) -> dict[str, Any]:
    """Return the JSON body of the POST."""
    # https://cometapi.mintlify.app/api/video/kling/tts
    return request.model_dump(mode="json")


def read_spoken(answer: Answer, request: SpeechRequest) -> KlingTask:
    """Read the answer to a POST for speech.

    Args:
        answer: What came.
        request: What was asked for, for the text of a refusal.

    Returns:
        The Kling task that was bought. It mostly carries the finished speech.

    Raises:
        RequestRejected: It was refused; nothing was bought. `ContentRefused` by the content check.
        AccessRefused: The key may not do this; nothing was bought. `AccountExhausted` for want of credit.
        SlowDown: It was refused for now; nothing was bought.
        OutcomeUnknown: It may have been bought.
    """
    envelope = Envelope(answer)
    task = (task_in(envelope) or _unnamed(envelope)) if envelope.is_accepted else None
    if task is None:
        raise _told(failure_of_create(envelope), envelope, request)
    return _with_audio(task)


def read_speech(answer: Answer, task_id: str) -> KlingTask:
    """Read the answer to a query by the task id of a speech.

    Raises:
        ProviderError: No task is described; see `blocks.kling.protocol.read_task`.
    """
    return _with_audio(read_task(answer, task_id))


def _unnamed(envelope: Envelope) -> KlingTask | None:
    """Return the task of an answer that hands over speech without naming a task: the speech names it."""
    audio = next((audio for audio in audios_in(envelope.layers) if audio.id), None)
    if audio is None:
        return None
    return KlingTask(
        task_id=audio.id, status=TaskStatus.SUCCEED, audios=(audio,), request_id=envelope.request_id
    )


def _with_audio(task: KlingTask) -> KlingTask:
    """Take the link of an answer that flattens its result for that of the speech."""
    if task.audios or task.video is None:
        return task
    flat = task.video
    audio = Audio(id=flat.id, url=flat.url, seconds=flat.seconds)
    return task.model_copy(update={"videos": (), "audios": (audio,)})


def _told(failure: ProviderError, envelope: Envelope, request: SpeechRequest) -> ProviderError:
    """Say what a refusal means for speech."""
    if isinstance(failure, ContentRefused):
        said = f"The provider's content check refused the text: {envelope.text or envelope.excerpt}"
        return ContentRefused(said, failure.facts, "Change the text; a person should look at it.")
    # "Voice id not found" in a body in a body: https://cometapi.mintlify.app/api/video/kling/tts
    is_about_voice = envelope.service_code == 1201 and "voice" in envelope.text.lower()
    if isinstance(failure, RequestRejected) and is_about_voice:
        return RequestRejected(
            f"The provider has no voice {request.voice_id!r} that speaks {request.voice_language!r}: "
            f"{envelope.text}",
            failure.facts,
            "Take another voice: the list of voices is reported by others, and some are said not to work.",
        )
    return failure

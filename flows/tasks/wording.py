"""Checking what is to be said, by whom and how, before anything is paid for. Pure: no I/O."""

from __future__ import annotations

from blocks.credentials import CometAPICredentials
from blocks.errors import Fault
from blocks.kling.job import Speech, speech_id_of
from blocks.kling.text import as_sent, check_estimate, check_speed, check_text
from blocks.kling.voices import check_voice
from flows.tasks.request import Request


def check_wording(
    request: Request, credentials: CometAPICredentials
) -> tuple[Speech | None, tuple[Fault, ...]]:
    """Compare text, voice, language and speed with every documented limit.

    Returns:
        The speech that is asked for, if one is, and everything that is wrong with it.
    """
    if not (request.text and request.text.strip()):
        lonely = Fault("voice", "a voice without a text", "a text, or no voice")
        return None, (lonely,) if request.voice else ()
    text, voice = as_sent(request.text), (request.voice or "").strip()
    faults = (
        *check_text(text),
        *check_voice(voice, request.language, credentials.extra_voices),
        *check_speed(request.speed),
        *_check_take(request.speech_take),
    )
    if not faults:
        limits = credentials.media_limits
        seconds = limits.audio_min_seconds, limits.audio_max_seconds
        faults = check_estimate(text, request.language, request.speed, *seconds)
    return (None if faults else _speech(request, text, voice, credentials)), faults


def _check_take(take: int) -> tuple[Fault, ...]:
    return () if take >= 1 else (Fault("speech_take", str(take), "a whole number from 1"),)


def _speech(request: Request, text: str, voice: str, credentials: CometAPICredentials) -> Speech:
    decisive = {
        "text": text,
        "voice": voice,
        "language": request.language,
        "speed": request.speed,
        "take": request.speech_take,
    }
    return Speech.model_validate(
        {
            "speech_id": speech_id_of(**decisive),  # type: ignore[arg-type]  # by name
            "name": request.title,
            "estimated_usd": credentials.usd_per_speech,
            **decisive,
        }
    )

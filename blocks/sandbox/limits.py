"""The documented limits, and the refusals of what breaks them.

https://apidoc.cometapi.com/it/api/video/kling/avatar, https://cometapi.mintlify.app/api/video/kling/tts
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from blocks.sandbox.measure import Picture
from blocks.sandbox.refusals import gateway, nested, parameter
from blocks.sandbox.voices import VOICES

# Whether a megabyte is 10**6 or 2**20 bytes is not documented; the stricter reading holds here.
IMAGE_BYTES = 10_000_000
AUDIO_BYTES = 5_000_000
IMAGE_SIDE = 300
PROMPT_CHARACTERS = 2500
TEXT_CHARACTERS = 1000
SHORTEST_SECONDS = 2
LONGEST_SECONDS = 60
# Encoders pad; a file of sixty seconds may decode to a few milliseconds more.
SECONDS_TOLERANCE = Decimal("0.05")


@dataclass(frozen=True, slots=True)
class AvatarFields:
    """The fields of a create request that need no look at any file."""

    image: str
    audio_id: str | None
    sound_file: str | None
    prompt: str
    mode: str
    external_task_id: str | None
    callback_url: str | None


@dataclass(frozen=True, slots=True)
class SpeechFields:
    """The fields of a speech request."""

    text: str
    voice_id: str
    speed: float


def avatar_fields(body: dict[str, Any]) -> AvatarFields:
    """Check the fields of a create request.

    Raises:
        Refusal: One of them breaks a documented limit.
    """
    prompt = _text(body, "prompt")
    if not prompt or not prompt.strip():
        raise gateway(400, "prompt is required", param="prompt", code="invalid_request")
    if len(prompt) > PROMPT_CHARACTERS:
        raise parameter(f"prompt is longer than {PROMPT_CHARACTERS} characters")
    image = _text(body, "image")
    if not image:
        raise parameter("image is required")
    if ("audio_id" in body) == ("sound_file" in body):
        raise parameter("exactly one of audio_id and sound_file is required")
    return AvatarFields(
        image=image,
        audio_id=_given(body, "audio_id"),
        sound_file=_given(body, "sound_file"),
        prompt=prompt,
        mode=_choice(body, "mode", ("std", "pro"), "std"),
        external_task_id=_text(body, "external_task_id") or None,
        callback_url=_callback(body),
    )


def speech_fields(body: dict[str, Any]) -> SpeechFields:
    """Check the fields of a speech request; a speed out of range is clamped, not refused.

    Raises:
        Refusal: One of them breaks a documented limit.
    """
    text = _text(body, "text")
    if not text or not text.strip():
        raise parameter("text is required")
    if len(text) > TEXT_CHARACTERS:
        raise parameter(f"text is longer than {TEXT_CHARACTERS} characters")
    voice_id = _text(body, "voice_id")
    if not voice_id:
        raise parameter("voice_id is required")
    if voice_id not in VOICES[_choice(body, "voice_language", tuple(VOICES), "zh")]:
        raise nested(1201, "Voice id not found")
    return SpeechFields(text, voice_id, _speed(body))


def check_picture(picture: Picture) -> None:
    """Check the pixels of an image.

    Raises:
        Refusal: A side is too short or the ratio too far from a square.
    """
    short, long = sorted(picture)
    if short < IMAGE_SIDE:
        raise parameter(f"image sides must be at least {IMAGE_SIDE} px")
    if 2 * long > 5 * short:
        raise parameter("image ratio must be between 1:2.5 and 2.5:1")


def check_seconds(field: str, seconds: Decimal) -> None:
    """Check the length of an audio.

    Raises:
        Refusal: It is too short or too long.
    """
    shortest, longest = SHORTEST_SECONDS - SECONDS_TOLERANCE, LONGEST_SECONDS + SECONDS_TOLERANCE
    if not shortest <= seconds <= longest:
        raise parameter(f"{field} duration out of range")


def _text(body: dict[str, Any], field: str) -> str | None:
    value = body.get(field)
    if value is not None and not isinstance(value, str):
        raise parameter(f"{field} must be a string")
    return value


def _given(body: dict[str, Any], field: str) -> str | None:
    value = _text(body, field)
    if field in body and not value:
        raise parameter(f"{field} must not be empty")
    return value


def _choice(body: dict[str, Any], field: str, choices: tuple[str, ...], default: str) -> str:
    value = _text(body, field)
    if value is None:
        return default
    if value not in choices:
        raise parameter(f"{field} must be one of {', '.join(choices)}")
    return value


def _callback(body: dict[str, Any]) -> str | None:
    url = _text(body, "callback_url") or None
    if url and not url.startswith(("http://", "https://")):
        raise parameter("callback_url must be a URL")
    return url


def _speed(body: dict[str, Any]) -> float:
    speed = body.get("voice_speed", 1.0)
    if isinstance(speed, bool) or not isinstance(speed, (int, float)) or not math.isfinite(speed):
        raise parameter("voice_speed must be a number")
    return min(2.0, max(0.8, float(speed)))

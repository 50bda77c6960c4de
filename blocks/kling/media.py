"""Kling's documented limits, applied to what was given and to what its files really are.

Limits: https://apidoc.cometapi.com/it/api/video/kling/avatar and
https://klingai.com/document-api/api/video/avatar.md
"""

from __future__ import annotations

from typing import get_args

from pydantic import BaseModel, ConfigDict, Field

from blocks.errors import Fault
from blocks.kling.models import PROMPT_MAX_CHARACTERS, Mode
from blocks.media import AudioFacts, ImageFacts, MediaError, measure_audio, measure_image

_IMAGE_KIND = "a still JPEG or PNG picture"
_AUDIO_KIND = "an MP3, WAV, M4A or AAC file"
# What encoders add: MP3 1105 samples in front and up to 1152 behind, AAC one frame in front and one behind.
_PADDING_SAMPLES = {"MP3": 1105 + 1152, "AAC": 2 * 1024, "M4A": 2 * 1024, "WAV": 0}


class MediaLimits(BaseModel):
    """What the provider takes. A file on the limit is within it.

    Attributes:
        image_bytes: Longest image. The provider writes 10 MB; read as ten million bytes, because the
            stricter reading costs a rare refusal here and the looser one a refusal after the upload.
        image_min_side: Pixels of the shorter side at least.
        image_ratio: Longer side to shorter side at most.
        audio_bytes: Longest voice clip; 5 MB, read in the same way.
        audio_min_seconds: Shortest voice clip.
        audio_max_seconds: Longest voice clip; CometAPI says 60, Kling itself 300.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_bytes: int = Field(default=10_000_000, gt=0)
    image_min_side: int = Field(default=300, gt=0)
    image_ratio: float = Field(default=2.5, ge=1)
    audio_bytes: int = Field(default=5_000_000, gt=0)
    audio_min_seconds: float = Field(default=2, ge=0)
    audio_max_seconds: float = Field(default=60, gt=0)


async def check_image(data: bytes, limits: MediaLimits) -> tuple[ImageFacts | None, tuple[Fault, ...]]:
    """Measure an image and compare it with every limit; costs nothing at the provider.

    Returns:
        What it is, where it could be measured, and everything that is wrong with it.
    """
    faults = _size_faults("image", data, limits.image_bytes)
    try:
        facts = await measure_image(data)
    except MediaError as error:
        return None, (*faults, Fault("image", f"the file {error.reason}", _IMAGE_KIND))
    return facts, (*faults, *_image_faults(facts, limits))


async def check_audio(data: bytes, limits: MediaLimits) -> tuple[AudioFacts | None, tuple[Fault, ...]]:
    """Measure a voice clip and compare it with every limit; costs nothing at the provider.

    Returns:
        What it is, where it could be measured, and everything that is wrong with it.
    """
    faults = _size_faults("audio", data, limits.audio_bytes)
    try:
        facts = await measure_audio(data)
    except MediaError as error:
        return None, (*faults, Fault("audio", f"the file {error.reason}", _AUDIO_KIND))
    return facts, (*faults, *_audio_faults(facts, limits))


def check_prompt(prompt: str) -> tuple[Fault, ...]:
    """Check a prompt. One revision of the provider's page requires it, so it must not be empty."""
    limit = f"1 to {PROMPT_MAX_CHARACTERS} characters"
    if not prompt.strip():
        return (Fault("prompt", "empty", limit),)
    if len(prompt) > PROMPT_MAX_CHARACTERS:
        return (Fault("prompt", f"{len(prompt)} characters", limit),)
    if any("\ud800" <= letter <= "\udfff" for letter in prompt):
        return (Fault("prompt", "half of a character (a lone surrogate)", "text that UTF-8 can hold"),)
    return ()


def check_mode(mode: str) -> tuple[Fault, ...]:
    """Check a mode. `standard` is refused by the provider, so it is refused here."""
    if mode in get_args(Mode):
        return ()
    return (Fault("mode", f"'{mode[:40]}'", "std or pro"),)


def check_one_audio(audio: str | None, audio_id: str | None, text: str | None = None) -> tuple[Fault, ...]:
    """Check that exactly one of voice clip, Kling audio id and text is given; empty ones count as none."""
    values = {"audio": audio, "audio_id": audio_id, "text": text}
    given = [name for name, value in values.items() if value and value.strip()]
    if len(given) == 1:
        return ()
    found = f"both {' and '.join(given)}" if given else "no audio"
    return (Fault("audio", found, "audio, audio_id or text"),)


def strip_data_prefix(text: str) -> str:
    """Return base64 text without a `data:...;base64,` prefix, which the provider does not take."""
    if text[:5].lower() != "data:":
        return text
    return text.partition(",")[2]


def _size_faults(field: str, data: bytes, limit: int) -> tuple[Fault, ...]:
    if len(data) <= limit:
        return ()
    return (Fault(field, f"{len(data):,} bytes", f"at most {limit:,} bytes"),)


def _image_faults(facts: ImageFacts, limits: MediaLimits) -> list[Fault]:
    pixels = f"{facts.width} x {facts.height} pixels"
    shorter, longer = sorted((facts.width, facts.height))
    faults = []
    if facts.frames > 1:
        faults.append(Fault("image", f"an animation of {facts.frames} pictures", _IMAGE_KIND))
    if shorter < limits.image_min_side:
        faults.append(Fault("image", pixels, f"each side at least {limits.image_min_side} pixels"))
    if longer > limits.image_ratio * shorter:
        ratio = f"1:{longer / shorter:.4g}" if facts.height > facts.width else f"{longer / shorter:.4g}:1"
        limit = f"between 1:{limits.image_ratio:g} and {limits.image_ratio:g}:1"
        faults.append(Fault("image", f"{ratio} ({pixels})", limit))
    return faults


def _audio_faults(facts: AudioFacts, limits: MediaLimits) -> list[Fault]:
    seconds = f"{facts.seconds:.3f} s"
    limit = f"between {limits.audio_min_seconds:g} and {limits.audio_max_seconds:g} s"
    padding = _PADDING_SAMPLES[facts.format] / facts.sample_rate
    faults = []
    if not facts.whole:
        faults.append(Fault("audio", f"cut off after {seconds}", "a whole file"))
    # Padding only lengthens: it excuses a little too much and never a little too short.
    if not limits.audio_min_seconds <= facts.seconds <= limits.audio_max_seconds + padding:
        faults.append(Fault("audio", seconds, limit))
    return faults

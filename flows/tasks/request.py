"""What somebody asks for, before anything was read or checked."""

from __future__ import annotations

from contextlib import suppress
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from blocks.kling.sources.references import is_inline

DEFAULT_PROMPT = "A person speaks to the camera, calm and natural, with small gestures."


class Request(BaseModel):
    """One wanted video as it was asked for; see the parameters of `generate_avatar` and `speak_avatar`."""

    model_config = ConfigDict(frozen=True)

    image: str = Field(repr=False)
    audio: str | None = Field(default=None, repr=False)
    audio_id: str | None = None
    text: str | None = None
    voice: str | None = None
    language: str = "en"
    speed: float = 1.0
    speech_take: int = 1
    prompt: str = DEFAULT_PROMPT
    mode: str = "std"
    take: int = 1
    name: str | None = None
    rights: str | None = None

    @property
    def title(self) -> str:
        """What people call it: the given name, or the names of portrait and voice."""
        if self.name:
            return self.name
        if self.text and self.text.strip():
            return f"{_stem(self.image)} + {' '.join(self.text.split())[:40]}"
        voice = _stem(self.audio) if self.audio else f"speech {self.audio_id}"
        return f"{_stem(self.image)} + {voice}"


def _stem(reference: str) -> str:
    if is_inline(reference.strip()):
        return "inline"
    with suppress(ValueError):
        return PurePosixPath(urlsplit(reference).path).stem[:60] or "unnamed"
    return "unnamed"

"""Every switch of the sandbox; all of them can be turned while it runs."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Settings(BaseModel):
    """How the sandbox behaves.

    Attributes:
        key: The only API key that is accepted; `None` accepts any non-empty one.
        lookup: Whether a task can be queried by its `external_task_id`.
        duplicate_external_id: What a reused `external_task_id` does; the provider does not say, so the
            default is the worst case, a second task and a second charge.
        unknown_task: The shape of the answer about an unknown task, which the provider does not document.
        submitted_seconds: Seconds until a task is `processing`.
        render_seconds: Seconds that a task is `processing`.
        seconds_per_audio_second: Further seconds of `processing` for each second of audio.
        tts_seconds: Seconds until speech is ready; 0 answers the POST itself with the finished audio.
        link_seconds: Seconds that a delivery link lives.
        ranges: Whether the delivery host honours `Range`.
        refund_failed: Whether a failed task is given back.
        max_in_flight: Tasks that may be open at once before code 1303; `None` means no limit.
        audio_id_days: Days that an `audio_id` lives.
        callbacks: How often each callback is delivered.
        callback_secret: Signs callbacks the Standard Webhooks way (`whsec_...`); `None` sends them unsigned.
        fast_clip: Deliver one tiny clip for each audio instead of rendering each portrait; for load tests.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: SecretStr | None = None
    lookup: bool = True
    duplicate_external_id: Literal["accept", "reject", "replay"] = "accept"
    unknown_task: Literal["kling", "gateway", "null"] = "kling"
    submitted_seconds: Seconds = 1.0
    render_seconds: Seconds = 3.0
    seconds_per_audio_second: Seconds = 0.0
    tts_seconds: Seconds = 0.0
    link_seconds: Seconds = 3600.0
    ranges: bool = True
    refund_failed: bool = True
    max_in_flight: Annotated[int, Field(ge=0)] | None = None
    audio_id_days: Seconds = 30.0
    callbacks: Literal["once", "twice", "never"] = "once"
    callback_secret: SecretStr | None = None
    fast_clip: bool = False

    @field_validator("callback_secret")
    @classmethod
    def _check_secret(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            signing_key(secret)
        return secret

    def changed(self, changes: dict[str, Any]) -> Settings:
        """Return these settings with some of them changed.

        Raises:
            pydantic.ValidationError: A name or a value is not known.
        """
        return Settings.model_validate({**dict(self), **changes})

    def public(self) -> dict[str, Any]:
        """Return the settings without the secrets, only whether they are set."""
        hidden = {"key": self.key is not None, "callback_secret": self.callback_secret is not None}
        return {**self.model_dump(), **hidden}


def signing_key(secret: SecretStr) -> bytes:
    """Return the bytes that sign callbacks.

    Raises:
        ValueError: It does not look like `whsec_` and base64.
    """
    prefix, _, encoded = secret.get_secret_value().partition("_")
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if prefix != "whsec" or not key:
        raise ValueError("a callback secret is whsec_ followed by base64")
    return key

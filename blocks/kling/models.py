"""What is asked of Kling's avatar endpoint, and what it says about a Kling task."""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Mode = Literal["std", "pro"]

PROMPT_MAX_CHARACTERS = 2500

_Text = Annotated[str, StringConstraints(min_length=1, pattern=r"\S")]
# An image of 10 MB is 14 million base64 characters: only its length and its beginning are looked at.
_Media = Annotated[str, StringConstraints(min_length=1)]

# Service codes of the parallel limit; a gateway that accepts first reports them as a failed task.
# https://www.klingai.com/document-api/api/get-started/error-codes
_CURABLE_CODES = frozenset({1302, 1303})
_CURABLE_TEXT = re.compile(r"parallel\s+tasks?\s+over|over\s+resource\s+pack\s+limit", re.IGNORECASE)


class TaskStatus(StrEnum):
    """Where the provider says a Kling task is; never inferred by us."""

    SUBMITTED = "submitted"
    PROCESSING = "processing"
    SUCCEED = "succeed"
    FAILED = "failed"
    UNKNOWN = "unknown"

    @property
    def is_final(self) -> bool:
        """Whether the provider will not change it any more. `unknown` is still running."""
        return self in {TaskStatus.SUCCEED, TaskStatus.FAILED}

    @classmethod
    def of(cls, word: str) -> TaskStatus:
        """Return the status that a provider's word means; a word nobody knows is `unknown`."""
        return _STATUS_OF_WORD.get(re.sub(r"[\s-]+", "_", word.strip().lower()), cls.UNKNOWN)


# Kling's own four words: https://klingai.com/document-api/api/video/avatar.md
# The others are what gateways around Kling put in their place, such as
# https://apidoc.cometapi.com/ja/api/video/kling/omni-query
_STATUS_OF_WORD = {
    word: status
    for status, words in {
        TaskStatus.SUBMITTED: "submitted pending queued queueing in_queue not_start waiting created",
        TaskStatus.PROCESSING: "processing in_progress running generating started",
        TaskStatus.SUCCEED: "succeed succeeded success successful completed complete finished done",
        TaskStatus.FAILED: "failed failure fail canceled cancelled",
    }.items()
    for word in words.split()
}


class Media(BaseModel):
    """Something that was delivered.

    Attributes:
        id: The provider's id of it.
        url: Where it can be fetched for a while. The link may be signed, so it lives in memory only: it is
            in no dump, repr or pickle, and empty in what was read back from one.
        seconds: Its length as the provider states it.
    """

    model_config = ConfigDict(frozen=True)

    id: str = ""
    url: str = Field(default="", exclude=True, repr=False)
    seconds: float | None = None

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        return {**state, "__dict__": {**state["__dict__"], "url": ""}}


class Video(Media):
    """A delivered video."""


class Audio(Media):
    """Delivered speech. Its id is the `audio_id` of an avatar for 30 days; the link may be missing."""


class KlingTask(BaseModel):
    """The provider's side of a job, as one answer described it.

    Attributes:
        task_id: A decimal string of about 18 digits. It exceeds 2^53: keep it a string.
        status: What `provider_status` means.
        provider_status: The provider's word, verbatim.
        message: Why it failed, or what else is worth knowing; without secrets.
        external_task_id: Our name for it, where the provider repeats it.
        videos: The delivered videos.
        audios: The delivered speech, of a Kling task that speaks.
        charged_units: Kling units this cost, where the provider says so.
        charged_quota: Deduction from a cash balance, where the provider says so.
        charged_list_price: List price of that deduction.
        created_at: When the provider created it.
        updated_at: When the provider last changed it.
        request_id: The provider's id of the request that was answered.
        service_code: Kling's service code in the reason of a failed task.
    """

    model_config = ConfigDict(frozen=True)

    task_id: str = Field(min_length=1)
    status: TaskStatus
    provider_status: str = ""
    message: str = ""
    external_task_id: str | None = None
    videos: tuple[Video, ...] = ()
    audios: tuple[Audio, ...] = ()
    charged_units: str | None = None
    charged_quota: str | None = None
    charged_list_price: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    request_id: str | None = None
    service_code: int | None = None

    @property
    def video(self) -> Video | None:
        """The first video that has a link, if any."""
        return next((video for video in self.videos if video.url), None)

    @property
    def audio(self) -> Audio | None:
        """The first speech, if any, with or without a link."""
        return next(iter(self.audios), None)

    @property
    def is_curable(self) -> bool:
        """Whether it failed only because too many tasks ran at once, so that it never began."""
        late_refusal = self.service_code in _CURABLE_CODES or bool(_CURABLE_TEXT.search(self.message))
        return self.status is TaskStatus.FAILED and late_refusal


class AvatarRequest(BaseModel):
    """One request for a talking avatar. Sending it costs money.

    Attributes:
        image: The portrait: an address the provider can reach, or raw base64.
        sound_file: The voice clip, likewise; exactly one of this and `audio_id`.
        audio_id: Kling's id of speech that it made in the last 30 days.
        prompt: What the avatar does, at most 2500 characters.
        mode: `std` or `pro`.
        callback_url: Where the provider rings on every change.
        external_task_id: Our name for the Kling task; unique per account.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    image: _Media = Field(repr=False)
    sound_file: _Media | None = Field(default=None, repr=False)
    audio_id: _Text | None = None
    # Optional in one revision of the provider's page, required in the next, so it is required here.
    # https://apidoc.cometapi.com/it/api/video/kling/avatar
    prompt: _Text = Field(max_length=PROMPT_MAX_CHARACTERS)
    mode: Mode = "std"
    callback_url: _Text | None = Field(default=None, repr=False)
    external_task_id: _Text

    @model_validator(mode="after")
    def _has_one_voice_and_raw_media(self) -> Self:
        if (self.sound_file is None) == (self.audio_id is None):
            raise ValueError("exactly one of sound_file and audio_id is needed")
        if any(media and media[:5].lower() == "data:" for media in (self.image, self.sound_file)):
            raise ValueError("the provider takes raw base64, without a data: prefix")
        return self

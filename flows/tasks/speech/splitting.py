"""One text that becomes several clips: where it is cut, and what each clip is called."""

from __future__ import annotations

from blocks.credentials import CometAPICredentials
from blocks.errors import Fault, InvalidRequest
from blocks.kling.speech import TEXT_MAX_CHARACTERS
from blocks.kling.text import as_sent, check_speed, check_text, most_characters, split_text
from blocks.kling.voices import check_voice
from flows.tasks.request import Request


def in_pieces(request: Request, credentials: CometAPICredentials, *, split: bool) -> list[Request]:
    """Return a request for each clip that a text needs; without `split` that is the request as it is.

    A text that fits into one clip is not cut. The pieces are called `name-1`, `name-2` and so on.

    Raises:
        InvalidRequest: The text cannot be cut; everything that is wrong with what is said.
    """
    text = as_sent(request.text or "")
    faults = [
        *check_text(text, limited=False),
        *check_speed(request.speed),
        *check_voice(request.voice or "", request.language, credentials.extra_voices),
    ]
    if faults or not split:
        return [request]
    most = most_characters(request.language, request.speed, credentials.max_audio_seconds)
    pieces = split_text(text, min(most, TEXT_MAX_CHARACTERS))
    if isinstance(pieces, Fault):
        raise InvalidRequest((pieces,))
    if len(pieces) == 1:
        return [request]
    return [
        request.model_copy(update={"text": piece, "name": f"{request.title}-{number}"})
        for number, piece in enumerate(pieces, 1)
    ]

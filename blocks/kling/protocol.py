"""Kling's avatar protocol as CometAPI serves it: what is sent, and what an answer means. Pure: no I/O."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from blocks.errors import Fault, InvalidRequest
from blocks.kling.envelopes import Answer, Envelope
from blocks.kling.failures import failure_of_create, failure_of_lookup, failure_of_read, is_absent
from blocks.kling.models import AvatarRequest, KlingTask
from blocks.kling.tasks import task_in

# https://apidoc.cometapi.com/it/api/video/kling/avatar
CREATE_PATH = "/kling/v1/videos/avatar/image2video"

# CometAPI documents no query for avatars; Kling's own is the path of the POST with the id appended, and that
# is CometAPI's general rule: https://apidoc.cometapi.com/quickstarts/video/kling-api
QUERY_PATH = CREATE_PATH + "/{task_id}"

_PLACE = "{task_id}"
_LONGEST_ID = 200


def build_create(request: AvatarRequest) -> dict[str, Any]:
    """Return the JSON body of the POST: only fields that are set, never an empty one."""
    # https://apidoc.cometapi.com/it/api/video/kling/avatar
    fields = ("image", "sound_file", "audio_id", "prompt", "mode", "callback_url", "external_task_id")
    values = ((name, getattr(request, name)) for name in fields)
    return {name: value for name, value in values if value is not None}


def query_path(template: str, task_id: str) -> str:
    """Return the path at which a Kling task is read.

    Args:
        template: A path that contains `{task_id}` once.
        task_id: The provider's id, or our external task id: both go in the same place.

    Raises:
        InvalidRequest: The id cannot be one part of a path.
    """
    # https://klingai.com/document-api/api/video/avatar.md
    refused = not task_id.strip(".") or len(task_id) > _LONGEST_ID or not task_id.isprintable()
    if refused or any(letter in task_id for letter in "/\\ "):
        fault = Fault("task_id", repr(task_id[:_LONGEST_ID]), "an id as the provider gave it is needed")
        raise InvalidRequest((fault,))
    return template.replace(_PLACE, quote(task_id, safe=""))


def is_query_template(path: str) -> bool:
    """Tell whether `path` can be a template of `query_path`."""
    is_path = path.startswith("/") and not path.startswith("//") and path.isprintable()
    return is_path and path.count(_PLACE) == 1 and not any(letter in path for letter in "?#\\ ")


def read_created(answer: Answer) -> KlingTask:
    """Read the answer to a POST.

    Returns:
        The Kling task that was bought.

    Raises:
        RequestRejected: It was refused; nothing was bought. `ContentRefused` by the content check.
        AccessRefused: The key may not do this; nothing was bought. `AccountExhausted` for want of credit.
        SlowDown: It was refused for now; nothing was bought.
        OutcomeUnknown: It may have been bought.
    """
    envelope = Envelope(answer)
    task = task_in(envelope) if envelope.is_accepted else None
    if task is None:
        raise failure_of_create(envelope)
    return task


def read_task(answer: Answer, task_id: str | None = None) -> KlingTask:
    """Read the answer to a query by task id.

    Args:
        answer: What came.
        task_id: What was asked for; an answer in some envelopes does not repeat it.

    Returns:
        The Kling task. Its status is the provider's; an unknown word is `unknown` and still running.

    Raises:
        ProviderError: No task is described: `TaskNotFound`, `AccessRefused`, `SlowDown`, `ContentRefused` or
            `ProviderUnavailable`. None of them is a verdict on the task.
    """
    envelope = Envelope(answer)
    task = task_in(envelope, task_id) if envelope.is_accepted and not answer.cut else None
    if task is None:
        raise failure_of_read(envelope, task_id)
    return task


def read_lookup(answer: Answer, external_task_id: str) -> KlingTask | None:
    """Read the answer to a query by our external task id.

    Returns:
        The Kling task, or `None` if the provider says beyond misunderstanding that there is none.

    Raises:
        ProviderError: It is not known: `AccessRefused`, `SlowDown` or `ProviderUnavailable`.
    """
    envelope = Envelope(answer)
    task = task_in(envelope) if envelope.is_accepted and not answer.cut else None
    if task is None:
        if is_absent(envelope):
            return None
        raise failure_of_lookup(envelope)
    # The account behind a gateway may be shared, and a gateway may echo what it was asked.
    is_another = task.external_task_id not in {None, external_task_id}
    if is_another or task.task_id == external_task_id:
        raise failure_of_lookup(envelope)
    return task

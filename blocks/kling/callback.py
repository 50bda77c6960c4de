"""Callbacks: the address at which the provider calls when a Kling task has moved, and what a call proves.

Nothing about an address is stored: it holds the job id and a code over it that only the holder of the secret
can make. A call proves that its sender knew the address; what it says is never believed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping

from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError, WebhookVerificationError

from blocks.kling.models import TaskStatus

SECRET_MIN_CHARACTERS = 32

_CODE = b"kling-avatar callback 1 "
_ID_BYTES = 32
_TOKEN_BYTES = 2 * _ID_BYTES
_TOKEN_CHARACTERS = 86


def token_of(job_id: str, secret: str) -> str:
    """Return the unguessable token of a job: 86 characters that can be one part of a path.

    Args:
        job_id: 64 hexadecimal digits.
        secret: The same at submit and at the receiver.
    """
    name = bytes.fromhex(job_id)
    return base64.urlsafe_b64encode(name + _code(name, secret)).rstrip(b"=").decode()


def job_of(token: str, secret: str) -> str | None:
    """Return the job id that `token` was made for with `secret`, or `None`; every token takes as long."""
    try:
        raw = base64.b64decode(f"{token[:_TOKEN_CHARACTERS]}==", altchars=b"-_", validate=True)
    except ValueError:
        raw = b""
    # Comparing the text too, because the last character of base64 may be written in several ways.
    fits = len(raw) == _TOKEN_BYTES
    name = raw[:_ID_BYTES] if fits else bytes(_ID_BYTES)
    genuine = hmac.compare_digest(token_of(name.hex(), secret), token if token.isascii() else "")
    return name.hex() if genuine and fits else None


def _code(name: bytes, secret: str) -> bytes:
    return hmac.new(secret.encode(), _CODE + name, hashlib.sha256).digest()


def is_signed(headers: Mapping[str, str], body: bytes, signing_secret: str) -> bool:
    """Tell whether the holder of `signing_secret` (`whsec_…`) signed this call within five minutes of now."""
    # https://klingai.com/document-api/api/get-started/callbacks.md
    try:
        Webhook(signing_secret).verify(body, dict(headers), json_parse=False)
    except (WebhookVerificationError, ValueError):
        return False
    return True


def is_signing_secret(text: str) -> bool:
    """Tell whether `text` can be a secret of Kling's console: `whsec_` and base64."""
    try:
        Webhook(text)
    except (EmptyWebhookSecretError, ValueError):
        return False
    return text.startswith("whsec_")


def says_still_running(body: bytes) -> bool:
    """Tell whether a call says that its Kling task goes on: then a look at it would be for nothing.

    That is all that is taken from a body. When it is wrong, the next sweep finds the task.
    """
    try:
        word = json.loads(body)["task_status"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return False
    return isinstance(word, str) and TaskStatus.of(word) in {TaskStatus.SUBMITTED, TaskStatus.PROCESSING}

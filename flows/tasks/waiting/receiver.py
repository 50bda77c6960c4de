"""The receiver of callbacks: the same answer to everybody, and then, if the call is genuine, the bell."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import NamedTuple

from pydantic import SecretStr
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from blocks.errors import SetupMissing
from blocks.kling.callback import (
    SECRET_MIN_CHARACTERS,
    is_signed,
    is_signing_secret,
    job_of,
    says_still_running,
)
from flows.tasks.connections import find_credentials
from flows.tasks.waiting.bell import Bell

_LONGEST_BODY = 64 * 1024
_BODY_SECONDS = 10.0


class Secrets(NamedTuple):
    """What tells genuine calls from others.

    Attributes:
        callback: What the addresses are made with.
        signing: What Kling signs with; empty where calls are not signed.
    """

    callback: SecretStr
    signing: SecretStr = SecretStr("")


async def find_secrets(environment: Mapping[str, str] = os.environ) -> Secrets:
    """Read the secrets from the environment, else from the credentials that runs fall back to.

    Raises:
        SetupMissing: There is no callback secret, or one of them cannot be used.
    """
    if secret := environment.get("COMETAPI_CALLBACK_SECRET"):
        found = Secrets(SecretStr(secret), SecretStr(environment.get("COMETAPI_SIGNING_SECRET", "")))
    else:
        credentials = await find_credentials()
        found = Secrets(credentials.callback_secret, credentials.signing_secret)
    if len(found.callback.get_secret_value()) < SECRET_MIN_CHARACTERS:
        raise SetupMissing(
            f"There is no callback secret of at least {SECRET_MIN_CHARACTERS} characters",
            next_step="Set COMETAPI_CALLBACK_SECRET, or the field of the CometAPI Credentials block.",
        )
    if found.signing.get_secret_value() and not is_signing_secret(found.signing.get_secret_value()):
        raise SetupMissing(
            "The signing secret cannot be used",
            next_step="Set it to whsec_ followed by base64, or leave it out.",
        )
    return found


class Receiver:
    """An ASGI application for HTTP.

    Right, wrong and unknown addresses get the same answer after the same work; what a genuine call sets going
    begins after its answer. The last part of the path is the token, whatever stands before it.

    Args:
        secrets: What tells genuine calls from others.
        bell: What a genuine call sets going.
    """

    def __init__(self, secrets: Secrets, bell: Bell) -> None:
        self._secrets = secrets
        self._bell = bell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                body = await _bounded(request)
        except ClientDisconnect:
            return
        except TimeoutError:
            body = None
        job_id = self._genuine(request, body or b"")
        await Response()(scope, receive, send)
        if job_id and body is not None and request.method == "POST":
            self._bell.ring(job_id, body, resume=not says_still_running(body))

    def _genuine(self, request: Request, body: bytes) -> str | None:
        """Return the job that a call is about, if it is genuine; both checks are made in any case."""
        signing = self._secrets.signing.get_secret_value()
        signed = is_signed(request.headers, body, signing) if signing else True
        token = request.scope["path"].rpartition("/")[2]
        job_id = job_of(token, self._secrets.callback.get_secret_value())
        return job_id if signed else None


async def _bounded(request: Request) -> bytes | None:
    """Return the body, or `None` when it is longer than a call can be; no more than that is read."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST_BODY:
            return None
    return bytes(body)

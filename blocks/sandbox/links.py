"""Delivery links: signed, expiring, each one different."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping

from blocks.sandbox.clock import Clock
from blocks.sandbox.tasks import Task


class Links:
    """Makes and checks links.

    Args:
        base_url: Where the delivery host is reached.
        clock: Decides what has expired.
    """

    def __init__(self, base_url: str, clock: Clock) -> None:
        self.base_url = base_url
        self._clock = clock
        self._secret = secrets.token_bytes(32)

    def fresh(self, task: Task, seconds: float) -> str:
        """Return a new link to the video or audio of a task."""
        path = f"/kling/{task.media_id}.{'mp4' if task.kind == 'avatar' else 'mp3'}"
        expires = str(self._clock.milliseconds() + round(seconds * 1000))
        nonce = secrets.token_hex(8)
        signature = self._sign(path, expires, nonce)
        return f"{self.base_url}{path}?expires={expires}&nonce={nonce}&signature={signature}"

    def refusal(self, path: str, query: Mapping[str, str]) -> str | None:
        """Return why a link is not honoured, or `None` when it is."""
        expires, nonce = query.get("expires", ""), query.get("nonce", "")
        signature = self._sign(path, expires, nonce)
        if not hmac.compare_digest(signature.encode(), query.get("signature", "").encode()):
            return "The signature does not match"
        if self._clock.milliseconds() >= int(expires):
            return "The link has expired"
        return None

    def _sign(self, path: str, expires: str, nonce: str) -> str:
        text = f"{path}\n{expires}\n{nonce}".encode()
        return hmac.new(self._secret, text, hashlib.sha256).hexdigest()

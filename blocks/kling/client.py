"""A thin shell around httpx: it sends what the protocol builds and hands back what the protocol reads."""

from __future__ import annotations

import functools
import json
import ssl
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx
from pydantic import SecretStr

from blocks.errors import Facts, NotSent, OutcomeUnknown, ProviderError, ProviderUnavailable
from blocks.kling.endpoint import usable_base_url, usable_key, usable_query_path
from blocks.kling.envelopes import Answer
from blocks.kling.exchange import Body, Exchange, exchange
from blocks.kling.models import AvatarRequest, KlingTask
from blocks.kling.protocol import (
    CREATE_PATH,
    QUERY_PATH,
    build_create,
    query_path,
    read_created,
    read_lookup,
    read_task,
)
from blocks.kling.reads import CONNECTIONS, ReadClient
from blocks.kling.speech import (
    SPEECH_PATH,
    SPEECH_QUERY_PATH,
    SpeechRequest,
    build_speech,
    read_speech,
    read_spoken,
)
from blocks.web import is_loopback

BASE_URL = "https://api.cometapi.com"


@dataclass(frozen=True)
class Timeouts:
    """How patient to be, in seconds.

    Attributes:
        connect_seconds: For a connection, including TLS.
        create_seconds: For a whole POST, including its upload.
        read_seconds: For a whole read.
    """

    connect_seconds: float = 10
    create_seconds: float = 180
    read_seconds: float = 30

    @property
    def of_create(self) -> httpx.Timeout:
        """For httpx: `create_seconds` itself is kept by a clock over everything."""
        return self._within(self.create_seconds)

    @property
    def of_read(self) -> httpx.Timeout:
        """For httpx: `read_seconds` itself is kept by a clock over everything."""
        return self._within(self.read_seconds)

    def _within(self, seconds: float) -> httpx.Timeout:
        # Connecting, TLS and proxy end by themselves before the clock does: httpx leaves the socket of a
        # handshake open that is cancelled.
        return httpx.Timeout(None, connect=min(self.connect_seconds, seconds / 4))


class KlingClient:
    """Kling's avatars and speech. Only `create` and `speak` may cost money; nothing is repeated in here.

    The key goes to the host of `base_url` and nowhere else: redirects are not followed.

    Args:
        api_key: The CometAPI key.
        base_url: Where the API is: https, or http on this machine.
        query_path: Path at which a Kling task is read, with `{task_id}` in it.
        timeouts: How patient to be.
        transport: Replaces the network. It must not reuse connections for a POST.

    Raises:
        SetupMissing: Key, base URL or query path cannot be used.
    """

    def __init__(
        self,
        api_key: SecretStr,
        base_url: str = BASE_URL,
        query_path: str = QUERY_PATH,
        timeouts: Timeouts = Timeouts(),
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._key = usable_key(api_key)
        self._base_url = usable_base_url(base_url)
        self._query_path = usable_query_path(query_path)
        self._timeouts = timeouts
        # A proxy from the environment would see the key in the clear where http is allowed.
        trust_env = not is_loopback(self._base_url)
        verify = _certificates(trust_env)
        self._posts = httpx.AsyncClient(
            transport=transport,
            timeout=timeouts.of_create,
            verify=verify,
            trust_env=trust_env,
        )
        self._reads = ReadClient(
            transport=transport,
            timeout=timeouts.of_read,
            verify=verify,
            trust_env=trust_env,
            limits=CONNECTIONS,
        )

    def __repr__(self) -> str:
        return f"KlingClient({self._base_url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Give back connections."""
        await self._posts.aclose()
        await self._reads.aclose()

    async def create(self, request: AvatarRequest) -> KlingTask:
        """Buy one video: MAY SPEND MONEY. Exactly one POST, which nothing repeats.

        When it is cancelled after sending, its outcome is unknown as well.

        Args:
            request: What is wanted.

        Returns:
            The Kling task that was bought.

        Raises:
            NotSent: The request never left this machine; nothing was bought.
            OutcomeUnknown: It was sent and may have been bought.
            ProviderError: It was refused and not bought; see `blocks.kling.protocol.read_created`.
        """
        return read_created(await self._post(CREATE_PATH, build_create(request)))

    async def speak(self, request: SpeechRequest) -> KlingTask:
        """Buy one speech: MAY SPEND MONEY. Exactly one POST, which nothing repeats.

        Kling answers with the finished speech. When it is cancelled after sending, its outcome is unknown.

        Args:
            request: What is to be said, and how.

        Returns:
            The Kling task that was bought, with its speech unless that is still being made.

        Raises:
            NotSent: The request never left this machine; nothing was bought.
            OutcomeUnknown: It was sent and may have been bought.
            ProviderError: It was refused and not bought; see `blocks.kling.speech.read_spoken`.
        """
        return read_spoken(await self._post(SPEECH_PATH, build_speech(request)), request)

    async def get_speech(self, task_id: str) -> KlingTask:
        """Read the Kling task of a speech. Costs nothing and may be repeated freely.

        Nobody documents that the provider answers this; what it does not answer says nothing about the task.

        Raises:
            InvalidRequest: The id cannot be part of a path.
            ProviderError: No answer or no task; see `blocks.kling.protocol.read_task`.
        """
        sent = await self._read(task_id, SPEECH_QUERY_PATH)
        if sent.answer is None:
            raise _unread(sent, task_id)
        return read_speech(sent.answer, task_id)

    async def get(self, task_id: str, template: str | None = None) -> KlingTask:
        """Read a Kling task by the provider's id. Costs nothing and may be repeated freely.

        Args:
            task_id: The provider's id.
            template: Path to read it by, where it was submitted with another one than is configured now.

        Raises:
            InvalidRequest: The id cannot be part of a path.
            ProviderError: No answer or no task; see `blocks.kling.protocol.read_task`.
        """
        sent = await self._read(task_id, template)
        if sent.answer is None:
            raise _unread(sent, task_id)
        return read_task(sent.answer, task_id)

    async def find(self, external_task_id: str) -> KlingTask | None:
        """Look for a Kling task by our external task id. Costs nothing and may be repeated freely.

        Returns:
            The Kling task, or `None` if the provider says beyond misunderstanding that there is none. Right
            after a POST that proves nothing yet.

        Raises:
            InvalidRequest: The id cannot be part of a path.
            ProviderError: It is not known; see `blocks.kling.protocol.read_lookup`.
        """
        sent = await self._read(external_task_id)
        if sent.answer is None:
            raise _unread(sent)
        return read_lookup(sent.answer, external_task_id)

    @property
    def _headers(self) -> dict[str, str]:
        # https://apidoc.cometapi.com/quickstarts/video/kling-api
        key = f"Bearer {self._key.get_secret_value()}"
        return {"Authorization": key, "Accept": "application/json", "Accept-Encoding": "identity"}

    async def _post(self, path: str, document: dict[str, Any]) -> Answer:
        # Money: the body can be read once only, so no layer below can send it a second time.
        body = Body(json.dumps(document).encode())
        # Nor is its connection used again: one that died while idle would turn a POST into a doubt.
        headers = self._headers | {
            "Content-Type": "application/json",
            "Content-Length": str(body.size),
            "Connection": "close",
        }
        sent = await exchange(
            self._posts,
            self._posts.build_request("POST", self._base_url + path, headers=headers, content=body),
            seconds=self._timeouts.create_seconds,
            hide=self._key.get_secret_value(),
        )
        if sent.answer is None:
            raise _unanswered(sent, begun=body.begun)
        return sent.answer

    async def _read(self, name: str, template: str | None = None) -> Exchange:
        path = query_path(usable_query_path(template) if template else self._query_path, name)
        return await exchange(
            self._reads,
            self._reads.build_request("GET", self._base_url + path, headers=self._headers),
            seconds=self._timeouts.read_seconds,
            hide=self._key.get_secret_value(),
        )


@functools.cache
def _certificates(trust_env: bool) -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=trust_env)


def _unanswered(sent: Exchange, *, begun: bool) -> ProviderError:
    # Money: without its body a request cannot buy anything; from the first byte of it on, it may have.
    if sent.before_sending or not begun:
        return NotSent(f"The request could not be sent: {sent.trouble}")
    return OutcomeUnknown(f"The request was sent and no answer came: {sent.trouble}")


def _unread(sent: Exchange, task_id: str | None = None) -> ProviderError:
    facts = Facts(kling_task_id=task_id)
    return ProviderUnavailable(f"The provider did not answer the query: {sent.trouble}", facts)

"""The API: the paths that CometAPI serves for Kling's avatars and speech."""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from blocks.sandbox.answers import ENVELOPES, accepted, native, spoken
from blocks.sandbox.connections import Cut
from blocks.sandbox.faults import FAULTS, Endpoint, answer
from blocks.sandbox.limits import avatar_fields, speech_fields
from blocks.sandbox.log import note
from blocks.sandbox.orders import order_avatar, order_speech
from blocks.sandbox.pages import html_page, redirect
from blocks.sandbox.refusals import Refusal, gateway, kling, unknown_task
from blocks.sandbox.script import Fired, Subject, markers
from blocks.sandbox.state import Sandbox
from blocks.sandbox.tasks import Task
from blocks.sandbox.threads import run_sized

AVATAR = "/kling/v1/videos/avatar/image2video"
SPEECH = "/kling/v1/audio/tts"
BODY_BYTES = 32 * 1024 * 1024

Body = dict[str, Any]
Work = Callable[[Body, Subject], Awaitable[tuple[Task, Body]]]


class Api:
    """Answers the provider's paths.

    Args:
        sandbox: What stands behind them.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[Route]:
        """Return the provider's routes."""
        return [
            Route(AVATAR, self.create, methods=["POST"]),
            Route(AVATAR + "/{name}", self.query, methods=["GET"]),
            Route(SPEECH, self.speak, methods=["POST"]),
            Route(SPEECH + "/{name}", self.query_speech, methods=["GET"]),
        ]

    async def create(self, request: Request) -> Response:
        """Accept an avatar task."""
        self._sandbox.ledger.posts += 1
        return await self._post(request, "create", self._create)

    async def speak(self, request: Request) -> Response:
        """Accept a speech task."""
        self._sandbox.ledger.tts_posts += 1
        return await self._post(request, "tts", self._speak)

    async def query(self, request: Request) -> Response:
        """Say how an avatar task stands."""
        return await self._get(request, "avatar")

    async def query_speech(self, request: Request) -> Response:
        """Say how a speech task stands."""
        return await self._get(request, "tts")

    async def _post(self, request: Request, endpoint: Endpoint, work: Work) -> Response:
        # Refusing before the body was read would reset the connection and lose the refusal on its way.
        await request.body()
        self._authorise(request)
        body = await _read(request)
        prompt = body.get("text" if endpoint == "tts" else "prompt")
        subject = Subject(
            external_task_id=_string(body.get("external_task_id")),
            prompt=_string(prompt),
            header=request.headers.get("x-sandbox-fault", ""),
        )
        _check_markers(subject)
        hindered = await self._hindered(request, endpoint, subject)
        if hindered:
            return hindered
        task, content = await work(body, subject)
        note(request, task_id=task.task_id)
        return self._spoiled(request, endpoint, subject) or JSONResponse(content)

    async def _create(self, body: Body, subject: Subject) -> tuple[Task, Body]:
        task = await order_avatar(self._sandbox, avatar_fields(body), subject)
        shape = self._sandbox.script.fire("create", "envelope", subject)
        return task, ENVELOPES[shape.name](task, task.status, "", "") if shape else accepted(task)

    async def _speak(self, body: Body, _: Subject) -> tuple[Task, Body]:
        task = await order_speech(self._sandbox, speech_fields(body))
        return task, self._speech_of(task)

    async def _get(self, request: Request, kind: str) -> Response:
        self._authorise(request)
        name, sandbox = str(request.path_params["name"]), self._sandbox
        header = request.headers.get("x-sandbox-fault", "")
        task = sandbox.find(name, kind)
        subject = Subject(task_id=name, header=header)
        if task is not None:
            subject = Subject(task.external_task_id or "", task.prompt, task.task_id, header)
            note(request, task_id=task.task_id)
        hindered = await self._hindered(request, "query", subject)
        if hindered:
            return hindered
        if task is None:
            raise unknown_task(sandbox.settings.unknown_task)
        task.queries += 1
        content = self._state_of(request, task, subject) if kind == "avatar" else self._speech_of(task)
        return self._spoiled(request, "query", subject) or JSONResponse(content)

    def _state_of(self, request: Request, task: Task, subject: Subject) -> Body:
        sandbox = self._sandbox
        status = task.status
        url = sandbox.link(task) if status == "succeed" else ""
        fired = sandbox.script.fire("query", "status", subject)
        if fired:
            note(request, fault=fired.name)
            status, url = _seen(fired, status, url)
        shape = sandbox.script.fire("query", "envelope", subject)
        if shape:
            note(request, fault=shape.name)
        return (ENVELOPES[shape.name] if shape else native)(task, status, url, sandbox.units(task))

    def _speech_of(self, task: Task) -> Body:
        return spoken(task, self._sandbox.link(task), self._sandbox.units(task))

    def _authorise(self, request: Request) -> None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        wanted = self._sandbox.settings.key
        given = key.strip()
        right = wanted is None or hmac.compare_digest(given.encode(), wanted.get_secret_value().encode())
        if scheme.lower() != "bearer" or not given or not right:
            raise gateway(401, "invalid token")

    async def _hindered(self, request: Request, endpoint: Endpoint, subject: Subject) -> Response | None:
        fired = self._sandbox.script.fire(endpoint, "refuse", subject)
        if fired:
            return self._wrong(request, fired)
        delay = self._sandbox.script.fire(endpoint, "delay", subject)
        if delay:
            note(request, fault=delay.name)
            await self._sandbox.clock.sleep(delay.parameters.seconds)
        return None

    def _spoiled(self, request: Request, endpoint: Endpoint, subject: Subject) -> Response | None:
        fired = self._sandbox.script.fire(endpoint, "answer", subject)
        return self._wrong(request, fired) if fired else None

    def _wrong(self, request: Request, fired: Fired) -> Response:
        note(request, fault=fired.name)
        if fired.name == "lost-response":
            return Cut(self._sandbox.connections, reset=fired.parameters.reset)
        if fired.name == "redirect":
            return redirect(fired.parameters.location)
        refusal = answer(fired.name, fired.parameters.retry_after)
        return refused(request, refusal) if refusal else html_page(200)


def _seen(fired: Fired, status: str, url: str) -> tuple[str, str]:
    if fired.name == "unknown-status":
        return str(fired.parameters.status or "reviewing"), ""
    if fired.name == "stuck":
        return ("submitted" if status == "submitted" else "processing"), ""
    return status, url if status != "succeed" else ""


def _check_markers(subject: Subject) -> None:
    for name, _ in markers(subject.prompt):
        if name not in FAULTS:
            raise kling(400, 1200, f"the sandbox has no fault {name!r}; see python -m blocks.sandbox --help")


async def _read(request: Request) -> Body:
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > BODY_BYTES:
            raise gateway(413, "request body too large")
    try:
        body = await run_sized(json.loads, bytes(raw))
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise gateway(500, "could not parse request body", code="invalid_request")
    return body


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def refused(_: Request, refusal: Refusal) -> Response:
    """Return a refusal as an answer."""
    return JSONResponse(refusal.body, status_code=refusal.status, headers=refusal.headers)

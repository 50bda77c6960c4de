"""The delivery host: a listener of its own, where no key has any business."""

from __future__ import annotations

import hashlib
import uuid

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from blocks.sandbox.clips import Clip
from blocks.sandbox.log import note
from blocks.sandbox.pages import html_page, redirect
from blocks.sandbox.script import Fired, Subject
from blocks.sandbox.state import Sandbox
from blocks.sandbox.tasks import Task
from blocks.sandbox.transfer import Body, Span, asked_span


class Delivery:
    """Answers links.

    Args:
        sandbox: What there is to deliver.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def app(self) -> Starlette:
        """Return the application of the host."""
        return Starlette(routes=[Route("/kling/{name}", self.deliver, methods=["GET"])])

    async def deliver(self, request: Request) -> Response:
        """Answer one link."""
        sandbox = self._sandbox
        task = sandbox.tasks.by_media(str(request.path_params["name"]).rpartition(".")[0])
        refusal = sandbox.links.refusal(request.url.path, request.query_params)
        if refusal:
            return _xml(403, "AccessDenied", refusal)
        if task is None:
            return _xml(404, "NoSuchKey", "The specified key does not exist")
        note(request, task_id=task.task_id)
        subject = Subject(
            task.external_task_id or "", task.prompt, task.task_id, request.headers.get("x-sandbox-fault", "")
        )
        return await self._refused(request, task, subject) or await self._clip(request, task, subject)

    async def _refused(self, request: Request, task: Task, subject: Subject) -> Response | None:
        script = self._sandbox.script
        nonce = request.query_params["nonce"]
        fired = script.fire("delivery", "refuse", subject) if nonce not in task.dead_links else None
        if fired:
            note(request, fault=fired.name)
            if fired.name == "expired-link":
                task.dead_links.add(nonce)
            elif fired.name == "delivery-500":
                return _xml(500, "InternalError", "We encountered an internal error")
            elif fired.name == "dead-link" and fired.parameters.status == 404:
                return _xml(404, "NoSuchKey", "The specified key does not exist")
            elif fired.name == "dead-link":
                return _xml(403, "AccessDenied", "Access denied")
            else:
                return html_page(200) if fired.name == "html" else redirect(fired.parameters.location)
        if nonce in task.dead_links:
            return _xml(403, "AccessDenied", "The link has expired")
        if delay := script.fire("delivery", "delay", subject):
            note(request, fault=delay.name)
            await self._sandbox.clock.sleep(delay.parameters.seconds)
        return None

    async def _clip(self, request: Request, task: Task, subject: Subject) -> Response:
        fired = self._sandbox.script.fire("delivery", "body", subject)
        clip = await self._content(task, fired.name if fired else "")
        if fired:
            note(request, fault=fired.name)
            clip = _spoiled(clip, fired)
        elif request.method == "GET":
            _remember(task, clip)
        return self._answer(request, clip, fired, "video/mp4" if task.kind == "avatar" else "audio/mpeg")

    async def _content(self, task: Task, variant: str) -> Clip:
        clips, fast = self._sandbox.clips, self._sandbox.settings.fast_clip
        if task.kind != "avatar":
            return await clips.sound(task)
        rendered = variant if variant in ("short-clip", "silent-clip") else ""
        return await clips.clip(task, fast=fast, variant=rendered)

    def _answer(self, request: Request, clip: Clip, fired: Fired | None, media_type: str) -> Response:
        ranges, size = self._sandbox.settings.ranges, len(clip.data)
        etag = f'"{clip.sha256[:32]}"'
        headers = {
            "ETag": etag,
            "Content-Type": media_type,
            "Accept-Ranges": "bytes" if ranges else "none",
        }
        asked = request.headers.get("range", "")
        honoured = ranges and asked and request.headers.get("if-range", etag) == etag
        span = asked_span(asked, size) if honoured else Span(0, size)
        if span is None:
            return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{size}"})
        status = 200
        if span != (0, size):
            status = 206
            headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{size}"
        data = clip.data[span.start : span.stop]
        until = None
        if fired and fired.name in ("truncated-clip", "stall"):
            until = min(int(len(data) * fired.parameters.at), len(data) - 1)
        stalls = fired is not None and fired.name == "stall"
        connections, clock = self._sandbox.connections, self._sandbox.clock
        return Body(data, headers, status, connections, clock, until=until, stalls=stalls)


def _spoiled(clip: Clip, fired: Fired) -> Clip:
    if fired.name == "wrong-length":
        data = clip.data[: max(1, len(clip.data) * 9 // 10)]
    elif fired.name == "broken-clip":
        noise = hashlib.shake_256(clip.sha256.encode()).digest(len(clip.data))
        data = clip.data[:32] + noise[32:]
    else:
        return clip
    return Clip(data, hashlib.sha256(data).hexdigest())


def _remember(task: Task, clip: Clip) -> None:
    known = {"sha256": clip.sha256, "size": len(clip.data)}
    if known not in task.clips:
        task.clips.append(known)


def _xml(status: int, code: str, message: str) -> Response:
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>{uuid.uuid4()}</RequestId></Error>"
    )
    return Response(text, status_code=status, media_type="application/xml")

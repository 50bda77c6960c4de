"""What the receiver is measured against: a plain Starlette application that answers 200."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def answer(request: Request) -> Response:
    await request.body()
    return Response()


app = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])

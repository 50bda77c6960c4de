"""What only a sandbox has: its books, its switches and its faults, under `/sandbox`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from blocks.sandbox.faults import FAULTS
from blocks.sandbox.script import Rule
from blocks.sandbox.settings import Seconds
from blocks.sandbox.state import Sandbox

Handler = Callable[[Request], Awaitable[Response]]


class _Advance(BaseModel):
    model_config = ConfigDict(extra="forbid")

    seconds: Seconds


_RULES: TypeAdapter[Rule | list[Rule]] = TypeAdapter(Rule | list[Rule])


class Control:
    """Answers `/sandbox`; anybody who reaches the port may use it.

    Args:
        sandbox: What is controlled.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[Route]:
        """Return the sandbox's own routes."""
        return [
            Route("/sandbox", self.show),
            Route("/sandbox/ledger", self.show_ledger),
            Route("/sandbox/tasks", self.show_tasks),
            Route("/sandbox/requests", self.show_requests),
            Route("/sandbox/deliveries", self.show_deliveries),
            Route("/sandbox/callbacks", self.show_callbacks),
            Route("/sandbox/settings", self.show_settings),
            Route("/sandbox/settings", _told(self.change_settings), methods=["POST"]),
            Route("/sandbox/faults", self.show_faults),
            Route("/sandbox/faults", _told(self.add_faults), methods=["POST"]),
            Route("/sandbox/faults", self.clear_faults, methods=["DELETE"]),
            Route("/sandbox/advance", _told(self.advance), methods=["POST"]),
            Route("/sandbox/reset", self.reset, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """Say what this is."""
        base_url = str(request.base_url).rstrip("/")
        return JSONResponse({"url": base_url, "delivery_url": self._sandbox.links.base_url})

    async def show_ledger(self, _: Request) -> Response:
        """Show charges and totals."""
        self._sandbox.catch_up()
        return JSONResponse(self._sandbox.ledger.as_json())

    async def show_tasks(self, _: Request) -> Response:
        """Show tasks, with digest and size of the clips that were asked for."""
        self._sandbox.catch_up()
        return JSONResponse([task.as_json() for task in self._sandbox.tasks.all()])

    async def show_requests(self, _: Request) -> Response:
        """Show what came to the API."""
        return JSONResponse(list(self._sandbox.requests.entries))

    async def show_deliveries(self, _: Request) -> Response:
        """Show what came to the delivery host, and whether a key came with it."""
        return JSONResponse(list(self._sandbox.deliveries.entries))

    async def show_callbacks(self, _: Request) -> Response:
        """Show which callbacks were rung and what was answered."""
        return JSONResponse(list(self._sandbox.callbacks.rung))

    async def show_settings(self, _: Request) -> Response:
        """Show the switches."""
        return JSONResponse(self._sandbox.settings.public())

    async def change_settings(self, request: Request) -> Response:
        """Turn switches; the others stay."""
        self._sandbox.settings = self._sandbox.settings.changed(await request.json())
        return await self.show_settings(request)

    async def show_faults(self, _: Request) -> Response:
        """Show the rules, and the faults there are."""
        known = {fault.name: fault.says for fault in FAULTS.values()}
        return JSONResponse({"faults": self._sandbox.script.as_json(), "known": known})

    async def add_faults(self, request: Request) -> Response:
        """Add one rule or a list of them."""
        rules = _RULES.validate_json(await request.body())
        numbers = [self._sandbox.script.add(rule) for rule in (rules if isinstance(rules, list) else [rules])]
        return JSONResponse({"ids": numbers})

    async def clear_faults(self, _: Request) -> Response:
        """Remove all rules."""
        self._sandbox.script.clear()
        return JSONResponse({"faults": []})

    async def advance(self, request: Request) -> Response:
        """Move the clock ahead."""
        self._sandbox.clock.advance(_Advance.model_validate_json(await request.body()).seconds)
        self._sandbox.catch_up()
        return JSONResponse({"now": self._sandbox.clock.milliseconds()})

    async def reset(self, _: Request) -> Response:
        """Begin anew."""
        self._sandbox.reset()
        return JSONResponse({"reset": True})


def _told(handler: Handler) -> Handler:
    """Answer 400 with what is wrong, never repeating the value, which may be a secret."""

    async def told(request: Request) -> Response:
        try:
            return await handler(request)
        except ValidationError as error:
            wrong: Any = error.errors(include_url=False, include_input=False, include_context=False)
        except (json.JSONDecodeError, TypeError):
            wrong = "a JSON object is wanted"
        return JSONResponse({"error": wrong}, status_code=400)

    return told

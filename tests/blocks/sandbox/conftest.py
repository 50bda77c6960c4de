"""One sandbox for all tests, as new for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from blocks.sandbox.serve import RunningSandbox, running_sandbox
from tests.blocks.sandbox.media import picture, sound, text

AVATAR = "/kling/v1/videos/avatar/image2video"
SPEECH = "/kling/v1/audio/tts"

Create = Callable[..., httpx.Response]


@pytest.fixture(scope="session")
def _server() -> Iterator[RunningSandbox]:
    with running_sandbox(submitted_seconds=10, render_seconds=30, fast_clip=True) as running:
        yield running


@pytest.fixture
def sandbox(_server: RunningSandbox) -> RunningSandbox:
    """Its tasks are processing after 10 s and done after 40 s by its own clock, which tests move."""
    _server.reset()
    return _server


@pytest.fixture(scope="session")
def _api(_server: RunningSandbox) -> Iterator[httpx.Client]:
    headers = {"Authorization": "Bearer any-key"}
    with httpx.Client(base_url=_server.url, headers=headers, trust_env=False, timeout=20) as client:
        yield client


@pytest.fixture
def api(_api: httpx.Client, sandbox: RunningSandbox) -> httpx.Client:
    return _api


@pytest.fixture(scope="session")
def web() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=20) as client:
        yield client


@pytest.fixture
def create(api: httpx.Client) -> Create:
    def post(**fields: Any) -> httpx.Response:
        body = {"image": text(picture()), "sound_file": text(sound()), "prompt": "Calm.", "mode": "std"}
        chosen = {name: value for name, value in {**body, **fields}.items() if value is not None}
        return api.post(AVATAR, json=chosen)

    return post


@pytest.fixture
def query(api: httpx.Client) -> Callable[[str], httpx.Response]:
    return lambda name: api.get(f"{AVATAR}/{name}")


@pytest.fixture
def finished(sandbox: RunningSandbox, create: Create, api: httpx.Client) -> Callable[..., tuple[str, str]]:
    """Make a task that succeeded; give its id and a delivery link."""

    def make(**fields: Any) -> tuple[str, str]:
        task_id = create(**fields).json()["data"]["task_id"]
        sandbox.advance(40)
        data = api.get(f"{AVATAR}/{task_id}").json()["data"]
        return task_id, data["task_result"]["videos"][0]["url"]

    return make

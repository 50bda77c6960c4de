"""What the tests of the client ask for, and how patiently."""

from __future__ import annotations

import base64
import os
from collections.abc import Awaitable, Callable

import pytest
from pydantic import SecretStr

from blocks.errors import AvatarError
from blocks.kling.client import KlingClient, Timeouts
from blocks.kling.models import AvatarRequest
from blocks.kling.speech import SpeechRequest

KEY = "comet-5ec2e7-0123456789abcdef"
ID = "880000000000000001"
EXTERNAL_ID = "5b1c2f5e-3c0f-5d8a-9a41-7f5d0c9e1a01"
PATH = "/kling/v1/videos/avatar/image2video"
REQUEST = AvatarRequest(
    image="aW1hZ2U=", sound_file="c291bmQ=", prompt="Rustig.", mode="pro", external_task_id=EXTERNAL_ID
)
SPEECH = SpeechRequest(text="Good morning.", voice_id="oversea_male1", voice_language="en", voice_speed=1.2)
BIG = REQUEST.model_copy(update={"image": base64.b64encode(os.urandom(9_000_000)).decode()})
QUICK = Timeouts(connect_seconds=5, create_seconds=0.6, read_seconds=0.6)
PATIENT = Timeouts(connect_seconds=5, create_seconds=20, read_seconds=20)


def client_for(url: str, timeouts: Timeouts = PATIENT) -> KlingClient:
    return KlingClient(SecretStr(KEY), url, timeouts=timeouts)


async def create(url: str, request: AvatarRequest = REQUEST, timeouts: Timeouts = PATIENT) -> AvatarError:
    async with client_for(url, timeouts) as client:
        with pytest.raises(AvatarError) as failure:
            await client.create(request)
    return failure.value


Call = Callable[[KlingClient], Awaitable[object]]
CALLS: dict[str, Call] = {
    "create": lambda client: client.create(REQUEST),
    "get": lambda client: client.get(ID),
    "find": lambda client: client.find(EXTERNAL_ID),
    "speak": lambda client: client.speak(SPEECH),
    "get_speech": lambda client: client.get_speech(ID),
}

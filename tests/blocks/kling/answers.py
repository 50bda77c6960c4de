"""Answers of the provider, as the protocol gets them."""

from __future__ import annotations

import json

from blocks.kling.envelopes import Answer
from blocks.kling.models import KlingTask
from blocks.kling.protocol import read_task
from tests.blocks.kling.wire import sample

ID = "880000000000000001"
EXTERNAL_ID = "5b1c2f5e-3c0f-5d8a-9a41-7f5d0c9e1a01"
LINK = "https://cdn.example.net/kling/880000000000000777.mp4"


def answer(body: object, status: int = 200) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, {"content-type": "application/json"}, content)


def sampled(name: str) -> Answer:
    status, content = sample(name)
    return answer(content, status)


def task_of(**data: object) -> KlingTask:
    return read_task(answer({"code": 0, "message": "SUCCEED", "data": {"task_id": ID} | data}), ID)

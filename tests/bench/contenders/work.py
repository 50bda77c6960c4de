"""What every contender is asked to do: the same portrait and voice, another prompt for each job."""

from __future__ import annotations

import base64
from pathlib import Path

CREATE_PATH = "/kling/v1/videos/avatar/image2video"
HEADERS = {"Authorization": "Bearer x"}
IMAGE = Path("blocks/sandbox/samples/portrait.png").absolute()
SOUND = Path("blocks/sandbox/samples/voice.mp3").absolute()
POLL_SECONDS = 1.0
CONNECTIONS = 100


def prompt(number: int) -> str:
    """Return the prompt that makes job `number` unlike the others."""
    return f"bench {number}"


def body(number: int) -> dict[str, str]:
    """Return what a script sends for job `number`."""
    image = base64.b64encode(IMAGE.read_bytes()).decode()
    sound = base64.b64encode(SOUND.read_bytes()).decode()
    return {"image": image, "sound_file": sound, "prompt": prompt(number), "mode": "std"}

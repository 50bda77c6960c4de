"""An archive full of clips, without the jobs that would have made them."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from blocks.storage.layout import clip_key, poster_key, sidecar_key

FIRST = datetime(2026, 1, 1, 12, tzinfo=UTC)


def job_of_number(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def put_clip(
    root: Path, number: int, *, clip: bytes = b"clip", poster: bytes | None = None, **asked: Any
) -> str:
    """Put clip `number` into an archive, finished an hour after the one before; return its job id.

    Args:
        root: The archive.
        number: From 0.
        clip: What lies there as its clip.
        poster: What lies there as its poster; `None` for nothing.
        asked: `name`, `prompt` and `take`.
    """
    job_id = job_of_number(number)
    sidecar = {
        "job_id": job_id,
        "name": asked.get("name", f"clip {number}"),
        "requested": {
            "image": {"reference": "face.png", "sha256": "0a" * 32, "size": 5},
            "prompt": asked.get("prompt", f"Speak as number {number}."),
            "mode": "pro" if number % 3 == 0 else "std",
            "take": asked.get("take", 1),
        },
        "provided": {"base_url": "https://example.com", "task_id": "88", "external_task_id": "e-1"},
        "clip": {
            "key": clip_key(job_id),
            "size": len(clip),
            "sha256": hashlib.sha256(clip).hexdigest(),
            "seconds": 2.0 + number % 50,
            "width": 720,
            "height": 960,
            "video_codec": "h264",
            "audio_codec": "aac",
        },
        "times": {"archived": (FIRST + timedelta(hours=number)).isoformat()},
        "cost": {"estimated_usd": "0.31"},
    }
    files = {clip_key(job_id): clip, sidecar_key(job_id): json.dumps(sidecar).encode()}
    if poster is not None:
        files[poster_key(job_id)] = poster
    for key, data in files.items():
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(data)
    return job_id

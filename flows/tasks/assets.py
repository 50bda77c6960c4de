"""Clips and speech as Prefect's assets, with what they were made from."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any

from prefect.assets import Asset, AssetProperties
from prefect.context import AssetContext
from prefect.events import emit_event
from pydantic import ValidationError

from blocks.kling.sources.references import scheme_of
from blocks.storage.sidecar import Input, Sidecar
from blocks.storage.speech import SpeechSidecar

_EVENTS = uuid.UUID("6b1c7f0a-6a3b-4c58-9a0e-7f1d3c0b9e52")


def emit_clip_asset(sidecar: Sidecar, clip: str) -> None:
    """Say that the clip at the address `clip` is materialized, and from which portrait and voice.

    One event, the one that a task made by `prefect.assets.materialize` sends at its end. Such a task would
    send two more for what the clip was made from, and keep its result.
    """
    requested = sidecar.requested
    audio_id = requested.audio_id or "unknown"
    voice = _of_input(requested.audio) if requested.audio else _speech_of_kling(audio_id)
    facts = {
        "job_id": sidecar.job_id,
        "seconds": sidecar.clip.seconds,
        "size": sidecar.clip.size,
        "sha256": sidecar.clip.sha256,
        "mode": requested.mode,
        "take": requested.take,
    }
    clip_asset = _asset(clip, sidecar.clip.sha256, sidecar.name)
    _emit(clip_asset, [_of_input(requested.image), voice], facts, sidecar.times.archived.isoformat())


def emit_speech_asset(sidecar: SpeechSidecar, audio: str) -> None:
    """Say that the speech at the address `audio` is materialized, and from which text."""
    text = Asset(key=f"sha256://{sidecar.text_sha256}", properties=AssetProperties(name="text"))
    facts = {
        "speech_id": sidecar.speech_id,
        "seconds": sidecar.audio.seconds,
        "size": sidecar.audio.size,
        "sha256": sidecar.audio.sha256,
        "voice": sidecar.voice,
        "language": sidecar.language,
    }
    speech = _asset(audio, sidecar.audio.sha256, sidecar.name)
    _emit(speech, [text], facts, sidecar.archived.isoformat())


def asset_key(address: str, digest: str) -> str:
    """Return the key under which Prefect knows what is at `address`: the address, where Prefect takes it.

    Anything else is named by its content: an inline or relative input, a path with spaces.
    """
    reference = f"file://{address}" if PurePosixPath(address).is_absolute() else address
    is_whole = scheme_of(reference) and "…" not in reference
    try:
        return Asset(key=reference if is_whole else "").key
    except ValidationError:
        return f"sha256://{digest}"


def _asset(address: str, digest: str, name: str) -> Asset:
    return Asset(key=asset_key(address, digest), properties=AssetProperties(name=name))


def _of_input(given: Input) -> Asset:
    return _asset(given.reference, given.sha256, given.reference)


def _speech_of_kling(audio_id: str) -> Asset:
    return _asset(f"kling://audio/{audio_id}", sha256(audio_id.encode()).hexdigest(), f"audio id {audio_id}")


def _emit(made: Asset, of: Sequence[Asset], payload: dict[str, Any], once: str) -> None:
    emit_event(
        event="prefect.asset.materialization.succeeded",
        resource=AssetContext.asset_as_resource(made),
        related=[_related(each) for each in of],
        payload=payload,
        # What is told twice counts once.
        id=uuid.uuid5(_EVENTS, f"{made.key} {once}"),
    )


def _related(asset: Asset) -> dict[str, str]:
    named = AssetContext.asset_as_resource(asset)
    return AssetContext.asset_as_related(asset) | {"prefect.resource.name": named["prefect.resource.name"]}

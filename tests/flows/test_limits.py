"""What breaks a documented limit is refused before anything is sent; what keeps it is taken."""

from __future__ import annotations

import asyncio
import base64
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.exceptions import ParameterTypeError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from blocks import AvatarArchive, CometAPICredentials
from blocks.errors import InvalidRequest, RequestRejected, SourceUnavailable
from blocks.sandbox.serve import RunningSandbox
from blocks.storage.archive import Archive
from blocks.storage.sidecar import Sidecar
from flows.avatar import generate_avatar
from tests.blocks.local_server import served
from tests.blocks.media.samples import adts, m4a, mp3, picture, plain_png, several_pictures, sound, wav
from tests.flows.story import Ask


@pytest.fixture
def ask(
    tmp_path: Path, sandbox: RunningSandbox, credentials: CometAPICredentials, archive_block: AvatarArchive
) -> Ask:
    """Ask for a video; bytes are written to a file first, and what is not given is right."""
    sandbox.set(fast_clip=True)

    async def ask(**parameters: Any) -> Sidecar:
        files = {"image": picture("PNG"), "audio": mp3(2.2)}
        asked: dict[str, Any] = files | {"credentials": credentials, "store": archive_block} | parameters
        for name, value in asked.items():
            if isinstance(value, bytes):
                (tmp_path / name).write_bytes(value)
                asked[name] = str(tmp_path / name)
        sidecar: Sidecar = await generate_avatar(**asked)
        return sidecar

    return ask


@pytest.fixture
def nothing_sent(sandbox: RunningSandbox) -> Iterator[None]:
    """See that the provider was not even asked a question."""
    yield
    assert sandbox.requests() == []
    assert sandbox.ledger()["posts"] == 0


def png_of_size(size: int) -> bytes:
    """Return a PNG of exactly so many bytes, filled up by a chunk that decoders skip."""
    data = plain_png(300, 300)
    kind, filling = b"fiLl", bytes(size - len(data) - 12)
    chunk = len(filling).to_bytes(4) + kind + filling + zlib.crc32(kind + filling).to_bytes(4)
    return data[:-12] + chunk + data[-12:]


def wav_of_size(size: int) -> bytes:
    """Return a WAV of exactly so many bytes, filled up by a chunk that decoders skip."""
    data = wav(2.0)
    filling = bytes(size - len(data) - 8)
    return (
        data[:4]
        + (size - 8).to_bytes(4, "little")
        + data[8:]
        + b"fill"
        + len(filling).to_bytes(4, "little")
        + filling
    )


INSIDE: dict[str, dict[str, Any]] = {
    "smallest side, shortest clip, longest prompt": {
        "image": picture("PNG", 300, 300),
        "audio": wav(2.0),
        "prompt": "p" * 2500,
    },
    "widest picture, longest WAV": {"image": picture("JPEG", 750, 300), "audio": wav(60.0, rate=16_000)},
    "tallest picture, longest MP3": {"image": picture("PNG", 300, 750), "audio": mp3(60.0), "mode": "pro"},
    "largest files": {"image": png_of_size(10_000_000), "audio": wav_of_size(5_000_000)},
    "longest M4A, shortest prompt": {"audio": m4a(60.0), "prompt": "p"},
    "longest AAC": {"audio": adts(60.0)},
    "blanks around the prompt": {"prompt": "\n calm \t"},
}
OUTSIDE: dict[str, tuple[dict[str, Any], str, str]] = {
    "side": ({"image": picture("PNG", 299, 300)}, "image", "299 x 300 pixels"),
    "other side": ({"image": picture("JPEG", 300, 299)}, "image", "300 x 299 pixels"),
    "too wide": ({"image": picture("PNG", 751, 300)}, "image", "2.503:1"),
    "too tall": ({"image": picture("PNG", 300, 751)}, "image", "1:2.503"),
    "image too large": ({"image": png_of_size(10_000_001)}, "image", "at most 10,000,000 bytes"),
    "GIF": ({"image": picture("GIF", mode="P")}, "image", "JPEG or PNG"),
    "WebP": ({"image": picture("WEBP")}, "image", "JPEG or PNG"),
    "moving picture": ({"image": several_pictures("PNG", 3)}, "image", "3 pictures"),
    "half a picture": ({"image": picture("JPEG")[:-2000]}, "image", "the file"),
    "empty picture": ({"image": b""}, "image", "empty"),
    "a clip as picture": ({"image": mp3(2.2)}, "image", "JPEG or PNG"),
    "audio too short": ({"audio": wav(1.99)}, "audio", "1.990 s"),
    "audio too long": ({"audio": wav(60.01, rate=16_000)}, "audio", "60.010 s"),
    "MP3 too long": ({"audio": mp3(60.2)}, "audio", "between 2 and 60 s"),
    "audio too large": ({"audio": wav_of_size(5_000_001)}, "audio", "at most 5,000,000 bytes"),
    "FLAC": ({"audio": sound("flac", "flac")}, "audio", "FLAC"),
    "Ogg": ({"audio": sound("ogg", "libopus", rate=48_000)}, "audio", "Ogg"),
    "half an M4A": ({"audio": m4a(3.0)[:-9000]}, "audio", "M4A"),
    "a picture as audio": ({"audio": picture("PNG")}, "audio", "PNG"),
    "no audio": ({"audio": None}, "audio", "no audio"),
    "blank audio": ({"audio": " ", "audio_id": ""}, "audio", "no audio"),
    "both audios": ({"audio_id": "880000000000000102"}, "audio", "both"),
    "no prompt": ({"prompt": ""}, "prompt", "empty"),
    "blank prompt": ({"prompt": " \n\t"}, "prompt", "empty"),
    "prompt too long": ({"prompt": "p" * 2501}, "prompt", "2501 characters"),
    "missing file": ({"image": "/nowhere/face.png"}, "image", "does not exist"),
    "folder": ({"audio": "/"}, "audio", "folder"),
    "other machine": ({"image": "http://10.0.0.7/face.png"}, "image", "https"),
    "neighbour": ({"image": "https://10.0.0.7/face.png"}, "image", "not a public address"),
    "cloud metadata": ({"audio": "https://169.254.169.254/voice.mp3"}, "audio", "not a public address"),
    "data without base64": ({"image": "data:image/png,abc"}, "image", "base64"),
}


@pytest.mark.parametrize("parameters", INSIDE.values(), ids=INSIDE)
async def test_what_keeps_every_limit_is_taken_by_the_provider_too(
    parameters: dict[str, Any], ask: Ask, sandbox: RunningSandbox
) -> None:
    sidecar = await ask(**parameters)
    (charge,) = sandbox.ledger()["charges"]
    assert sidecar.provided.task_id == charge["task_id"]
    assert sidecar.requested.audio
    assert sidecar.requested.audio.seconds == pytest.approx(float(charge["seconds"]), abs=0.06)
    assert sidecar.requested.prompt == parameters.get("prompt", sidecar.requested.prompt).strip()


@pytest.mark.usefixtures("nothing_sent")
@pytest.mark.parametrize(("parameters", "field", "said"), OUTSIDE.values(), ids=OUTSIDE)
async def test_what_breaks_a_limit_is_refused_before_anything_is_sent(
    parameters: dict[str, Any], field: str, said: str, ask: Ask
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await ask(**parameters)
    (fault,) = refused.value.faults
    assert fault.field == field
    assert said in str(fault)
    assert refused.value.charged == "no"


@pytest.mark.usefixtures("nothing_sent")
async def test_all_faults_of_a_request_are_reported_together(ask: Ask) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await ask(
            image=picture("PNG", 200, 600), audio=wav(1.0), audio_id="17", prompt="p" * 2501, mode="std"
        )
    fields = [fault.field for fault in refused.value.faults]
    assert sorted(fields) == ["audio", "audio", "image", "image", "prompt"]
    assert "(5)" in str(refused.value)


@pytest.mark.usefixtures("nothing_sent")
@pytest.mark.parametrize("parameters", [{"mode": "standard"}, {"take": 0}, {"take": "one"}], ids=str)
async def test_prefect_refuses_what_is_no_value_of_the_parameter(
    parameters: dict[str, Any], ask: Ask
) -> None:
    with pytest.raises(ParameterTypeError, match=next(iter(parameters))):
        await ask(**parameters)


async def test_a_longer_clip_is_taken_where_the_account_allows_it(
    ask: Ask, credentials: CometAPICredentials, sandbox: RunningSandbox
) -> None:
    """CometAPI says 60 s, Kling 300 s: the limit is a setting, and the provider has the last word."""
    longer = credentials.model_copy(update={"max_audio_seconds": 61})
    with pytest.raises(RequestRejected, match="duration") as refused:
        await ask(audio=wav(60.5, rate=16_000), credentials=longer)
    assert (refused.value.charged, sandbox.ledger()["posts"]) == ("no", 1)
    assert sandbox.ledger()["charges"] == []


async def test_inputs_may_come_inside_the_request(ask: Ask) -> None:
    face = "data:image/png;base64," + base64.b64encode(picture("PNG", 300, 300)).decode()
    voice = "DATA:audio/mpeg;base64," + base64.b64encode(mp3(2.2)).decode()
    sidecar = await ask(image=face, audio=voice)
    assert sidecar.name == "inline + inline"
    assert sidecar.requested.image.reference == "data:…"
    assert face not in sidecar.model_dump_json()


async def test_speech_that_kling_made_is_named_by_its_id(
    ask: Ask, sandbox: RunningSandbox, credentials: CometAPICredentials
) -> None:
    spoken = await asyncio.to_thread(
        httpx.post,
        f"{sandbox.url}/kling/v1/audio/tts",
        json={
            "text": "Good morning, this is the news." * 2,
            "voice_id": "oversea_male1",
            "voice_language": "en",
        },
        headers={"Authorization": "Bearer sandbox-key"},
        trust_env=False,
    )
    (speech,) = spoken.json()["data"]["task_result"]["audios"]
    sidecar = await ask(audio=None, audio_id=speech["id"])
    assert sidecar.requested.audio_id == speech["id"]
    assert sidecar.requested.audio is None
    assert sidecar.cost.estimated_usd is None
    assert sidecar.clip.seconds == pytest.approx(float(speech["duration"]), abs=0.2)


async def test_an_audio_id_that_the_provider_does_not_know_buys_nothing(
    ask: Ask, sandbox: RunningSandbox
) -> None:
    with pytest.raises(RequestRejected, match="audio_id") as refused:
        await ask(audio=None, audio_id="880000000000000102")
    assert (refused.value.charged, sandbox.ledger()["charges"]) == ("no", [])


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """Serve `face.png` on this machine, and trouble on other addresses."""
    (tmp_path / "face.png").write_bytes(picture("PNG"))

    async def answer(request: Request) -> Response:
        status = int(request.path_params["status"])
        return FileResponse(tmp_path / "face.png") if status == 200 else Response("no", status)

    with served(Starlette(routes=[Route("/{status}/face.png", answer)])) as port:
        yield f"http://127.0.0.1:{port}"


async def test_an_input_on_this_machine_is_fetched_while_the_api_is_the_sandbox(ask: Ask, web: str) -> None:
    sidecar = await ask(image=f"{web}/200/face.png?signature=secret#part")
    assert sidecar.requested.image.reference == f"{web}/200/face.png"


@pytest.mark.usefixtures("nothing_sent")
async def test_an_input_on_this_machine_is_refused_for_any_other_api(
    ask: Ask, web: str, credentials: CometAPICredentials
) -> None:
    elsewhere = credentials.model_copy(update={"base_url": "https://api.example.com"})
    with pytest.raises(InvalidRequest, match="https"):
        await ask(image=f"{web}/200/face.png", credentials=elsewhere)


@pytest.mark.usefixtures("nothing_sent")
async def test_an_address_without_a_file_is_a_fault(ask: Ask, web: str) -> None:
    with pytest.raises(InvalidRequest, match="HTTP 404"):
        await ask(image=f"{web}/404/face.png")


@pytest.mark.usefixtures("nothing_sent")
@pytest.mark.parametrize("status", [503, 429])
async def test_a_host_in_trouble_may_be_asked_again_later(ask: Ask, web: str, status: int) -> None:
    with pytest.raises(SourceUnavailable, match=f"HTTP {status}") as unavailable:
        await ask(image=f"{web}/{status}/face.png")
    assert unavailable.value.charged == "no"


@pytest.mark.parametrize("name", ["image", "audio"])
async def test_an_input_that_changes_after_its_check_is_not_sent(
    name: str, ask: Ask, tmp_path: Path, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_done = Archive.find_done

    async def change_meanwhile(archive: Archive, job_id: str) -> Sidecar | None:
        (tmp_path / name).write_bytes({"image": picture("PNG", 500, 500), "audio": mp3(3.3)}[name])
        return await find_done(archive, job_id)

    monkeypatch.setattr(Archive, "find_done", change_meanwhile)
    with pytest.raises(InvalidRequest, match="changed since it was checked") as refused:
        await ask()
    assert [fault.field for fault in refused.value.faults] == [name]
    assert refused.value.facts.job_id
    assert sandbox.ledger()["posts"] == 0

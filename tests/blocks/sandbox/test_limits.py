from __future__ import annotations

from typing import Any

import httpx
import pytest

from blocks.sandbox.serve import RunningSandbox
from tests.blocks.sandbox.conftest import AVATAR, Create
from tests.blocks.sandbox.media import encoded, padded, picture, sound, text
from tests.blocks.sandbox.receiver import serving

ACCEPTED: dict[str, dict[str, Any]] = {
    "sides of 300 px": {"image": text(picture(300, 300))},
    "ratio 1:2.5": {"image": text(picture(300, 750))},
    "ratio 2.5:1": {"image": text(picture(750, 300))},
    "JPEG": {"image": text(picture(kind="JPEG"))},
    "image of 10 MB": {"image": text(padded(picture(), 10_000_000))},
    "audio of 2 s": {"sound_file": text(sound(2.0))},
    "audio of 60 s": {"sound_file": text(sound(60.0))},
    "audio of 5 MB": {"sound_file": text(sound((5_000_000 - 44) / 2 / 44100, 44100))},
    "MP3": {"sound_file": text(encoded("mp3", "libmp3lame"))},
    "M4A": {"sound_file": text(encoded("ipod", "aac"))},
    "AAC": {"sound_file": text(encoded("adts", "aac"))},
    "prompt of 2500 characters": {"prompt": "é" * 2500},
    "mode pro": {"mode": "pro"},
    "no mode": {"mode": None},
    "empty external_task_id": {"external_task_id": ""},
    "unknown field": {"watermark_info": {"enabled": False}},
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a side of 299 px": ({"image": text(picture(299, 400))}, "sides"),
    "ratio below 1:2.5": ({"image": text(picture(300, 751))}, "ratio"),
    "ratio above 2.5:1": ({"image": text(picture(751, 300))}, "ratio"),
    "GIF": ({"image": text(picture(kind="GIF"))}, "image"),
    "damaged image": ({"image": text(picture()[:200])}, "image"),
    "image over 10 MB": ({"image": text(padded(picture(), 10_000_001))}, "larger than 10 MB"),
    "image with data: prefix": ({"image": "data:image/png;base64," + text(picture())}, "data:"),
    "image that is no base64": ({"image": "not base64!"}, "base64"),
    "no image": ({"image": None}, "image is required"),
    "image that is a number": ({"image": 7}, "image must be a string"),
    "audio below 2 s": ({"sound_file": text(sound(1.9))}, "duration"),
    "audio above 60 s": ({"sound_file": text(sound(60.1))}, "duration"),
    "audio over 5 MB": ({"sound_file": text(padded(sound(), 5_000_001))}, "larger than 5 MB"),
    "audio with data: prefix": ({"sound_file": "data:audio/wav;base64," + text(sound())}, "data:"),
    "OGG": ({"sound_file": text(encoded("ogg", "flac"))}, "sound_file"),
    "picture as audio": ({"sound_file": text(picture())}, "sound_file"),
    "neither audio": ({"sound_file": None}, "exactly one"),
    "both audios": ({"audio_id": "880000000000000102"}, "exactly one"),
    "both audios, one empty": ({"audio_id": ""}, "exactly one"),
    "empty sound_file": ({"sound_file": ""}, "sound_file must not be empty"),
    "unknown audio_id": ({"sound_file": None, "audio_id": "880000000000000102"}, "audio_id"),
    "prompt of 2501 characters": ({"prompt": "é" * 2501}, "prompt"),
    "prompt that is a list": ({"prompt": ["calm"]}, "prompt must be a string"),
    "mode standard": ({"mode": "standard"}, "mode"),
    "empty mode": ({"mode": ""}, "mode"),
    "callback_url that is none": ({"callback_url": "ftp://example.org"}, "callback_url"),
    "external_task_id that is a number": ({"external_task_id": 7}, "external_task_id"),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_accepts(case: str, create: Create) -> None:
    answer = create(**ACCEPTED[case])
    assert answer.status_code == 200, answer.text
    assert answer.json()["code"] == 0


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_with_code_1201_and_charges_nothing(
    case: str, create: Create, sandbox: RunningSandbox
) -> None:
    fields, said = REFUSED[case]
    answer = create(**fields)
    assert (answer.status_code, answer.json()["code"]) == (400, 1201)
    assert said in answer.json()["message"]
    assert sandbox.ledger()["totals"]["charges"] == 0


@pytest.mark.parametrize("prompt", [None, "", " \n"])
def test_refuses_a_missing_or_empty_prompt_in_the_gateways_envelope(
    prompt: str | None, create: Create
) -> None:
    answer = create(prompt=prompt)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "prompt"


@pytest.mark.parametrize("content", [b"{", b"[1]", b"", b'"text"', b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_a_500_with_invalid_request(
    content: bytes, api: httpx.Client
) -> None:
    answer = api.post(AVATAR, content=content)
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "invalid_request"


def test_a_body_beyond_all_limits_is_a_413(api: httpx.Client, sandbox: RunningSandbox) -> None:
    answer = api.post(AVATAR, content=bytes(33 * 1024 * 1024))
    assert (answer.status_code, answer.json()["error"]["type"]) == (413, "comet_api_error")


def test_fetches_urls_itself_within_the_limits(create: Create) -> None:
    files = {"/face": picture(), "/voice": sound(), "/big": padded(picture(), 10_000_001)}
    with serving(files) as url:
        assert create(image=f"{url}/face", sound_file=f"{url}/voice").status_code == 200
        assert "larger than 10 MB" in create(image=f"{url}/big").json()["message"]
        assert "could not be downloaded" in create(sound_file=f"{url}/gone").json()["message"]
    assert "could not be downloaded" in create(image=f"{url}/face").json()["message"]


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Basic any-key",
        "Basic right",
        "right right",
        "Bearer wrong",
        "right",
        "Bearer richtig-ä",
    ],
)
def test_only_the_right_key_is_let_in(header: str | None, sandbox: RunningSandbox, web: httpx.Client) -> None:
    sandbox.set(key="right")
    headers = httpx.Headers({} if header is None else {"Authorization": header}, encoding="utf-8")
    for answer in (
        web.post(sandbox.url + AVATAR, headers=headers, json={}),
        web.get(f"{sandbox.url}{AVATAR}/1", headers=headers),
    ):
        assert (answer.status_code, answer.json()["error"]["type"]) == (401, "comet_api_error")
    right = web.get(f"{sandbox.url}{AVATAR}/1", headers={"Authorization": "Bearer right"})
    assert right.status_code == 404


def test_any_key_is_let_in_when_none_is_set_but_not_no_key(
    sandbox: RunningSandbox, web: httpx.Client
) -> None:
    url = f"{sandbox.url}{AVATAR}/1"
    assert web.get(url, headers={"Authorization": "Bearer anything"}).status_code == 404
    for headers in ({}, {"Authorization": "Bearer"}, {"Authorization": ""}, {"Authorization": "Basic key"}):
        assert web.get(url, headers=headers).status_code == 401


@pytest.mark.parametrize("path", ["/", "/kling/v1/videos/avatar", "/v1/videos/avatar/image2video/1", "/x"])
def test_an_unknown_path_is_a_web_page(path: str, api: httpx.Client) -> None:
    answers = {api.get(path).status_code: api.get(path), api.post(path).status_code: api.post(path)}
    assert set(answers) == {200, 404}
    for answer in answers.values():
        assert answer.headers["content-type"].startswith("text/html")


def test_a_trailing_slash_is_a_301(api: httpx.Client) -> None:
    answer = api.get(f"{AVATAR}/1/")
    assert (answer.status_code, answer.headers["location"]) == (301, f"{AVATAR}/1")


def test_a_wrong_method_is_code_1202(api: httpx.Client) -> None:
    answer = api.get(AVATAR)
    assert (answer.status_code, answer.json()["code"]) == (404, 1202)

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from av.error import FFmpegError

from blocks.sandbox.faults import FAULTS
from blocks.sandbox.serve import RunningSandbox
from tests.blocks.sandbox.conftest import AVATAR
from tests.blocks.sandbox.media import streams

Finished = Callable[..., tuple[str, str]]

TESTED = {
    "dead-link",
    "expired-link",
    "delivery-500",
    "truncated-clip",
    "stall",
    "wrong-length",
    "broken-clip",
    "short-clip",
    "silent-clip",
}


def test_every_fault_of_the_delivery_host_has_a_test_here() -> None:
    assert {name for name, fault in FAULTS.items() if fault.endpoints[0] == "delivery"} == TESTED


@pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (404, "NoSuchKey")])
def test_dead_link_is_refused_the_first_times(
    status: int, code: str, finished: Finished, web: httpx.Client, sandbox: RunningSandbox
) -> None:
    _, link = finished()
    sandbox.fault("dead-link", status=status, count=2)
    answers = [web.get(link) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [status, status, 200]
    assert f"<Code>{code}</Code>" in answers[0].text


def test_expired_link_stays_dead_and_a_fresh_one_works(
    finished: Finished, web: httpx.Client, api: httpx.Client
) -> None:
    task_id, link = finished(prompt="[fault:expired-link]")
    assert [web.get(link).status_code for _ in range(3)] == [403, 403, 403]
    fresh = api.get(f"{AVATAR}/{task_id}").json()["data"]["task_result"]["videos"][0]["url"]
    assert web.get(fresh).status_code == 200
    assert web.get(link).status_code == 403


def test_delivery_500(finished: Finished, web: httpx.Client) -> None:
    _, link = finished(prompt="[fault:delivery-500:1]")
    assert [web.get(link).status_code for _ in range(2)] == [500, 200]


def test_truncated_clip_cuts_before_the_announced_length_and_comes_whole_later(
    finished: Finished, web: httpx.Client
) -> None:
    _, link = finished(prompt="[fault:truncated-clip]")
    received, announced = read_until_it_ends(web, link)
    assert received == announced // 2
    assert len(web.get(link).content) == announced


def test_truncated_clip_cuts_a_range_too(
    finished: Finished, web: httpx.Client, sandbox: RunningSandbox
) -> None:
    _, link = finished()
    sandbox.fault("truncated-clip", at=0.25)
    received, announced = read_until_it_ends(web, link, {"Range": "bytes=1000-"})
    assert received == announced // 4


def test_stall_stops_midway_and_stays_open(finished: Finished, web: httpx.Client) -> None:
    _, link = finished(prompt="[fault:stall:1]")
    received, announced = read_until_it_ends(web, link, error=httpx.ReadTimeout, timeout=0.3)
    assert received == announced // 2
    assert web.get(link).status_code == 200


def test_wrong_length_looks_whole_to_http_and_is_not(finished: Finished, web: httpx.Client) -> None:
    _, link = finished(prompt="[fault:wrong-length:1]")
    cut, whole = web.get(link), web.get(link)
    assert int(cut.headers["content-length"]) == len(cut.content) == len(whole.content) * 9 // 10
    assert whole.content.startswith(cut.content)


def test_broken_clip_has_the_right_length_and_is_no_mp4(
    finished: Finished, web: httpx.Client, sandbox: RunningSandbox
) -> None:
    _, link = finished()
    whole = web.get(link)
    sandbox.fault("broken-clip")
    broken = web.get(link)
    assert len(broken.content) == len(whole.content)
    with pytest.raises(FFmpegError):
        streams(broken.content)
    assert len(sandbox.tasks()[0]["clips"]) == 1


def test_short_clip_plays_and_is_half_as_long(finished: Finished, web: httpx.Client) -> None:
    _, link = finished(prompt="[fault:short-clip:1]")
    short, whole = streams(web.get(link).content), streams(web.get(link).content)
    assert short[0] == whole[0] == {"h264", "aac"}
    assert short[1] == pytest.approx(whole[1] / 2, abs=0.15)


def test_silent_clip_plays_without_sound(finished: Finished, web: httpx.Client) -> None:
    _, link = finished(prompt="[fault:silent-clip]")
    assert streams(web.get(link).content)[0] == {"h264"}


@pytest.mark.parametrize("name", sorted(TESTED))
def test_a_fault_of_one_task_leaves_the_others_alone(
    name: str, finished: Finished, web: httpx.Client
) -> None:
    finished(prompt=f"[fault:{name}]")
    _, link = finished()
    answer = web.get(link)
    assert answer.status_code == 200
    assert streams(answer.content)[0] == {"h264", "aac"}


def read_until_it_ends(
    web: httpx.Client,
    link: str,
    headers: dict[str, str] | None = None,
    error: type[httpx.TransportError] = httpx.RemoteProtocolError,
    timeout: float = 20,
) -> tuple[int, int]:
    """Read until `error`; give the bytes that came and the bytes that were announced."""
    received: list[int] = []
    with web.stream("GET", link, headers=headers, timeout=timeout) as answer:
        with pytest.raises(error):
            received.extend(len(chunk) for chunk in answer.iter_raw())
        return sum(received), int(answer.headers["content-length"])

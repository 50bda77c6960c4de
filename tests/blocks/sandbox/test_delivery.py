from __future__ import annotations

import hashlib
from collections.abc import Callable

import httpx
import pytest

from blocks.sandbox.serve import RunningSandbox
from blocks.sandbox.transfer import Span, asked_span
from tests.blocks.sandbox.conftest import AVATAR
from tests.blocks.sandbox.media import streams

Finished = Callable[..., tuple[str, str]]


def test_a_clip_comes_whole_and_the_same_each_time(
    finished: Finished, web: httpx.Client, sandbox: RunningSandbox
) -> None:
    task_id, link = finished()
    first, second = web.get(link), web.get(link)
    assert first.content == second.content
    assert first.headers["content-type"] == "video/mp4"
    assert first.headers["accept-ranges"] == "bytes"
    assert int(first.headers["content-length"]) == len(first.content)
    assert first.headers["etag"] == second.headers["etag"]
    task = sandbox.tasks()[0]
    assert task["task_id"] == task_id
    assert task["clips"] == [
        {"sha256": hashlib.sha256(first.content).hexdigest(), "size": len(first.content)}
    ]


def test_two_tasks_of_the_same_inputs_have_different_clips(finished: Finished, web: httpx.Client) -> None:
    (_, one), (_, other) = finished(), finished()
    contents = [web.get(link).content for link in (one, other)]
    assert contents[0] != contents[1]
    assert [streams(content)[0] for content in contents] == [{"h264", "aac"}] * 2


def test_head_tells_length_and_etag_without_a_body(finished: Finished, web: httpx.Client) -> None:
    _, link = finished()
    whole, head = web.get(link), web.head(link)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == whole.headers["content-length"]
    assert head.headers["etag"] == whole.headers["etag"]


def test_a_link_expires_and_a_fresh_query_gives_one_that_works(
    finished: Finished, web: httpx.Client, sandbox: RunningSandbox, api: httpx.Client
) -> None:
    sandbox.set(link_seconds=60)
    task_id, link = finished()
    sandbox.advance(50)
    assert web.get(link).status_code == 200
    sandbox.advance(11)
    expired = web.get(link)
    assert (expired.status_code, expired.headers["content-type"]) == (403, "application/xml")
    assert b"<Code>AccessDenied</Code>" in expired.content
    fresh = api.get(f"{AVATAR}/{task_id}").json()["data"]["task_result"]["videos"][0]["url"]
    assert fresh != link
    assert web.get(fresh).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        lambda link: link.split("?")[0],
        lambda link: link[:-1] + ("0" if link[-1] != "0" else "1"),
        lambda link: link.replace("expires=1", "expires=9"),
        lambda link: link.replace("signature=", "signature=%C3%A4"),
    ],
)
def test_a_changed_link_is_refused(
    change: Callable[[str], str], finished: Finished, web: httpx.Client
) -> None:
    _, link = finished()
    answer = web.get(change(link))
    assert (answer.status_code, answer.headers["content-type"]) == (403, "application/xml")


def test_a_link_of_a_forgotten_task_is_a_404(
    finished: Finished, web: httpx.Client, sandbox: RunningSandbox
) -> None:
    _, link = finished()
    sandbox.reset()
    answer = web.get(link)
    assert answer.status_code in (403, 404)
    assert answer.headers["content-type"] == "application/xml"


def test_every_query_gives_another_link(api: httpx.Client, finished: Finished) -> None:
    task_id, link = finished()
    data = api.get(f"{AVATAR}/{task_id}").json()["data"]
    assert data["task_result"]["videos"][0]["url"] != link


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-9", slice(0, 10)),
        ("bytes=100-", slice(100, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=5-99999999", slice(5, None)),
    ],
)
def test_a_range_gives_that_part(asked: str, part: slice, finished: Finished, web: httpx.Client) -> None:
    _, link = finished()
    whole = web.get(link).content
    answer = web.get(link, headers={"Range": asked})
    start = part.indices(len(whole))[0]
    assert answer.status_code == 206
    assert answer.content == whole[part]
    assert answer.headers["content-range"] == f"bytes {start}-{start + len(answer.content) - 1}/{len(whole)}"


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-", Span(0, 100)),
        ("bytes=99-", Span(99, 100)),
        ("bytes=100-", None),
        ("bytes=-0", None),
        ("bytes=-200", Span(0, 100)),
        ("bytes=9-5", Span(0, 100)),
        ("bytes=0-1,5-6", Span(0, 100)),
        ("bytes=-", Span(0, 100)),
        ("lines=0-1", Span(0, 100)),
    ],
)
def test_what_a_range_header_asks_for(header: str, span: Span | None) -> None:
    assert asked_span(header, 100) == span


def test_a_range_beyond_the_end_is_a_416(finished: Finished, web: httpx.Client) -> None:
    _, link = finished()
    size = len(web.get(link).content)
    answer = web.get(link, headers={"Range": f"bytes={size}-"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{size}")


def test_if_range_gives_everything_when_the_clip_is_another(finished: Finished, web: httpx.Client) -> None:
    _, link = finished()
    etag = web.get(link).headers["etag"]
    asked = {"Range": "bytes=5-"}
    assert web.get(link, headers={**asked, "If-Range": etag}).status_code == 206
    assert web.get(link, headers={**asked, "If-Range": '"another"'}).status_code == 200


def test_ranges_can_be_switched_off(finished: Finished, web: httpx.Client, sandbox: RunningSandbox) -> None:
    sandbox.set(ranges=False)
    _, link = finished()
    answer = web.get(link, headers={"Range": "bytes=5-"})
    assert (answer.status_code, answer.headers["accept-ranges"]) == (200, "none")


def test_the_host_tells_whether_a_key_came_to_it(
    finished: Finished, web: httpx.Client, sandbox: RunningSandbox
) -> None:
    _, link = finished()
    assert link.startswith(sandbox.delivery_url)
    assert sandbox.delivery_url != sandbox.url
    web.get(link)
    web.get(link, headers={"Authorization": "Bearer leaked"})
    entries = sandbox.deliveries()
    assert [entry["authorization"] for entry in entries] == [False, True]
    assert "authorization" in entries[1]["headers"]
    assert "leaked" not in str(entries)
    assert "signature" not in str(entries)


def test_the_api_does_not_deliver_and_the_delivery_host_is_no_api(
    finished: Finished, web: httpx.Client, api: httpx.Client, sandbox: RunningSandbox
) -> None:
    _, link = finished()
    assert api.get(link.replace(sandbox.delivery_url, sandbox.url)).headers["content-type"].startswith("text")
    assert web.get(f"{sandbox.delivery_url}/sandbox/ledger").status_code == 404

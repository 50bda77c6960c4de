"""Named faults: what can go wrong at the provider, and which outcome each stands for.

A fault is asked for in one of four ways: a rule over HTTP (`POST /sandbox/faults`), `--fault NAME[:COUNT]`
on the command line, a marker in the prompt or the text (`[fault:NAME]`, `[fault:NAME:COUNT]`) that stays
with that task, and the header `X-Sandbox-Fault: NAME[:COUNT], ...` for the requests that carry it.
Without a count the fault's own holds, mostly for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from blocks.sandbox.refusals import Refusal, gateway, kling, unknown_task

Endpoint = Literal["create", "tts", "query", "delivery"]

# When a fault acts. `refuse`: nothing is done, the answer is the fault. `delay`: it is done, later.
# `outcome`: what becomes of the task. `status`, `envelope`: what an answer says, and how. `answer`: it is
# done, only the answer goes wrong. `body`: the bytes of the clip.
Phase = Literal["refuse", "delay", "outcome", "status", "envelope", "answer", "body"]

_POSTS: tuple[Endpoint, ...] = ("create", "tts")
_CALLS: tuple[Endpoint, ...] = ("create", "tts", "query")
_QUERY: tuple[Endpoint, ...] = ("query",)
_SHAPE: tuple[Endpoint, ...] = ("query", "create")
_CLIP: tuple[Endpoint, ...] = ("delivery",)


@dataclass(frozen=True, slots=True)
class Fault:
    """One named fault; it acts at the first of its endpoints unless another one is asked for."""

    name: str
    phase: Phase
    endpoints: tuple[Endpoint, ...]
    says: str
    count: int | None = None


_ALL = (
    Fault("lost-response", "answer", _CALLS, "accepted and charged, the connection is cut: outcome unknown"),
    Fault("500-after-accept", "answer", _POSTS, "accepted and charged, HTTP 500 and code 5000: unknown"),
    Fault("504-5002-after-accept", "answer", _POSTS, "accepted and charged, HTTP 504 and code 5002: unknown"),
    Fault("500-before-accept", "refuse", _CALLS, "not accepted, HTTP 500 and code 5000: looks unknown"),
    Fault("500-invalid-request", "refuse", _CALLS, "HTTP 500 with error.code invalid_request: refused"),
    Fault(
        "slow", "delay", (*_CALLS, "delivery"), "does it after `seconds` (90): outcome unknown to a client"
    ),
    Fault("429-1302", "refuse", _CALLS, "HTTP 429, code 1302, too fast: wait, then again"),
    Fault("429-1303", "refuse", _CALLS, "HTTP 429, code 1303, too many in flight: wait, then again"),
    Fault("429-1102", "refuse", _CALLS, "HTTP 429, code 1102, no credit: waiting does not help"),
    Fault("429-plain", "refuse", _CALLS, "HTTP 429 in the gateway's envelope: wait, then again"),
    Fault("503-5001", "refuse", _CALLS, "HTTP 503, code 5001, maintenance: not accepted, looks unknown"),
    Fault("html", "refuse", _CALLS, "HTTP 200 with a web page: not accepted, looks unknown"),
    Fault("redirect", "refuse", _CALLS, "HTTP 301 to `location`, another host: the key must not follow"),
    Fault("200-1200", "refuse", _CALLS, "HTTP 200 with code 1200, bad parameters: refused all the same"),
    Fault("1301", "refuse", _POSTS, "HTTP 400, code 1301, content refused at submit: a person must look"),
    Fault("failed-moderation", "outcome", ("create",), "accepted, then failed by content check, given back"),
    Fault("failed-1303", "outcome", ("create",), "accepted, then failed for too many in flight, given back"),
    Fault("unknown-status", "status", _QUERY, "a status word nobody documents (`status`): keep waiting"),
    Fault("stuck", "status", _QUERY, "stays processing: overdue, not failed"),
    Fault("succeed-without-url", "status", _QUERY, "succeed with no video: paid for, nothing to fetch"),
    Fault("wrapped-envelope", "envelope", _SHAPE, "the answer in envelope B: read it all the same"),
    Fault("variant-c", "envelope", _SHAPE, "the answer in envelope C: read it all the same"),
    Fault("variant-d", "envelope", _SHAPE, "the answer in envelope D: read it all the same"),
    Fault("query-500", "refuse", _QUERY, "a query answers HTTP 500: says nothing about the task"),
    Fault("query-html", "refuse", _QUERY, "a query answers a web page: says nothing about the task"),
    Fault("query-1203-early", "refuse", _QUERY, "the first queries answer 404, code 1203: ask again", 2),
    Fault("dead-link", "refuse", _CLIP, "the first downloads answer `status` (403): ask again", 1),
    Fault("expired-link", "refuse", _CLIP, "the first links are dead for good: query for a fresh link", 1),
    Fault("delivery-500", "refuse", _CLIP, "the delivery host answers 500: fetch again, never regenerate"),
    Fault("truncated-clip", "body", _CLIP, "the connection is cut at `at` (0.5) of Content-Length: again", 1),
    Fault("stall", "body", _CLIP, "nothing more comes after `at` (0.5), the connection stays open: again"),
    Fault("wrong-length", "body", _CLIP, "a clip cut short whose Content-Length agrees: only its boxes tell"),
    Fault("broken-clip", "body", _CLIP, "the right number of bytes, but no MP4: do not publish"),
    Fault("short-clip", "body", _CLIP, "a valid MP4 of half the length: do not publish"),
    Fault("silent-clip", "body", _CLIP, "a valid MP4 without sound: do not publish"),
)
FAULTS = {fault.name: fault for fault in _ALL}


def listed() -> str:
    """Return every fault with its line, for people."""
    return "\n".join(
        f"  {fault.name:22} {fault.says}" + (f" [{fault.count} times]" if fault.count else "")
        for fault in _ALL
    )


__doc__ = f"{__doc__}\n{listed()}\n"

INTERNAL: tuple[int, int, str] = (500, 5000, "internal error")
TIMEOUT: tuple[int, int, str] = (504, 5002, "server internal timeout")

_ANSWERS: dict[str, Callable[[], Refusal]] = {
    "500-after-accept": lambda: kling(*INTERNAL),
    "504-5002-after-accept": lambda: kling(*TIMEOUT),
    "500-before-accept": lambda: kling(*INTERNAL),
    "500-invalid-request": lambda: gateway(500, "could not parse request body", code="invalid_request"),
    "429-1302": lambda: kling(429, 1302, "requests are too frequent"),
    "429-1303": lambda: kling(429, 1303, "parallel task over resource pack limit"),
    "429-1102": lambda: kling(429, 1102, "resource pack depleted"),
    "429-plain": lambda: gateway(429, "upstream is busy, try again later"),
    "503-5001": lambda: kling(503, 5001, "server under maintenance"),
    "200-1200": lambda: kling(200, 1200, "invalid parameters"),
    "1301": lambda: kling(400, 1301, "content safety policy"),
    "query-500": lambda: kling(*INTERNAL),
    "query-1203-early": lambda: unknown_task("kling"),
}

FAILURES = {
    "failed-moderation": "rejected by the platform content check",
    "failed-1303": "parallel task over resource pack limit",
}


def answer(name: str, retry_after: float | None = None) -> Refusal | None:
    """Return the JSON answer of a fault, or `None` when the fault does not answer JSON."""
    if name not in _ANSWERS:
        return None
    refusal = _ANSWERS[name]()
    if retry_after is not None:
        refusal.headers["Retry-After"] = f"{retry_after:g}"
    return refusal

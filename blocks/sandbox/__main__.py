"""Command line: `python -m blocks.sandbox --help`."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from blocks.sandbox.faults import listed
from blocks.sandbox.script import Rule
from blocks.sandbox.serve import Listeners, serve
from blocks.sandbox.settings import Settings

_FROM_SETTINGS = (
    "key",
    "lookup",
    "duplicate_external_id",
    "unknown_task",
    "submitted_seconds",
    "render_seconds",
    "seconds_per_audio_second",
    "tts_seconds",
    "link_seconds",
    "ranges",
    "refund_failed",
    "max_in_flight",
    "callbacks",
    "callback_secret",
    "fast_clip",
)


def main(arguments: list[str] | None = None) -> int:
    """Run the sandbox until a signal comes; return the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        settings = Settings(**_given(options, _FROM_SETTINGS))
        rules = [_rule(text) for text in options.fault]
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)
        parser.error("; ".join(f"{'.'.join(map(str, one['loc']))} {one['msg']}".strip() for one in wrong))
    delivery_port = options.delivery_port
    if delivery_port is None:
        delivery_port = options.port + 1 if options.port else 0
    try:
        listeners = Listeners(options.host, options.port, delivery_port)
    except (OSError, OverflowError) as error:
        parser.error(f"cannot listen on {options.host}: {error}")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    delivery_url = options.delivery_url or listeners.delivery_url
    if options.write_samples:
        _write_samples(options.write_samples)
    greeting = _greeting(listeners.url, delivery_url, options.write_samples or Path(), as_json=options.json)
    serve(settings, rules, listeners, delivery_url, lambda: _say(greeting))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m blocks.sandbox",
        description="A CometAPI on localhost for Kling's avatars and speech; nothing is charged.",
        epilog=f"Faults, also as [fault:NAME] or [fault:NAME:COUNT] in a prompt:\n{listed()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to bind")
    parser.add_argument("--port", type=int, default=8787, help="port of the API, 0 for a free one")
    parser.add_argument(
        "--delivery-port", type=int, default=None, help="port of the delivery host, next to it"
    )
    parser.add_argument("--delivery-url", default=None, help="where others reach the delivery host")
    parser.add_argument(
        "--json", action="store_true", default=False, help="print the URLs as one line of JSON"
    )
    parser.add_argument(
        "--write-samples", type=Path, metavar="DIR", default=None, help="write face.png and voice.mp3 there"
    )
    parser.add_argument(
        "--fault", action="append", metavar="NAME[:COUNT]", default=[], help="see below; can be repeated"
    )
    _add_settings(parser.add_argument_group("behaviour"))
    return parser


def _add_settings(group: Any) -> None:
    group.add_argument("--key", help="the only API key that is accepted")
    group.add_argument("--no-lookup", dest="lookup", action="store_false", help="no queries by external id")
    group.add_argument("--duplicate-external-id", choices=("accept", "reject", "replay"))
    group.add_argument("--unknown-task", choices=("kling", "gateway", "null"), help="shape of that answer")
    group.add_argument("--submitted-seconds", type=float, metavar="S")
    group.add_argument("--render-seconds", type=float, metavar="S")
    group.add_argument("--seconds-per-audio-second", type=float, metavar="S")
    group.add_argument("--tts-seconds", type=float, metavar="S", help="0 answers with the finished audio")
    group.add_argument("--link-seconds", type=float, metavar="S", help="how long a delivery link lives")
    group.add_argument("--no-ranges", dest="ranges", action="store_false", help="ignore Range")
    group.add_argument("--no-refunds", dest="refund_failed", action="store_false", help="keep failed charges")
    group.add_argument("--max-in-flight", type=int, metavar="N", help="open tasks before code 1303")
    group.add_argument("--callbacks", choices=("once", "twice", "never"))
    group.add_argument("--callback-secret", metavar="whsec_...", help="sign callbacks")
    group.add_argument(
        "--fast-clip", action="store_true", help="one tiny clip for each audio, for load tests"
    )


def _given(options: argparse.Namespace, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(options, name) for name in names if hasattr(options, name)}


def _rule(text: str) -> Rule:
    name, _, number = text.partition(":")
    return Rule.model_validate({"fault": name, **({"count": number} if number else {})})


def _write_samples(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    samples = files("blocks.sandbox") / "samples"
    for source, target in (("portrait.png", "face.png"), ("voice.mp3", "voice.mp3")):
        (folder / target).write_bytes((samples / source).read_bytes())


def _greeting(url: str, delivery_url: str, samples: Path, *, as_json: bool) -> str:
    if as_json:
        return json.dumps({"url": url, "delivery_url": delivery_url, "pid": os.getpid()})
    return (
        f"CometAPI sandbox: {url}\n"
        f"Delivery host:    {delivery_url}\n"
        f"What was charged: {url}/sandbox/ledger\n\n"
        "Try, in another terminal:\n"
        f"  COMETAPI_KEY=x COMETAPI_BASE_URL={url} "
        f".venv/bin/python -m flows.avatar --image {samples / 'face.png'} --audio {samples / 'voice.mp3'}\n"
    )


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _leave(_signal: int, _frame: object) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())

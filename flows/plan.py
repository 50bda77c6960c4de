"""Plan: what would be done for a request, a manifest or an inbox, and what it would cost."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Annotated, Literal

from prefect import flow, runtime
from prefect.artifacts import acreate_table_artifact
from prefect.states import Completed
from pydantic import Field

from blocks.errors import AvatarError
from flows.tasks.addresses import absolute, name_of
from flows.tasks.form import Credentials, OptionalText, Store, shown, shown_optional
from flows.tasks.manifest.results import shown_of
from flows.tasks.plan.making import make_plan
from flows.tasks.plan.plan import Plan, table
from flows.tasks.plan.readings import open_readings
from flows.tasks.plan.shown import print_plan
from flows.tasks.request import DEFAULT_PROMPT, Request


def name_of_run() -> str:
    """Return the name of a flow run that people can read."""
    given = runtime.flow_run.parameters
    fields = {name: value for name, value in given.items() if name in Request.model_fields and value}
    lies = given.get("manifest") or given.get("inbox")
    return f"plan of {name_of(absolute(lies))[:80] if lies else Request(**{'image': '', **fields}).title}"


@flow(name="plan", flow_run_name=name_of_run)
async def plan(
    manifest: Annotated[
        OptionalText, shown_optional("Manifest", "CSV or JSON Lines, as for generate-avatars.")
    ] = None,
    inbox: Annotated[
        OptionalText, shown_optional("Inbox", "Or a folder or address, as for watch-inbox.")
    ] = None,
    image: Annotated[OptionalText, shown_optional("Portrait", "Or one video: JPEG or PNG.")] = None,
    audio: Annotated[OptionalText, shown_optional("Voice clip", "As for generate-avatar.")] = None,
    audio_id: Annotated[OptionalText, shown_optional("Audio id", "As for generate-avatar.")] = None,
    text: Annotated[OptionalText, shown_optional("Text", "What is said, as for speak-avatar.")] = None,
    voice: Annotated[OptionalText, shown_optional("Voice", "Who says the text.")] = None,
    language: Annotated[Literal["en", "zh"], shown("Language", "What the voice speaks.")] = "en",
    speed: Annotated[float, shown("Speed", "0.8 to 2.0 with one decimal.", minimum=0.8, maximum=2.0)] = 1.0,
    speech_take: Annotated[int, Field(ge=1), shown("Take of the speech", "As for speak-avatar.")] = 1,
    split: Annotated[bool, shown("Split", "Cut a long text into several clips.")] = False,
    prompt: Annotated[str, shown("Prompt", "How the person behaves.", minLength=1)] = DEFAULT_PROMPT,
    mode: Annotated[Literal["std", "pro"], shown("Mode", "std is cheaper, pro is sharper.")] = "std",
    take: Annotated[int, Field(ge=1), shown("Take", "As for generate-avatar.")] = 1,
    name: Annotated[OptionalText, shown_optional("Name", "What people call this video.")] = None,
    quiet_seconds: Annotated[
        float, Field(ge=0), shown("Quiet seconds", "Newer files of an inbox are left, as for watch-inbox.")
    ] = 60,
    credentials: Credentials = None,
    store: Store = None,
) -> Plan:
    """Say what would be done for a request, a manifest or an inbox, row by row, and what it would cost.

    Spends nothing, sends nothing to the provider and writes nothing but this run and its table. Needs no key:
    without one, prices and limits are the defaults. Inputs are read and measured as before a purchase, so
    every fault is found. Prices are list prices by measured seconds; of a text that is not spoken yet the
    seconds are estimated, and the table says so.

    Returns:
        What would become of each row, and the total.
    """
    one = {"image": image, "audio": audio, "audio_id": audio_id, "text": text, "voice": voice, "name": name}
    how = {"language": language, "speed": speed, "speech_take": speech_take, "prompt": prompt}
    wanted = {**one, **how, "mode": mode, "take": take, "split": split}
    async with open_readings(credentials, store) as readings:
        made = await make_plan(wanted, readings, manifest=manifest, inbox=inbox, quiet_seconds=quiet_seconds)
    description = " ".join([f"{made.summary}.", *made.remarks]) + shown_of(made.rows)
    await acreate_table_artifact(key="plan", table=table(made.rows), description=description)
    return Completed(message=made.summary, data=made)  # type: ignore[return-value]  # Prefect unwraps a returned state


def main() -> None:
    """Say what would be done and what it would cost; nothing is spent or written."""
    parser = argparse.ArgumentParser(prog="python -m flows.plan", description=main.__doc__)
    parser.add_argument("manifest", nargs="?", help="CSV or JSON Lines, a row a video: a path or address")
    parser.add_argument("--inbox", help="instead: folder or address that holds portraits and voice clips")
    parser.add_argument("--image", help="instead: the portrait of one video, with the options below")
    for option in ("--audio", "--audio-id", "--text", "--voice", "--name", "--credentials", "--store"):
        parser.add_argument(option)
    parser.add_argument("--language", default="en", choices=["en", "zh"])
    parser.add_argument("--speed", default=1.0, type=float)
    parser.add_argument("--speech-take", default=1, type=int)
    parser.add_argument("--split", action="store_true", help="cut a long text into several clips")
    parser.add_argument("--prompt", default=DEFAULT_PROMPT)
    parser.add_argument("--mode", default="std", choices=["std", "pro"])
    parser.add_argument("--take", default=1, type=int)
    parser.add_argument("--quiet-seconds", default=60, type=float, help="newer files of an inbox are left")
    parser.add_argument("--json", action="store_true", help="print the plan as JSON, with all rows")
    options = vars(parser.parse_args())
    as_json = options.pop("json")
    try:
        made = asyncio.run(plan(**options))
    except AvatarError as error:
        sys.exit(f"\n{type(error).__name__}: {error}")
    if as_json:
        sys.stdout.write(made.model_dump_json(indent=2) + "\n")
    else:
        print_plan(made)


if __name__ == "__main__":
    main()

"""Generate-avatar: one portrait and one voice clip become one archived video."""

from __future__ import annotations

import argparse
import sys
from typing import Annotated, Literal

from prefect import flow, get_run_logger, runtime
from prefect.states import Completed
from pydantic import Field

from blocks.errors import AvatarError
from blocks.storage.sidecar import Sidecar
from flows.tasks.archive import archive
from flows.tasks.ask import submit_or_ask
from flows.tasks.budget.limits import Caps
from flows.tasks.connections import connect
from flows.tasks.form import Credentials, MaxCost, OptionalText, Store, Wait, shown, shown_optional
from flows.tasks.help.hooks import with_help
from flows.tasks.poll import poll
from flows.tasks.progress.terminal import run_command
from flows.tasks.request import DEFAULT_PROMPT, Request
from flows.tasks.shown.clip import show_clip
from flows.tasks.validate import validate
from flows.tasks.waiting.suspend import may_suspend, wait_suspended


def name_of_run() -> str:
    """Return the name of a flow run that people can read."""
    fields = {
        name: value for name, value in runtime.flow_run.parameters.items() if name in Request.model_fields
    }
    request = Request.model_validate(fields)
    take = f", take {request.take}" if request.take > 1 else ""
    return f"{request.title} ({request.mode}{take})"


@flow(name="generate-avatar", flow_run_name=name_of_run, **with_help())
async def generate_avatar(
    image: Annotated[
        str, shown("Portrait", "JPEG or PNG: a path, an https:// or s3:// address.", minLength=1)
    ],
    audio: Annotated[
        OptionalText,
        shown_optional("Voice clip", "MP3, WAV, M4A or AAC of 2 to 60 seconds: a path or address."),
    ] = None,
    audio_id: Annotated[
        OptionalText, shown_optional("Audio id", "Instead of a voice clip: id of speech made by Kling TTS.")
    ] = None,
    prompt: Annotated[
        str,
        shown("Prompt", "How the person behaves; at most 2500 characters.", minLength=1, maxLength=2500),
    ] = DEFAULT_PROMPT,
    mode: Annotated[Literal["std", "pro"], shown("Mode", "std is cheaper, pro is sharper.")] = "std",
    take: Annotated[
        int, Field(ge=1), shown("Take", "Raise it to buy another version of the same request.")
    ] = 1,
    name: Annotated[
        OptionalText, shown_optional("Name", "What people call this video.", maxLength=200)
    ] = None,
    rights: Annotated[
        OptionalText, shown_optional("Rights", "Note on the consent for face and voice, kept in the sidecar.")
    ] = None,
    wait: Wait = "poll",
    max_cost: MaxCost = None,
    credentials: Credentials = None,
    store: Store = None,
) -> Sidecar:
    """Turn one portrait and one voice clip into a talking-avatar video in the archive.

    MAY spend money, once: the same request is never paid for twice, whatever crashes or is run again. A run
    of a request that is archived already costs nothing. Bad input is refused before anything is paid for.

    Returns:
        The sidecar: where the clip is, what it is, what it cost.
    """
    request = Request(
        image=image,
        audio=audio,
        audio_id=audio_id,
        prompt=prompt,
        mode=mode,
        take=take,
        name=name,
        rights=rights,
    )
    async with connect(credentials, store, Caps.of(job=max_cost)) as connections:
        job = await validate(request, connections)
        if finished := await connections.archive.find_done(job.job_id):
            await show_clip(finished, connections)
            return already_archived(finished)
        suspends = wait == "callback" and await may_suspend([job], connections)
        async with connections.in_flight.counted(job.job_id):
            entry = await submit_or_ask(job, request, connections)
            kling_task = await (wait_suspended if suspends else poll)(entry, connections)
        sidecar = await archive(entry, kling_task, connections)
        await show_clip(sidecar, connections)
        return sidecar


def already_archived(sidecar: Sidecar) -> Sidecar:
    """Return the state that says so in Prefect's UI; its result is the sidecar."""
    when = f"{sidecar.times.archived:%Y-%m-%d %H:%M} UTC"
    message = f"Archived already on {when}; nothing was sent and nothing was charged"
    get_run_logger().info(message)
    return Completed(name="AlreadyArchived", message=message, data=sidecar)  # type: ignore[return-value]  # Prefect unwraps a returned state


def main() -> None:
    """Run one job from the command line: the parameters of the flow, as options."""
    parser = argparse.ArgumentParser(prog="python -m flows.avatar", description=main.__doc__)
    parser.add_argument("--image", required=True, help="portrait: a path or address")
    parser.add_argument("--audio", help="voice clip: a path or address")
    parser.add_argument("--audio-id", help="instead of --audio: id of speech made by Kling TTS")
    parser.add_argument("--prompt", default=DEFAULT_PROMPT, help="how the person behaves")
    parser.add_argument("--mode", default="std", choices=["std", "pro"])
    parser.add_argument("--take", default=1, type=int, help="raise it to buy another version")
    parser.add_argument("--name", help="what people call this video")
    parser.add_argument("--rights", help="note on the consent for face and voice")
    parser.add_argument("--max-cost", type=float, help="US dollars that this run may spend")
    parser.add_argument("--credentials", help="name of a saved CometAPI Credentials block")
    parser.add_argument("--store", help="name of a saved Avatar Archive block")
    try:
        sidecar = run_command(generate_avatar(**vars(parser.parse_args())))
    except AvatarError as error:
        sys.exit(f"\n{type(error).__name__}: {error}")
    sys.stdout.write(sidecar.model_dump_json(indent=2) + "\n")


if __name__ == "__main__":
    main()

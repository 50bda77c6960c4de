"""Speak-avatar: a text, a voice and a portrait become archived video."""

from __future__ import annotations

import argparse
import sys
from typing import Annotated, Literal

from prefect import flow, runtime
from prefect.states import Completed
from pydantic import Field

from blocks.errors import AvatarError
from blocks.storage.sidecar import Sidecar
from flows.tasks.budget.limits import Caps
from flows.tasks.connections import connect
from flows.tasks.form import Credentials, MaxCost, OptionalText, Store, Wait, shown, shown_optional
from flows.tasks.help.hooks import with_help
from flows.tasks.progress.terminal import run_command
from flows.tasks.request import DEFAULT_PROMPT, Request
from flows.tasks.speech.splitting import in_pieces
from flows.tasks.speech.spoken import make_spoken


def name_of_run() -> str:
    """Return the name of a flow run that people can read."""
    fields = {
        name: value for name, value in runtime.flow_run.parameters.items() if name in Request.model_fields
    }
    request = Request.model_validate(fields)
    return f"{request.title} ({request.voice}, {request.mode})"


@flow(name="speak-avatar", flow_run_name=name_of_run, **with_help())
async def speak_avatar(
    image: Annotated[
        str, shown("Portrait", "JPEG or PNG: a path, an https:// or s3:// address.", minLength=1)
    ],
    text: Annotated[
        str, shown("Text", "What the person says: at most 1000 characters, longer with split.", minLength=1)
    ],
    voice: Annotated[
        str,
        shown("Voice", "Id of a Kling voice of that language; the README lists them.", minLength=1),
    ],
    language: Annotated[Literal["en", "zh"], shown("Language", "What the voice speaks.")] = "en",
    speed: Annotated[
        float,
        shown("Speed", "0.8 to 2.0 with one decimal; 1 is normal.", minimum=0.8, maximum=2.0),
    ] = 1.0,
    speech_take: Annotated[
        int, Field(ge=1), shown("Take of the speech", "Raise it to buy the same words spoken once more.")
    ] = 1,
    split: Annotated[
        bool, shown("Split", "Cut a long text at ends of sentences and make several clips of it.")
    ] = False,
    prompt: Annotated[
        str,
        shown("Prompt", "How the person behaves; at most 2500 characters.", minLength=1, maxLength=2500),
    ] = DEFAULT_PROMPT,
    mode: Annotated[Literal["std", "pro"], shown("Mode", "std is cheaper, pro is sharper.")] = "std",
    take: Annotated[int, Field(ge=1), shown("Take", "Raise it to buy another video of the same speech.")] = 1,
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
) -> list[Sidecar]:
    """Speak a text with Kling's voices and make a talking-avatar video of it, archived with its speech.

    MAY spend money: once for each speech and once for each video, whatever crashes or is run again. The
    speech is made first, archived and measured; a video whose voice would be too short or too long is not
    bought. A run of what is archived already costs nothing.

    Returns:
        The sidecar of each clip: one, or with `split` as many as the text needs.
    """
    request = Request(
        image=image,
        text=text,
        voice=voice,
        language=language,
        speed=speed,
        speech_take=speech_take,
        prompt=prompt,
        mode=mode,
        take=take,
        name=name,
        rights=rights,
    )
    caps = Caps.of(max_cost, name=runtime.flow_run.id)
    async with connect(credentials, store, caps) as connections:
        requests = in_pieces(request, connections.credentials, split=split)
        sidecars, bought = await make_spoken(requests, connections, wait)
    if not bought:
        message = f"Archived already ({len(sidecars)}); nothing was sent and nothing was charged"
        return Completed(name="AlreadyArchived", message=message, data=sidecars)  # type: ignore[return-value]  # Prefect unwraps a returned state
    return sidecars


def main() -> None:
    """Speak a text from the command line: the parameters of the flow, as options."""
    parser = argparse.ArgumentParser(prog="python -m flows.speech", description=main.__doc__)
    parser.add_argument("--image", required=True, help="portrait: a path or address")
    parser.add_argument("--text", required=True, help="what the person says")
    parser.add_argument("--voice", required=True, help="id of a Kling voice; the README lists them")
    parser.add_argument("--language", default="en", choices=["en", "zh"])
    parser.add_argument("--speed", default=1.0, type=float, help="0.8 to 2.0 with one decimal")
    parser.add_argument("--speech-take", default=1, type=int, help="raise it to buy the speech once more")
    parser.add_argument("--split", action="store_true", help="cut a long text into several clips")
    parser.add_argument("--prompt", default=DEFAULT_PROMPT, help="how the person behaves")
    parser.add_argument("--mode", default="std", choices=["std", "pro"])
    parser.add_argument("--take", default=1, type=int, help="raise it to buy another video of the speech")
    parser.add_argument("--name", help="what people call this video")
    parser.add_argument("--rights", help="note on the consent for face and voice")
    parser.add_argument("--max-cost", type=float, help="US dollars that this run may spend")
    parser.add_argument("--credentials", help="name of a saved CometAPI Credentials block")
    parser.add_argument("--store", help="name of a saved Avatar Archive block")
    try:
        sidecars = run_command(speak_avatar(**vars(parser.parse_args())))
    except AvatarError as error:
        sys.exit(f"\n{type(error).__name__}: {error}")
    for sidecar in sidecars:
        sys.stdout.write(sidecar.model_dump_json(indent=2) + "\n")


if __name__ == "__main__":
    main()

"""What is asked of the measuring process and what it answers."""

from __future__ import annotations

import importlib
import json
import signal
import struct
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, BinaryIO, Literal, NamedTuple

from blocks.media.errors import MediaError

Kind = Literal["image", "audio", "clip", "poster", "thumbnail"]

_READERS: dict[Kind, tuple[str, str]] = {
    "image": ("blocks.media.readers.images", "read_image"),
    "audio": ("blocks.media.readers.audio", "read_audio"),
    "clip": ("blocks.media.readers.clips", "read_clip"),
    "poster": ("blocks.media.readers.posters", "read_poster"),
    "thumbnail": ("blocks.media.readers.posters", "read_thumbnail"),
}
_KINDS: tuple[Kind, ...] = tuple(_READERS)
_REQUEST = struct.Struct("!BIII")
REQUEST_BYTES = _REQUEST.size
REPLY_BYTES = 65536
TOO_LONG = "takes longer to read than measuring may take"
_SIGNALS = {int(number): number.name for number in signal.Signals}


class Budget(NamedTuple):
    """What measuring one file may take.

    Attributes:
        memory_mib: Address space in MiB, libraries included (about 150).
        cpu_seconds: Processor time.
        wall_milliseconds: Time.
    """

    memory_mib: int = 1024
    cpu_seconds: int = 20
    wall_milliseconds: int = 60_000


DEFAULT_BUDGET = Budget()


def pack(kind: Kind, budget: Budget) -> bytes:
    """Return the request for one file, always `REQUEST_BYTES` long."""
    return _REQUEST.pack(_KINDS.index(kind), *budget)


def unpack(request: bytes) -> tuple[Kind, Budget]:
    """Read what `pack` wrote."""
    kind, *budget = _REQUEST.unpack(request)
    return _KINDS[kind], Budget(*budget)


def reader(kind: Kind) -> Callable[[BinaryIO], Any]:
    """Return the function that measures such a file, importing what it needs."""
    module, name = _READERS[kind]
    read: Callable[[BinaryIO], Any] = getattr(importlib.import_module(module), name)
    return read


def answer(kind: Kind, file: BinaryIO) -> bytes:
    """Measure `file` and return the answer: one line of JSON."""
    try:
        return _line({"facts": asdict(reader(kind)(file))})
    except MediaError as error:
        return refusal(error.reason)
    except MemoryError:
        return refusal("needs more memory than measuring may take")


def refusal(reason: str) -> bytes:
    """Return the answer for a file that cannot be measured."""
    return _line({"refused": reason})


def reason_of_death(exit_code: int) -> str:
    """Say what the end of a process without an answer means for its file."""
    name = _SIGNALS.get(-exit_code, "")
    if name in ("SIGALRM", "SIGXCPU"):
        return TOO_LONG
    if name in ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL", "SIGFPE"):
        return "crashes the decoder"
    return "could not be measured within its limits"


def facts(line: bytes) -> dict[str, Any]:
    """Read an answer.

    Raises:
        MediaError: The file cannot be measured.
    """
    found: dict[str, Any] = json.loads(line)
    if "refused" in found:
        raise MediaError(str(found["refused"]))
    return dict(found["facts"])


def _line(content: dict[str, object]) -> bytes:
    return json.dumps(content).encode() + b"\n"

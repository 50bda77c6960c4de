"""Measures media files in a process of their own, so that a hostile one cannot take this one down."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import tempfile
from collections.abc import Iterable
from typing import IO, Any
from weakref import WeakKeyDictionary

from blocks.errors import SetupMissing
from blocks.media import wire
from blocks.media.errors import MediaError
from blocks.media.facts import AudioFacts, ImageFacts
from blocks.media.launch import command, environment
from blocks.media.process import NOT_STARTED, MeasuringProcess
from blocks.media.wire import DEFAULT_BUDGET, Budget, Kind

Piece = tuple[int, bytes | bytearray]

PROCESS = MeasuringProcess()
_CAN_FORK = hasattr(os, "fork")
_AT_ONCE = max(2, os.cpu_count() or 1)
_ATTEMPTS = 3
_START_SECONDS = 60
_COPIED_AT_ONCE = 1024 * 1024
_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


async def measure_image(data: bytes) -> ImageFacts:
    """Find out what a picture really is by decoding it whole, in the measuring process.

    Raises:
        MediaError: It is no JPEG or PNG, damaged, cut off, or too much to decode.
        SetupMissing: The measuring process does not start.
    """
    return ImageFacts(**await measure("image", [(0, data)]))


async def measure_audio(data: bytes) -> AudioFacts:
    """Find out what a sound file really is by reading its packets, in the measuring process.

    Raises:
        MediaError: It is no MP3, WAV, M4A or raw AAC with one sound track and no video.
        SetupMissing: The measuring process does not start.
    """
    return AudioFacts(**await measure("audio", [(0, data)]))


async def measure(
    kind: Kind, pieces: Iterable[Piece], size: int | None = None, budget: Budget = DEFAULT_BUDGET
) -> dict[str, Any]:
    """Measure a file given as `pieces` at their offsets; what lies between them reads as zeros.

    Args:
        kind: What it should be.
        pieces: Its bytes.
        size: Its length, where that is beyond the last piece.
        budget: What measuring may take.

    Returns:
        The fields of the facts.

    Raises:
        MediaError: It cannot be measured, or not within `budget`.
        SetupMissing: The measuring process does not start.
    """
    turn = _turns.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(_AT_ONCE))
    async with turn:
        with _memory() as file:
            pieces = list(pieces)
            if sum(len(data) for _, data in pieces) > _COPIED_AT_ONCE:
                # Ten megabytes take milliseconds to copy, which the event loop has better uses for.
                await asyncio.to_thread(_fill, file, pieces, size)
            else:
                _fill(file, pieces, size)
            ask = _ask if _CAN_FORK else _ask_once
            return wire.facts(await ask(kind, file, budget))


def _memory() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("media"), "w+b")
    return tempfile.TemporaryFile()


def _fill(file: IO[bytes], pieces: Iterable[Piece], size: int | None) -> None:
    for offset, data in pieces:
        file.seek(offset)
        file.write(data)
    file.flush()
    if size is not None:
        file.truncate(size)


async def _ask(kind: Kind, file: IO[bytes], budget: Budget) -> bytes:
    for _ in range(_ATTEMPTS):
        file.seek(0)
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                pid = PROCESS.send(wire.pack(kind, budget), (file.fileno(), theirs.fileno()))
            try:
                line = await _line(ours, budget)
            except TimeoutError as error:
                PROCESS.stop(pid)
                raise MediaError(wire.TOO_LONG) from error
        if line.endswith(b"\n"):
            return line
        # It answers for every fork that dies, so no answer means that it is dead itself.
        PROCESS.stop(pid)
    raise SetupMissing("The process that measures media files does not run.", next_step=NOT_STARTED)


async def _line(ours: socket.socket, budget: Budget) -> bytes:
    ours.setblocking(False)
    loop = asyncio.get_running_loop()
    line = b""
    async with asyncio.timeout(budget.wall_milliseconds / 1000 + _START_SECONDS):
        while not line.endswith(b"\n") and (more := await loop.sock_recv(ours, wire.REPLY_BYTES)):
            line += more
    return line


async def _ask_once(kind: Kind, file: IO[bytes], budget: Budget) -> bytes:
    return await asyncio.to_thread(_run_once, kind, file, budget)


def _run_once(kind: Kind, file: IO[bytes], budget: Budget) -> bytes:
    file.seek(0)
    try:
        ended = subprocess.run(  # noqa: S603 - our own interpreter and file
            command("blocks.media.child.once", wire.pack(kind, budget).hex()),
            stdin=file,
            stdout=subprocess.PIPE,
            env=environment(),
            timeout=budget.wall_milliseconds / 1000 + _START_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise MediaError(wire.TOO_LONG) from error
    if ended.stdout.endswith(b"\n"):
        return ended.stdout
    if ended.returncode == 1:
        raise SetupMissing("The process that measures media files does not run.", next_step=NOT_STARTED)
    raise MediaError(wire.reason_of_death(ended.returncode))

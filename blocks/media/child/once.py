"""The measuring process for systems that cannot fork: one file, standard input, one answer, the end."""

from __future__ import annotations

import os
import sys

from blocks.media.child.confinement import confine
from blocks.media.wire import answer, reader, unpack


def main(argument: str) -> None:
    """Measure standard input, a seekable file, as the request in hexadecimal says."""
    kind, budget = unpack(bytes.fromhex(argument))
    reader(kind)
    confine(budget)
    with os.fdopen(0, "rb") as file:
        sys.stdout.buffer.write(answer(kind, file))

"""Which files of an inbox belong together: pure functions on names."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from blocks.errors import Fault
from blocks.kling.job import canonical_json
from flows.tasks.inbox.listing import File
from flows.tasks.manifest.result_manifest import SUFFIX

_ROLES = {
    "portrait": (".jpg", ".jpeg", ".png"),
    "voice clip": (".mp3", ".wav", ".m4a", ".aac"),
    "prompt": (".txt",),
    "options": (".json",),
}
_ROLE_OF = {suffix: role for role, suffixes in _ROLES.items() for suffix in suffixes}
_MANIFESTS = frozenset({".csv", ".jsonl"})


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of work: a manifest, or the files that have the same name up to the extension.

    Attributes:
        name: The path of the manifest, or the path of the others without extension.
        kind: `lonely` lacks a portrait or a voice clip; a `pair` may have a text to speak in its place.
        files: In order of their keys.
    """

    name: str
    kind: Literal["pair", "manifest", "lonely"]
    files: tuple[File, ...]

    def of(self, role: str) -> list[File]:
        """Return the files that are a `portrait`, `voice clip`, `prompt` or `options`."""
        return [file for file in self.files if _ROLE_OF.get(_suffix(file)) == role]

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Names that can be taken in more than one way."""
        return tuple(
            Fault(role, " and ".join(PurePosixPath(file.key).name for file in files), f"one {role}")
            for role in _ROLES
            if len(files := self.of(role)) > 1
        )

    @property
    def lack(self) -> str:
        """What a lonely piece waits for."""
        return " and ".join(
            f"no {role} ({', '.join(_ROLES[role])})"
            for role in ("portrait", "voice clip")
            if not self.of(role)
        )

    @property
    def may_speak(self) -> bool:
        """Whether it lacks the voice clip only, and has a text and options that may ask to speak it."""
        has = [bool(self.of(role)) for role in _ROLES]
        return has == [role != "voice clip" for role in _ROLES]

    def fingerprint(self, inbox: str) -> str:
        """Return a digest that changes when a file comes, goes or is written anew."""
        files = [[file.key, file.size, file.modified] for file in self.files]
        return hashlib.sha256(canonical_json({"inbox": inbox, "files": files})).hexdigest()


def manifests(files: Iterable[File]) -> list[File]:
    """Return the manifests among the files, without those that hold results."""
    return [file for file in files if _suffix(file) in _MANIFESTS and not _is_result(file)]


def sort_out(files: Iterable[File], mentioned: Collection[str] = ()) -> list[Piece]:
    """Return the pieces of work in an inbox, ordered by name; files of no known kind are left out.

    Args:
        files: What lies there.
        mentioned: Addresses that manifests name: they belong to those, and are not paired by name.
    """
    files = list(files)
    pieces = [Piece(file.key, "manifest", (file,)) for file in manifests(files)]
    groups: dict[str, list[File]] = {}
    for file in files:
        if _suffix(file) in _ROLE_OF and file.address not in mentioned:
            groups.setdefault(file.key[: -len(_suffix(file))], []).append(file)
    pieces += [_piece(name, tuple(sorted(group))) for name, group in groups.items()]
    return sorted(pieces, key=lambda piece: piece.name)


def _piece(name: str, files: tuple[File, ...]) -> Piece:
    piece = Piece(name, "pair", files)
    return Piece(name, "lonely", files) if piece.lack else piece


def _suffix(file: File) -> str:
    return PurePosixPath(file.key).suffix.lower()


def _is_result(file: File) -> bool:
    return file.key.lower().endswith(SUFFIX)

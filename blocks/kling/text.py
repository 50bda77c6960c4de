"""Text that is to be spoken: its limits, how long it will take, and where it may be cut. Pure: no I/O."""

# ruff: noqa: RUF001  # Chinese punctuation only looks like ours

from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import NamedTuple

from blocks.errors import Fault
from blocks.kling.speech import FASTEST, SLOWEST, TEXT_MAX_CHARACTERS

CHARACTERS_PER_SECOND = {"en": 15.0, "zh": 4.5}
"""At normal speed: a thousand characters of English are 60 to 75 s; for Chinese our own estimate."""

# An estimate may be wrong by so much before a text is refused for it; pieces are cut shorter by it too.
_MARGIN = 1.25

_WORD_THAT_ENDS_WITH_A_DOT = re.compile(
    r"(?:^|[\s(\"'])(?:Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|No|Vol|vs|etc|e\.g|i\.e|[A-Z])\.$"
)
_SENTENCE_END = re.compile(
    r"[.!?…]+[\"'”’»)\]]*\s+(?=[^\sa-z])|[。！？…]+[”’」』）]*\s*(?=\S)|\s*\n\s*(?=\S)"
)
_CLAUSE_END = re.compile(r"[,;:–—]+\s+(?=\S)|[，、；：]+\s*(?=\S)")
_WORD_END = re.compile(r"\s+(?=\S)")


class _Span(NamedTuple):
    start: int
    end: int


def as_sent(text: str) -> str:
    """Return a text as it is sent: without white space around it, and with one kind of line end."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def check_text(text: str, *, limited: bool = True) -> tuple[Fault, ...]:
    """Check a text. Its characters are counted as Unicode code points.

    Args:
        text: What is to be said.
        limited: Whether it must fit into one speech.
    """
    limit = f"1 to {TEXT_MAX_CHARACTERS} characters"
    if not text.strip():
        return (Fault("text", "empty", limit),)
    if any("\ud800" <= letter <= "\udfff" or letter == "\0" for letter in text):
        return (Fault("text", "a zero byte or half of a character", "text that UTF-8 can hold"),)
    if limited and len(text) > TEXT_MAX_CHARACTERS:
        return (Fault("text", f"{len(text):,} characters", f"{limit}; or ask for several clips with split"),)
    return ()


def check_speed(speed: float) -> tuple[Fault, ...]:
    """Check a speed: out of range the provider would clamp it in silence, so it is refused here."""
    if SLOWEST <= speed <= FASTEST and round(speed, 1) == speed:
        return ()
    return (Fault("speed", f"{speed:g}", f"{SLOWEST:g} to {FASTEST:.1f} with one decimal"),)


def estimate_seconds(text: str, language: str, speed: float) -> float:
    """Return about how long a text takes when it is spoken."""
    return len(text) / (CHARACTERS_PER_SECOND[language] * speed)


def check_estimate(
    text: str, language: str, speed: float, shortest: float, longest: float
) -> tuple[Fault, ...]:
    """Refuse a text that is clearly too short or too long to be the voice of one avatar.

    Args:
        text: What is to be said.
        language: `en` or `zh`.
        speed: How fast.
        shortest: Seconds of a voice at least.
        longest: Seconds of a voice at most.
    """
    seconds = estimate_seconds(text, language, speed)
    if shortest / 2 <= seconds <= longest * _MARGIN:
        return ()
    pace = f"{CHARACTERS_PER_SECOND[language] * speed:.3g} characters a second"
    found = f"{len(text):,} characters, about {seconds:.0f} s at {pace}"
    hint = "; or ask for several clips with split" if seconds > longest else ""
    return (Fault("text", found, f"between {shortest:g} and {longest:g} s{hint}"),)


def most_characters(language: str, speed: float, longest: float) -> int:
    """Return how many characters surely fit into one avatar of `longest` seconds.

    It depends on nothing that is learned with time: the same text must be cut in the same places again, or
    its clips would be bought again.
    """
    fitting = math.floor(longest * CHARACTERS_PER_SECOND[language] * speed / _MARGIN)
    return max(1, min(TEXT_MAX_CHARACTERS, fitting))


def split_text(text: str, most: int) -> list[str] | Fault:
    """Cut a text into pieces of about the same length, at ends of sentences, never within a word.

    A sentence that is too long is cut after a comma or the like, or else between words.

    Args:
        text: What is to be said.
        most: Characters of a piece at most.

    Returns:
        The pieces, or what is wrong when a stretch without any white space is longer than that.
    """
    units = _units(text, _Span(0, len(text)), most, (_SENTENCE_END, _CLAUSE_END, _WORD_END))
    longest = max(unit.end - unit.start for unit in units)
    if longest > most:
        return Fault("text", f"{longest:,} characters in one word", f"words of at most {most:,}")
    return [text[piece.start : piece.end] for piece in _packed(units, most)]


def _units(text: str, span: _Span, most: int, ends: tuple[re.Pattern[str], ...]) -> list[_Span]:
    if span.end - span.start <= most or not ends:
        return [span]
    cuts = [span.start, *_cuts(text, span, ends[0]), span.end]
    parts = [_Span(start, _trimmed(text, start, end)) for start, end in pairwise(cuts)]
    return [unit for part in parts for unit in _units(text, part, most, ends[1:])]


def _cuts(text: str, span: _Span, end: re.Pattern[str]) -> list[int]:
    found = end.finditer(text, span.start, span.end)
    return [
        match.end()
        for match in found
        if not (end is _SENTENCE_END and _is_abbreviation(text[max(0, match.start() - 8) : match.end()]))
    ]


def _is_abbreviation(before: str) -> bool:
    return "\n" not in before and bool(_WORD_THAT_ENDS_WITH_A_DOT.search(before.rstrip()))


def _trimmed(text: str, start: int, end: int) -> int:
    return start + len(text[start:end].rstrip())


def _packed(units: list[_Span], most: int) -> list[_Span]:
    """Join neighbours into as few pieces as possible, and of those ways take the most even one."""
    # For the units up to each: how many pieces, the sum of their squares, and where the last one begins.
    best = [(0, 0, 0)]
    for last, unit in enumerate(units):
        ways = []
        first = last
        while first >= 0 and (length := unit.end - units[first].start) <= most:
            pieces, squares, _ = best[first]
            ways.append((pieces + 1, squares + length * length, first))
            first -= 1
        best.append(min(ways))
    packed: list[_Span] = []
    end = len(units)
    while end:
        first = best[end][2]
        packed.append(_Span(units[first].start, units[end - 1].end))
        end = first
    return packed[::-1]

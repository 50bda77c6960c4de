"""Texts within and beyond their limits, how long they take, and where they are cut."""

# ruff: noqa: RUF001  # Chinese punctuation only looks like ours

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.errors import Fault
from blocks.kling.text import as_sent, check_estimate, check_speed, check_text, most_characters, split_text
from blocks.kling.voices import VOICES, check_voice
from blocks.sandbox import voices as second_opinion


@pytest.mark.parametrize("text", ["a", "a" * 1000, "\U0001f600" * 1000])
def test_a_text_on_the_limit_is_within_it(text: str) -> None:
    assert check_text(text) == ()


@pytest.mark.parametrize("text", ["", " \n", "a" * 1001, "\U0001f600" * 1001, "half \ud83d", "zero \0"])
def test_a_text_beyond_the_limit_is_refused(text: str) -> None:
    (fault,) = check_text(text)
    assert fault.field == "text"


def test_a_text_that_is_to_be_cut_may_be_longer() -> None:
    assert check_text("a" * 5000, limited=False) == ()


@pytest.mark.parametrize(("speed", "is_right"), [
    (0.8, True), (1.0, True), (1.1, True), (2.0, True),
    (0.7, False), (0.79, False), (2.1, False), (1.25, False), (float("nan"), False), (float("inf"), False),
])  # fmt: skip
def test_a_speed_that_the_provider_would_clamp_or_round_is_refused(speed: float, is_right: bool) -> None:
    assert (check_speed(speed) == ()) is is_right


@pytest.mark.parametrize(("letters", "is_right"), [(15, True), (14, False), (1125, True), (1126, False)])
def test_what_is_clearly_no_voice_of_an_avatar_is_refused_with_the_estimate(
    letters: int, is_right: bool
) -> None:
    faults = check_estimate("a" * letters, "en", 1.0, 2, 60)
    assert (faults == ()) is is_right
    assert all(f"{letters:,} characters, about {letters / 15:.0f} s" in fault.found for fault in faults)


def test_the_voices_are_those_that_the_sandbox_knows() -> None:
    assert VOICES == second_opinion.VOICES


@pytest.mark.parametrize("language", VOICES)
def test_every_voice_speaks_its_language(language: str) -> None:
    assert [voice for voice in VOICES[language] if check_voice(voice, language)] == []


@pytest.mark.parametrize(
    ("voice", "language", "said"),
    [
        ("oversea_male1", "zh", "speaks en, not zh"),
        ("oversea_male2", "en", "one like oversea_male1"),
        ("", "en", "not known"),
        ("oversea_male1", "nl", "no other language"),
    ],
)
def test_a_voice_that_is_not_reported_is_refused_with_what_would_be_right(
    voice: str, language: str, said: str
) -> None:
    (fault,) = check_voice(voice, language)
    assert said in str(fault)


def test_the_operator_may_allow_more_voices() -> None:
    assert check_voice("news_anchor_9", "en", ["en:news_anchor_9"]) == ()
    assert check_voice("news_anchor_9", "zh", ["en:news_anchor_9"])


@pytest.mark.parametrize(
    ("text", "most", "pieces"),
    [
        ("One. Two.", 100, ["One. Two."]),
        (
            "A sentence is here. A sentence is here. A sentence is here. The end.",
            40,
            ["A sentence is here. A sentence is here.", "A sentence is here. The end."],
        ),
        ("Not so. Not so. Not so. Not so. No.", 15, ["Not so.", "Not so. Not so.", "Not so. No."]),
        ("One sentence. Another one.", 15, ["One sentence.", "Another one."]),
        ("Dr. Smith left. He ran.", 16, ["Dr. Smith left.", "He ran."]),
        ("It costs 3.50 now. Yes.", 18, ["It costs 3.50 now.", "Yes."]),
        ("Wait... what? “Yes!” She left.", 21, ["Wait... what?", "“Yes!” She left."]),
        ("First line\nSecond line", 12, ["First line", "Second line"]),
        ("你好。再见！", 3, ["你好。", "再见！"]),
        ("long, longer, longest", 13, ["long, longer,", "longest"]),
        ("four words are here", 10, ["four words", "are here"]),
    ],
)
def test_a_text_is_cut_at_ends_of_sentences_first(text: str, most: int, pieces: list[str]) -> None:
    assert split_text(text, most) == pieces


def test_pieces_are_about_the_same_length() -> None:
    pieces = split_text("One more sentence. " * 22, 350)
    assert isinstance(pieces, list)
    assert [len(piece) for piece in pieces] == [208, 208]


def test_a_word_is_never_cut() -> None:
    fault = Fault("text", "41 characters in one word", "words of at most 40")
    assert split_text("a" * 41 + " end", 40) == fault


@given(st.text(alphabet="ab ., !?。\n“”3", min_size=1).filter(lambda text: text.strip()), st.integers(1, 30))
def test_nothing_is_lost_cut_in_a_word_or_too_long(text: str, most: int) -> None:
    text = as_sent(text)
    pieces = split_text(text, most)
    if isinstance(pieces, Fault):
        assert max(map(len, re.split(r"\s+|(?<=。)", text))) > most or "。" in text
        return
    assert all(piece == piece.strip() and 0 < len(piece) <= most for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    at = 0
    for piece in pieces[:-1]:
        at = text.index(piece, at) + len(piece)
        assert text[at].isspace() or text[at - 1] in "。”"


def test_the_length_of_pieces_follows_limit_and_speed() -> None:
    assert most_characters("en", 1.0, 60) == 720
    assert most_characters("en", 2.0, 60) == 1000
    assert most_characters("zh", 1.0, 60) == 216

from __future__ import annotations

from flows.tasks.inbox.listing import File
from flows.tasks.inbox.pairing import manifests, sort_out


def files(*keys: str) -> list[File]:
    return [File(key, f"/inbox/{key}", 10, 1000.0) for key in keys]


def test_files_of_one_name_are_one_piece_of_work() -> None:
    (piece,) = sort_out(files("x/Kim.v2.PNG", "x/Kim.v2.Mp3", "x/Kim.v2.txt"))
    assert (piece.name, piece.kind, len(piece.files), piece.faults) == ("x/Kim.v2", "pair", 3, ())
    assert [file.key for file in piece.of("portrait")] == ["x/Kim.v2.PNG"]


def test_names_in_other_folders_or_letters_are_other_pieces() -> None:
    found = sort_out(files("kim.png", "x/kim.mp3", "Kim.wav"))
    assert [(piece.name, piece.kind) for piece in found] == [
        ("Kim", "lonely"),
        ("kim", "lonely"),
        ("x/kim", "lonely"),
    ]
    assert found[0].lack == "no portrait (.jpg, .jpeg, .png)"
    assert found[1].lack == "no voice clip (.mp3, .wav, .m4a, .aac)"


def test_two_files_for_one_role_are_a_fault() -> None:
    (piece,) = sort_out(files("kim.png", "kim.JPG", "kim.mp3", "kim.wav"))
    assert [fault.field for fault in piece.faults] == ["portrait", "voice clip"]


def test_manifests_are_work_and_their_results_are_not() -> None:
    found = files("a.csv", "b/c.JSONL", "b/c.results.jsonl", "b/D.RESULTS.JSONL", "e.pdf")
    assert [file.key for file in manifests(found)] == ["a.csv", "b/c.JSONL"]
    assert [piece.name for piece in sort_out(found)] == ["a.csv", "b/c.JSONL"]


def test_what_a_manifest_names_is_left_to_it() -> None:
    found = sort_out(
        files("kim.png", "kim.mp3", "x/kim.png", "x/kim.mp3"), {"/inbox/kim.png", "/inbox/kim.mp3"}
    )
    assert [piece.name for piece in found] == ["x/kim"]


def test_a_fingerprint_changes_with_every_file() -> None:
    (before,) = sort_out(files("kim.png", "kim.mp3"))
    (more,) = sort_out(files("kim.png", "kim.mp3", "kim.txt"))
    (longer,) = sort_out([*files("kim.png"), File("kim.mp3", "/inbox/kim.mp3", 11, 1000.0)])
    (later,) = sort_out([*files("kim.png"), File("kim.mp3", "/inbox/kim.mp3", 10, 1000.5)])
    prints = {piece.fingerprint("/inbox") for piece in (before, more, longer, later)}
    assert len(prints | {before.fingerprint("/other")}) == 5

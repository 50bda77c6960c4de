from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flows.tasks.addresses import absolute, folder_of, joined, name_of
from flows.tasks.request import Request


@pytest.mark.parametrize(
    ("folder", "reference", "found"),
    [
        ("/data/jobs", "a.png", "/data/jobs/a.png"),
        ("/data/jobs", "../faces/a.png", "/data/faces/a.png"),
        ("/data/jobs", "/other/a.png", "/other/a.png"),
        ("/data/jobs", "file:///other/a%20b.png", "/other/a b.png"),
        ("/data/jobs", "https://example.com/a.png?x=1/", "https://example.com/a.png?x=1/"),
        ("/data/jobs", "data:image/png;base64,AAAA", "data:image/png;base64,AAAA"),
        ("s3://bucket/jobs", "a.png", "s3://bucket/jobs/a.png"),
        ("s3://bucket/jobs", "../../../a.png", "s3://bucket/a.png"),
        ("s3://bucket", "faces/a.png", "s3://bucket/faces/a.png"),
        ("s3://bucket/jobs", "/other/a.png", "/other/a.png"),
        ("memory://jobs", "a.png", "memory://jobs/a.png"),
        ("/data/jobs", "file://[bad/a.png", "file://[bad/a.png"),
        ("/data/jobs", "~nobody-has-this-name/a.png", "/data/jobs/~nobody-has-this-name/a.png"),
    ],
)
def test_a_reference_starts_from_the_folder_it_is_written_in(folder: str, reference: str, found: str) -> None:
    assert joined(folder, reference) == found


@pytest.mark.parametrize(
    ("address", "folder", "name"),
    [
        ("/data/m.csv", "/data", "m.csv"),
        ("s3://bucket/jobs/m.csv", "s3://bucket/jobs", "m.csv"),
        ("s3://bucket/m.csv", "s3://bucket", "m.csv"),
        ("https://example.com/jobs/m.csv?signature=x/y", "https://example.com/jobs", "m.csv"),
        ("memory://m.csv", "memory://m.csv", ""),
    ],
)
def test_an_address_has_a_folder_and_a_name(address: str, folder: str, name: str) -> None:
    assert (folder_of(address), name_of(address)) == (folder, name)


def test_paths_no_longer_hang_on_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    here = os.path.normpath(tmp_path)
    assert absolute("jobs/./m.csv") == f"{here}/jobs/m.csv"
    assert absolute((tmp_path / "m n.csv").as_uri()) == f"{here}/m n.csv"
    assert absolute("s3://bucket/inbox/") == "s3://bucket/inbox"


@given(st.text(st.sampled_from("a/.:~[]@?#%\\℀٣ ") | st.characters(codec="utf-8", exclude_characters="\0")))
@example("https://[bad/a.png")
@example("https://ex℀mple.com/a.png")
@settings(max_examples=200, deadline=None)
def test_no_reference_is_so_odd_that_it_cannot_be_named(reference: str) -> None:
    """Its row is reported; an exception here would stop every other row of the manifest."""
    for start in ("", "file://", "https://", "s3://bucket/", "~"):
        assert Request(image=joined("/data/jobs", start + reference)).title
        assert joined("s3://bucket/jobs", start + reference) is not None

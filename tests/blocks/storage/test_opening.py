"""Which store a URL opens."""

from __future__ import annotations

from pathlib import Path

import pytest

from blocks.errors import NoExclusiveCreate, SetupMissing
from blocks.storage.filesystem import FilesystemStore
from blocks.storage.local import LocalStore
from blocks.storage.opening import open_store
from blocks.storage.s3.settings import S3Settings
from blocks.storage.s3.store import S3Store


@pytest.mark.parametrize(
    ("url", "kind", "public"),
    [
        ("/srv/archive", LocalStore, "file:///srv/archive"),
        ("file:///srv/an%20archive/", LocalStore, "file:///srv/an%20archive"),
        ("file://localhost/srv", LocalStore, "file:///srv"),
        ("local:///srv", LocalStore, "file:///srv"),
        ("s3://bucket", S3Store, "s3://bucket"),
        ("s3://bucket/", S3Store, "s3://bucket"),
        ("s3a://bucket/a/b/", S3Store, "s3://bucket/a/b"),
        ("memory://archive", FilesystemStore, "memory://archive"),
    ],
)
def test_the_url_decides_the_store(url: str, kind: type, public: str) -> None:
    store = open_store(url)
    assert type(store) is kind
    assert store.url == public


def test_a_relative_folder_and_a_home_folder_are_made_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert open_store("archive").url == (tmp_path / "archive").as_uri()
    assert open_store("~/archive").url == (tmp_path / "home/archive").as_uri()


@pytest.mark.parametrize(
    "url",
    [
        "",
        " ",
        "s3://",
        "s3:///key",
        "s3://key:hush@bucket/a",
        "s3://bucket/../a",
        "s3://bucket/a//b",
        "file://relative/path",
        "file:///a?sig=hush",
        "simplecache::s3://bucket",
        "nonsense://user:hush@host",
    ],
)
def test_an_unusable_url_is_a_matter_of_set_up_and_is_not_repeated(url: str) -> None:
    with pytest.raises(SetupMissing) as caught:
        open_store(url)
    assert "hush" not in f"{caught.value}{caught.value!r}{caught.value.__cause__}"


async def test_the_owners_word_counts_for_every_place(tmp_path: Path) -> None:
    options = {"path": str(tmp_path), "target_protocol": "file"}
    with pytest.raises(NoExclusiveCreate):
        await open_store("dir://archive", options=options).create("a", b"x")
    trusting = open_store("dir://archive", S3Settings(single_worker=True), options)
    assert await trusting.create("a", b"x")
    assert (tmp_path / "archive/a").read_bytes() == b"x"


async def test_options_reach_the_driver(tmp_path: Path) -> None:
    store = open_store("memory://archive", options={"global_store": False})
    await store.replace("a", b"x")
    assert await open_store("memory://archive").read("a") is None

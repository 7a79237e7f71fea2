"""prepare: what is fetched, unpacked and reported, from a server on this machine."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from datasets.source import Download
from tests.support.sources import Making, Server, all_files, call, class_folders, declaration, packed


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_prepare_fetches_unpacks_checks_and_does_it_once(
    kind: str, server: Server, making: Making, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    md5 = server.offer(f"a.{kind}", packed(class_folders(tmp_path / "made"), kind, "one/images/"))
    server.offer("split?id=1", b'{"a": 1}')
    downloads = (
        Download(f"{server.root}/a.{kind}", "", md5, unpack=True),
        Download(f"{server.root}/split?id=1", "one/notes/list.json"),
    )
    making.source("one", downloads=downloads)
    data = tmp_path / "data"
    data.mkdir()
    (data / "mine.txt").write_text("stays")
    assert call("prepare", making.config("one"), "--data", data) == 0
    out = capsys.readouterr().out
    assert "1 of 1" not in out and "ok" in out and " 20 " in out
    assert len(list((data / "one/images/tulip").glob("*.jpg"))) == 10
    assert (data / "one/notes/list.json").read_bytes() == b'{"a": 1}' and (data / "mine.txt").exists()
    archive = ["one/.lock", f"one/a.{kind}", f"one/a.{kind}.unpacked"]
    assert all_files(data / ".downloads") == [*archive, "one/list.json.sha256"]  # no md5 is published
    server.requests.clear()
    assert call("prepare", making.config("one"), "--data", data) == 0
    assert server.requests == [] and "all there, nothing to fetch" in capsys.readouterr().out
    # Images that were there before, unpacked by hand: only the small file is fetched.
    for path in ("one/notes/list.json", f".downloads/one/a.{kind}.unpacked", f".downloads/one/a.{kind}"):
        (data / path).unlink()
    assert call("prepare", making.config("one"), "--data", data) == 0
    assert [path for path, _ in server.requests] == ["split?id=1"]
    # Missing images come out of the archive again, which is fetched only if it is gone.
    (data / "one/images/rose/3.jpg").unlink()
    assert call("prepare", making.config("one"), "--data", data) == 0
    assert (data / "one/images/rose/3.jpg").is_file() and server.requests[-1][0] == f"a.{kind}"
    server.requests.clear()
    (data / "one/images/rose/3.jpg").unlink()
    assert call("prepare", making.config("one"), "--data", data) == 0 and server.requests == []
    shutil.rmtree(data / "one/images")
    (data / f".downloads/one/a.{kind}").unlink()
    assert call("prepare", making.config("one"), "--data", data) == 0 and server.requests == [(f"a.{kind}", None)]


def test_archives_within_an_archive_and_one_without_a_suffix(server: Server, making: Making, tmp_path: Path) -> None:
    inner = tmp_path / "outer" / "caltech"
    inner.mkdir(parents=True)
    (inner / "images.tar.gz").write_bytes(packed(class_folders(tmp_path / "made"), "tar.gz", "images/"))
    (tmp_path / "outer" / "__MACOSX").mkdir()
    (tmp_path / "outer" / "__MACOSX" / "._images.tar.gz").write_bytes(b"junk")
    server.offer("public/file_downloaded", packed(tmp_path / "outer"))
    download = Download(f"{server.root}/public/file_downloaded", "", unpack=True)
    making.source("one", downloads=(download,), folders=("caltech",))
    assert call("prepare", making.config("one"), "--data", tmp_path / "data") == 0
    assert sorted(os.listdir(tmp_path / "data/caltech")) == ["images"] and not (tmp_path / "data/__MACOSX").exists()


def test_existing_images_are_not_fetched_again(server: Server, making: Making, tmp_path: Path) -> None:
    """Images that someone put at another of the usual places; only the split file is missing."""
    server.offer("a.zip", b"must not be fetched")
    rows: dict[str, list[list[object]]] = {part: [] for part in ("train", "val", "test")}
    rows["train"] = [[f"{name}/{n}.jpg", k, name] for k, name in enumerate(("rose", "tulip")) for n in range(9)]
    rows["test"] = [[f"{name}/9.jpg", k, name] for k, name in enumerate(("rose", "tulip"))]
    server.offer("split", json.dumps(rows).encode())
    downloads = (
        Download(f"{server.root}/a.zip", "one", unpack=True),
        Download(f"{server.root}/split", "one/split.json"),
    )
    making.source("one", split=(18, 0, 2), split_files=("split.json",), downloads=downloads)
    class_folders(tmp_path / "data/one-original/images")
    assert call("prepare", making.config("one"), "--data", tmp_path / "data") == 0
    assert {path for path, _ in server.requests} == {"split"} and not (tmp_path / "data/one").exists()
    assert (tmp_path / "data/one-original/split.json").is_file()


def test_one_failure_does_not_stop_the_others(
    server: Server, making: Making, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    md5 = server.offer("b.zip", packed(class_folders(tmp_path / "made"), top="images/"))
    server.offer("page.zip", b"\n<!DOCTYPE html><html>quota</html>")
    server.offer("second.zip", packed(class_folders(tmp_path / "second", ("weed",)), top="images/"))
    names = ("none.zip", "second.zip")
    bad = making.source("bad", downloads=tuple(Download(f"{server.root}/{n}", "bad", unpack=True) for n in names))
    page = making.source("page", downloads=(Download(f"{server.root}/page.zip", "page", unpack=True),))
    good = making.source("good", downloads=(Download(f"{server.root}/b.zip", "good", md5, unpack=True),))
    hand = making.source("hand", steps=("Log in.", "Unpack it in hand."))
    making.collection("four", bad, page, good, hand)
    assert call("prepare", making.config("four"), "--data", tmp_path / "data") == 1
    captured = capsys.readouterr()
    assert "bad: " in captured.err and "404" in captured.err and "Not complete: bad, page, hand." in captured.err
    assert "gave a web page instead of the file" in captured.err and not list(tmp_path.rglob("page.zip"))
    assert "  1. Log in.\n  2. Unpack it in hand.\n" in captured.out
    assert str(tmp_path / "data/hand-original") in captured.out
    assert (tmp_path / "data/good/images/rose/0.jpg").is_file()
    rows = {line.split()[0]: line.split()[-1] for line in captured.out.splitlines() if line.split()}
    assert (rows["bad"], rows["good"], rows["hand"]) == ("below", "ok", "missing")


def test_a_declared_collection_has_no_download(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class_folders(tmp_path / "mine/kind", ("a", "b"))
    class_folders(tmp_path / "mine/colours", ("red", "blue"))
    assert call("prepare", declaration(tmp_path), "--data", tmp_path) == 0
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if "no download" in line] == [
        "kind: it has no download.", "colour: it has no download."
    ]  # fmt: skip


def test_only_checking_the_arguments(
    server: Server, making: Making, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    making.source("one", downloads=(Download(f"{server.root}/a.zip", "one", unpack=True),))
    for command in ("prepare", "check", "show"):
        assert call("--check", command, making.config("one"), "--data", tmp_path) == 0
    assert capsys.readouterr() == ("", "") and server.requests == []

"""Fetching a file: broken connections, wrong content, archives that cannot be trusted, full disks."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from datasets.source import Download
from launcher.data.fetch import file_name, in_bytes, is_done, kept_bytes
from launcher.data.table import sources
from tests.support.sources import Making, Server, all_files, call, class_folders, packed


def test_a_broken_download_continues_where_it_stopped(
    server: Server, making: Making, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class_folders(tmp_path / "made")
    (tmp_path / "made/notes.bin").write_bytes(os.urandom(3 << 20))  # gdown keeps pieces of half a megabyte
    content = packed(tmp_path / "made", top="images/")
    md5 = server.offer("a.zip", content)
    making.source("one", downloads=(Download(f"{server.root}/a.zip", "one", md5, unpack=True),))
    data = tmp_path / "data"
    server.broken.add("a.zip")
    assert call("prepare", making.config("one"), "--data", data) == 1
    error = capsys.readouterr().err
    partial = list((data / ".downloads/one").glob("*.part"))
    assert len(partial) == 1 and 0 < partial[0].stat().st_size < len(content) and not (data / "one").exists()
    assert f"the same command continues {partial[0]}" in error and "Not complete: one." in error
    arrived = partial[0].stat().st_size
    server.broken.clear()
    assert call("prepare", making.config("one"), "--data", data, "--fast") == 0
    assert ("a.zip", f"bytes={arrived}-") in server.requests
    assert (data / ".downloads/one/a.zip").read_bytes() == content


def test_a_wrong_md5_is_reported_and_nothing_is_deleted_or_unpacked(
    server: Server, making: Making, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.offer("a.zip", packed(class_folders(tmp_path / "made"), top="images/"))
    making.source("one", downloads=(Download(f"{server.root}/a.zip", "one", "0" * 32, unpack=True),))
    for _ in range(2):
        assert call("prepare", making.config("one"), "--data", tmp_path) == 1
        line = capsys.readouterr().err.splitlines()[0]
        assert f"{tmp_path}/.downloads/one/a.zip has md5 " in line and f"instead of {'0' * 32}" in line
        assert "Remove it" in line and f"it belongs to {tmp_path / 'one'}." in line
        assert (tmp_path / ".downloads/one/a.zip").is_file() and not (tmp_path / "one").exists()
    assert len(server.requests) == 1  # a second request would give the same


@pytest.mark.parametrize("archive", ["evil", "cut"])
def test_an_archive_that_cannot_be_trusted_leaves_nothing(
    archive: str, server: Server, making: Making, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = io.BytesIO(packed(class_folders(tmp_path / "made"), top="images/"))
    if archive == "evil":
        with zipfile.ZipFile(out, "a") as zipped:
            zipped.writestr("../evil.txt", "x")
    content = out.getvalue() if archive == "evil" else out.getvalue()[:-200]
    server.offer("a.zip", content)
    making.source("one", downloads=(Download(f"{server.root}/a.zip", "deep/one", unpack=True),))
    assert call("prepare", making.config("one"), "--data", tmp_path / "data") == 1
    error = capsys.readouterr().err
    assert ("evil.txt' outside its own folder; nothing was extracted" if archive == "evil" else "is damaged") in error
    assert all_files(tmp_path / "data") == [".downloads/one/.lock", ".downloads/one/a.zip"]
    assert not (tmp_path / "data/deep").exists() and not list(tmp_path.rglob("evil.txt"))


def test_interrupted_unpacking_leaves_nothing_half_done(
    server: Server, making: Making, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dassl.data.datasets import archives

    server.offer("a.zip", packed(class_folders(tmp_path / "made"), top="images/"))
    making.source("one", downloads=(Download(f"{server.root}/a.zip", "one", unpack=True),))
    original = archives.extract_archive

    def interrupted(archive: str, folder: str, limit: int) -> None:
        original(archive, folder, limit)
        raise KeyboardInterrupt

    monkeypatch.setattr(archives, "extract_archive", interrupted)
    data = tmp_path / "data"
    assert call("prepare", making.config("one"), "--data", data) == 130
    assert all_files(data) == [".downloads/one/.lock", ".downloads/one/a.zip"] and not (data / "one").exists()
    monkeypatch.setattr(archives, "extract_archive", original)
    assert call("prepare", making.config("one"), "--data", data) == 0


def test_another_dassl_does_not_unpack(
    server: Server,
    making: Making,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.offer("a.zip", packed(class_folders(tmp_path / "made"), top="images/"))
    making.source("one", downloads=(Download(f"{server.root}/a.zip", "one", unpack=True),))
    monkeypatch.setitem(sys.modules, "dassl.data.datasets.archives", None)  # upstream has no such module
    data = tmp_path / "data"
    assert call("prepare", making.config("one"), "--data", data) != 0
    assert "pip install ./toolbox" in "".join(capsys.readouterr())
    assert (data / ".downloads/one/a.zip").is_file() and not (data / "one").exists()


def test_a_full_disk_is_reported_before_anything_is_fetched(
    server: Server, making: Making, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.offer("a.zip", packed(class_folders(tmp_path / "made"), top="images/"))
    making.source("one", downloads=(Download(f"{server.root}/a.zip", "one", unpack=True),), size="900,000 TB")
    assert call("prepare", making.config("one"), "--data", tmp_path / "data") == 1
    assert "needs about" in capsys.readouterr().err and not server.requests
    sizes = {"about 1.7 GB": 1.7e9, "600 MB": 600e6, "2.5 GB": 2.5e9, "about a lot": 0, "": 0}
    assert {text: in_bytes(text) for text in sizes} == sizes


def test_names_of_downloads() -> None:
    for url, expected in (
        ("https://h/a/b.tar.gz", "b.tar.gz"),
        ("https://h/?download=/data/Non%20seg.zip", "Non seg.zip"),
        ("https://h/files/x.zip?download=1", "x.zip"),
        ("gdrive:1u3_Qf", "1u3_Qf"),
    ):
        assert file_name(Download(url, "", unpack=True)) == expected
    assert file_name(Download("https://h/a?b=1", "d/split.json")) == "split.json"


def test_every_download_has_a_place() -> None:
    """prepare.sh can use the addresses, checksums and places of all sources."""
    for name, kind in sources().items():
        assert kind.facts.downloads or kind.facts.steps, f"{name}: neither downloads nor steps"
        names = [file_name(download) for download in kind.facts.downloads]
        assert len(set(names)) == len(names), name
        for download in kind.facts.downloads:
            assert download.url.startswith(("http://", "https://", "gdrive:")), name
            assert len(download.md5) in (0, 32) and len(download.sha256) in (0, 64) and download.size >= 0, name
            assert ".." not in download.to and not download.to.startswith("/"), name
            assert download.to or download.unpack, name


# -- checksums --


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("known", ["sha256", "size"])
def test_a_published_sha256_or_size_is_compared(
    known: str, server: Server, making: Making, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = packed(class_folders(tmp_path / "made"), top="images/")
    server.offer("a.zip", content)
    right: dict[str, Any] = {"sha256": sha256(content), "size": len(content)}
    wrong: dict[str, Any] = {"sha256": "0" * 64, "size": 17}
    making.source("one", downloads=(Download(f"{server.root}/a.zip", "one", unpack=True, **{known: wrong[known]}),))
    assert call("prepare", making.config("one"), "--data", tmp_path) == 1
    error = capsys.readouterr().err
    assert f"instead of {wrong[known]}" in error and "Remove it" in error and not (tmp_path / "one").exists()
    making.source("one", downloads=(Download(f"{server.root}/a.zip", "one", unpack=True, **{known: right[known]}),))
    assert call("prepare", making.config("one"), "--data", tmp_path) == 0


def test_a_file_without_a_published_checksum_is_recorded_and_compared_afterwards(
    server: Server, making: Making, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = packed(class_folders(tmp_path / "made"), top="images/")
    server.offer("a.zip", content)
    server.offer("names.txt", b"rose\ntulip\n")
    downloads = (
        Download(f"{server.root}/a.zip", "one", unpack=True),
        Download(f"{server.root}/names.txt", "one/names.txt"),
    )
    making.source("one", downloads=downloads)
    data = tmp_path / "data"
    kept = data / ".downloads/one"
    assert call("prepare", making.config("one"), "--data", data) == 0
    assert (kept / "a.zip.sha256").read_text() == f"{sha256(content)}  a.zip\n"
    assert call("prepare", making.config("one"), "--data", data) == 0
    # A file that changed since it was fetched.
    (data / "one/names.txt").write_text("tulip\nrose\n")
    capsys.readouterr()
    assert call("prepare", making.config("one"), "--data", data) == 1
    error = capsys.readouterr().err
    assert f"{data}/one/names.txt is not the file that was fetched first" in error
    (data / "one/names.txt").unlink()
    server.offer("names.txt", b"weed\n")  # the release changed
    assert call("prepare", making.config("one"), "--data", data) == 1
    assert f"{kept}/names.txt.sha256" in capsys.readouterr().err and not (data / "one/names.txt").exists()
    # An archive that is unpacked again.
    (kept / "names.txt").unlink()
    server.offer("names.txt", b"rose\ntulip\n")
    (data / "one/images/rose/0.jpg").unlink()
    (kept / "a.zip").write_bytes(packed(class_folders(tmp_path / "made", ("weed",)), top="images/"))
    assert call("prepare", making.config("one"), "--data", data) == 1
    assert f"{kept}/a.zip.sha256 says {sha256(content)}" in capsys.readouterr().err
    assert not (data / "one/images/weed").exists()


def test_earlier_versions_marks_of_unpacking_hold(server: Server, making: Making, tmp_path: Path) -> None:
    """They were written before a checksum was known."""
    download = Download(f"{server.root}/a.zip", "one", unpack=True)
    (tmp_path / ".downloads/one").mkdir(parents=True)
    marker = tmp_path / ".downloads/one/a.zip.unpacked"
    for mark, md5, expected in (("", "0" * 32, True), ("0" * 32, "0" * 32, True), ("1" * 32, "0" * 32, False)):
        marker.write_text(f"{download.url} {mark}\n")
        assert is_done(replace(download, md5=md5), tmp_path, "one") is expected
    marker.unlink()
    os.mkfifo(marker)
    assert not is_done(download, tmp_path, "one")


# -- content that is not extracted --


def bomb(kind: str) -> bytes:
    """An archive of some megabytes that holds much more."""
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as zipped:
            zipped.writestr("a.bin", bytes(300 << 20))
    else:
        with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as tar:
            info = tarfile.TarInfo("a.bin")
            info.size = 300 << 20
            tar.addfile(info, io.BytesIO(bytes(300 << 20)))
    return out.getvalue()


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
@pytest.mark.parametrize("size", ["1 MB", "not stated"])
def test_more_content_than_the_sources_size_allows(
    kind: str,
    size: str,
    server: Server,
    making: Making,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("launcher.data.fetch.MOST_BYTES", 1 << 20)
    server.offer(f"a.{kind}", bomb(kind))
    making.source("one", downloads=(Download(f"{server.root}/a.{kind}", "one", unpack=True),), size=size)
    assert call("prepare", making.config("one"), "--data", tmp_path / "data") == 1
    error = capsys.readouterr().err
    assert "has more than" in error and "nothing was extracted" in error and not (tmp_path / "data/one").exists()
    assert kept_bytes(tmp_path / "data") < 8 << 20


def test_inner_archives_share_the_limit(
    server: Server, making: Making, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "outer").mkdir()
    for number in range(4):
        with zipfile.ZipFile(tmp_path / f"outer/{number}.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as zipped:
            zipped.writestr(f"{number}.bin", bytes(4 << 20))
    server.offer("a.zip", packed(tmp_path / "outer"))
    making.source("one", downloads=(Download(f"{server.root}/a.zip", "one", unpack=True),), size="1 MB")
    assert call("prepare", making.config("one"), "--data", tmp_path / "data") == 1
    assert "has more than" in capsys.readouterr().err and not (tmp_path / "data/one").exists()


def test_a_disk_that_fills_up(
    server: Server,
    making: Making,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.offer("a.zip", packed(class_folders(tmp_path / "made"), top="images/"))
    making.source("one", downloads=(Download(f"{server.root}/a.zip", "one", unpack=True),))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    data = tmp_path / "data"
    for place in ("zipfile.ZipFile.extractall", "gdown.download"):
        with monkeypatch.context() as patch:
            patch.setattr(place, lambda *_, **__: full())
            assert call("prepare", making.config("one"), "--data", data) == 1
        error = capsys.readouterr().err.splitlines()
        assert f"no space left on {data};" in error[0] and error[1:] == ["Not complete: one."]
        assert not (data / "one").exists()
        (data / ".downloads/one/a.zip").unlink(missing_ok=True)
    assert call("prepare", making.config("one"), "--data", data) == 0


# -- files of the user's own, and what killed processes left --


def test_files_that_differ_are_kept_when_an_archive_is_unpacked_again(
    server: Server, making: Making, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class_folders(tmp_path / "made/images")
    (tmp_path / "made/notes.txt").write_text("theirs")
    server.offer("a.zip", packed(tmp_path / "made"))
    making.source("one", downloads=(Download(f"{server.root}/a.zip", "one", unpack=True),))
    data = tmp_path / "data"
    (data / "one").mkdir(parents=True)
    (data / "one/notes.txt").write_text("mine")
    assert call("prepare", making.config("one"), "--data", data) == 0
    assert (data / "one/notes.txt").read_text() == "theirs" and (data / "one/notes.txt.old").read_text() == "mine"
    assert f"{data}/one/notes.txt.old" in capsys.readouterr().out
    (data / "one/images/rose/0.jpg").unlink()
    assert call("prepare", making.config("one"), "--data", data) == 0
    assert sorted(path.name for path in (data / "one").iterdir()) == ["images", "notes.txt", "notes.txt.old"]


def test_what_is_not_a_file_is_neither_opened_nor_replaced(
    server: Server, making: Making, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.offer("a.zip", packed(class_folders(tmp_path / "made"), top="images/"))
    server.offer("list", b"x")
    downloads = (Download(f"{server.root}/a.zip", "one", unpack=True), Download(f"{server.root}/list", "one/list"))
    making.source("one", downloads=downloads)
    for place in (".downloads/one/a.zip", "one/list"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(tmp_path / place)
    assert call("prepare", making.config("one"), "--data", tmp_path) == 1
    error = capsys.readouterr().err
    for place in (".downloads/one/a.zip", "one/list"):
        assert f"{tmp_path / place} is not a file; move it away" in error and (tmp_path / place).is_fifo()


def test_parts_of_killed_downloads_are_swept(server: Server, making: Making, tmp_path: Path) -> None:
    content = packed(class_folders(tmp_path / "made"), top="images/")
    server.offer("a.zip", content)
    making.source("one", downloads=(Download(f"{server.root}/a.zip", "one", unpack=True),))
    kept = tmp_path / ".downloads/one"
    kept.mkdir(parents=True)
    (kept / "a.zipabcdefgh.part").write_bytes(content[:100])
    (kept / "a.zipijklmnop.part").write_bytes(content[:50])
    (kept / "mine.part").write_bytes(b"mine")
    assert call("prepare", making.config("one"), "--data", tmp_path) == 0
    assert ("a.zip", "bytes=100-") in server.requests
    assert all_files(kept) == [".lock", "a.zip", "a.zip.sha256", "a.zip.unpacked", "mine.part"]
    (kept / "a.zipabcdefgh.part").write_bytes(b"left")
    assert call("prepare", making.config("one"), "--data", tmp_path) == 0
    assert all_files(kept) == [".lock", "a.zip", "a.zip.sha256", "a.zip.unpacked", "mine.part"]

"""Fetching a file: broken connections, wrong content, archives that cannot be trusted, full disks."""

from __future__ import annotations

import io
import os
import sys
import zipfile
from pathlib import Path

import pytest

from datasets.source import Download
from launcher.data.fetch import file_name, in_bytes
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

    def interrupted(archive: str, folder: str) -> None:
        original(archive, folder)
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
            assert len(download.md5) in (0, 32) and ".." not in download.to and not download.to.startswith("/"), name
            assert download.to or download.unpack, name

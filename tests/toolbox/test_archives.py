"""Archives that are damaged, encrypted, too deep or too large: nothing of them is extracted, and one line says why."""

from __future__ import annotations

import errno
import io
import os
import shutil
import tarfile
import zipfile
from types import SimpleNamespace

import pytest
from dassl.data.datasets.archives import extract_archive

from .test_data import tar_with


def zip_with(path, *names, **info):
    with zipfile.ZipFile(path, "w") as zipped:
        for name in names:
            zipped.writestr(name, b"content")
    content = path.read_bytes()
    # "flags" and "method" of all members, in the central directory and in the headers of members.
    for start, place in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        for key, offset in (("flags", place), ("method", place + 2)):
            if key in info:
                parts = content.split(start)
                changed = [part[: offset - 4] + bytes([info[key], 0]) + part[offset - 2 :] for part in parts[1:]]
                content = start.join([parts[0], *changed])
    path.write_bytes(content)
    return str(path)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda path: zip_with(path, "a.txt", flags=1), "needs a password for 'a.txt'"),
        (lambda path: zip_with(path, "a.txt", method=99), "compressed in a way that Python does not read"),
        (lambda path: zip_with(path, "d/" * 1500 + "a.txt"), "1,501 levels"),
        (lambda path: zip_with(path, "a" * 256), "256 bytes"),
        (lambda path: zip_with(path, "\u00e9" * 200), "400 bytes"),
        (lambda path: zip_with(path, "a", "a/b"), "is damaged"),
    ],
)
def test_zip_files_that_cannot_be_extracted_here(make, message, tmp_path):
    archive = make(tmp_path / "a.zip")
    with pytest.raises(ValueError, match=message) as caught:
        extract_archive(archive, str(tmp_path / "in"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "in").exists() or os.listdir(tmp_path / "in") == []


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_tar_files_that_cannot_be_extracted_here(mode, tmp_path):
    for name in ("d/" * 1500 + "a.txt", "a" * 300):
        archive = tar_with(tmp_path / "a.tar", (name, tarfile.REGTYPE, ""), mode=mode)
        with pytest.raises(ValueError, match="levels.*nothing was extracted"):
            extract_archive(archive, str(tmp_path / "in"))
    archive = tar_with(tmp_path / "a.tar", ("d/x.txt", tarfile.REGTYPE, ""), mode=mode)
    extract_archive(archive, str(tmp_path / "in"))
    assert (tmp_path / "in/d/x.txt").read_text() == "hi"
    whole = (tmp_path / "a.tar").read_bytes()
    for number in range(40):
        content = bytearray(whole[: len(whole) * (number + 1) // 41] if number % 2 else whole)
        content[number * 7 % len(content)] ^= 0x55
        (tmp_path / "a.tar").write_bytes(content)
        folder = tmp_path / f"out{number}"
        try:
            extract_archive(str(tmp_path / "a.tar"), str(folder))
        except ValueError as error:
            assert "a.tar" in str(error) and (not folder.exists() or os.listdir(folder) == [])


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_content_beyond_a_limit_is_not_extracted(kind, tmp_path):
    archive = tmp_path / f"a.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
            zipped.writestr("a", bytes(1 << 20))
    else:
        with tarfile.open(archive, "w:gz") as tar:
            info = tarfile.TarInfo("a")
            info.size = 1 << 20
            tar.addfile(info, io.BytesIO(bytes(1 << 20)))
    with pytest.raises(ValueError, match="has more than 1 MB .*nothing was extracted"):
        extract_archive(str(archive), str(tmp_path / "in"), limit=1_000_000)
    assert not (tmp_path / "in").exists()
    extract_archive(str(archive), str(tmp_path / "in"), limit=1_100_000)
    assert os.path.getsize(tmp_path / "in/a") == 1 << 20


def test_a_tar_file_that_states_a_huge_size_or_header(tmp_path):
    for kind, size in ((tarfile.REGTYPE, 1 << 60), (tarfile.XHDTYPE, 1 << 40), (tarfile.GNUTYPE_LONGNAME, 1 << 30)):
        info = tarfile.TarInfo("a")
        info.type, info.size = kind, size
        (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
        with pytest.raises(ValueError, match="a.tar"):
            extract_archive(str(tmp_path / "a.tar"), str(tmp_path / "in"))


def test_too_little_space_is_an_error_of_the_disk(tmp_path, monkeypatch):
    archive = tar_with(tmp_path / "a.tar.gz", ("x.txt", tarfile.REGTYPE, ""))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100))
    with pytest.raises(OSError) as caught:
        extract_archive(archive, str(tmp_path / "in"))
    assert caught.value.errno == errno.ENOSPC and not (tmp_path / "in").exists()


def test_a_file_does_not_replace_a_folder(tmp_path):
    (tmp_path / "in/x.txt").mkdir(parents=True)
    (tmp_path / "in/x.txt/mine").write_text("mine")
    archive = tar_with(tmp_path / "a.tar.gz", ("good.txt", tarfile.REGTYPE, ""), ("x.txt", tarfile.REGTYPE, ""))
    with pytest.raises(ValueError, match="x.txt is in the way"):
        extract_archive(archive, str(tmp_path / "in"))
    assert os.listdir(tmp_path / "in") == ["x.txt"] and (tmp_path / "in/x.txt/mine").read_text() == "mine"


def test_what_killed_extractions_left_is_removed_after_a_day(tmp_path):
    for name in ("old", "new"):
        (tmp_path / f"in/.extracting-{name}").mkdir(parents=True)
        (tmp_path / f"in/.extracting-{name}/x").write_text("x")
    os.utime(tmp_path / "in/.extracting-old", (0, 0))
    extract_archive(tar_with(tmp_path / "a.tar.gz", ("x.txt", tarfile.REGTYPE, "")), str(tmp_path / "in"))
    assert sorted(os.listdir(tmp_path / "in")) == [".extracting-new", "x.txt"]


def test_a_named_pipe_is_not_opened_as_an_archive(tmp_path):
    os.mkfifo(tmp_path / "a.zip")
    with pytest.raises(ValueError, match="a.zip is not a file"):
        extract_archive(str(tmp_path / "a.zip"), str(tmp_path / "in"))

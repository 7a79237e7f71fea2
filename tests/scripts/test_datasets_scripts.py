"""prepare.sh, check.sh, show.sh and the page of sources, on miniature sources that a server on this machine offers."""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import os
import shutil
import sys
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from dassl.data.datasets import DATASET_REGISTRY
from PIL import Image

from common.errors import InputError
from datasets.layouts import Release, one_pool
from datasets.source import Download, Facts, Part, Source, SourceCollection
from tests.support.images import write_images

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts" / "datasets"


sys.path.append(str(SCRIPTS))  # the scripts call each other by their plain names


def script(name: str):
    return importlib.import_module(name)


def call(name: str, *argv) -> int:
    return script("names").run(script(name).main, list(map(str, argv)))


# -- the world --


class Server:
    """Files by address. Of those in ``broken`` a request gets half of what it asks for, then the line goes dead."""

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.broken: set[str] = set()
        self.asked: list[tuple[str, str | None]] = []  # (path, Range)
        world = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                world.answer(self)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.root = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path, wanted = request.path.lstrip("/"), request.headers.get("Range")
        self.asked.append((path, wanted))
        if path not in self.files:
            request.send_error(404)
            return
        content = self.files[path]
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        request.send_response(206 if wanted else 200)
        if wanted:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        rest = content[start:]
        request.wfile.write(rest[: len(rest) // 2] if path in self.broken else rest)

    def offer(self, path: str, content: bytes) -> str:
        """Offer a file; returns its md5."""
        self.files[path] = content
        return hashlib.md5(content).hexdigest()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture(autouse=True)
def no_retries_and_no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setitem(script("fetch").GDOWN_OPTIONS, "retries", 0)


def packed(folder: Path, kind: str = "zip", top: str = "") -> bytes:
    """The folder's files as an archive whose members lie below ``top``."""
    out = io.BytesIO()
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    if kind == "zip":
        with zipfile.ZipFile(out, "w") as archive:
            for file in files:
                archive.write(file, f"{top}{file.relative_to(folder)}")
    else:
        with tarfile.open(fileobj=out, mode="w:gz" if kind == "tar.gz" else "w") as archive:
            for file in files:
                archive.add(file, f"{top}{file.relative_to(folder)}")
    return out.getvalue()


class Making:
    """Makes miniature sources and collections, and configs that name them."""

    def __init__(self, folder: Path):
        self.folder, self.made = folder, []

    def source(self, name: str, classes=2, images=20, split=None, **more) -> type[Source]:
        """A source of class folders below ``<name>/images``, which expects these figures."""
        more = {"steps": (), "downloads": (), **more}
        facts = Facts(classes, images, split, "CC0", more.pop("size", "1 MB"), "https://example.org", **{
            key: more.pop(key) for key in ("steps", "downloads")
        })  # fmt: skip
        attributes = {
            "__module__": f"miniature.{name}", "facts": facts, "task_name": f"{name} task",
            "folders": (name, f"{name}-original"), "images": "images",
            "read": classmethod(lambda cls, folder: one_pool(folder / cls.images)), **more,
        }  # fmt: skip
        return self._register(type(f"Mini{name.capitalize()}", (Source,), attributes), name)

    def collection(self, name: str, *sources: type[Source]) -> None:
        parts = tuple(map(Part, sources))
        self._register(type(f"Mini{name.capitalize()}", (SourceCollection,), {"parts": parts}), name)

    def _register(self, kind: type, name: str) -> type:
        DATASET_REGISTRY.register(kind, force=True)
        self.made.append(kind.__name__)
        self.config(name).write_text(f"# A miniature.\nDATASET:\n  NAME: {kind.__name__}\n")
        return kind

    def config(self, name: str) -> Path:
        return self.folder / f"{name}.yaml"


@pytest.fixture
def making(tmp_path):
    (tmp_path / "configs").mkdir()
    making = Making(tmp_path / "configs")
    yield making
    for name in making.made:
        DATASET_REGISTRY._obj_map.pop(name, None)


def class_folders(folder: Path, names=("rose", "tulip"), each: int = 10) -> Path:
    for number, name in enumerate(names):
        write_images(folder / name, each, seed=number)
    return folder


def everything_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# -- prepare --


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_prepare_fetches_unpacks_checks_and_does_it_once(kind, server, making, tmp_path, capsys):
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
    said = capsys.readouterr().out
    assert "1 of 1" not in said and "ok" in said and " 20 " in said
    assert len(list((data / "one/images/tulip").glob("*.jpg"))) == 10
    assert (data / "one/notes/list.json").read_bytes() == b'{"a": 1}' and (data / "mine.txt").exists()
    assert everything_in(data / ".downloads") == ["one/.lock", f"one/a.{kind}", f"one/a.{kind}.unpacked"]
    server.asked.clear()
    assert call("prepare", making.config("one"), "--data", data) == 0
    assert server.asked == [] and "all there, nothing to fetch" in capsys.readouterr().out
    # Images that were there before, unpacked by hand: only the small file is fetched.
    for path in ("one/notes/list.json", f".downloads/one/a.{kind}.unpacked", f".downloads/one/a.{kind}"):
        (data / path).unlink()
    assert call("prepare", making.config("one"), "--data", data) == 0
    assert [path for path, _ in server.asked] == ["split?id=1"]
    # Images that went missing come out of the archive again, which is fetched only if it is gone.
    (data / "one/images/rose/3.jpg").unlink()
    assert call("prepare", making.config("one"), "--data", data) == 0
    assert (data / "one/images/rose/3.jpg").is_file() and server.asked[-1][0] == f"a.{kind}"
    server.asked.clear()
    (data / "one/images/rose/3.jpg").unlink()
    assert call("prepare", making.config("one"), "--data", data) == 0 and server.asked == []
    shutil.rmtree(data / "one/images")
    (data / f".downloads/one/a.{kind}").unlink()
    assert call("prepare", making.config("one"), "--data", data) == 0 and server.asked == [(f"a.{kind}", None)]


def test_a_broken_off_download_goes_on_where_it_was(server, making, tmp_path, capsys):
    class_folders(tmp_path / "made")
    (tmp_path / "made/notes.bin").write_bytes(os.urandom(3 << 20))  # gdown keeps pieces of half a megabyte
    content = packed(tmp_path / "made", top="images/")
    md5 = server.offer("a.zip", content)
    making.source("one", downloads=(Download(f"{server.root}/a.zip", "one", md5, unpack=True),))
    data = tmp_path / "data"
    server.broken.add("a.zip")
    assert call("prepare", making.config("one"), "--data", data) == 1
    told = capsys.readouterr().err
    partial = list((data / ".downloads/one").glob("*.part"))
    assert len(partial) == 1 and 0 < partial[0].stat().st_size < len(content) and not (data / "one").exists()
    assert f"the same command goes on from {partial[0]}" in told and "Not complete: one." in told
    arrived = partial[0].stat().st_size
    server.broken.clear()
    assert call("prepare", making.config("one"), "--data", data, "--fast") == 0
    assert ("a.zip", f"bytes={arrived}-") in server.asked
    assert (data / ".downloads/one/a.zip").read_bytes() == content


def test_a_wrong_md5_is_told_and_nothing_is_deleted_or_unpacked(server, making, tmp_path, capsys):
    server.offer("a.zip", packed(class_folders(tmp_path / "made"), top="images/"))
    making.source("one", downloads=(Download(f"{server.root}/a.zip", "one", "0" * 32, unpack=True),))
    for _ in range(2):
        assert call("prepare", making.config("one"), "--data", tmp_path) == 1
        line = capsys.readouterr().err.splitlines()[0]
        assert f"{tmp_path}/.downloads/one/a.zip has md5 " in line and f"instead of {'0' * 32}" in line
        assert "Remove it" in line and f"it belongs to {tmp_path / 'one'}." in line
        assert (tmp_path / ".downloads/one/a.zip").is_file() and not (tmp_path / "one").exists()
    assert len(server.asked) == 1  # a second request would bring the same


@pytest.mark.parametrize("archive", ["evil", "cut"])
def test_an_archive_that_cannot_be_trusted_leaves_nothing(archive, server, making, tmp_path, capsys):
    out = io.BytesIO(packed(class_folders(tmp_path / "made"), top="images/"))
    if archive == "evil":
        with zipfile.ZipFile(out, "a") as zipped:
            zipped.writestr("../evil.txt", "x")
    content = out.getvalue() if archive == "evil" else out.getvalue()[:-200]
    server.offer("a.zip", content)
    making.source("one", downloads=(Download(f"{server.root}/a.zip", "deep/one", unpack=True),))
    assert call("prepare", making.config("one"), "--data", tmp_path / "data") == 1
    told = capsys.readouterr().err
    assert ("evil.txt' outside its own folder; nothing was extracted" if archive == "evil" else "is damaged") in told
    assert everything_in(tmp_path / "data") == [".downloads/one/.lock", ".downloads/one/a.zip"]
    assert not (tmp_path / "data/deep").exists() and not list(tmp_path.rglob("evil.txt"))


def test_an_interrupted_unpacking_leaves_nothing_half_done(server, making, tmp_path, monkeypatch):
    from dassl.data.datasets import archives

    server.offer("a.zip", packed(class_folders(tmp_path / "made"), top="images/"))
    making.source("one", downloads=(Download(f"{server.root}/a.zip", "one", unpack=True),))
    original = archives.extract_archive

    def interrupted(archive, folder):
        original(archive, folder)
        raise KeyboardInterrupt

    monkeypatch.setattr(archives, "extract_archive", interrupted)
    data = tmp_path / "data"
    assert call("prepare", making.config("one"), "--data", data) == 130
    assert everything_in(data) == [".downloads/one/.lock", ".downloads/one/a.zip"] and not (data / "one").exists()
    monkeypatch.setattr(archives, "extract_archive", original)
    assert call("prepare", making.config("one"), "--data", data) == 0


def test_another_dassl_is_told_to_unpack_elsewhere(server, making, tmp_path, monkeypatch, capsys):
    server.offer("a.zip", packed(class_folders(tmp_path / "made"), top="images/"))
    making.source("one", downloads=(Download(f"{server.root}/a.zip", "one", unpack=True),))
    monkeypatch.setitem(sys.modules, "dassl.data.datasets.archives", None)  # upstream has no such module
    data = tmp_path / "data"
    assert call("prepare", making.config("one"), "--data", data) != 0
    assert "pip install ./toolbox" in "".join(capsys.readouterr())
    assert (data / ".downloads/one/a.zip").is_file() and not (data / "one").exists()


def test_archives_within_an_archive_and_one_without_a_suffix(server, making, tmp_path):
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


def test_what_is_there_already_is_not_fetched_again(server, making, tmp_path):
    """Images that someone put at another of the usual places, with nothing but the split file missing."""
    server.offer("a.zip", b"must not be fetched")
    rows = {part: [] for part in ("train", "val", "test")}
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
    assert {path for path, _ in server.asked} == {"split"} and not (tmp_path / "data/one").exists()
    assert (tmp_path / "data/one-original/split.json").is_file()


def test_names_of_downloads():
    name = script("fetch").file_name
    for url, expected in (
        ("https://h/a/b.tar.gz", "b.tar.gz"),
        ("https://h/?download=/data/Non%20seg.zip", "Non seg.zip"),
        ("https://h/files/x.zip?download=1", "x.zip"),
        ("gdrive:1u3_Qf", "1u3_Qf"),
    ):
        assert name(Download(url, "", unpack=True)) == expected
    assert name(Download("https://h/a?b=1", "d/split.json")) == "split.json"


def test_one_failure_does_not_stop_the_others(server, making, tmp_path, capsys):
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
    said = capsys.readouterr()
    assert "bad: " in said.err and "404" in said.err and "Not complete: bad, page, hand." in said.err
    assert "gave a web page instead of the file" in said.err and not list(tmp_path.rglob("page.zip"))
    assert "  1. Log in.\n  2. Unpack it in hand.\n" in said.out and str(tmp_path / "data/hand-original") in said.out
    assert (tmp_path / "data/good/images/rose/0.jpg").is_file()
    rows = {line.split()[0]: line.split()[-1] for line in said.out.splitlines() if line.split()}
    assert (rows["bad"], rows["good"], rows["hand"]) == ("below", "ok", "missing")


def test_a_full_disk_is_told_before_anything_is_fetched(server, making, tmp_path, capsys):
    server.offer("a.zip", packed(class_folders(tmp_path / "made"), top="images/"))
    making.source("one", downloads=(Download(f"{server.root}/a.zip", "one", unpack=True),), size="900,000 TB")
    assert call("prepare", making.config("one"), "--data", tmp_path / "data") == 1
    assert "needs about" in capsys.readouterr().err and not server.asked
    sizes = {"about 1.7 GB": 1.7e9, "600 MB": 600e6, "2.5 GB": 2.5e9, "about a lot": 0, "": 0}
    assert {text: script("fetch").in_bytes(text) for text in sizes} == sizes


# -- check --


def test_check_of_a_good_source_and_of_spoilt_ones(making, tmp_path, capsys):
    making.source("one")
    folder = class_folders(tmp_path / "one/images")
    assert call("check", making.config("one"), "--data", tmp_path) == 0
    assert "1 of 1 is as expected." in capsys.readouterr().out

    (folder / "rose/4.jpg").write_bytes((folder / "rose/4.jpg").read_bytes()[:300])
    assert call("check", making.config("one"), "--data", tmp_path) == 1
    said = capsys.readouterr().out
    assert "one: 1 image cannot be read:" in said and f"{folder}/rose/4.jpg cannot be read" in said
    assert call("check", making.config("one"), "--data", tmp_path, "--fast") == 0
    (folder / "rose/4.jpg").write_bytes(b"")
    assert call("check", making.config("one"), "--data", tmp_path, "--fast") == 1
    capsys.readouterr()

    class_folders(folder, ("weed",), 3)
    assert call("check", making.config("one"), "--data", tmp_path, "--fast") == 1
    said = capsys.readouterr().out
    assert "3 of 2" in said and "23 of 20" in said
    assert "one: 3 classes instead of 2." in said and "one: 23 images instead of 20." in said


def test_check_finds_test_images_that_were_trained_on(making, tmp_path, capsys):
    def read(cls, folder):
        images = [(str(folder / f"{n}.jpg"), n % 2) for n in range(8)]
        return Release(("a", "b"), ("a", "b"), train=images[:4], val=images[4:6], test=images[6:])

    making.source("one", images=8, split=(4, 2, 2), read=classmethod(read))
    write_images(tmp_path / "one", 8)
    assert call("check", making.config("one"), "--data", tmp_path) == 0
    content = (tmp_path / "one/6.jpg").read_bytes()
    # Of equal size only: no duplicate.
    (tmp_path / "one/1.jpg").write_bytes(content[:-4] + b"\0\0" + content[-2:])
    (tmp_path / "one/5.jpg").write_bytes(content)
    (tmp_path / "one/4.jpg").write_bytes((tmp_path / "one/0.jpg").read_bytes())  # training and validation: allowed
    capsys.readouterr()
    assert call("check", making.config("one"), "--data", tmp_path, "--fast") == 1
    said = capsys.readouterr().out
    assert "one: 1 test image is a training or validation image too:" in said
    assert f"{tmp_path}/one/6.jpg (test) is the same file as {tmp_path}/one/5.jpg (val)." in said


def test_check_goes_on_after_a_missing_source_and_names_the_places(making, tmp_path, capsys):
    making.collection("two", making.source("gone"), making.source("here"))
    class_folders(tmp_path / "here/images")
    assert call("check", making.config("two"), "--data", tmp_path) == 1
    said = capsys.readouterr().out
    assert f"{tmp_path}/gone or {tmp_path}/gone-original" in said and "1 of 2 is as expected." in said


def test_check_of_splits(making, tmp_path, capsys):
    """A published split that is to be had is asked for; a split of one's own may divide the images as it likes."""
    url = Download("https://example.org/split", "one/split.json")
    making.source("one", downloads=(url,), split=(10, 4, 6), split_files=("split.json",))
    class_folders(tmp_path / "one/images")
    assert call("check", making.config("one"), "--data", tmp_path, "--fast") == 1
    assert f"The published split {tmp_path}/one/split.json is missing" in capsys.readouterr().out

    rows = {"train": [["rose/0.jpg", 0, "rose"], ["tulip/0.jpg", 1, "tulip"]], "val": [], "test": []}
    rows["test"] = [[f"{name}/{n}.jpg", k, name] for k, name in enumerate(("rose", "tulip")) for n in range(1, 10)]
    (tmp_path / "one/split.json").write_text(json.dumps(rows))
    assert call("check", making.config("one"), "--data", tmp_path, "--fast") == 1
    assert "one: 2 train images instead of 10." in capsys.readouterr().out
    making.source("one", split=(10, 4, 6), split_files=("split.json",))
    assert call("check", making.config("one"), "--data", tmp_path, "--fast") == 0
    rows["test"] = rows["test"][:9]
    (tmp_path / "one/split.json").write_text(json.dumps(rows))
    capsys.readouterr()
    assert call("check", making.config("one"), "--data", tmp_path, "--fast") == 1
    assert "No test images of 'tulip' (task 'one task')." in capsys.readouterr().out


def declared(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text("folder: mine\ntasks:\n  - name: kind\n  - name: colour\n    folder: colours\n")
    return path


def test_a_declared_collection(tmp_path, capsys):
    class_folders(tmp_path / "mine/kind", ("a", "b"))
    assert call("check", declared(tmp_path), "--data", tmp_path) == 1
    said = capsys.readouterr().out
    assert f"colour: Folder {tmp_path}/mine/colours of task 'colour' is missing" in said and "kind" in said
    class_folders(tmp_path / "mine/colours", ("red", "blue", "grey"))
    assert call("check", declared(tmp_path), "--data", tmp_path) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["colour", "3", "15", "6", "9", "30", "ok"] in rows
    assert call("prepare", declared(tmp_path), "--data", tmp_path) == 0
    assert "no download belongs to it" in capsys.readouterr().out


def test_bad_input_is_told_in_one_line(tmp_path, capsys):
    for argv, message in (
        (["plants9"], "Dataset 'plants9' is unknown in configs/datasets and configs/collections; did you mean"),
        ([], "--help shows how to call this"),
        (["garden8", "--fats"], "--fats"),
    ):
        assert call("check", *argv) == 2
        told = capsys.readouterr().err
        assert message in told and told.count("\n") == 1


# -- show --


def test_show_draws_a_sheet_for_every_task(tmp_path, capsys):
    class_folders(tmp_path / "mine/kind", ("a", "b"))
    class_folders(tmp_path / "mine/colours", ("red", "blue", "grey"))
    (tmp_path / "mine/colours/red/0.jpg").write_bytes(b"spoilt")
    assert call("show", declared(tmp_path), "--data", tmp_path, "--output", tmp_path / "out") == 0
    assert sorted(os.listdir(tmp_path / "out")) == ["01_kind.png", "02_colour.png"]
    said = capsys.readouterr().out.splitlines()
    assert said == [str(tmp_path / "out/01_kind.png"), str(tmp_path / "out/02_colour.png")]
    first = (tmp_path / "out/01_kind.png").read_bytes()
    with Image.open(tmp_path / "out/01_kind.png") as sheet:
        assert sheet.width <= 1480 and sheet.height > 2 * 112
    assert call("show", declared(tmp_path), "--data", tmp_path, "--output", tmp_path / "out") == 0
    assert (tmp_path / "out/01_kind.png").read_bytes() == first
    assert call("show", declared(tmp_path), "--data", tmp_path, "--output", declared(tmp_path)) == 2


def test_show_of_many_classes_takes_several_sheets_and_shows_each_class_once(making, tmp_path, capsys, monkeypatch):
    making.source("many", classes=61, images=122)
    class_folders(tmp_path / "many/images", [f"class_{k:02d}_with_a_long_name" for k in range(61)], 2)
    show, seen = script("show"), []
    original = show.sheet
    monkeypatch.setattr(
        show, "sheet", lambda head, names, *rest: seen.append((head, names)) or original(head, names, *rest)
    )
    assert call("show", making.config("many"), "--data", tmp_path, "--output", tmp_path / "out") == 0
    assert sorted(os.listdir(tmp_path / "out")) == ["many_task_1.png", "many_task_2.png"]
    assert [len(names) for _, names in seen] == [31, 30] and len({n for _, names in seen for n in names}) == 61
    assert seen[1][0] == "many: many task (61 classes, sheet 2 of 2)"
    # A source that is not there does not keep the others from being shown.
    making.collection("two", making.source("gone"), DATASET_REGISTRY.get("MiniMany"))
    assert call("show", making.config("two"), "--data", tmp_path, "--output", tmp_path / "two") == 1
    assert "MiniGone is not in" in capsys.readouterr().err and len(os.listdir(tmp_path / "two")) == 2


def test_pictures_are_where_the_sheet_says(tmp_path):
    colours = {"red": (220, 20, 20), "blue": (20, 20, 220)}
    for name, colour in colours.items():
        Image.new("RGB", (60, 90), colour).save(tmp_path / f"{name}.png")
    show = script("show")
    paths = [[str(tmp_path / f"{name}.png")] * 2 for name in colours]
    sheet = show.sheet("a heading", list(colours), paths, 2)
    lefts = [show.GAP + k * (2 * show.SIDE + 2 + show.GAP) for k in range(2)]
    for left, colour in zip(lefts, colours.values(), strict=True):
        assert sheet.getpixel((left, show.HEAD)) == sheet.getpixel((left + 2 * show.SIDE, show.HEAD + 111)) == colour
    caption = sheet.crop((lefts[1], show.HEAD + show.SIDE + 2, lefts[1] + 60, show.HEAD + show.SIDE + 20))
    assert caption.getextrema()[0][0] < 100  # ink


def test_long_names_are_wrapped_and_cut():
    from PIL import ImageDraw, ImageFont

    pen, font = ImageDraw.Draw(Image.new("RGB", (1, 1))), ImageFont.load_default(size=12)
    wrapped = script("show").wrapped
    assert wrapped("sea horse", 112, pen, font) == ["sea horse"]
    lines = wrapped("an uncommonly long name for a class of things that nobody would want to read", 112, pen, font)
    assert len(lines) == 3 and lines[-1].endswith("...") and all(pen.textlength(x, font=font) <= 112 for x in lines)
    assert wrapped("x" * 60, 112, pen, font)[0].endswith("...")


# -- the page --


def test_the_page_of_sources_is_current():
    """If this fails: python scripts/datasets/table.py."""
    table = script("table")
    text = table.PAGE.read_text("utf-8")
    assert table.page(text) == text


def test_the_page_follows_the_sources(monkeypatch, tmp_path, capsys):
    table = script("table")
    page = tmp_path / "datasets.md"
    monkeypatch.setattr(table, "PAGE", page)
    page.write_text(f"before\n{table.BEGIN}\nof earlier\n{table.END}\nafter\n")
    assert call("table", "--check") == 1 and call("table") == 0 and call("table", "--check") == 0
    text = page.read_text("utf-8")
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "of earlier" not in text
    assert "| [dtd](https://www.robots.ox.ac.uk/~vgg/data/dtd/) |" in text and "2,820 / 1,128 / 1,692" in text
    page.write_text("no marks")
    assert call("table") == 2


def test_every_download_has_a_place():
    """Addresses, checksums and places of all sources are such that prepare.sh can use them."""
    for name, kind in script("table").sources().items():
        assert kind.facts.downloads or kind.facts.steps, f"{name}: neither downloads nor steps"
        names = [script("fetch").file_name(download) for download in kind.facts.downloads]
        assert len(set(names)) == len(names), name
        for download in kind.facts.downloads:
            assert download.url.startswith(("http://", "https://", "gdrive:")), name
            assert len(download.md5) in (0, 32) and ".." not in download.to and not download.to.startswith("/"), name
            assert download.to or download.unpack, name


def test_an_unknown_kind_of_data_set_is_told():
    class Plain:
        pass

    with pytest.raises(InputError, match="Plain is not one of this project's data sets"):
        script("names").items_of(Plain, None, Path("."))

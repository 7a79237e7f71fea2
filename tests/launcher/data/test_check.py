"""check: counts, unreadable images, splits, and test images among the training images."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from common.errors import InputError
from datasets.layouts import Release
from datasets.source import Download
from launcher.data.items import items_of
from tests.support.images import write_images
from tests.support.sources import Making, call, class_folders, declaration


def test_a_good_source_and_damaged_ones(making: Making, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    making.source("one")
    folder = class_folders(tmp_path / "one/images")
    assert call("check", making.config("one"), "--data", tmp_path) == 0
    assert "1 of 1 is as expected." in capsys.readouterr().out

    (folder / "rose/4.jpg").write_bytes((folder / "rose/4.jpg").read_bytes()[:300])
    assert call("check", making.config("one"), "--data", tmp_path) == 1
    out = capsys.readouterr().out
    assert "one: 1 image cannot be read:" in out and f"{folder}/rose/4.jpg cannot be read" in out
    assert call("check", making.config("one"), "--data", tmp_path, "--fast") == 0
    (folder / "rose/4.jpg").write_bytes(b"")
    assert call("check", making.config("one"), "--data", tmp_path, "--fast") == 1
    capsys.readouterr()

    class_folders(folder, ("weed",), 3)
    assert call("check", making.config("one"), "--data", tmp_path, "--fast") == 1
    out = capsys.readouterr().out
    assert "3 of 2" in out and "23 of 20" in out
    assert "one: 3 classes instead of 2." in out and "one: 23 images instead of 20." in out


def test_test_images_among_the_training_images(
    making: Making, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def read(cls: type, folder: Path) -> Release:
        images = [(str(folder / f"{n}.jpg"), n % 2) for n in range(8)]
        return Release(("a", "b"), ("a", "b"), train=images[:4], val=images[4:6], test=images[6:])

    making.source("one", images=8, split=(4, 2, 2), read=classmethod(read))
    write_images(tmp_path / "one", 8)
    assert call("check", making.config("one"), "--data", tmp_path) == 0
    content = (tmp_path / "one/6.jpg").read_bytes()
    # Of equal size only: not a duplicate.
    (tmp_path / "one/1.jpg").write_bytes(content[:-4] + b"\0\0" + content[-2:])
    (tmp_path / "one/5.jpg").write_bytes(content)
    (tmp_path / "one/4.jpg").write_bytes((tmp_path / "one/0.jpg").read_bytes())  # training and validation: allowed
    capsys.readouterr()
    assert call("check", making.config("one"), "--data", tmp_path, "--fast") == 1
    out = capsys.readouterr().out
    assert "one: 1 test image is a training or validation image too:" in out
    assert f"{tmp_path}/one/6.jpg (test) is the same file as {tmp_path}/one/5.jpg (val)." in out


def test_a_missing_source_does_not_stop_the_others(
    making: Making, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    making.collection("two", making.source("gone"), making.source("here"))
    class_folders(tmp_path / "here/images")
    assert call("check", making.config("two"), "--data", tmp_path) == 1
    out = capsys.readouterr().out
    assert f"{tmp_path}/gone or {tmp_path}/gone-original" in out and "1 of 2 is as expected." in out


def test_splits(making: Making, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A published split that can be downloaded is required; a user's own split may divide the images in any way."""
    url = Download("https://example.org/split", "one/split.json")
    making.source("one", downloads=(url,), split=(10, 4, 6), split_files=("split.json",))
    class_folders(tmp_path / "one/images")
    assert call("check", making.config("one"), "--data", tmp_path, "--fast") == 1
    assert f"The published split {tmp_path}/one/split.json is missing" in capsys.readouterr().out

    rows: dict[str, list[list[object]]] = {
        "train": [["rose/0.jpg", 0, "rose"], ["tulip/0.jpg", 1, "tulip"]], "val": [], "test": []
    }  # fmt: skip
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


def test_a_declared_collection(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class_folders(tmp_path / "mine/kind", ("a", "b"))
    assert call("check", declaration(tmp_path), "--data", tmp_path) == 1
    out = capsys.readouterr().out
    assert f"colour: Folder {tmp_path}/mine/colours of task 'colour' is missing" in out and "kind" in out
    class_folders(tmp_path / "mine/colours", ("red", "blue", "grey"))
    assert call("check", declaration(tmp_path), "--data", tmp_path) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["colour", "3", "15", "6", "9", "30", "ok"] in rows


@pytest.mark.parametrize("check", [True, False])
def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str], check: bool) -> None:
    for words, message in (
        (["plants9"], "Dataset 'plants9' is unknown in configs/datasets and configs/collections; did you mean"),
        ([], "--help shows how to call this"),
        (["garden8", "--fats"], "--fats"),
    ):
        assert call(*["--check"] * check, "check", *words) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


def test_an_unknown_kind_of_data_set_is_reported() -> None:
    class Plain:
        pass

    with pytest.raises(InputError, match="Plain is not one of this project's data sets"):
        items_of(Plain, None, Path("."))


def test_named_pipes_and_damaged_images_end_a_check_with_a_line_each(
    making: Making, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    making.source("one")
    folder = class_folders(tmp_path / "one/images")
    os.mkfifo(folder / "rose/pipe.jpg")
    os.mkfifo(folder / "pipe")
    assert call("check", making.config("one"), "--data", tmp_path) == 0
    assert "1 file (not a file 1) in the class folders are not read" in capsys.readouterr().err
    assert call("show", making.config("one"), "--data", tmp_path, "--output", tmp_path / "x") == 0
    for name, content in (("0.jpg", b"DDS " + bytes(200)), ("1.jpg", b"\0\0\0 ftypavif" + bytes(100)), ("2.jpg", b"")):
        (folder / "tulip" / name).write_bytes(content)
    capsys.readouterr()
    assert call("check", making.config("one"), "--data", tmp_path) == 1
    captured = capsys.readouterr()
    assert "one: 3 images cannot be read:" in captured.out and "Traceback" not in captured.err
    assert call("show", making.config("one"), "--data", tmp_path, "--output", tmp_path / "x") == 0


@pytest.mark.parametrize("target", ["loop.jpg", "nowhere", "/dev/zero", "pipe", "..", "0.jpg"])
def test_a_link_that_leads_to_no_file(
    target: str, making: Making, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    making.source("one", images=21)
    folder = class_folders(tmp_path / "one/images") / "rose"
    os.mkfifo(folder / "pipe")
    (folder / "loop.jpg").symlink_to(target)
    good = target == "0.jpg"
    for fast in ([], ["--fast"]):
        call("check", making.config("one"), "--data", tmp_path, *fast)
        captured = capsys.readouterr()
        assert "21" in captured.out and "Traceback" not in captured.err
        assert ("1 image cannot be read:" in captured.out) != good
        assert (f"Image {folder}/loop.jpg" in captured.out) != good
    assert call("show", making.config("one"), "--data", tmp_path, "--output", tmp_path / "x") == 0


def test_a_listed_file_that_is_none(making: Making, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A list may name what is not a file; it is reported, with --fast too, and not opened."""
    making.source("one", split=(1, 0, 1), split_files=("split.json",))
    folder = class_folders(tmp_path / "one/images", ("rose",), 2)
    os.mkfifo(folder / "pipe.jpg")
    rows = {"train": [["rose/0.jpg", 0, "rose"]], "val": [], "test": [["pipe.jpg", 0, "rose"]]}
    (tmp_path / "one/split.json").write_text(json.dumps(rows))
    for fast in ([], ["--fast"]):
        assert call("check", making.config("one"), "--data", tmp_path, *fast) == 1
        assert f"Image {folder}/pipe.jpg" in capsys.readouterr().out

"""Files that are not what their names say, lists that contradict themselves, classes that look alike: one line each."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from common.errors import InputError
from datasets.declared import register_collection
from datasets.folders import list_images, not_read, read_class_folders
from datasets.images import read_image
from datasets.layouts import read_lines, read_mat
from datasets.name_lists import read_name_list
from datasets.places import find_file, match_files, subfolders, unwrap
from datasets.source import complete
from datasets.split_files import read_split
from prompting.tasks import Task, check_classnames, normal_form
from tests.support.configs import dataset_config
from tests.support.images import write_images

# -- images --


def of_type(value: object, dtype: type) -> np.ndarray:
    return np.broadcast_to(np.asarray(value), (4, 4)).astype(dtype)


ROW = [0, 1, 2, 4]


@pytest.mark.parametrize(
    "values, suffix, expected",
    [
        (of_type(ROW, np.int32), "tif", [0, 64, 128, 255]),
        (of_type([-1000, 0, 1000, 3000], np.int32), "tif", [0, 64, 128, 255]),
        (of_type([1 << 20, 1 << 21, 1 << 22, 1 << 30], np.int32), "tif", [0, 0, 1, 255]),
        (of_type([0, 0.25, 0.5, 1], np.float32), "tif", [0, 64, 128, 255]),
        (of_type([np.nan, 0.25, 0.5, 1], np.float32), "tif", [0, 0, 85, 255]),
        (of_type([-np.inf, 0, 1, np.inf], np.float32), "tif", [0, 0, 255, 255]),
        (of_type(7, np.float32), "tif", [0, 0, 0, 0]),
        (of_type([0, 0x4000, 0x5C00, 0xFFFF], np.uint16), "tif", [0, 0x40, 0x5C, 255]),
        (of_type([0, 0x4000, 0x5C00, 0xFFFF], np.uint16), "png", [0, 0x40, 0x5C, 255]),
        (of_type([0, 0x4000, 0x5C00, 0xFFFF], np.uint16), "pgm", [0, 0x40, 0x5C, 255]),
    ],
)
def test_grey_values_of_more_than_eight_bits(values, suffix, expected, tmp_path):
    Image.fromarray(np.ascontiguousarray(values)).save(tmp_path / f"a.{suffix}")
    seen = np.asarray(read_image(str(tmp_path / f"a.{suffix}")))
    assert seen[0].tolist() == [[value] * 3 for value in expected]


def test_a_float_image_without_finite_values(tmp_path):
    Image.fromarray(of_type(np.nan, np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match="a.tif cannot be read .*finite"):
        read_image(str(tmp_path / "a.tif"))


@pytest.mark.parametrize("error", [RuntimeError, NotImplementedError, KeyError, ZeroDivisionError, MemoryError])
def test_any_error_of_pillow_is_one_line(error, tmp_path, monkeypatch):
    write_images(tmp_path, 1)

    def fail(*_: object) -> None:
        raise error("line 1\nline 2")

    monkeypatch.setattr(Image.Image, "convert", fail)
    with pytest.raises(InputError, match="0.jpg cannot be read .*line 1.*replace or remove it") as caught:
        read_image(str(tmp_path / "0.jpg"))
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", ["AVIF", "DDS", "JPEG2000", "TGA", "SGI", "WEBP", "GIF", "TIFF", "PNG", "BMP", "ICO"])
def test_damaged_images_of_many_formats(kind, tmp_path):
    """Cut off at many places, and with bytes changed: an image, or one line."""
    Image.init()
    if kind not in Image.SAVE:
        pytest.skip(f"Pillow does not write {kind} here")
    path = tmp_path / "a"
    Image.effect_noise((24, 24), 80).convert("RGB").save(path, kind)
    whole, random = path.read_bytes(), np.random.default_rng(0)
    for number in range(60):
        content = bytearray(whole[: int(random.integers(1, len(whole)))] if number % 2 else whole)
        for place in random.integers(0, min(len(content), 200), 4):
            content[place] = random.integers(0, 256)
        path.write_bytes(content)
        try:
            assert read_image(str(path)).mode == "RGB"
        except InputError as error:
            assert str(path) in str(error) and "\n" not in str(error)


# -- files that are none --


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # an address has at most 108 bytes
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_loop(path: Path) -> None:
    path.symlink_to(path.name)


def a_dead_link(path: Path) -> None:
    path.symlink_to("nowhere")


LINKS = [a_device, a_loop, a_dead_link]
NO_FILES = [a_pipe, a_socket, *LINKS]


@pytest.mark.parametrize("make", [a_pipe, a_socket])
def test_what_is_not_a_file_is_not_an_image(make: Callable[[Path], None], tmp_path, capsys):
    for name in ("rose", "tulip"):
        write_images(tmp_path / name, 3)
    make(tmp_path / "rose/a.jpg")
    make(tmp_path / "weed")
    make(tmp_path / ".hidden")
    folders, _, samples = read_class_folders(tmp_path, "t", {})
    assert folders == ("rose", "tulip") and len(samples) == 6 and [p.name for p in subfolders(tmp_path)] == [*folders]
    assert len(list_images(tmp_path / "rose")) == 3 and not_read(tmp_path / "rose") == (["not a file"], [])
    assert "1 file (not a file 1)" in capsys.readouterr().err
    with pytest.raises(InputError, match="rose/a.jpg cannot be read"):
        read_image(str(tmp_path / "rose/a.jpg"))
    for file in (tmp_path / "rose").glob("?.jpg"):
        if file.name != "a.jpg":
            file.unlink()
    with pytest.raises(InputError, match="rose of task 't' holds no images"):
        read_class_folders(tmp_path, "t", {})


@pytest.mark.parametrize("make", LINKS)
def test_a_link_is_listed_and_refused_when_it_is_read(make: Callable[[Path], None], tmp_path, capsys):
    for name in ("rose", "tulip"):
        write_images(tmp_path / name, 3)
    make(tmp_path / "rose/a.jpg")
    make(tmp_path / "weed")
    folders, _, samples = read_class_folders(tmp_path, "t", {})
    assert folders == ("rose", "tulip") and len(samples) == 7 and not capsys.readouterr().err
    assert list_images(tmp_path / "rose")[-1] == str(tmp_path / "rose/a.jpg")
    with pytest.raises(InputError, match="rose/a.jpg cannot be read"):
        read_image(str(tmp_path / "rose/a.jpg"))


class Unfollowed:
    """An entry of a folder that fails if asked where its link leads."""

    def __init__(self, entry: os.DirEntry[str]) -> None:
        self._entry, self.name, self.path = entry, entry.name, entry.path
        self.is_symlink = entry.is_symlink

    def is_file(self) -> bool:
        assert not self._entry.is_symlink(), self.path
        return self._entry.is_file()

    is_dir = is_file


class Folder:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> list[Unfollowed]:
        with LISTING(self.path) as entries:
            return [Unfollowed(entry) for entry in entries]

    def __exit__(self, *_: object) -> None:
        pass


LISTING = os.scandir


def test_images_that_are_links_are_listed_without_a_look_at_where_they_lead(tmp_path, monkeypatch):
    write_images(tmp_path / "stored", 3)
    (tmp_path / "rose").mkdir()
    for number in range(3):
        (tmp_path / f"rose/{number}.jpg").symlink_to(tmp_path / f"stored/{number}.jpg")
    os.mkfifo(tmp_path / "rose/pipe.jpg")
    monkeypatch.setattr(os, "scandir", Folder)
    monkeypatch.setattr(os, "stat", None)
    assert list_images(tmp_path / "rose") == [str(tmp_path / f"rose/{number}.jpg") for number in range(3)]
    assert not_read(tmp_path / "rose") == (["not a file"], [])


@pytest.mark.parametrize("make", NO_FILES)
def test_what_is_not_a_file_is_not_a_list(make: Callable[[Path], None], tmp_path):
    path = tmp_path / "list"
    make(path)
    readers: list[Callable[[], object]] = [
        lambda: read_split(path, tmp_path), lambda: read_lines(path), lambda: read_name_list(path),
        lambda: read_mat(path, "a"),
    ]  # fmt: skip
    for read in readers:
        with pytest.raises(InputError, match=str(path)):
            read()
    assert find_file(tmp_path, "list") is None


def test_folders_that_lead_back_or_too_far(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/a").symlink_to("../a")
    assert len(unwrap(tmp_path / "a").relative_to(tmp_path).parts) <= 4
    deep = tmp_path / "deep"
    deep.mkdir()
    here = os.getcwd()
    try:
        os.chdir(deep)
        for _ in range(1500):
            os.mkdir("d")
            os.chdir("d")
        Path("x.jpg").write_bytes(b"x")
    finally:
        os.chdir(here)
    assert match_files(["d/x.jpg"], deep) is None
    while_deep = deep / "d"
    (while_deep / "x.jpg").write_bytes(b"x")
    assert match_files(["d/x.jpg"], deep) == {"d/x.jpg": str(while_deep / "x.jpg")}
    remove(deep)


def remove(folder: Path) -> None:
    """Remove folders that are nested more deeply than `shutil.rmtree` can."""
    import subprocess

    subprocess.run(["rm", "-rf", str(folder)], check=True)


def test_a_class_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    write_images(tmp_path / "rose", 1)

    def fail(folder: object) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(os, "scandir", fail)
    with pytest.raises(InputError, match="cannot be listed .Permission denied"):
        read_class_folders(tmp_path, "t", {})


# -- split files --


def split_of(**parts: list[list[object]]) -> dict[str, list[list[object]]]:
    return {"train": [["a.jpg", 0, "sun"], ["b.jpg", 1, "rain"]], "val": [], "test": [["c.jpg", 0, "sun"]], **parts}


@pytest.mark.parametrize(
    "parts, message",
    [
        ({"test": [["c.jpg", 0, "shade"]]}, "label 0 is both 'sun' and 'shade'"),
        ({"test": [["c.jpg", -1, "wind"]]}, "a label is -1"),
        ({"test": [["c.jpg", 0.0, "sun"]]}, "a label is 0.0"),
        ({"test": [["c.jpg", True, "rain"]]}, "a label is True"),
        ({"test": [["c.jpg", "0", "sun"]]}, "a label is '0'"),
        ({"test": [["c.jpg", None, "sun"]]}, "a label is None"),
        ({"test": [["c.jpg", float("nan"), "sun"]]}, "NaN is not a number"),
        ({"test": [["c.jpg", 0, None]]}, "the name of a class is None"),
        ({"test": [[None, 0, "sun"]]}, "the path of an image is None"),
        ({"test": [["", 0, "sun"]]}, "the path of an image is ''"),
        ({"test": [["c.jpg", 0, "sun"], ["c.jpg", 1, "rain"]]}, "c.jpg with the labels 0 and 1"),
        ({"test": [["c.jpg", 0, "sun"], ["./c.jpg", 7, "wind"]]}, "c.jpg with the labels 0 and 7"),
        ({"test": [["a.jpg", 1, "rain"]]}, "a.jpg with the labels 0 and 1"),
        ({"test": [["x/../a.jpg", 1, "rain"]]}, "a.jpg with the labels 0 and 1"),
    ],
)
def test_a_split_that_contradicts_itself(parts, message, tmp_path):
    for name in "abc":
        (tmp_path / f"{name}.jpg").write_bytes(b"x")
    (tmp_path / "split.json").write_text(json.dumps(split_of()))
    assert read_split(tmp_path / "split.json", tmp_path).classnames == ("sun", "rain")
    (tmp_path / "split.json").write_text(json.dumps(split_of(**parts)))
    with pytest.raises(InputError, match=f"split.json .*{message}"):
        read_split(tmp_path / "split.json", tmp_path)


@pytest.mark.parametrize("labels", [(0, 1), (1, 2), (0, 5), (7, 10**30), (5, 0), (2, 1)])
def test_labels_that_begin_at_another_number_or_have_gaps(labels, tmp_path, capsys):
    """Each line names its class, so labels only say in which order the classes are."""
    sun, rain = labels
    for name in "abcd":
        (tmp_path / f"{name}.jpg").write_bytes(b"x")
    rows = {"train": [["a.jpg", sun, "sun"], ["b.jpg", rain, "rain"]], "val": [], "test": [["c.jpg", rain, "rain"]]}
    (tmp_path / "split.json").write_text(json.dumps(rows))
    release = read_split(tmp_path / "split.json", tmp_path)
    first = int(sun > rain)
    assert release.keys == release.classnames == (("rain", "sun") if first else ("sun", "rain"))
    assert [label for _, label in release.train] == [first, 1 - first]
    assert release.test == [(str(tmp_path / "c.jpg"), 1 - first)] and not capsys.readouterr().err


def test_two_labels_with_one_name_are_refused(tmp_path):
    rows = split_of(test=[["c.jpg", 4, "sun"]])
    for name in "abc":
        (tmp_path / f"{name}.jpg").write_bytes(b"x")
    (tmp_path / "split.json").write_text(json.dumps(rows))
    release = read_split(tmp_path / "split.json", tmp_path)
    with pytest.raises(InputError, match="'sun' and 'sun' of task 't'"):
        complete(Task("t", release.classnames, "{}", "A"), "s", release)


def test_an_image_that_is_listed_twice_in_a_part_is_kept_once(tmp_path, capsys):
    for name in "abc":
        (tmp_path / f"{name}.jpg").write_bytes(b"x")
    tests = [["c.jpg", 0, "sun"], ["c.jpg", 0, "sun"], ["./c.jpg", 0, "sun"], [".\\c.jpg", 0, "sun"]]
    (tmp_path / "split.json").write_text(json.dumps(split_of(test=tests)))
    release = read_split(tmp_path / "split.json", tmp_path)
    assert release.test == [(str(tmp_path / "c.jpg"), 0)] and len(release.train) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "split.json" in line and "3 lines" in line


@pytest.mark.parametrize("again", ["a.jpg", "./a.jpg", "x/../a.jpg", ".//a.jpg", "x\\..\\a.jpg"])
@pytest.mark.parametrize("part, refused", [("test", True), ("val", False), ("both", False)])
def test_an_image_in_two_parts(again, part, refused, tmp_path, capsys):
    (tmp_path / "x").mkdir()
    for name in "abc":
        (tmp_path / f"{name}.jpg").write_bytes(b"x")
    rows = [["c.jpg", 0, "sun"], [again, 0, "sun"]]
    parts = {"val": [*rows, ["b.jpg", 1, "rain"]]} if part == "both" else {part: rows}
    (tmp_path / "split.json").write_text(json.dumps(split_of(**parts)))
    release = read_split(tmp_path / "split.json", tmp_path)
    task = Task("t", release.classnames, "{}", "A")
    if refused:
        with pytest.raises(InputError, match="a.jpg of task 't' is listed for training and for testing"):
            complete(task, "s", release)
        return
    images = complete(task, str(tmp_path), release)
    assert (images.train, images.val, images.test) == (release.train, release.val, release.test)
    shared = 2 if part == "both" else 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and f"{shared} image" in lines[0] and "validation and for training" in lines[0]
    assert "1 image is listed for validation and for testing (task 't')" in lines[1]


@pytest.mark.parametrize("label", [2, -1, 0.0, None, "0"])
def test_a_released_split_with_a_label_without_a_name(label, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x")
    meta = {"taskid2cname": [["sun", "rain"]], "taskid2tname": ["t"]}
    content = {"train": [["a.jpg", [label], [0]]], "val": [], "test": [], "meta": meta}
    (tmp_path / "split.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="split.json is not a split file .*label"):
        read_split(tmp_path / "split.json", tmp_path)


@pytest.mark.parametrize("content", [b"[" * 100_000, b"\xff", b"", b"null", b'{"train": {}}'])
def test_a_split_that_is_not_one(content, tmp_path):
    (tmp_path / "split.json").write_bytes(content)
    with pytest.raises(InputError, match="split.json is not a split file") as caught:
        read_split(tmp_path / "split.json", tmp_path)
    assert "\n" not in str(caught.value)


# -- classes --

ALIKE = [
    ("Oak", "oak"), ("oak", "oak "), ("oak", "_oak"), ("oak tree", "oak  tree"), ("oak_tree", "oak tree"),
    ("caf\u00e9", "cafe\u0301"), ("\uff2f\uff41\uff4b", "oak"), ("oak &amp; elm", "oak & elm"),
    ("\u2018oak\u2019", "'oak'"), ("a-b", "a - b"), ("24", "2 4"), ("oak\u00a0tree", "oak tree"),
    ("oak\ttree", "oak tree"),
]  # fmt: skip


@pytest.mark.parametrize("first, second", ALIKE)
def test_classes_that_the_tokenizer_cannot_distinguish(first, second):
    with pytest.raises(InputError) as caught:
        check_classnames(["elm tree", first, second], "tree")
    assert repr(first) in str(caught.value) and repr(second) in str(caught.value) and "'tree'" in str(caught.value)


def test_the_normal_form_is_the_tokenizers():
    """Two names have one form exactly if they have the same tokens."""
    import clip

    encode = clip.clip._tokenizer.encode
    others = [
        "oak",
        "oaks",
        "oak's",
        "oaks'",
        "o ak",
        "oak.",
        "oak-tree",
        "oaktree",
        "oak3",
        "\u00bd oak",
        "I'll",
        "I ll",
    ]
    names = [name for pair in ALIKE for name in pair] + others
    for first in names:
        for second in names:
            same = encode(first.replace("_", " ")) == encode(second.replace("_", " "))
            assert (normal_form(first) == normal_form(second)) == same, (first, second)


@pytest.mark.parametrize("name", ["", " ", "_", "\t", "__"])
def test_a_class_without_a_name(name):
    with pytest.raises(InputError, match="has no text"):
        check_classnames(["oak", name], "tree")


def test_classes_that_look_alike_wherever_they_come_from(tmp_path):
    for name in ("Oak", "oak", "elm"):
        write_images(tmp_path / "mine/tree" / name, 3)

    def build(**entry: object) -> None:
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"folder": "mine", "tasks": [{"name": "tree", **entry}]}))
        from dassl.data.datasets import build_dataset

        cfg = dataset_config(tmp_path, register_collection(tmp_path / "mine.yaml"))
        cfg.DATASET.NUM_SHOTS = 1
        build_dataset(cfg)

    with pytest.raises(InputError, match="'Oak' and 'oak' of task 'tree'"):
        build()
    build(classnames={"Oak": "holm oak"})
    with pytest.raises(InputError, match="'Oak' .called 'ELM'. and 'elm' of task 'tree'"):
        build(classnames={"Oak": "ELM"})
    rows: list[list[object]] = [[f"Oak/{n}.jpg", 0, "Oak"] for n in range(3)]
    rows += [[f"elm/{n}.jpg", 1, "oak_"] for n in range(3)]
    split = {"train": rows[::3], "val": rows[1::3], "test": rows[2::3]}
    (tmp_path / "mine/split.json").write_text(json.dumps(split))
    with pytest.raises(InputError, match="'Oak' and 'oak_' of task 'tree'"):
        build(split="split.json")
    split["test"] = split["train"]
    for row in rows[3:]:
        row[2] = "elm"
    (tmp_path / "mine/split.json").write_text(json.dumps(split))
    with pytest.raises(InputError, match="Oak/0.jpg of task 'tree' is listed for training and for testing"):
        build(split="split.json")


def test_a_folder_with_too_long_a_name(tmp_path):
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"folder": "f" * 300, "tasks": [{"name": "tree"}]}))
    from dassl.data.datasets import build_dataset

    with pytest.raises(InputError, match="fff is missing"):
        build_dataset(dataset_config(tmp_path, register_collection(tmp_path / "mine.yaml")))
    write_images(tmp_path / "mine/x/a", 3)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"folder": "mine", "tasks": [{"name": "t" * 300}]}))
    with pytest.raises(InputError, match="ttt.* is missing"):
        build_dataset(dataset_config(tmp_path, register_collection(tmp_path / "mine.yaml")))

"""Garden-8's drawing: determinism, coverage of every class, and a folder that is always complete."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image

from common.errors import InputError
from datasets.drawing import (
    COMMON_STYLES,
    RARE_STYLES,
    STYLES,
    TASKS,
    Scene,
    attributes,
    draw,
    garden_scene,
    random_scene,
    write_collection,
)
from datasets.drawing.captions import WORDS, caption, words_for
from datasets.drawing.collection import SPLITS, STYLE_WEIGHTS
from datasets.drawing.place import _host, slug, sweep, temporary
from datasets.drawing.styles import LOOKS

TINY: dict[str, Any] = {"per_class": (1, 1, 1), "size": 24}


def pixels(scene: Scene, size: int = 48) -> np.ndarray:
    return np.asarray(draw(scene, size), dtype=np.int16)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return write_collection(tmp_path_factory.mktemp("data"), **TINY, workers=1)


def test_eight_tasks_with_at_least_fifty_six_classes():
    assert len(TASKS) == 8
    assert sum(len(task.classes) for task in TASKS) >= 56
    for task in TASKS:
        assert task.template.count("{}") == 1
        assert len(set(task.keys)) == len(task.keys)
        assert len(set(task.classnames)) == len(task.classnames)


def test_every_style_has_a_look_and_a_share():
    assert set(LOOKS) == set(STYLES) == set(STYLE_WEIGHTS)
    assert sum(STYLE_WEIGHTS.values()) == pytest.approx(1.0)
    assert min(STYLE_WEIGHTS[s] for s in RARE_STYLES) > max(STYLE_WEIGHTS[s] for s in COMMON_STYLES)


def test_a_scene_has_one_picture():
    scene = garden_scene(0, "setting", "pond", "train", 0)
    assert np.array_equal(pixels(scene), pixels(scene))
    assert draw(scene, 40).size == (40, 40)


def test_another_seed_or_number_is_another_scene():
    scenes = [garden_scene(seed, "weather", "rain", split, k) for seed in (0, 1) for split in SPLITS for k in range(4)]
    assert len(set(scenes)) == len(scenes)
    pictures = [pixels(s) for s in scenes]
    gaps = [np.abs(a - b).mean() for k, a in enumerate(pictures) for b in pictures[:k]]
    assert min(gaps) > 4


@pytest.mark.parametrize("task", TASKS, ids=lambda t: t.attribute)
def test_every_class_is_drawn_and_changes_the_picture(task):
    base = random_scene(Random(3), {"paint": 1.0}, task.attribute, task.keys[0])
    if task.attribute == "leaf_shape":
        base = replace(base, leaf_arrangement="opposite")
    pictures = [pixels(replace(base, **{task.attribute: key})) for key in task.keys]
    for k, a in enumerate(pictures):
        assert a.std() > 15
        for b in pictures[:k]:
            assert np.abs(a - b).max() > 25


@pytest.mark.parametrize("style", STYLES)
def test_every_style_is_drawn(style):
    scene = replace(garden_scene(0, "petal_colour", "red", "train", 0), style=style)
    assert pixels(scene).std() > 8


def test_styles_differ():
    scene = garden_scene(0, "petal_colour", "red", "train", 0)
    pictures = [pixels(replace(scene, style=style)) for style in STYLES]
    assert min(np.abs(a - b).mean() for k, a in enumerate(pictures) for b in pictures[:k]) > 1


def test_petals_have_their_colour():
    for key, strong in (("red", 0), ("blue", 2)):
        scene = replace(
            garden_scene(0, "petal_colour", key, "train", 1),
            style="paint",
            weather="sunny",
            setting="beach",
            petal_count="eight",
            petal_shape="round",
            framing="blossom",
        )
        other = replace(scene, petal_colour="white")
        changed = np.abs(pixels(scene) - pixels(other)).sum(axis=2) > 60
        mean = pixels(scene)[changed].mean(axis=0)
        assert changed.sum() > 100 and mean.argmax() == strong


def test_labelled_attribute_is_kept_and_visible():
    for k in range(60):
        assert garden_scene(0, "leaf_shape", "oak", "train", k).leaf_arrangement != "leafless"
        scene = garden_scene(0, "centre_colour", "red", "train", k)
        assert scene.centre_colour == "red" and scene.petal_colour != "red"


def test_unknown_names_are_errors():
    with pytest.raises(ValueError):
        draw(replace(garden_scene(0, "leaf_shape", "oak", "train", 0), leaf_shape="cube"), 24)
    with pytest.raises(ValueError):
        random_scene(Random(0), {"paint": 1.0}, "setting")


def test_captions_are_true():
    rng = Random(5)
    texts = set()
    misused = {0.0: 0, 0.9: 0}
    for k in range(800):
        scene = random_scene(rng, STYLE_WEIGHTS)
        loose = (0.0, 0.9)[k % 2]
        line = caption(rng, scene, rare=0.5, loose=loose)
        shown = attributes(scene)
        claims = [(t, c) for t, c in enumerate(line.claims) if c >= 0]
        assert claims and all(shown[t] == c for t, c in claims)
        assert line.style in ("", scene.style)
        texts.add(line.text)
        for t, _ in claims:
            valid = [w for words in words_for(TASKS[t].attribute, TASKS[t].keys[shown[t]]) for w in words]
            misused[loose] += not any(w in line.text for w in valid)
    assert len(texts) > 500
    assert misused[0.0] == 0 and misused[0.9] > 20
    assert all(set(WORDS[task.attribute]) == set(task.keys) for task in TASKS)


def test_split_lists_every_picture_once(tmp_path):
    folder = write_collection(tmp_path, per_class=(2, 1, 3), size=16, workers=2)
    split = json.loads((folder / "split.json").read_text(encoding="utf-8"))
    listed = []
    for entry, task in zip(split["tasks"], TASKS, strict=True):
        assert (entry["name"], entry["classnames"], entry["template"]) == (
            task.name,
            list(task.classnames),
            task.template,
        )
        for name, count in zip(SPLITS, (2, 1, 3), strict=True):
            labels = [label for _, label in entry[name]]
            assert sorted(labels) == sorted(list(range(len(task.classes))) * count)
            listed += [path for path, _ in entry[name]]
    assert len(set(listed)) == len(listed) == 6 * sum(len(t.classes) for t in TASKS)
    assert {p for p in files(folder) if p.endswith(".jpg")} == set(listed)
    with Image.open(folder / listed[0]) as image:
        assert image.size == (16, 16) and image.mode == "RGB"


def test_the_number_of_processes_does_not_change_the_bytes(tiny, tmp_path):
    assert files(write_collection(tmp_path, **TINY, workers=3)) == files(tiny)


def test_a_finished_folder_is_left_alone(tiny):
    before = {p: p.stat().st_mtime_ns for p in tiny.rglob("*.jpg")}
    assert write_collection(tiny.parent, **TINY, workers=1) == tiny
    assert {p: p.stat().st_mtime_ns for p in tiny.rglob("*.jpg")} == before


@pytest.mark.parametrize("damage", ["no split", "truncated split", "missing class", "other size", "earlier version"])
def test_an_unfinished_folder_is_drawn_again(tiny, tmp_path, damage):
    folder = tmp_path / "garden8"
    if damage != "other size":
        shutil.copytree(tiny, folder)
    if damage == "no split":
        (folder / "split.json").unlink()
    elif damage == "truncated split":
        (folder / "split.json").write_text((tiny / "split.json").read_text()[:100])
    elif damage == "missing class":
        shutil.rmtree(folder / "images" / slug(TASKS[6].name) / slug(TASKS[6].classnames[3]))
    elif damage == "earlier version":
        without_hashes(folder / "split.json")
    else:
        write_collection(tmp_path, **{**TINY, "size": 25}, workers=1)
        assert files(folder) != files(tiny)
    write_collection(tmp_path, **TINY, workers=1)
    assert files(folder) == files(tiny)
    assert [p.name for p in tmp_path.iterdir()] == ["garden8"]


def without_hashes(path: Path) -> None:
    """Make split.json what earlier versions wrote."""
    split = json.loads(path.read_text())
    path.write_text(json.dumps({key: split[key] for key in split if key not in ("files", "sha256")}, indent=1))


def its_own(folder: Path) -> None:
    (folder / "rose").mkdir(parents=True)
    (folder / "rose/1.jpg").write_bytes(b"mine")


def its_own_split(folder: Path) -> None:
    folder.mkdir()
    (folder / "split.json").write_text('{"train": [], "val": [], "test": []}')


FIRST = f"images/{slug(TASKS[0].name)}/{slug(TASKS[0].classnames[0])}"


def a_file(folder: Path) -> None:
    folder.write_text("mine")


def a_task_of_its_own(folder: Path) -> None:
    (folder / "images/my task").mkdir(parents=True)


def a_linked_folder(folder: Path) -> None:
    folder.mkdir()
    (folder.parent / "photos").mkdir()
    (folder / "images").symlink_to(folder.parent / "photos")


def an_unfinished_one_with(name: str) -> Callable[[Path], None]:
    """One of ours without hashes and a task, with a file of the user's own."""

    def write(folder: Path) -> None:
        write_collection(folder.parent, **TINY, workers=1)
        without_hashes(folder / "split.json")
        shutil.rmtree(folder / "images" / slug(TASKS[6].name))
        (folder / name).write_bytes(b"mine")

    return write


def only(name: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(b"mine")

    return write


@pytest.mark.parametrize(
    "write",
    [
        its_own,
        its_own_split,
        a_file,
        a_task_of_its_own,
        a_linked_folder,
        only(f"{FIRST}/000.jpg"),  # ours by its name, but not by its content
        only(f"{FIRST}/999.jpg"),
        an_unfinished_one_with(f"{FIRST}/000.jpg"),
        an_unfinished_one_with("notes.txt"),
    ],
)
def test_a_folder_of_the_users_own_is_refused(write, tmp_path):
    folder = tmp_path / "garden8"
    write(folder)
    before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*") if not path.is_dir()}
    with pytest.raises(InputError, match=f"is in the way of Garden-8.*Move {folder} away.*--data"):
        write_collection(tmp_path, **TINY, workers=1)
    assert before == {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*") if not path.is_dir()}
    assert not list(tmp_path.glob(".garden8-*"))


def test_a_collection_with_other_settings_and_a_file_of_the_users_own_is_refused(tiny, tmp_path):
    folder = write_collection(tmp_path, **{**TINY, "size": 25}, workers=1)
    (folder / "notes.txt").write_text("mine")
    before = files(folder)
    with pytest.raises(InputError, match="notes.txt is in the way"):
        write_collection(tmp_path, **TINY, workers=1)
    assert files(folder) == before
    assert write_collection(tmp_path, **{**TINY, "size": 25}, workers=1) == folder and files(folder) == before


@pytest.mark.parametrize(
    "old, new", [('"train": [\n    [\n     "images', '"train": [\n    [\n     "omages'), (",\n     0\n", ",\n     1\n")]
)
def test_a_changed_list_is_kept_and_written_again(old, new, tiny, tmp_path, capsys):
    folder = tmp_path / "garden8"
    shutil.copytree(tiny, folder)
    text = (folder / "split.json").read_text()
    assert old in text
    (folder / "split.json").write_text(text.replace(old, new, 1))
    write_collection(tmp_path, **TINY, workers=1)
    there = files(folder)
    assert there.pop("split.json.old1").decode() == text.replace(old, new, 1) and there == files(tiny)
    assert "split.json.old1" in capsys.readouterr().err
    before = there
    write_collection(tmp_path, **TINY, workers=1)
    assert {name: content for name, content in files(folder).items() if name in before} == before


def test_what_killed_processes_left_is_swept(tiny, tmp_path):
    gone = multiprocessing_pid()
    here, its_own = f".garden8-{_host()}", temporary(tmp_path)
    swept = [f"{here}-{gone}-abcdef_1", ".garden8-other-1-abcdef_2"]
    kept = [its_own.name, f"{here}-{os.getpid()}-abcdef_3", ".garden8-other-1-abcdef_4"]
    with_more = f"{here}-{gone}-abcdef_5"
    for name in (*swept, *kept, with_more):
        shutil.copytree(tiny, tmp_path / name, dirs_exist_ok=True)
    for name in (swept[1], kept[0], kept[1]):
        os.utime(tmp_path / name, (0, 0))  # the age of those of this host does not matter
    (tmp_path / with_more / "mine.txt").write_text("mine")
    write_collection(tmp_path, **TINY, workers=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["garden8", *kept, with_more])
    assert files(tmp_path / with_more) == {"mine.txt": b"mine"}
    assert all(files(tmp_path / name) == files(tiny) for name in kept)


@pytest.mark.parametrize(
    "name",
    ["backup", "old", "old-abcdef_1", "backup-2", "2-abcdef_1", "HOST-abcdef_1", "HOST-PID", "HOST-PID-old-abcdef_1",
     "HOST-PID-backup-2", "HOST-PID-Backup24", "HOST-0-abcdef_1", "HOST-1.5-abcdef_1", "other-1-copy"],
)  # fmt: skip
def test_folders_with_other_names_are_never_swept(name, tiny, tmp_path):
    """A user's copy of the collection, however old it is."""
    name = ".garden8-" + name.replace("HOST", _host()).replace("PID", str(multiprocessing_pid()))
    shutil.copytree(tiny, tmp_path / name)
    os.utime(tmp_path / name, (0, 0))
    sweep(tmp_path)
    assert files(tmp_path / name) == files(tiny)


def multiprocessing_pid() -> int:
    """The number of a process that has ended."""
    process = get_context("spawn").Process(target=print)
    process.start()
    process.join()
    assert process.pid
    return process.pid


def test_nothing_is_left_when_drawing_fails(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("datasets.drawing.collection._draw_all", fail)
    with pytest.raises(OSError, match="disk full"):
        write_collection(tmp_path, **TINY, workers=1)
    assert list(tmp_path.iterdir()) == []


def test_two_processes_at_once(tiny, tmp_path):
    context = get_context("spawn")
    both = [context.Process(target=write_collection, args=(tmp_path, 0, (1, 1, 1), 24, 1)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
        assert process.exitcode == 0
    assert files(tmp_path / "garden8") == files(tiny)
    assert [p.name for p in tmp_path.iterdir()] == ["garden8"]


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    from datasets.garden8 import Garden8
    from tests.support.configs import dataset_config

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("datasets.drawing.collection._draw_all", full)
    with pytest.raises(InputError, match=f"no space left on {tmp_path}"):
        Garden8.read_tasks(object.__new__(Garden8), dataset_config(tmp_path, ""), tmp_path)
    assert list(tmp_path.iterdir()) == []

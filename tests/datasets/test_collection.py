"""Collections: draws, splits, folders, images, and their error messages."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from common.errors import InputError
from common.files import read_record, sealed
from datasets.collection import half, select_classes, select_tasks
from datasets.declared import register_collection
from datasets.fewshot import TaskImages, draw, few_shot, name_fewer, own_shots, split_in_three
from datasets.folders import list_images, read_class_folders
from datasets.images import SeededImages, read_image
from datasets.split_files import read_split
from prompting.tasks import Task
from tests.support.configs import dataset_config
from tests.support.images import write_images

SAMPLES = [(f"{c}/{i}.jpg", c) for c in range(3) for i in range(20)]
NAMES = ("rose", "tulip", "daisy")


def test_draws_are_nested_and_depend_only_on_seed_source_and_class():
    by_shots = {n: few_shot(SAMPLES, n, 1, "flowers", NAMES) for n in (1, 2, 4, 8, 16)}
    for fewer, more in ((1, 2), (2, 4), (4, 8), (8, 16)):
        assert set(by_shots[fewer]) < set(by_shots[more])
    assert [sum(c == k for _, c in by_shots[4]) for k in range(3)] == [4, 4, 4]
    assert few_shot(SAMPLES, 4, 1, "flowers", NAMES) == by_shots[4]
    assert few_shot(SAMPLES, 4, 2, "flowers", NAMES) != by_shots[4]
    assert few_shot(SAMPLES, 4, 1, "pets", NAMES) != by_shots[4]
    only_last = [s for s in SAMPLES if s[1] == 2]
    assert few_shot(only_last, 4, 1, "flowers", NAMES, allow_fewer=True) == by_shots[4][8:]


def test_draws_are_the_same_on_every_machine():
    assert draw(list("abcdefgh"), 1, "flowers", "rose") == list("egdchabf")


def test_too_many_shots_is_an_error_that_names_the_class():
    with pytest.raises(
        InputError, match="21 shots asked for, but class 'rose' of task 'flowers' has 20 training images"
    ):
        few_shot(SAMPLES, 21, 1, "flowers", NAMES)
    assert len(few_shot(SAMPLES, 21, 1, "flowers", NAMES, allow_fewer=True)) == 60
    assert few_shot(SAMPLES, -1, 1, "flowers", NAMES) == SAMPLES


def test_classes_with_fewer_images_than_shots_are_named(capsys):
    train = [sample for sample in SAMPLES if sample[0] not in ("1/0.jpg", "2/0.jpg", "2/1.jpg")]
    tasks = [TaskImages(Task(name, NAMES), name, NAMES, train) for name in ("flowers", "pets")]
    name_fewer(tasks, 18)
    assert capsys.readouterr().err == ""
    name_fewer(tasks, 20)
    line = "4 classes have fewer than 20 training images: "
    line += "daisy of flowers (18), daisy of pets (18), tulip of flowers (19) and 1 other.\n"
    assert capsys.readouterr().err == line


def test_a_folder_is_split_50_20_30_within_classes():
    parts = split_in_three(SAMPLES, "flowers", NAMES)
    assert [len(p) for p in parts] == [30, 12, 18]
    assert sorted(sum(parts, [])) == sorted(SAMPLES)
    assert [len(p) for p in split_in_three([("a", 0), ("b", 0)], "s", NAMES)] == [1, 0, 1]
    with pytest.raises(InputError, match="'rose' of task 's' has a single image"):
        split_in_three([("a", 0)], "s", NAMES)


def test_reading_class_folders(tmp_path):
    for name in ("b_flower", "a", ".hidden"):
        write_images(tmp_path / name, 2)
    (tmp_path / "a" / "notes.txt").write_text("no image")
    (tmp_path / "a" / "._0.jpg").write_bytes(b"junk")
    folders, names, samples = read_class_folders(tmp_path, "t", {"a": "aster"})
    assert folders == ("a", "b_flower") and names == ("aster", "b flower") and [c for _, c in samples] == [0, 0, 1, 1]
    assert [p.rsplit("/", 1)[1] for p in list_images(tmp_path / "a")] == ["0.jpg", "1.jpg"]


def test_folders_that_cannot_be_read(tmp_path):
    cases = {"is missing": tmp_path / "none"}
    (tmp_path / "empty").mkdir()
    cases["has no class folders"] = tmp_path / "empty"
    (tmp_path / "noimages" / "rose").mkdir(parents=True)
    cases["noimages/rose of task 't' holds no images"] = tmp_path / "noimages"
    for message, folder in cases.items():
        with pytest.raises(InputError, match=message):
            read_class_folders(folder, "t", {})
    for name in ("a_b", "a b"):
        write_images(tmp_path / "twice" / name, 1)
    with pytest.raises(InputError, match="'a b' and 'a_b' of task 't'"):
        read_class_folders(tmp_path / "twice", "t", {})
    with pytest.raises(InputError, match="names the class folder 'rose', which is not in"):
        read_class_folders(tmp_path / "twice", "t", {"rose": "Rose"})


def test_views_depend_only_on_seed_epoch_and_image(tmp_path):
    from dassl.data.datasets import Datum
    from dassl.data.transforms import build_transform

    write_images(tmp_path / "a", 4)
    cfg = dataset_config(tmp_path, "")
    cfg.INPUT.TRANSFORMS = ("random_resized_crop", "random_flip", "normalize")
    data = [Datum(impath=str(tmp_path / "a" / f"{i}.jpg")) for i in range(4)]

    def wrap(items, epoch):
        images = SeededImages(cfg, items, transform=build_transform(cfg, is_train=True), is_train=True)
        images.epoch = epoch
        return images

    first = [wrap(data, 3)[i]["img"] for i in range(4)]
    torch.manual_seed(99)
    state = torch.get_rng_state()
    again = [wrap(data[::-1], 3)[3 - i]["img"] for i in range(4)]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert torch.equal(state, torch.get_rng_state())
    assert not torch.equal(first[0], wrap(data, 4)[0]["img"])


def test_reading_images_of_every_mode(tmp_path):
    for mode in ("L", "P", "CMYK", "RGBA", "1", "I;16"):
        path = tmp_path / f"{mode.replace(';', '')}.{'jpg' if mode in ('L', 'CMYK') else 'png'}"
        Image.new(mode, (8, 6)).save(path)
        assert read_image(str(path)).mode == "RGB" and read_image(str(path)).size == (8, 6)
    deep = Image.fromarray(np.full((6, 8), 0x5C00, np.uint16))
    deep.save(tmp_path / "deep.png")
    assert read_image(str(tmp_path / "deep.png")).getpixel((0, 0)) == (0x5C,) * 3
    rotated = Image.new("RGB", (8, 6))
    exif = rotated.getexif()
    exif[0x0112] = 6
    rotated.save(tmp_path / "rotated.jpg", exif=exif)
    assert read_image(str(tmp_path / "rotated.jpg")).size == (6, 8)
    write_images(tmp_path, 1)
    whole = (tmp_path / "0.jpg").read_bytes()
    for number, content in enumerate((b"", b"text", whole[: len(whole) // 2])):
        (tmp_path / f"bad{number}.jpg").write_bytes(content)
        with pytest.raises(InputError, match=f"bad{number}.jpg cannot be read"):
            read_image(str(tmp_path / f"bad{number}.jpg"))
    with pytest.raises(InputError, match="cannot be read"):
        read_image(str(tmp_path / "none.jpg"))


def test_no_image_is_decoded_twice(tmp_path, monkeypatch):
    from dassl.data.datasets import Datum
    from dassl.data.transforms import build_transform
    from torch.utils.data import DataLoader

    from datasets import images as module
    from datasets.images import EpochViews

    write_images(tmp_path / "a", 6)
    cfg = dataset_config(tmp_path, "")
    data = [Datum(impath=str(tmp_path / "a" / f"{i}.jpg")) for i in range(6)]
    images = SeededImages(cfg, data, transform=build_transform(cfg, is_train=True), is_train=True)
    decoded = []
    original = module.read_image
    monkeypatch.setattr(module, "read_image", lambda path: decoded.append(path) or original(path))
    images.decode_ahead(2)
    assert sorted(decoded) == sorted(item.impath for item in data)
    for path in decoded:
        Path(path).unlink()  # decoding again in a worker would fail
    views = torch.cat(list(DataLoader(EpochViews(images, [0, 1, 2]), batch_size=4, num_workers=2)))
    assert len(views) == 18 and len(decoded) == 6
    # Images beyond the limit are decoded when needed and not kept.
    write_images(tmp_path / "a", 6)
    small = SeededImages(cfg, data, transform=build_transform(cfg, is_train=True), is_train=True)
    monkeypatch.setattr(module, "CACHE_BYTES", 2.5 * 40 * 36 * 4)
    decoded.clear()
    small.decode_ahead(2)
    assert (
        len(decoded) <= 16
        and len(small._decoded) == 2
        and small.view(5, 0).shape == (3, 32, 32)
        and len(small._decoded) == 2
    )


def test_the_two_halves_of_classes_and_tasks():
    """The released code's rule: the first half is rounded up."""
    assert half(5, "base") == range(3) and half(5, "new") == range(3, 5) and half(5, "all") == range(5)
    samples = [(f"{c}.jpg", c) for c in range(3)]
    tasks = [TaskImages(Task(n, NAMES), n, NAMES, samples, samples, samples) for n in "abc"]
    assert [t.task.name for t in select_tasks(tasks, "base")] == ["a", "b"]
    assert [t.task.name for t in select_tasks(tasks, "new")] == ["c"]
    assert [t.task.name for t in select_tasks(tasks, "task1")] == ["b"]
    with pytest.raises(
        InputError, match="DATASET.SUBSAMPLE_TASKS is 'task3'; it must be all, base, new, task0, task1 or"
    ):
        select_tasks(tasks, "task3")
    for which in ("task0+task2", "task2+task0", "task2+task0+task2"):
        assert [t.task.name for t in select_tasks(tasks, which)] == ["a", "c"]
    for which in ("task0+task3", "base+task2", "task0+", "", "task00", "task-1", "Task0"):
        with pytest.raises(InputError, match="task1 or task2, or several such tasks joined by") as error:
            select_tasks(tasks, which)
        assert f"is '{which}'" in str(error.value)
    with pytest.raises(InputError, match="all, base, new or task0 to task11, or"):
        select_tasks(tasks * 4, "task12")
    assert len(select_tasks(tasks[:1], "all")) == len(select_tasks(tasks[:1], "task0")) == 1
    for part in ("base", "new"):
        with pytest.raises(InputError, match=f"is '{part}', but there is a single task"):
            select_tasks(tasks[:1], part)
        with pytest.raises(InputError, match=f"is '{part}', but task 'a' has a single class"):
            select_classes(Task("a", ("rose",)), part)
    new = tasks[0].with_classes(range(2, 3))
    assert new.task.classnames == ("daisy",) == new.folders and new.train == new.val == new.test == [("2.jpg", 0)]


def shots(root: Path, source: str = "plants/flowers", count: int = 20, allow_fewer: bool = False) -> TaskImages:
    """Two shots of three classes with ``count`` training images each."""
    train = [(str(root / f"{c}/{i}.jpg"), c) for c in range(3) for i in range(count)]
    val = [(str(root / f"v{c}/{i}.jpg"), c) for c in range(3) for i in range(3)]
    return own_shots(TaskImages(Task("t", NAMES), source, NAMES, train, val, []), 2, 1, root, allow_fewer)


RECORD = ".few_shot/plants/flowers/shots_2-seed_1.json"


def test_draws_are_recorded(tmp_path, capsys):
    first = shots(tmp_path)
    path = tmp_path / RECORD
    text = path.read_text()
    record = json.loads(text)
    names = [[file.removeprefix(f"{tmp_path}/"), label] for file, label in first.train]
    assert record["train"] == names and len(names) == 6 and len(record["val"]) == 6
    assert list(path.parent.iterdir()) == [path] and read_record(path)["train"] == names
    written = path.stat().st_mtime_ns
    assert shots(tmp_path) == first and path.stat().st_mtime_ns == written and not capsys.readouterr().err
    del record["sha256"]  # as earlier versions wrote it
    path.write_text(json.dumps(record, indent=0))
    assert shots(tmp_path) == first and path.read_text() == text and not capsys.readouterr().err
    fewer = shots(tmp_path, count=19)  # other files
    error = capsys.readouterr().err
    assert "plants/flowers have changed" in error and str(path) in error and error.count("\n") == 1
    assert fewer.train != first.train and path.read_text() != text


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: record["train"][0].__setitem__(1, 2),  # a flipped index
        lambda record: record["train"][0].__setitem__(1, -1),
        lambda record: record["train"][0].__setitem__(0, None),
        lambda record: record["train"].__setitem__(1, record["train"][0]),  # an image twice
        lambda record: record["val"].append(["test/0.jpg", 0]),
        lambda record: record.update(train=None),
        lambda record: record.pop("files"),
    ],
)
@pytest.mark.parametrize("seal", ["kept", "made again", "removed"])
def test_nothing_is_taken_from_a_damaged_record(damage, seal, tmp_path, capsys):
    first, path = shots(tmp_path), tmp_path / RECORD
    text = path.read_text()
    record = json.loads(text)
    if seal != "kept":
        del record["sha256"]
    damage(record)
    path.write_text(json.dumps(sealed(record) if seal == "made again" else record))
    assert shots(tmp_path) == first and path.read_text() == text
    error = capsys.readouterr().err
    assert str(path) in error and "drawn again" in error and error.count("\n") == 1


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"files": NaN}'])
def test_a_record_that_is_not_one(content, tmp_path, capsys):
    first, path = shots(tmp_path), tmp_path / RECORD
    path.write_bytes(content)
    assert shots(tmp_path) == first and read_record(path)["files"]
    assert capsys.readouterr().err.count("\n") == 1


def test_a_record_of_fewer_shots_does_not_allow_fewer(tmp_path):
    assert len(shots(tmp_path, count=1, allow_fewer=True).train) == 3
    with pytest.raises(InputError, match="'rose' of task 'plants/flowers' has 1 training image;"):
        shots(tmp_path, count=1)


def test_a_named_pipe_in_place_of_a_record_is_left_alone(tmp_path, capsys):
    path = tmp_path / RECORD
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    assert len(shots(tmp_path).train) == 6 and path.is_fifo() and str(path) in capsys.readouterr().err


@pytest.mark.parametrize("source", ["../photos", "../../photos/kinds", "/photos/kinds", "a/../../photos"])
def test_records_stay_in_their_folder(source, tmp_path):
    root = tmp_path / "deep/data"
    root.mkdir(parents=True)
    shots(root, source)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 1 and files[0].is_relative_to(root / ".few_shot") and not Path("/photos").exists()


def test_nothing_is_recorded_if_the_data_root_is_not_writable(tmp_path, capsys):
    (tmp_path / ".few_shot").write_text("in the way")
    assert len(shots(tmp_path, "s").train) == 6 and (tmp_path / ".few_shot").read_text() == "in the way"
    assert not capsys.readouterr().err


def test_the_same_shots_alone_and_in_a_collection(tmp_path):
    """A source's shots do not depend on the collection it is in or on the selected half of the classes."""
    from dassl.data.datasets import build_dataset

    for task in ("kinds", "colours"):
        for name in ("x", "y", "z"):
            write_images(tmp_path / "mine" / task / name, 12)
    entries = [{"name": "kind", "folder": "kinds"}, {"name": "colour", "folder": "colours"}]

    def build(name, tasks, **options):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({"folder": "mine", "tasks": tasks}))
        register_collection(tmp_path / f"{name}.yaml")
        cfg = dataset_config(tmp_path, name)
        for key, value in options.items():
            cfg.DATASET[key] = value
        return build_dataset(cfg)

    both, alone = build("both", entries), build("alone", entries[1:])
    new = build("both", entries, SUBSAMPLE_CLASSES="new", SUBSAMPLE_TASKS="task1")
    assert {d.impath for d in alone.train_x} == {d.impath for d in both.train_x if d.domain == 1}
    assert {d.impath for d in new.train_x} == {d.impath for d in alone.train_x if d.classname == "z"}
    assert new.layout.classnames == ("z",) and {d.label for d in new.test} == {0} and len(new.test) == 4
    with pytest.raises(InputError, match="SUBSAMPLE_CLASSES is 'half'; it must be all, base or new"):
        build("both", entries, SUBSAMPLE_CLASSES="half")


def test_a_split_is_checked_by_folder_not_by_file(tmp_path):
    """SUN397 lists 100,000 images; checking each of them would take minutes on a network drive."""
    rows = []
    for label in range(10):
        write_images(tmp_path / "images" / f"class{label}", 6, size=(2, 2))
        rows += [[f"class{label}/{number}.jpg", label, f"class{label}"] for number in range(6)]
    (tmp_path / "split.json").write_text(json.dumps({"train": rows[0::3], "val": rows[1::3], "test": rows[2::3]}))
    listed = []
    with pytest.MonkeyPatch.context() as patch:
        listdir = os.listdir
        patch.setattr(os, "listdir", lambda folder: listed.append(folder) or listdir(folder))
        patch.setattr(os, "stat", lambda *_, **__: pytest.fail("a single file is checked"))
        release = read_split(tmp_path / "split.json", tmp_path / "images")
    assert len(release.train) == 20 and len(release.keys) == 10 and len(listed) == 10


def test_what_killed_writers_of_records_left_is_swept(tmp_path):
    folder = (tmp_path / RECORD).parent
    folder.mkdir(parents=True)
    for name in (".shots_2-seed_1.json.999999999", ".mine.json.1"):
        (folder / name).write_text("half")
    shots(tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == [".mine.json.1", "shots_2-seed_1.json"]

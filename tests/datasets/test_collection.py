"""Collections: draws, splits, folder reading, declarations and what is said when they are wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from datasets.collection import list_images, read_class_folders, read_declaration, register_collection
from datasets.fewshot import draw, few_shot, split_in_three
from datasets.images import SeededImages, read_image
from prompting.errors import InputError
from tests.conftest import write_images

SAMPLES = [(f"{c}/{i}.jpg", c) for c in range(3) for i in range(20)]
NAMES = ("rose", "tulip", "daisy")
ROOT = Path(__file__).resolve().parents[2]


def test_draws_are_nested_and_depend_on_seed_source_and_class_alone():
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


def test_too_many_shots_names_the_class():
    with pytest.raises(
        InputError, match="21 shots asked for, but class 'rose' of task 'flowers' has 20 training images"
    ):
        few_shot(SAMPLES, 21, 1, "flowers", NAMES)
    assert len(few_shot(SAMPLES, 21, 1, "flowers", NAMES, allow_fewer=True)) == 60
    assert few_shot(SAMPLES, -1, 1, "flowers", NAMES) == SAMPLES


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
    with pytest.raises(InputError, match="'a b' is used twice"):
        read_class_folders(tmp_path / "twice", "t", {})
    with pytest.raises(InputError, match="names the class folder 'rose', which is not in"):
        read_class_folders(tmp_path / "twice", "t", {"rose": "Rose"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tasks: [", "not readable YAML"),
        ("tasks: []", "declares no tasks"),
        ("just text", "declares no tasks"),
        ("tasks: [{folder: a}]", "task 1 has no name"),
        ("tasks: [{name: a, template: a photo}]", "template has no {} for the class name"),
        ("tasks: [{name: a, metric: B}]", "task 'a': metric 'B' is unknown"),
        ("tasks: [{name: a, metrics: A}]", "task 'a': key 'metrics' is unknown"),
        ("tasks: [{name: a, metric: [A]}]", "task 'a': metric must be text"),
        ("tasks: [{name: a, template: 3}]", "task 'a': template must be text"),
        ("tasks: [{name: a, folder: 3}]", "task 'a': folder must be text"),
        ("tasks: [{name: a}]\nfolder: 3", "folder must be text, and is 3"),
        ("tasks: [{name: a, classnames: [x]}]", "classnames must map class folders to names"),
        (b"tasks: [{name: \xe9}]", "not readable YAML"),
        ("tasks: [{name: a}]\nroot: b", "key 'root' is unknown"),
    ],
)
def test_declarations_that_cannot_be_meant(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=message) as caught:
        read_declaration(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_the_shipped_declaration_is_sound():
    declaration = read_declaration(ROOT / "configs/collections/plants7.yaml")
    assert len(declaration["tasks"]) == 7 and declaration["config"] == "lite0_ep50"


def _config(root, name):
    from dassl.config import get_cfg_default

    import train

    cfg = get_cfg_default()
    train.extend_cfg(cfg)
    cfg.DATASET.ROOT, cfg.DATASET.NAME, cfg.SEED, cfg.DATASET.NUM_SHOTS = str(root), name, 1, 2
    cfg.INPUT.SIZE = (32, 32)
    return cfg


def test_a_declared_collection_as_a_dassl_dataset(tmp_path):
    from dassl.data.datasets import build_dataset

    for task in ("kinds", "colours"):
        for name in ("x", "y", "z"):
            write_images(tmp_path / "data" / "mine" / task / name, 10)
    declaration = {
        "folder": "mine",
        "tasks": [{"name": "kind", "folder": "kinds"}, {"name": "colour", "folder": "colours", "metric": "C"}],
    }
    (tmp_path / "mine2.yaml").write_text(yaml.safe_dump(declaration))
    assert register_collection(tmp_path / "mine2.yaml") == "mine2"
    dataset = build_dataset(_config(tmp_path / "data", "mine2"))
    assert dataset.num_classes == 6 and len(dataset.layout) == 2 and dataset.layout.tasks[1].metric == "C"
    assert len(dataset.train_x) == 12 and len(dataset.val) == 12 and len(dataset.test) == 18
    for item in dataset.train_x:
        assert item.label in dataset.layout.classes_of(item.domain)
        assert item.classname == dataset.layout.classnames[item.label]


def test_views_depend_on_seed_epoch_and_image_alone(tmp_path):
    from dassl.data.datasets import Datum
    from dassl.data.transforms import build_transform

    write_images(tmp_path / "a", 4)
    cfg = _config(tmp_path, "")
    cfg.INPUT.TRANSFORMS = ("random_resized_crop", "random_flip", "normalize")
    data = [Datum(impath=str(tmp_path / "a" / f"{i}.jpg")) for i in range(4)]

    def wrapped(items, epoch):
        images = SeededImages(cfg, items, transform=build_transform(cfg, is_train=True), is_train=True)
        images.epoch = epoch
        return images

    first = [wrapped(data, 3)[i]["img"] for i in range(4)]
    torch.manual_seed(99)
    state = torch.get_rng_state()
    again = [wrapped(data[::-1], 3)[3 - i]["img"] for i in range(4)]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert torch.equal(state, torch.get_rng_state())
    assert not torch.equal(first[0], wrapped(data, 4)[0]["img"])


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
    cfg = _config(tmp_path, "")
    data = [Datum(impath=str(tmp_path / "a" / f"{i}.jpg")) for i in range(6)]
    wrapped = SeededImages(cfg, data, transform=build_transform(cfg, is_train=True), is_train=True)
    seen = []
    original = module.read_image
    monkeypatch.setattr(module, "read_image", lambda path: seen.append(path) or original(path))
    wrapped.decode_ahead(2)
    assert sorted(seen) == sorted(item.impath for item in data)
    for path in seen:
        Path(path).unlink()  # a worker that decoded again would fail
    views = torch.cat(list(DataLoader(EpochViews(wrapped, [0, 1, 2]), batch_size=4, num_workers=2)))
    assert len(views) == 18 and len(seen) == 6
    # What does not fit is decoded when it is needed, and nothing is kept beyond the limit.
    write_images(tmp_path / "a", 6)
    small = SeededImages(cfg, data, transform=build_transform(cfg, is_train=True), is_train=True)
    monkeypatch.setattr(module, "CACHE_BYTES", 2.5 * 40 * 36 * 4)
    seen.clear()
    small.decode_ahead(2)
    assert (
        len(seen) <= 16
        and len(small._decoded) == 2
        and small.view(5, 0).shape == (3, 32, 32)
        and len(small._decoded) == 2
    )


def test_better_names_do_not_change_the_split(tmp_path):
    """The split goes by folders: whoever renames a task or a class must not move test images into training."""
    from dassl.data.datasets import build_dataset

    for name in ("x", "y"):
        write_images(tmp_path / "data" / "mine" / "kinds" / name, 20)
    drawn = []
    for task, names in (("kind", {}), ("kind of flower", {"x": "xenia"})):
        declaration = {"folder": "mine", "tasks": [{"name": task, "folder": "kinds", "classnames": names}]}
        (tmp_path / "mine3.yaml").write_text(yaml.safe_dump(declaration))
        register_collection(tmp_path / "mine3.yaml")
        dataset = build_dataset(_config(tmp_path / "data", "mine3"))
        drawn.append([[item.impath for item in part] for part in (dataset.train_x, dataset.val, dataset.test)])
    assert drawn[0] == drawn[1]

"""The data sets of upstream on miniatures of their layouts.

test_side_by_side.py compares their lists with upstream's; here are training on them, and what a user may get wrong.
"""

from __future__ import annotations

import os
import pickle
import random
import shutil
import sys
import types
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from dassl.data.datasets import DatasetBase, Datum, build_dataset
from dassl.data.datasets.archives import extract_archive
from dassl.data.datasets.da import digit5
from dassl.data.datasets.dg import digit_single
from dassl.data.datasets.dg.wilds import wilds_base
from dassl.data.datasets.folders import label_in_name, read_list
from dassl.engine import build_trainer

from .side_by_side.data_sets import REFUSED, VALID, data_set_cfg, write, write_layouts


@pytest.fixture(scope="session")
def complete(tmp_path_factory):
    """A data root with every miniature."""
    root = tmp_path_factory.mktemp("layouts")
    write_layouts(str(root))
    return root


@pytest.fixture
def root(complete, tmp_path):
    """A copy of the data root that a test may change."""
    return shutil.copytree(complete, tmp_path / "data")


def build(root, name, sources=(), targets=(), **more):
    return build_dataset(data_set_cfg(str(root), name, list(sources), list(targets), more))


def short(items, root):
    return [(os.path.relpath(item.impath, root), item.label) for item in items]


@pytest.mark.parametrize("case", VALID, ids=lambda case: f"{case[0]}-{'-'.join(case[1])}")
def test_one_epoch_of_training(cfg, complete, case):
    name, sources, targets, more = case
    cfg.DATASET = data_set_cfg(str(complete), name, sources, targets, more).DATASET
    cfg.INPUT.SIZE = (8, 8)
    cfg.OPTIM.MAX_EPOCH = 1
    cfg.DATALOADER.TRAIN_X.BATCH_SIZE = 2
    trainer = build_trainer(cfg)
    assert (trainer.train_loader_u is None) == (trainer.dm.dataset.train_u is None)
    assert (trainer.val_loader is None) == (trainer.dm.dataset.val is None)
    trainer.train()
    assert trainer.num_source_domains == len(sources) and len(trainer.seen) == len(trainer.dm.dataset.train_x) // 2


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: "-".join(map(str, case)))
def test_errors_name_the_setting_in_one_line(complete, case):
    name, sources, targets, more = case
    with pytest.raises(ValueError, match=r"DATASET\.\w+|Input domain must belong to .*\[\w+\]") as caught:
        build(complete, name, sources, targets, **more)
    assert "\n" not in str(caught.value)
    if more and "cifar10_c" not in sources and "cifar10" not in targets:
        assert str(list(more.values())[-1]) in str(caught.value)


@pytest.mark.parametrize("case", [*VALID, ("Digit5", ["mnist"], ["svhn"], {})], ids=lambda case: case[0])
def test_missing_data_is_reported_in_one_line(tmp_path, case, monkeypatch):
    name, sources, targets, more = case
    monkeypatch.setattr(DatasetBase, "download_data", lambda self, url, dst, from_gdrive=True: None)
    with pytest.raises((FileNotFoundError, ValueError), match=f"{tmp_path}.*DATASET.ROOT") as caught:
        build(tmp_path, name, sources, targets, **more)
    assert "\n" not in str(caught.value)


def test_folders_as_downloaded(root):
    for domain in ("amazon", "dslr"):
        folder = root / "office31" / domain
        folder.rename(root / "inner")
        folder.mkdir()
        (root / "inner").rename(folder / "images")
    dataset = build(root, "Office31", ["amazon"], ["dslr"])
    assert dataset.classnames == ["back_pack", "bike", "mobile_phone"] and len(dataset.test) == 6
    for old, new in (("art", "Art"), ("real_world", "Real World")):
        (root / "office_home" / old).rename(root / "office_home" / new)
    dataset = build(root, "OfficeHome", ["art"], ["real_world"])
    assert dataset.classnames == ["alarm_clock", "backpack", "toothbrush"] and "Real World" in dataset.test[0].impath
    shutil.rmtree(root / "office_home" / "Art")
    with pytest.raises(FileNotFoundError, match="No folder art in .*office_home, only Real World, clipart, product"):
        build(root, "OfficeHome", ["art"], ["real_world"])


def test_files_beside_class_folders_are_not_classes(root):
    expected = short(build(root, "OfficeHome", ["art"], ["clipart"]).train_x, root)
    write(str(root), "office_home/art/ImageInfo.csv", "a,b")
    assert short(build(root, "OfficeHome", ["art"], ["clipart"]).train_x, root) == expected


@pytest.mark.parametrize(
    "name, source, target, folder",
    [
        ("Office31", "amazon", "dslr", "office31/dslr/back_pack"),
        ("OfficeHome", "art", "clipart", "office_home/clipart/Alarm_Clock"),
        ("OfficeHomeDG", "art", "product", "office_home_dg/product/val/Alarm_Clock"),
        ("DigitsDG", "mnist", "svhn", "digits_dg/svhn/train/0"),
        ("VLCS", "sun", "pascal", "VLCS/PASCAL/test/0"),
        ("CIFAR10C", "cifar10", "cifar10_c", "cifar10_c/fog/1/000"),
    ],
)
def test_a_missing_class_folder_does_not_shift_labels(root, name, source, target, folder):
    shutil.rmtree(root / folder)
    with pytest.raises(ValueError, match="[Ll]abel.*same class"):
        build(root, name, [source], [target], CIFAR_C_TYPE="fog")


def test_files_that_are_not_jpeg_are_counted(root, capsys):
    write(str(root), "VLCS/SUN/train/0/extra.png")
    write(str(root), "VLCS/SUN/train/0/extra.JPG")
    dataset = build(root, "VLCS", ["sun"], ["pascal"])
    assert len(dataset.train_x) == 15
    assert f"2 of the 5 files in {root}/VLCS/SUN/train/0 are left out" in capsys.readouterr().out


def test_split_files(tmp_path):
    path = tmp_path / "split.txt"
    path.write_bytes(b"a/b.jpg 1\r\n\r\na/b c.jpg 12\r\n")
    assert read_list(str(path)) == [("a/b.jpg", 1), ("a/b c.jpg", 12)]
    path.write_text("a/b.jpg 1\na/c.jpg\n")
    with pytest.raises(ValueError, match=r"split.txt, line 2: .*'a/c.jpg'"):
        read_list(str(path))
    with pytest.raises(FileNotFoundError, match="nothing.txt"):
        read_list(str(tmp_path / "nothing.txt"))
    assert [label_in_name(name) for name in ("x_y/000001_7.jpg", "000002_none.png", "1_10.jpg")] == [7, -1, 10]
    for name in ("7.jpg", "1_a.jpg"):
        with pytest.raises(ValueError, match=f"Image {name} "):
            label_in_name(name)


def test_domains_of_visda_cannot_be_swapped(complete):
    with pytest.raises(ValueError, match="SOURCE_DOMAINS to .'synthetic'"):
        build(complete, "VisDA17", ["real"], ["synthetic"])


def test_digits_are_sampled(monkeypatch, complete, capsys):
    many = [f"{number:06}_{number % 10}.jpg" for number in range(25_010)]
    monkeypatch.setattr(digit5, "list_files", lambda folder: [f"{folder}/{name}" for name in many])
    random.seed(1)
    drawn = digit5.load_svhn("svhn", split="train")
    random.seed(1)
    assert [path for path, _ in drawn] == random.sample([f"svhn/train_images/{name}" for name in many], 25_000)
    assert len(digit5.load_syn("syn", split="test")) == 9_000
    assert len(digit5.load_usps("usps")) == 3 * 25_010 and len(digit5.load_usps("usps", split="test")) == 25_010
    monkeypatch.setattr(digit_single, "list_files", lambda folder: [f"{folder}/{name}" for name in many])
    first = digit_single.load_mnist("mnist")
    assert first == [(f"mnist/train_images/{name}", i % 10) for i, name in enumerate(many[:10_000])]
    assert len(digit_single.load_mnist("mnist", split="test")) == len(digit_single.load_usps("usps")) == 25_010
    monkeypatch.undo()
    capsys.readouterr()
    dataset = build(complete, "Digit5", ["mnist", "usps"], ["svhn"])
    assert [len(dataset.train_x), len(dataset.train_u), len(dataset.test)] == [7 + 21, 7, 4]
    assert "mnist/train_images has 7 images, fewer than 25,000" in capsys.readouterr().out


def test_stl10_folds_beyond_255(root):
    """Upstream reads the numbers as bytes: it takes image 44 for image 300."""
    for number in range(12, 400):
        write(str(root), f"stl10/train/{number:06}_{number % 10}.jpg")
    write(str(root), "stl10/stl10_binary/fold_indices.txt", "3 300 399\n" * 10)
    dataset = build(root, "STL10", STL10_FOLD=2)
    assert short(dataset.train_x, root / "stl10" / "train") == [
        ("000003_3.jpg", 3),
        ("000300_0.jpg", 0),
        ("000399_9.jpg", 9),
    ]
    write(str(root), "stl10/stl10_binary/fold_indices.txt", "3 400\n" * 10)
    with pytest.raises(ValueError, match="fold_indices.txt .*400"):
        build(root, "STL10", STL10_FOLD=2)


def test_labelled_images_count_all_classes(complete):
    with pytest.raises(ValueError, match="NUM_LABELED = 2 .*3 classes"):
        build(complete, "CIFAR10", NUM_LABELED=2)


DOWNLOADED = [
    ("PACS", "photo", "sketch", "pacs"),
    ("VLCS", "sun", "pascal", "VLCS"),
    ("DigitsDG", "syn", "mnist", "digits_dg"),
    ("OfficeHomeDG", "art", "product", "office_home_dg"),
]
ARCHIVES = {
    "pacs": "pacs.zip",
    "VLCS": "vlcs.zip",
    "digits_dg": "digits_dg.zip",
    "office_home_dg": "office_home_dg.zip",
}


@pytest.mark.parametrize("name, source, target, folder", DOWNLOADED)
def test_a_missing_data_set_is_downloaded(complete, tmp_path, monkeypatch, name, source, target, folder):
    archive = shutil.make_archive(str(tmp_path / "far"), "zip", complete, folder)
    calls = []

    def download(url, dst, quiet):
        calls.append((url, os.path.relpath(dst, tmp_path)))
        return shutil.copyfile(archive, dst)

    monkeypatch.setitem(sys.modules, "gdown", types.SimpleNamespace(download=download))
    dataset = build(tmp_path, name, [source], [target])
    assert len(dataset.train_x) == len(build(complete, name, [source], [target]).train_x)
    assert calls == [(type(dataset).data_url, ARCHIVES[folder])] and "drive.google.com" in calls[0][0]
    shutil.rmtree(tmp_path / folder)
    build(tmp_path, name, [source], [target])  # from the archive that is there
    build(tmp_path, name, [source], [target])
    assert len(calls) == 1
    with pytest.raises(ValueError, match="Input domain"):
        build(tmp_path / "elsewhere", name, ["nowhere"], [target])
    assert len(calls) == 1


@pytest.mark.parametrize("failure", [None, RuntimeError("no\nconnection")])
def test_a_failed_download_is_reported_in_one_line(tmp_path, monkeypatch, failure):
    def download(url, dst, quiet):
        if failure is not None:
            raise failure

    monkeypatch.setitem(sys.modules, "gdown", types.SimpleNamespace(download=download))
    with pytest.raises(OSError, match=f"drive.google.com.* {tmp_path}/pacs.zip") as caught:
        build(tmp_path, "PACS", ["photo"], ["sketch"])
    assert "\n" not in str(caught.value) and ("no connection" in str(caught.value)) == (failure is not None)


def test_an_interrupted_extraction_leaves_nothing(tmp_path, monkeypatch):
    """Half a data set would look like a whole one."""
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("d/one.txt", "1")
        zipped.writestr("d/two.txt", "2")
    extract = zipfile.ZipFile.extractall

    def stop(self, path):
        extract(self, path, members=["d/one.txt"])
        raise KeyboardInterrupt

    monkeypatch.setattr(zipfile.ZipFile, "extractall", stop)
    with pytest.raises(KeyboardInterrupt):
        extract_archive(str(archive), str(tmp_path))
    assert os.listdir(tmp_path) == ["a.zip"]
    monkeypatch.undo()
    write(str(tmp_path), "d/zero.txt", "0")
    write(str(tmp_path), "d/two.txt", "old")
    extract_archive(str(archive), str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == ["a.zip", "d"]
    assert [(tmp_path / "d" / f"{name}.txt").read_text() for name in ("zero", "one", "two")] == ["0", "1", "2"]


class FakeWilds:
    """What the data sets use of the package ``wilds``: arrays of the whole data set, and subsets of them."""

    def __init__(self, root, folder, image):
        self._input_array = np.array([f"im{i}.jpg" for i in range(12)], dtype=object)
        self.full_idxs = np.arange(12) + 1
        self.y_array = np.arange(12) % 2
        self.metadata_array = np.stack([np.arange(12) // 2 * 3, np.arange(12) % 4], axis=1)
        self.split_array = np.array([0] * 8 + [1, 1, 2, 2])
        for i in range(12):
            write(root, f"{folder}/{image.format(i=i, full=i + 1)}")

    def get_subset(self, split):
        number = ("train", "val", "test").index(split)
        return SimpleNamespace(indices=np.where(self.split_array == number)[0], dataset=self)


WILDS = [
    ("Camelyon17", "camelyon17", "camelyon17_v1.0", "im{i}.jpg", ["healthy tissue", "tumor tissue"]),
    ("FMoW", "fmow", "fmow_v1.1", "images/rgb_img_{full}.png", ["airport", "airport_hangar"]),
    ("IWildCam", "iwildcam", "iwildcam_v2.0", "train/im{i}.jpg", ["empty", "tayassu, pecari"]),
]


@pytest.mark.parametrize("name, wilds_name, folder, image, classnames", WILDS)
def test_wilds(tmp_path, monkeypatch, name, wilds_name, folder, image, classnames):
    calls = []

    def get_dataset(**kwargs):
        calls.append(kwargs)
        root = kwargs["root_dir"]
        write(root, f"{folder}/categories.csv", 'category_id,name,y\n0,empty,0\n5,"tayassu, pecari",1\n')
        return FakeWilds(root, folder, image)

    monkeypatch.setitem(sys.modules, "wilds", types.SimpleNamespace(get_dataset=get_dataset))
    first = build(tmp_path, name)
    assert calls == [{"dataset": wilds_name, "root_dir": str(tmp_path), "download": True}]
    paths = [f"{folder}/{image.format(i=i, full=i + 1)}" for i in range(12)]
    assert [short(part, tmp_path) for part in (first.train_x, first.val, first.test)] == [
        [(path, i % 2) for i, path in enumerate(paths)][part] for part in (slice(8), slice(8, 10), slice(10, 12))
    ]
    assert first.classnames == classnames
    # Domains of a split are numbered from 0 in the order of a set: 0, 9, 3, 6. FMoW's are pairs of region and year.
    domains = [item.domain for item in first.train_x]
    assert sorted(set(domains)) == list(range(8 if name == "FMoW" else 4))
    if name != "FMoW":
        assert domains == [0, 0, 2, 2, 3, 3, 1, 1] and [item.domain for item in first.val] == [0, 0]

    again = build(tmp_path, name)  # from the stored lists
    assert len(calls) == 1 and short(again.train_x, tmp_path) == short(first.train_x, tmp_path)
    assert [item.domain for item in again.train_x] == domains
    few = build(tmp_path, name, NUM_SHOTS=1)
    assert short(few.train_x, tmp_path) == short(first.train_x, tmp_path)  # every domain has one image of a class

    moved = tmp_path / "moved"
    moved.mkdir()
    shutil.move(tmp_path / folder, moved / folder)
    assert short(build(moved, name).train_x, moved) == short(first.train_x, tmp_path)  # the stored paths are stale
    assert len(calls) == 2


def test_wilds_lists_run_no_code(tmp_path, image_folder):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "boom"),)

    path = tmp_path / "camelyon17_v1.0" / "zhou_preloaded.pkl"
    path.parent.mkdir()
    item = Datum(str(image_folder / "0_0.png"), 1, 0, "tumor tissue")
    path.write_bytes(pickle.dumps({"train": [item], "val": [item], "test": [item], "more": Bomb()}))
    with pytest.raises(ValueError, match=f"{path} cannot be read .*delete it") as caught:
        build(tmp_path, "Camelyon17")
    assert not (tmp_path / "boom").exists() and "\n" not in str(caught.value)
    for damaged in (b"", b"hello", pickle.dumps([1]), pickle.dumps({"train": [item]})):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="zhou_preloaded.pkl cannot be read"):
            wilds_base.read_lists(str(path))


def test_wilds_needs_its_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wilds", None)
    with pytest.raises(ImportError, match="camelyon17 .*pip install wilds"):
        build(tmp_path, "Camelyon17")
    with pytest.raises(NotImplementedError, match="WILDSBase .*load_classnames"):
        wilds_base.WILDSBase.load_classnames(wilds_base.WILDSBase.__new__(wilds_base.WILDSBase))

"""Folders as people have them: few pictures, several formats, folders inside class folders, test images alone."""

import numpy as np
import pytest
import torch
from PIL import Image

from common import notices
from common.errors import InputError
from datasets.fewshot import split_in_three, split_sizes
from datasets.folders import left_out, read_class_folders
from prompting.image_files import image_suffixes
from tests.support.configs import dataset_config
from tests.support.images import write_images


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(2, (1, 0, 1)), (3, (2, 0, 1)), (4, (2, 1, 1)), (5, (3, 1, 1)), (8, (5, 1, 2)), (9, (6, 1, 2)), (10, (5, 2, 3))],
)
def test_the_split_of_a_small_class(count, sizes):
    parts = split_in_three([(f"{n}.jpg", 0) for n in range(count)], "s", ["c"])
    assert split_sizes(count) == sizes == tuple(map(len, parts))
    assert len({path for part in parts for path, _ in part}) == count


@pytest.mark.parametrize("count", range(10, 200))
def test_from_ten_images_on_the_split_is_the_published_one(count):
    assert split_sizes(count) == (count // 2, count // 5, count - count // 2 - count // 5)


def test_every_picture_that_pillow_reads_is_read(tmp_path):
    pixels = np.zeros((8, 8, 3), np.uint8)
    for suffix in (".jfif", ".JPG", ".jp2", ".tga", ".pcx", ".webp", ".ico"):
        assert suffix.lower() in image_suffixes()
        folder = tmp_path / "task" / "class"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"x{suffix}", format="JPEG" if suffix == ".jfif" else None)
    _, _, samples = read_class_folders(tmp_path / "task", "t", {})
    assert len(samples) == 7
    assert not {".pdf", ".eps", ".mpg"} & set(image_suffixes())


def test_what_is_left_out_is_counted(tmp_path, capsys):
    notices._print.cache_clear()
    write_images(tmp_path / "task" / "rose", 2)
    write_images(tmp_path / "task" / "rose" / "more", 3)
    (tmp_path / "task" / "rose" / "notes.txt").touch()
    (tmp_path / "task" / "rose" / "Thumbs.db").touch()
    (tmp_path / "task" / "rose" / ".hidden").touch()
    _, _, samples = read_class_folders(tmp_path / "task", "t", {})
    assert len(samples) == 2
    assert "1 file (.txt 1) and 1 folder inside them" in capsys.readouterr().err
    (tmp_path / "task" / "rose" / "a.xyz").touch()
    assert "2 files" in left_out([tmp_path / "task" / "rose"])


def test_a_class_folder_of_unreadable_files_says_what_it_holds(tmp_path):
    (tmp_path / "task" / "rose").mkdir(parents=True)
    (tmp_path / "task" / "rose" / "a.raw").touch()
    with pytest.raises(InputError, match=r"rose.*1 file \(\.raw 1\)"):
        read_class_folders(tmp_path / "task", "t", {})


def declared(tmp_path, text):
    from dassl.data.datasets import build_dataset

    from datasets.declared import register_collection

    (tmp_path / "shop.yaml").write_text(text)
    name = register_collection(tmp_path / "shop.yaml")
    return build_dataset(dataset_config(tmp_path, name))


def test_a_folder_with_test_images_alone_is_for_testing_only(tmp_path):
    for name in ("rose", "tulip"):
        write_images(tmp_path / "shop" / "test" / name, 3)
    dataset = declared(tmp_path, "folder: shop\ntasks:\n  - name: kind\n    folder: ''\n")
    assert dataset.test_only and len(dataset.test) == 6 and dataset.layout.classnames == ("rose", "tulip")


def test_the_split_that_was_made_is_said(tmp_path, capsys):
    notices._print.cache_clear()
    for name in ("rose", "tulip"):
        write_images(tmp_path / "shop" / "kinds" / name, 4)
    declared(tmp_path, "folder: shop\ntasks:\n  - name: kind\n    folder: kinds\n")
    assert (
        "Task 'kind': 8 images split into 4 for training, 2 for validation and 2 for testing" in capsys.readouterr().err
    )


def test_a_view_leaves_other_devices_generators_alone(monkeypatch):
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: seeded.append(seed))
    monkeypatch.setattr(torch, "manual_seed", lambda seed: seeded.append(seed))
    from datasets.images import SeededImages

    images = SeededImages.__new__(SeededImages)
    images.is_train, images.seed, images.root = True, 1, "."
    images.transform = lambda image: torch.rand(2)
    images.data_source = [type("Item", (), {"impath": "x.jpg"})()]
    images.forget_decoded()
    monkeypatch.setattr(images, "_decode", lambda path: None)
    state = torch.get_rng_state()
    assert torch.equal(images.view(0, 0), images.view(0, 0)) and not torch.equal(images.view(0, 0), images.view(0, 1))
    assert not seeded and torch.equal(state, torch.get_rng_state())

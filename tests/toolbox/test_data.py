"""Few-shot draws, samplers, loaders and archives."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from dassl.config import get_cfg_default
from dassl.data import DataManager, DatasetWrapper
from dassl.data.data_manager import build_data_loader
from dassl.data.datasets import DATASET_REGISTRY, DatasetBase, Datum, build_dataset
from dassl.data.datasets.archives import extract_archive
from dassl.data.samplers import build_sampler

UPSTREAM = json.loads((Path(__file__).parent / "upstream_figures.json").read_text())

FORTY = [
    SimpleNamespace(index=i, label=7 * i % 5, domain=3 * i % 4 if i % 9 else 0, classname=str(7 * i % 5))
    for i in range(40)
]


def draw(num_shots, **kwargs):
    dataset = DatasetBase(train_x=FORTY, test=FORTY)
    return [item.index for item in dataset.generate_fewshot_dataset(FORTY, num_shots=num_shots, **kwargs)]


@pytest.mark.parametrize(
    "case", UPSTREAM["few_shots"]["cases"], ids=lambda case: f"{case['num_shots']}-{case['repeat']}"
)
def test_shots_match_upstream(case):
    random.seed(case["num_shots"])
    assert draw(case["num_shots"], repeat=case["repeat"]) == case["images"]


def test_shots_are_random_samples_of_each_class():
    random.seed(11)
    drawn = draw(2)
    random.seed(11)
    order = list(dict.fromkeys(item.label for item in FORTY))
    assert drawn == [i for label in order for i in random.sample([x.index for x in FORTY if x.label == label], 2)]


def test_without_shots_all_images_are_used():
    dataset = DatasetBase(train_x=FORTY, test=FORTY)
    assert dataset.generate_fewshot_dataset(FORTY, num_shots=-1) is FORTY
    assert dataset.generate_fewshot_dataset(FORTY, FORTY[:5]) == (FORTY, FORTY[:5])
    both = dataset.generate_fewshot_dataset(FORTY, FORTY[:5], num_shots=1)
    assert [len(part) for part in both] == [5, 5]


@pytest.mark.parametrize(
    "case", UPSTREAM["sampler_orders"]["cases"], ids=lambda case: "-".join(map(str, list(case.values())[:-1]))
)
def test_sampler_orders_match_upstream(case):
    name, batch_size, n_domain, n_ins = (case[key] for key in ("sampler", "batch_size", "n_domain", "n_ins"))
    random.seed(5)
    np.random.seed(5)
    sampler = build_sampler(name, data_source=FORTY, batch_size=batch_size, n_domain=n_domain, n_ins=n_ins)
    order = list(sampler)
    assert order == case["order"]
    domains = n_domain if n_domain and "Random" in name else 4
    field, share = ("label", n_ins) if "Class" in name else ("domain", batch_size // domains)
    if len(order) >= batch_size:
        first = [getattr(FORTY[index], field) for index in order[:batch_size]]
        assert all(len(set(first[i : i + share])) == 1 for i in range(0, batch_size, share))


@pytest.mark.parametrize(
    "name, settings, pattern",
    [
        ("RandomDomainSampler", {"batch_size": 6, "n_domain": 4}, "BATCH_SIZE"),
        ("RandomDomainSampler", {"batch_size": 8, "n_domain": 8}, "N_DOMAIN"),
        ("SeqDomainSampler", {"batch_size": 80}, "Domain .* images"),
        ("RandomClassSampler", {"batch_size": 4, "n_ins": 8}, "N_INS"),
        ("RandomClassSampler", {"batch_size": 40, "n_ins": 2}, "classes"),
        ("RandomSmapler", {}, "RandomSmapler"),
    ],
)
def test_invalid_samplers_are_reported(name, settings, pattern):
    with pytest.raises(ValueError, match=pattern):
        build_sampler(name, data_source=FORTY, **settings)


def test_datum_requires_a_file(image_folder):
    with pytest.raises(FileNotFoundError, match="nowhere.png.*DATASET.ROOT"):
        Datum("nowhere.png")
    with pytest.raises(TypeError, match="str"):
        Datum(image_folder / "0_0.png")
    datum = pickle.loads(pickle.dumps(Datum(str(image_folder / "0_0.png"), 2, 1, "red")))
    assert (datum.label, datum.domain, datum.classname) == (2, 1, "red")
    assert set(vars(datum)) == {"_impath", "_label", "_domain", "_classname"}  # plugins pickle these


def test_dataset_base(items):
    dataset = DatasetBase(train_x=items[8:] + items[:8], val=items[:2], test=items)
    assert dataset.classnames == ["red", "green", "blue"]
    assert dataset.lab2cname == {0: "red", 1: "green", 2: "blue"}
    assert dataset.num_classes == 3 and dataset.train_u is None
    assert list(dataset.split_dataset_by_label(items[8:] + items[:8])) == [1, 2, 0]
    assert [len(part) for part in dataset.split_dataset_by_domain(items).values()] == [12, 12]
    with pytest.raises(ValueError, match="no training images"):
        DatasetBase(train_x=[], test=items)
    dataset.domains = ["a", "b"]
    dataset.check_input_domains(["a"], ["b"])
    with pytest.raises(ValueError, match="SOURCE_DOMAINS"):
        dataset.check_input_domains([], ["b"])
    with pytest.raises(ValueError, match=r"\[c\]"):
        dataset.check_input_domains(["a"], ["c"])


def test_an_unknown_dataset_error_has_the_nearest_name(cfg):
    cfg.DATASET.NAME = "Colors"
    with pytest.raises(ValueError, match=r"\[Colors\].*Colours"):
        build_dataset(cfg)
    with pytest.raises(KeyError, match="Colours"):
        DATASET_REGISTRY.register(DATASET_REGISTRY.get("Colours"))


def test_data_manager(cfg, capsys):
    dm = DataManager(cfg)
    assert (len(dm.train_loader_x), dm.train_loader_u, len(dm.val_loader), len(dm.test_loader)) == (3, None, 1, 1)
    assert (dm.num_classes, dm.num_source_domains, dm.lab2cname[2]) == (3, 0, "blue")
    batch = next(iter(dm.test_loader))
    assert batch["img"].shape == (24, 3, 16, 16) and batch["label"].tolist()[:9] == [0] * 8 + [1]
    assert batch["index"].tolist() == list(range(24)) and batch["impath"][0].endswith("0_0.png")
    assert "# train_x  12" in capsys.readouterr().out


def test_the_order_of_batches_depends_on_the_seed(cfg):
    def order():
        random.seed(3)
        torch.manual_seed(3)
        loader = DataManager(cfg).train_loader_x
        return [path for _ in range(2) for batch in loader for path in batch["impath"]]

    first = order()
    assert first == order() and first[:12] != first[12:]


def test_training_drops_an_incomplete_batch_unless_it_is_the_only_one(cfg, items):
    def zero(image):
        return 0

    sizes = [
        [len(batch["label"]) for batch in build_data_loader(cfg, data_source=items[:n], batch_size=4, tfm=zero, **how)]
        for n, how in ((10, {"is_train": True}), (10, {"is_train": False}), (3, {"is_train": True}))
    ]
    assert sizes == [[4, 4], [4, 4, 2], [3]]
    with pytest.raises(ValueError, match="RandomClassSampler .*5"):
        build_data_loader(cfg, "RandomClassSampler", items[:5], batch_size=5, n_ins=4, tfm=zero)


def test_wrapper_views(cfg, items):
    cfg.DATALOADER.K_TRANSFORMS, cfg.DATALOADER.RETURN_IMG0 = 2, True
    item = DatasetWrapper(cfg, items, transform=[lambda i: 1, lambda i: 2], is_train=True)[3]
    assert (item["img"], item["img2"], item["index"]) == ([1, 1], [2, 2], 3)
    assert item["img0"].shape == (3, 16, 16)
    assert DatasetWrapper(cfg, items, transform=lambda i: 1)[0]["img"] == 1
    assert DatasetWrapper(cfg, items)[0]["img"].size == (20, 16)
    with pytest.raises(ValueError, match="K_TRANSFORMS"):
        DatasetWrapper(cfg, items, is_train=True)


def tar_with(path, *members, mode="w:gz"):
    with tarfile.open(path, mode) as tar:
        for name, kind, target in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            info.size = 2 if kind == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(b"hi") if info.size else None)
    return str(path)


def test_archives_are_extracted(tmp_path):
    archive = tar_with(tmp_path / "a.tar", ("d/x.txt", tarfile.REGTYPE, ""), mode="w")
    extract_archive(archive, str(tmp_path))
    assert (tmp_path / "d" / "x.txt").read_text() == "hi"
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as zipped:
        zipped.writestr("e/y.txt", "ho")
    extract_archive(str(tmp_path / "a.zip"), str(tmp_path))
    assert (tmp_path / "e" / "y.txt").read_text() == "ho"


@pytest.mark.parametrize(
    "members",
    [
        [("../evil.txt", tarfile.REGTYPE, "")],
        [("/evil.txt", tarfile.REGTYPE, "")],
        [("d/../../evil.txt", tarfile.REGTYPE, "")],
        [("link", tarfile.SYMTYPE, ".."), ("link/evil.txt", tarfile.REGTYPE, "")],
        [("hard", tarfile.LNKTYPE, "../outside")],
        [("pipe", tarfile.FIFOTYPE, "")],
    ],
    ids=["up", "absolute", "inner-up", "symlink", "hardlink", "fifo"],
)
def test_an_archive_that_leaves_its_folder_is_rejected(tmp_path, members):
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "outside").write_text("mine")
    archive = tar_with(tmp_path / "a.tar.gz", ("good.txt", tarfile.REGTYPE, ""), *members)
    with pytest.raises(ValueError, match="nothing was extracted"):
        extract_archive(archive, str(inside))
    assert os.listdir(inside) == [] and not (tmp_path / "evil.txt").exists()


def test_unsafe_and_damaged_zip_files_are_rejected(tmp_path):
    bad = tmp_path / "bad.zip"
    with zipfile.ZipFile(bad, "w") as zipped:
        zipped.writestr("good.txt", "x")
        zipped.writestr("../evil.txt", "x")
    with pytest.raises(ValueError, match="evil.txt.*nothing was extracted"):
        extract_archive(str(bad), str(tmp_path / "in"))
    bad.write_bytes(bad.read_bytes()[:40])
    with pytest.raises(ValueError, match="bad.zip is damaged"):
        extract_archive(str(bad), str(tmp_path / "in"))
    with pytest.raises(ValueError, match="a.rar"):
        extract_archive(str(tmp_path / "a.rar"), str(tmp_path))
    assert not (tmp_path / "in").exists()


def test_download_data_from_a_url(tmp_path, items):
    (tmp_path / "far").mkdir()
    tar_with(tmp_path / "far" / "a.tar.gz", ("d/x.txt", tarfile.REGTYPE, ""))
    url = (tmp_path / "far" / "a.tar.gz").as_uri()
    dataset = DatasetBase(train_x=items, test=items)
    dataset.download_data(url, str(tmp_path / "near" / "a.tar.gz"), from_gdrive=False)
    assert (tmp_path / "near" / "d" / "x.txt").exists()
    with pytest.raises(OSError):
        dataset.download_data(url + "x", str(tmp_path / "near" / "b.tar.gz"), from_gdrive=False)
    assert sorted(os.listdir(tmp_path / "near")) == ["a.tar.gz", "d"]


@pytest.mark.parametrize("is_train", [True, False])
def test_an_empty_split_is_not_a_matter_of_the_batch_size(is_train):
    with pytest.raises(ValueError, match="no images for " + ("training" if is_train else "tests")) as error:
        build_data_loader(get_cfg_default(), data_source=[], tfm=None, is_train=is_train)
    assert "batch" not in str(error.value)

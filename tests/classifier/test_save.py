"""Classifiers that are saved answer as before, to the bit."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from classifier import Classifier, Predictions
from classifier.bundle import RECORD, TENSORS, read_bundle
from common.errors import InputError
from common.files import read_record, write_record
from common.paths import RESULTS
from prompting.photographs import read_image
from tests.support.finished import ONE_OF_EACH_KIND, Finished


def same(first: Predictions, second: Predictions) -> bool:
    pairs = list(zip(first.per_task, second.per_task, strict=True))
    return all(a.task == b.task and torch.equal(a.probabilities, b.probabilities) for a, b in pairs)


@pytest.mark.parametrize("method", ONE_OF_EACH_KIND)
@pytest.mark.parametrize("seeds", [1, 2])
def test_a_saved_classifier_gives_the_same_answers(
    finished: Callable[..., Finished], tmp_path: Path, method: str, seeds: int
) -> None:
    runs = [finished(method, seed) for seed in range(1, seeds + 1)]
    images = [read_image(path) for path in runs[0].images[:4]]
    classifier = Classifier.load(*(run.folder for run in runs))
    classifier.save(tmp_path / "a" / "bundle")
    again = Classifier.load(tmp_path / "a" / "bundle")
    assert sorted(os.listdir(tmp_path / "a" / "bundle")) == [RECORD, TENSORS]
    expected = classifier.predict(images)
    assert same(again.predict(images), expected)
    assert len(again.heads) == len(classifier.heads) and again.temperatures == classifier.temperatures
    (bundle,) = again.bundles
    assert bundle.record["seeds"] == list(range(1, seeds + 1)) and len(bundle.measured) == seeds
    for seed, run in zip(bundle.measured, runs, strict=True):
        assert [task["accuracy"] for task in seed] == [task["accuracy"] for task in run.results["tasks"]]
    again.save(tmp_path / "copy")
    assert (tmp_path / "copy" / RECORD).read_bytes() == (tmp_path / "a" / "bundle" / RECORD).read_bytes()


def test_temperatures_of_several_heads_are_kept(finished: Callable[..., Finished], tmp_path: Path) -> None:
    classifier = Classifier.load(*(finished("MaPLe", seed).folder for seed in (1, 2)))
    classifier.temperatures = [[1.5, 2.0], [0.5, 3.0]]
    classifier.save(tmp_path / "bundle")
    assert Classifier.load(tmp_path / "bundle").temperatures == [[1.5, 2.0], [0.5, 3.0]]
    record = read_record(tmp_path / "bundle" / RECORD)
    record["heads"][1]["temperatures"] = [0.5]
    write_record(tmp_path / "bundle" / RECORD, record)
    with pytest.raises(InputError, match="temperatures"):
        Classifier.load(tmp_path / "bundle")


@pytest.mark.parametrize("method", ["CoOp-CA", "CoCoOp"])
def test_bundles_of_the_first_format_are_read(finished: Callable[..., Finished], tmp_path: Path, method: str) -> None:
    run, old = finished(method), tmp_path / "old"
    old.mkdir()
    tensors = load_file(run.folder / TENSORS)
    start = "heads.0."
    save_file({n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}, old / TENSORS)
    record = read_record(run.folder / RECORD)
    (head,) = record.pop("heads")
    record.pop("questions")
    digest = hashlib.sha256((old / TENSORS).read_bytes()).hexdigest()
    write_record(old / RECORD, {**record, "format": 1, "head": head, "tensors": digest})
    images = [read_image(path) for path in run.images[:3]]
    classifier = Classifier.load(old)
    expected = Classifier.load(run.folder).predict(images)
    assert same(classifier.predict(images), expected)
    with pytest.raises(InputError, match="earlier version"):
        classifier.add_task("kind of tree", ["oak", "elm"])
    classifier.save(tmp_path / "new")
    assert same(Classifier.load(tmp_path / "new").predict(images), expected)
    assert read_bundle(tmp_path / "new").questions == (None,)


def test_nothing_else_is_overwritten(finished: Callable[..., Finished], tmp_path: Path) -> None:
    classifier = Classifier.load(finished("CoOp-CA").folder)
    before = (finished("CoOp-CA").folder / RECORD).read_bytes()
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").touch()
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / RESULTS).touch()
    for folder in (finished("CoOp-CA").folder, tmp_path / "begun"):
        with pytest.raises(InputError, match="folder of a run"):
            classifier.save(folder)
    with pytest.raises(InputError, match="not a folder"):
        classifier.save(tmp_path / "file")
    with pytest.raises(InputError, match="not empty"):
        classifier.save(tmp_path / "full")
    with pytest.raises(InputError, match="cannot be written"):
        classifier.save(tmp_path / "file" / "below")
    assert (finished("CoOp-CA").folder / RECORD).read_bytes() == before
    assert os.listdir(tmp_path / "full") == ["letter.txt"]
    classifier.save(tmp_path / "empty")
    Classifier.load(finished("TaskRes").folder).save(tmp_path / "empty")
    assert Classifier.load(tmp_path / "empty").bundles[0].method == "TaskRes"

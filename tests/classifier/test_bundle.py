"""What is refused, in one line: runs that did not finish, other towers, and files that are not what was written."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import runs.run
from classifier import Classifier
from classifier.bundle import RECORD, TENSORS
from common.errors import InputError
from common.files import read_json, read_record, sealed, write_record
from common.paths import LOG, RESULTS
from prompting.photographs import read_image
from tests.support.finished import ONE_OF_EACH_KIND, Finished
from tests.support.towers import random_clip
from tests.support.training import Workplace


@pytest.fixture
def bundle(finished: Callable[..., Finished], tmp_path: Path) -> Path:
    """A copy of a run's classifier."""
    return copied(finished("CoOp-CA").folder, tmp_path / "bundle")


def copied(run: Path, to: Path, *more: str) -> Path:
    to.mkdir()
    for name in (RECORD, TENSORS, *more):
        shutil.copy(run / name, to / name)
    return to


def refused(*folders: Path) -> str:
    with pytest.raises(InputError) as error:
        Classifier.load(*folders)
    assert "\n" not in str(error.value)
    return str(error.value)


def rewrite(folder: Path, **changes: Any) -> None:
    """Change entries of classifier.json, and seal it again."""
    record = read_record(folder / RECORD)
    write_record(folder / RECORD, {**record, **changes})


def test_a_copy_without_the_run_classifies(finished: Callable[..., Finished], bundle: Path) -> None:
    run = finished("CoOp-CA")
    images = [read_image(path) for path in run.images[:3]]
    there, here = (Classifier.load(folder).predict(images) for folder in (run.folder, bundle))
    assert all(
        torch.equal(a.probabilities, b.probabilities) for a, b in zip(there.per_task, here.per_task, strict=True)
    )
    assert sorted(path.name for path in bundle.iterdir()) == [RECORD, TENSORS]


def test_an_unfinished_run(finished: Callable[..., Finished], tmp_path: Path) -> None:
    folder = copied(finished("CoOp-CA").folder, tmp_path / "run", LOG)
    assert f"{folder} is not finished" in refused(folder)


def test_a_killed_run(place: Workplace) -> None:
    place.killed_run("CoOp-CA", "killed", at=1, epochs=2)
    assert "killed is not finished" in refused(place.output / "killed")


def test_a_run_killed_between_its_classifier_and_its_results(place: Workplace) -> None:
    """It does not count as finished, and finishing it writes the classifier again."""
    folder, write = place.output / "between", runs.run.write_bundle

    def killed(*args: Any) -> None:
        write(*args)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(runs.run, "write_bundle", killed)
        place.run("CoOp-CA", "between", epochs=1)
    before = (folder / TENSORS).read_bytes()
    assert "between is not finished" in refused(folder)
    place.run("CoOp-CA", "between", epochs=1)
    Classifier.load(folder)
    assert (folder / TENSORS).read_bytes() == before
    assert not [path for path in folder.iterdir() if path.name.startswith(".classifier")]


def test_a_run_of_an_earlier_version(finished: Callable[..., Finished], tmp_path: Path) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    shutil.copy(finished("CoOp-CA").folder / RESULTS, folder)
    message = refused(folder)
    assert RECORD in message and "--redo" in message and "--eval-only" in message


def test_results_that_were_changed(finished: Callable[..., Finished], tmp_path: Path) -> None:
    folder = copied(finished("CoOp-CA").folder, tmp_path / "run", RESULTS)
    Classifier.load(folder)
    results = read_json(folder / RESULTS)
    (folder / RESULTS).write_text(json.dumps({**results, "seed": 7}))
    assert RESULTS in refused(folder)
    (folder / RESULTS).write_text(json.dumps(sealed({"finished": False})))
    assert RESULTS in refused(folder)


def test_no_classifier_at_all(tmp_path: Path) -> None:
    assert RECORD in refused(tmp_path)
    assert "gone" in refused(tmp_path / "gone")
    (tmp_path / "file").touch()
    assert "file" in refused(tmp_path / "file")
    assert "No classifier" in refused()


@pytest.mark.parametrize("name", [RECORD, TENSORS])
def test_a_missing_file(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    assert name in refused(bundle)


@pytest.mark.parametrize("name", [RECORD, TENSORS])
def test_one_flipped_byte_anywhere(bundle: Path, name: str) -> None:
    path, whole = bundle / name, (bundle / name).read_bytes()
    for place in {*range(0, len(whole), max(1, len(whole) // 40)), len(whole) - 2}:
        content = bytearray(whole)
        content[place] ^= 1
        path.write_bytes(content)
        try:
            same = read_json(path) == json.loads(whole) if name == RECORD else False
        except (ValueError, OSError):
            same = False
        if not same:  # a blank between entries is not content
            assert str(path) in refused(bundle), place
    path.write_bytes(whole[:-2])  # without a bracket; a newline is not missed
    assert str(path) in refused(bundle)
    path.write_bytes(b"")
    assert str(path) in refused(bundle)
    path.write_bytes(whole)
    Classifier.load(bundle)


def test_another_format(bundle: Path) -> None:
    rewrite(bundle, format=99)
    assert "format 99" in refused(bundle)


def test_another_kind_of_head(bundle: Path) -> None:
    rewrite(bundle, heads=[{"kind": "quantum", "reads": "features"}])
    assert "'quantum'" in refused(bundle)


BAD: list[Mapping[str, Any]] = [
    {"heads": [{}]},
    {"heads": []},
    {"heads": [{"kind": ["linear"]}]},
    {"heads": [{"kind": "linear", "reads": "images", "scale": 1.0}]},
    {"heads": [{"kind": "linear", "reads": "features", "scale": "loud"}]},
    {"heads": [{"kind": "linear", "reads": "features", "scale": float(10**308) * 10}]},
    {"heads": [{"kind": "cache", "reads": "features", "scale": 1.0}]},
    {"heads": [{"kind": "plot", "reads": "features", "scale": 1.0}]},
    {"heads": None},
    {"questions": None},
    {"questions": []},
    {"questions": [{"kind": "contexts", "trained": ["kind of flower"], "position": "end", "n": 1, "words": []}]},
    {"questions": [{"kind": "contexts", "trained": [], "position": "end", "n": 1, "words": []}]},
    {"questions": [{"kind": "templates", "trained": [], "more": [], "own": True}]},
    {"questions": [{"kind": "meta network", "trained": [], "settings": {}}]},
    {"questions": [{"kind": "oracle", "trained": []}]},
    {"tasks": []},
    {"tasks": [{"name": "a", "classnames": [], "template": "", "metric": "A"}]},
    {"tasks": [{"name": "a", "classnames": ["b"], "template": "", "metric": "A"}]},
    {"tasks": 3},
    {"pixels": {}},
    {"pixels": {"size": [-1, 3]}},
    {"tower": {"name": "x"}},
    {"tower": []},
    {"tensors": None},
    {"method": None, "tower": None},
]


@pytest.mark.parametrize("changes", BAD, ids=str)
def test_values_that_make_no_sense(bundle: Path, changes: Mapping[str, Any]) -> None:
    """Sealed, so only their content can be wrong."""
    rewrite(bundle, **changes)
    assert str(bundle) in refused(bundle)


@pytest.mark.parametrize("key", ["size", "mean", "std", "interpolation", "resize_mode", "crop", "instance_norm"])
def test_pixels_that_make_no_sense(bundle: Path, key: str) -> None:
    pixels = read_record(bundle / RECORD)["pixels"]
    without = {name: value for name, value in pixels.items() if name != key}
    for changed in (without, {**pixels, key: [0]}, {**pixels, key: "wide"}):
        if key == "instance_norm" and changed is not without:
            continue
        rewrite(bundle, pixels=changed)
        assert RECORD in refused(bundle)


@pytest.mark.parametrize("method", ONE_OF_EACH_KIND)
def test_tensors_of_other_shapes_or_names(finished: Callable[..., Finished], tmp_path: Path, method: str) -> None:
    """With a hash that fits."""
    folder = copied(finished(method).folder, tmp_path / "bundle")
    tensors = load_file(folder / TENSORS)
    name = max(tensors, key=lambda key: tensors[key].numel())
    fewer = {key: value for key, value in tensors.items() if key != name}
    damaged = [
        {**tensors, "more": torch.zeros(1)},
        fewer,
        {**tensors, name: tensors[name].flatten()},
        {**tensors, name: tensors[name][..., :-1].contiguous()},
        {**tensors, name: torch.full_like(tensors[name], float("nan"))},
        {},
    ]
    for content in damaged:
        replace(folder, content)
        assert str(folder) in refused(folder)
    replace(folder, tensors)
    Classifier.load(folder)


def replace(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    save_file(tensors, folder / TENSORS)
    rewrite(folder, tensors=hashlib.sha256((folder / TENSORS).read_bytes()).hexdigest())


def test_shots_of_classes_that_the_task_does_not_have(finished: Callable[..., Finished], tmp_path: Path) -> None:
    folder = copied(finished("Tip-Adapter").folder, tmp_path / "bundle")
    tensors, name = load_file(folder / TENSORS), "heads.0.caches.0.values"
    replace(folder, {**tensors, name: tensors[name] + 1})
    assert "kind of flower" in refused(folder)


def test_another_tower(finished: Callable[..., Finished], place: Workplace, tmp_path: Path) -> None:
    whole = place.checkpoint.read_bytes()
    try:
        for method, part in (("CoOp-CA", "visual.conv1.weight"), ("CoCoOp", "text_projection")):
            folder = finished(method).folder
            state = random_clip().state_dict()
            state[part] = state[part] + 1
            torch.save(state, place.checkpoint)
            message = refused(folder)
            assert str(place.checkpoint) in message and "other weights" in message
        torch.save({**random_clip().state_dict(), "text_projection": state["text_projection"]}, place.checkpoint)
        Classifier.load(finished("CoOp-CA").folder)  # which does not read text any more
        place.checkpoint.unlink()
        assert str(place.checkpoint) in refused(folder)
    finally:
        place.checkpoint.write_bytes(whole)


def test_a_relative_tower_is_searched(bundle: Path, place: Workplace, tmp_path: Path) -> None:
    tower = read_record(bundle / RECORD)["tower"]
    rewrite(bundle, tower={**tower, "name": "towers/tiny.pt"})
    assert "towers/tiny.pt" in refused(bundle)
    (tmp_path / "towers").mkdir()
    shutil.copy(place.checkpoint, tmp_path / "towers")
    Classifier.load(bundle, search=[tmp_path])
    rewrite(bundle, tower={**tower, "name": "towers/tiny.pt", "data_root": str(tmp_path)})
    Classifier.load(bundle)


def test_runs_that_are_not_seeds_of_one_command(finished: Callable[..., Finished], bundle: Path) -> None:
    run, record = finished("CoOp-CA").folder, read_record(bundle / RECORD)
    assert "methods, CoOp-CA and TaskRes" in refused(run, finished("TaskRes").folder)
    tasks = record["tasks"]
    tower = record["tower"]
    for changes, told in (
        ({"tasks": [{**tasks[0], "name": "kind of tree"}, tasks[1]]}, "kind of tree"),
        ({"tasks": tasks[:1]}, "tasks"),
        ({"tasks": [tasks[0], {**tasks[1], "classnames": ["blue", "green"]}]}, "classes in task 'colour'"),
        ({"tower": {**tower, "image_digest": "0"}}, "towers"),
        ({"tower": {**tower, "precision": "bf16", "dtype": "bfloat16"}}, "towers"),
        ({"pixels": {**record["pixels"], "interpolation": "bilinear"}}, "pixels"),
    ):
        rewrite(bundle, **{**record, **changes})
        message = refused(run, bundle)
        assert told in message and str(run) in message and str(bundle) in message


def test_half_precision(place: Workplace) -> None:
    results = place.run("CoOp-CA", "bf16", "TRAINER.COOP.PREC", "bf16", epochs=2)
    classifier = Classifier.load(place.output / "bf16")
    assert classifier.tower.dtype == torch.bfloat16 and results["tower"]["image_dtype"] == "bfloat16"

"""Collections declared in YAML: valid and invalid declarations, and how their folders are read."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from dassl.data.datasets import DatasetBase

from common.errors import InputError
from common.paths import REPOSITORY
from datasets.declared import read_declaration, register_collection
from tests.support.configs import dataset_config
from tests.support.images import write_images


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
        ("tasks: [{name: a, split: 3}]", "task 'a': split must be text"),
        ("tasks: [{name: a, folder: 3}]", "task 'a': folder must be text"),
        ("tasks: [{name: a}]\nfolder: 3", "folder must be text, not 3"),
        ("tasks: [{name: a, classnames: [x]}]", "classnames must map class folders to names"),
        ("tasks: [{name: a}, {name: b}, {name: a, folder: c}]", "task 'a': another task has this name"),
        (b"tasks: [{name: \xe9}]", "not text in UTF-8"),
        ("tasks: [{name: a}]\nroot: b", "key 'root' is unknown"),
    ],
)
def test_invalid_declarations(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=message) as caught:
        read_declaration(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_the_shipped_declaration_is_sound():
    declaration = read_declaration(REPOSITORY / "configs/collections/plants7.yaml")
    assert len(declaration["tasks"]) == 7 and declaration["config"] == "lite0_ep50"


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
    dataset = build_dataset(dataset_config(tmp_path / "data", "mine2"))
    assert dataset.num_classes == 6 and len(dataset.layout) == 2 and dataset.layout.tasks[1].metric == "C"
    assert len(dataset.train_x) == 12 and len(dataset.val) == 12 and len(dataset.test) == 18
    for item in dataset.train_x:
        assert item.label in dataset.layout.classes_of(item.domain)
        assert item.classname == dataset.layout.classnames[item.label]


def test_better_names_do_not_change_the_split(tmp_path):
    """The split depends on folders: renaming a task or a class must not move test images into training."""
    from dassl.data.datasets import build_dataset

    for name in ("x", "y"):
        write_images(tmp_path / "data" / "mine" / "kinds" / name, 20)
    drawn = []
    for task, names in (("kind", {}), ("kind of flower", {"x": "xenia"})):
        declaration = {"folder": "mine", "tasks": [{"name": task, "folder": "kinds", "classnames": names}]}
        (tmp_path / "mine3.yaml").write_text(yaml.safe_dump(declaration))
        register_collection(tmp_path / "mine3.yaml")
        dataset = build_dataset(dataset_config(tmp_path / "data", "mine3"))
        drawn.append([[item.impath for item in part] for part in (dataset.train_x, dataset.val, dataset.test)])
    assert drawn[0] == drawn[1]


def build(root: Path, entry: dict[str, Any]) -> DatasetBase:
    """Build the data set of a collection of one task."""
    from dassl.data.datasets import build_dataset

    (root / "one.yaml").write_text(yaml.safe_dump({"folder": "mine", "tasks": [entry]}))
    register_collection(root / "one.yaml")
    return build_dataset(dataset_config(root, "one"))


def test_folders_that_are_already_split(tmp_path):
    for part, count in (("train", 5), ("valid", 2), ("test", 3)):
        for name in ("x", "y"):
            write_images(tmp_path / "mine" / "kinds" / part / name, count)
    entry = {"name": "kind", "folder": "kinds", "classnames": {"x": "xenia"}}
    dataset = build(tmp_path, entry)
    assert [len(part) for part in (dataset.train_x, dataset.val, dataset.test)] == [4, 4, 6]
    assert dataset.layout.classnames == ("xenia", "y") and all("/test/" in d.impath for d in dataset.test)
    write_images(tmp_path / "mine" / "kinds" / "test" / "z", 1)
    with pytest.raises(InputError, match="Class folder 'z' is in only one of .*/train and .*/test"):
        build(tmp_path, entry)
    write_images(tmp_path / "mine" / "kinds" / "rose", 1)
    with pytest.raises(InputError, match="kinds of task 'kind' is split into train and test, but also holds 'rose'"):
        build(tmp_path, entry)


def test_a_split_file(tmp_path):
    write_images(tmp_path / "mine" / "kinds", 9)
    rows = [[f"{i}.jpg", i % 2, "x_a" if i % 2 == 0 else "y"] for i in range(9)]
    split = {"train": rows[:4], "val": rows[4:6], "test": rows[6:]}
    (tmp_path / "mine" / "split.json").write_text(json.dumps(split))
    entry = {"name": "kind", "folder": "kinds", "split": "split.json", "classnames": {"y": "yarrow"}}
    dataset = build(tmp_path, entry)
    assert dataset.layout.classnames == ("x a", "yarrow") and len(dataset.test) == 3
    with pytest.raises(InputError, match="names the class 'z', which it does not have"):
        build(tmp_path, {**entry, "classnames": {"z": "zinnia"}})
    with pytest.raises(InputError, match="'x_a' and 'y' of task 'kind' .*'y'"):
        build(tmp_path, {**entry, "classnames": {"x_a": "y"}})
    (tmp_path / "mine" / "kinds" / "8.jpg").unlink()
    with pytest.raises(InputError, match="8.jpg is missing, but the split .*split.json names it"):
        build(tmp_path, entry)
    (tmp_path / "mine" / "split.json").write_text('{"train": []}')
    with pytest.raises(InputError, match="split.json is not a split file .*KeyError: 'val'"):
        build(tmp_path, entry)

"""The photographs of a finished run, listed again from its folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from common.errors import InputError
from common.paths import CONFIG
from runs.pictured import photographs_of
from tests.support.finished import Finished, finished, place
from tests.support.training import Workplace

__all__ = ["finished", "place"]


def listing(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def test_they_are_those_of_the_run(finished: Callable[..., Finished], place: Workplace) -> None:
    run = finished("CoOp-CA")
    before = listing(place.root), listing(run.folder)
    photographs = photographs_of(run.folder)
    assert [one.path for one in photographs.test] == run.images
    layout = run.head.layout
    assert [(one.task, one.classname) for one in photographs.test] == [
        (layout.tasks[int(layout.task_of_class[label])].name, layout.classnames[label]) for label in run.label.tolist()
    ]
    assert photographs.train and not {one.path for one in photographs.train} & set(run.images)
    assert (listing(place.root), listing(run.folder)) == before


def test_data_that_are_elsewhere(finished: Callable[..., Finished], place: Workplace, tmp_path: Path) -> None:
    run = finished("CoOp-CA")
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match="are not in"):
            photographs_of(run.folder, folder)
    assert listing(tmp_path) == []
    shutil.copytree(place.root, tmp_path / "copy")
    moved = photographs_of(run.folder, tmp_path / "copy")
    assert all(one.path.startswith(str(tmp_path / "copy")) for one in moved.train)
    (tmp_path / "copy").rename(tmp_path / "changed")  # states are compared once in a process
    Path(moved.test[0].path.replace("copy", "changed")).unlink()
    with pytest.raises(InputError, match="changed since this run"):
        photographs_of(run.folder, tmp_path / "changed")


@pytest.mark.parametrize("content", ["", "a: [", "DATASET: {}", "DATASET: {ROOT: '', NUM_SHOTS: 4, DECLARATION: ''}"])
def test_a_damaged_config(tmp_path: Path, content: str) -> None:
    (tmp_path / CONFIG).write_text(content)
    with pytest.raises(InputError) as error:
        photographs_of(tmp_path)
    assert "\n" not in str(error.value)
    (tmp_path / CONFIG).unlink()
    with pytest.raises(InputError):
        photographs_of(tmp_path)

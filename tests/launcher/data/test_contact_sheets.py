"""The heading of a contact sheet says which images it shows."""

import errno
from types import SimpleNamespace

import pytest
from PIL import Image

from common.errors import InputError
from launcher.data import sheets


@pytest.mark.parametrize(("train", "shown"), [(True, "training images"), (False, "test images")])
def test_the_heading_says_which_images_are_shown(tmp_path, monkeypatch, train, shown):
    headings = []
    original = sheets.sheet
    monkeypatch.setattr(sheets, "sheet", lambda heading, *rest: headings.append(heading) or original(heading, *rest))
    monkeypatch.setattr(sheets, "select_images", lambda images, per_class: [[] for _ in images.task.classnames])
    task = SimpleNamespace(name="leaf shape", classnames=("round", "long"))
    images = SimpleNamespace(task=task, train=["a"] * train, test=["b"])
    sheets.draw_task("garden8", images, "leaf", tmp_path)
    assert headings == [f"garden8: leaf shape, {shown} (2 classes)"]


def task_of(name: str) -> SimpleNamespace:
    return SimpleNamespace(
        task=SimpleNamespace(name=name, classnames=("round", "long")), folders=("a", "b"), train=[], test=[]
    )


def test_a_full_disk_leaves_the_old_sheet(tmp_path, monkeypatch):
    images = task_of("leaf shape")
    images.source = "leaf"
    (old,) = sheets.draw_task("garden8", images, "leaf", tmp_path)
    before = old.read_bytes()

    def full(self, fp, *_, **__):
        fp.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(InputError, match=f"no space left on {tmp_path}"):
        sheets.draw_task("garden8", images, "leaf", tmp_path)
    assert old.read_bytes() == before and [path.name for path in tmp_path.iterdir()] == [old.name]


def test_a_long_task_name(tmp_path, capsys):
    images = [task_of(letter * 300) for letter in "\u00e9\u6f22"]
    for one in images:
        one.source = "leaf"
    assert sheets.draw_all("x", [SimpleNamespace(read=lambda: images)], tmp_path) == 0
    assert len(list(tmp_path.iterdir())) == 2

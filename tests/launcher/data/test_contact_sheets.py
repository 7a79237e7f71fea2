"""The heading of a contact sheet says which images it shows."""

from types import SimpleNamespace

import pytest

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

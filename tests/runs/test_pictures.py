"""Changes in the folder of the pictures since a run was finished."""

import shutil

import pytest

from runs import pictures


@pytest.fixture
def folder(tmp_path):
    """A data root with two class folders, and a run that records them."""
    for name, count in (("rose", 3), ("tulip", 2)):
        (tmp_path / "data" / "kinds" / name).mkdir(parents=True)
        for number in range(count):
            (tmp_path / "data" / "kinds" / name / f"{number}.jpg").write_bytes(b"x")
    (tmp_path / "run").mkdir()
    root = tmp_path / "data"
    pictures.record(tmp_path / "run", root, [str(path) for path in root.rglob("*.jpg")])
    return tmp_path


def found(folder):
    pictures._changes.cache_clear()
    return pictures.changes(folder / "run", folder / "data")


def test_nothing_changed(folder):
    (folder / "data" / "kinds" / "rose" / ".hidden").touch()
    (folder / "data" / "kinds" / "rose" / "Thumbs.db").touch()
    (folder / "data" / "other").mkdir()
    assert found(folder) == ""


def test_an_added_image(folder):
    (folder / "data" / "kinds" / "rose" / "9.jpg").touch()
    assert found(folder) == "'kinds/rose' has 4 files instead of 3"


def test_a_removed_image(folder):
    (folder / "data" / "kinds" / "tulip" / "0.jpg").unlink()
    assert found(folder) == "'kinds/tulip' has 1 files instead of 2"


def test_an_exchanged_image(folder):
    (folder / "data" / "kinds" / "tulip" / "0.jpg").rename(folder / "data" / "kinds" / "tulip" / "7.jpg")
    assert found(folder) == "'kinds/tulip' has other files"


def test_a_new_class_and_one_that_is_gone(folder):
    (folder / "data" / "kinds" / "lily").mkdir()
    shutil.rmtree(folder / "data" / "kinds" / "rose")
    assert found(folder) == "folder 'kinds/lily' is new, folder 'kinds/rose' is gone"


def test_results_outlive_their_pictures(folder):
    shutil.rmtree(folder / "data")
    assert found(folder) == ""


@pytest.mark.parametrize("text", ["", "{", "[]", '{"files": 3, "class_folders": {}}'])
def test_a_damaged_record_is_no_record(folder, text):
    (folder / "run" / pictures.FILE).write_text(text)
    assert found(folder) == ""

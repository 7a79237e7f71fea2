"""Changes in the folder of the pictures since a run was finished."""

import json
import shutil

import pytest

from common.errors import InputError
from common.files import SEAL
from runs import pictures
from tests.support.limits import in_time, make_pipe


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


def write_record(folder, change):
    path = folder / "run" / pictures.FILE
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def test_another_content_of_the_same_name_and_size(folder):
    (folder / "data" / "kinds" / "rose" / "0.jpg").write_bytes(b"y")
    assert found(folder) == "'kinds/rose' has files of the same names with another content"


def test_contents_are_compared_up_to_a_limit(folder, monkeypatch):
    """Larger data sets are compared by names and sizes, as the module and docs/reports.md say."""
    monkeypatch.setattr(pictures, "CONTENT_BYTES", 4)  # the five files have a byte each
    root = folder / "data"
    pictures.record(folder / "run", root, [str(path) for path in root.rglob("*.jpg")])
    (root / "kinds" / "rose" / "0.jpg").write_bytes(b"y")
    assert found(folder) == ""
    (root / "kinds" / "rose" / "0.jpg").write_bytes(b"yy")
    assert found(folder) == "'kinds/rose' has other files"


def test_another_root_with_the_same_pictures(folder):
    shutil.copytree(folder / "data", folder / "other" / "place")
    assert pictures.changes(folder / "run", folder / "other" / "place") == ""
    pictures.check(folder / "run", folder / "other" / "place", "-")
    (folder / "other" / "place" / "kinds" / "tulip" / "1.jpg").write_bytes(b"z")
    pictures._changes.cache_clear()
    with pytest.raises(InputError, match="other/place changed since: 'kinds/tulip' has files.*; do this") as error:
        pictures.check(folder / "run", folder / "other" / "place", "do this")
    assert "\n" not in str(error.value)


def test_a_root_without_the_pictures_is_said(folder, capsys):
    """Results outlive the pictures, but it is not left unsaid whose they are."""
    shutil.rmtree(folder / "data" / "kinds")
    (folder / "data" / "others").mkdir()
    for _ in range(2):
        pictures.check(folder / "run", folder / "data", "-")
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"{folder / 'data'} has no folder kinds" in error
    shutil.rmtree(folder / "data")
    pictures.check(folder / "run", folder / "data", "-")
    assert capsys.readouterr().err == ""


def test_a_record_of_an_earlier_version_is_read(folder):
    """It has no checksum and no contents."""
    write_record(
        folder,
        lambda state: (
            {key: value for key, value in state.items() if key != SEAL}
            | {"files": {name: values[:2] for name, values in state["files"].items()}}
        ),
    )
    assert found(folder) == ""
    (folder / "data" / "kinds" / "rose" / "0.jpg").write_bytes(b"y")
    assert found(folder) == ""
    (folder / "data" / "kinds" / "rose" / "0.jpg").unlink()
    assert found(folder) == "'kinds/rose' has 2 files instead of 3"


def test_a_changed_record_is_said_and_not_trusted(folder, capsys):
    write_record(folder, lambda state: state | {"files": {}})
    assert found(folder) == "" and found(folder) == ""
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and pictures.FILE in error and "go unnoticed" in error


def test_named_pipes_among_the_pictures_and_in_the_place_of_the_record(folder, capsys):
    make_pipe(folder / "data" / "kinds" / "rose" / "9.jpg")
    assert in_time(lambda: found(folder)) == ""
    make_pipe(folder / "run" / pictures.FILE)
    assert in_time(lambda: found(folder)) == ""
    assert "not a regular file" in capsys.readouterr().err


def test_links_in_a_circle_are_not_files(tmp_path):
    folder = tmp_path / "data" / "mine" / "rose"
    folder.mkdir(parents=True)
    (folder / "1.jpg").write_bytes(b"x")
    (folder / "2.jpg").symlink_to(folder / "2.jpg")
    (folder.parent / "loop").symlink_to(folder.parent / "loop")
    run = tmp_path / "run"
    run.mkdir()
    pictures.record(run, tmp_path / "data", [str(folder / "1.jpg")])
    assert pictures.changes(run, tmp_path / "data") == ""

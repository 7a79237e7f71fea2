"""A run's folder: its lock, its settings, and the versions that it records."""

import subprocess
import sys

import filelock
import pytest
from yacs.config import CfgNode

from common.errors import Busy, InputError
from common.paths import CHECKPOINTS, CONFIG, LOCK, LOG, RESULTS, TRACEBACK
from runs import status
from runs.folder import check_same_settings, declaration_changes, opened, versions
from tests.support.limits import in_time, make_pipe

HOLD = """
import sys, time
from filelock import FileLock
lock = FileLock(sys.argv[1]); lock.acquire(); print("held", flush=True); time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that works in tmp_path / "run"."""
    (tmp_path / "run").mkdir()
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run" / LOCK)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_the_second_process_is_refused_and_harms_nothing(holder, tmp_path, monkeypatch):
    monkeypatch.setattr(status, "PATIENCE", 0.1)
    (tmp_path / "run" / CONFIG).write_text("the first's")
    with pytest.raises(Busy, match="process .*run; wait") as error:
        with opened(tmp_path / "run", CfgNode()):
            raise AssertionError("not reached")
    assert "\n" not in str(error.value)
    assert (tmp_path / "run" / CONFIG).read_text() == "the first's"


def test_a_lock_ends_with_its_process_however_that_ends(holder, tmp_path):
    holder.kill()
    with opened(tmp_path / "run", CfgNode()):
        assert (tmp_path / "run" / CONFIG).exists()
    with opened(tmp_path / "run", CfgNode()):  # and with the run
        pass


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    class NoLocks:
        def __init__(self, path, **_):
            pass

        def acquire(self, timeout):
            raise NotImplementedError

    monkeypatch.setattr(filelock, "FileLock", NoLocks)
    with opened(tmp_path / "run", CfgNode()):
        pass
    assert (tmp_path / "run" / CONFIG).exists()


def settings(**values):
    return CfgNode({"OPTIM": {"LR": 0.1, "NAMES": ("a", "b")}, "OUTPUT_DIR": "here", "SEED": 1} | values)


def begun(path, cfg, with_results=True):
    path.mkdir()
    (path / CONFIG).write_text(cfg.dump())
    if with_results:
        (path / RESULTS).write_text("{}")
    return path


def test_settings_of_a_begun_run_are_compared(tmp_path):
    run = begun(tmp_path / "run", settings())
    check_same_settings(settings(), run)
    check_same_settings(settings(OUTPUT_DIR="there"), run)  # where it computes, not what
    check_same_settings(settings(NEW=1), run)  # a key that older runs lack
    with pytest.raises(InputError, match="SEED 1.* 2") as error:
        check_same_settings(settings(SEED=2), run)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="OPTIM.NAMES .*'b'"):
        check_same_settings(settings(OPTIM={"LR": 0.1, "NAMES": ("a",)}), run)


def test_a_folder_without_checkpoint_and_results_can_be_used_again(tmp_path):
    run = begun(tmp_path / "run", settings(), with_results=False)
    check_same_settings(settings(SEED=2), run)
    (run / CONFIG).write_text("{")
    check_same_settings(settings(SEED=2), run)
    (run / RESULTS).write_text("{}")
    with pytest.raises(InputError, match="config.yaml is damaged"):
        check_same_settings(settings(), run)


def test_a_folder_that_cannot_be_created_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file/run cannot be written") as error:
        with opened(tmp_path / "file" / "run", CfgNode()):
            raise AssertionError("not reached")
    assert "\n" not in str(error.value)


def test_versions_are_those_of_this_python():
    found = versions()
    assert found["python"] == sys.version.split()[0]
    assert {"torch", "torchvision", "dassl"} <= found.keys() and all(found.values())


@pytest.mark.parametrize("name", [*status.RECORDS, LOG, LOCK, CHECKPOINTS])
@pytest.mark.parametrize("make", [make_pipe, lambda path: path.symlink_to(path)])
def test_something_else_in_the_place_of_a_runs_file_is_one_line(tmp_path, name, make):
    (tmp_path / "run").mkdir()
    make(tmp_path / "run" / name)

    def enter() -> None:
        with opened(tmp_path / "run", CfgNode()):
            raise AssertionError("not reached")

    with pytest.raises(InputError, match=f"{name} is not a .*; remove it") as error:
        in_time(enter)
    assert "\n" not in str(error.value) and len(list((tmp_path / "run").iterdir())) == 1


def test_what_killed_writers_left_is_removed_at_the_next_start(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    run = tmp_path / "run"
    run.mkdir()
    for name in (RESULTS, CONFIG, TRACEBACK):
        (run / f".{name}.{ended.pid}").write_text("half")
    (run / ".mine").write_text("mine")
    with opened(run, CfgNode()):
        pass
    assert sorted(path.name for path in run.iterdir()) == [LOCK, ".mine", CONFIG]


@pytest.mark.parametrize("name", ["x" * 300, "a/" + "x" * 300])
def test_an_output_folder_with_a_name_too_long_is_one_line(tmp_path, name):
    with pytest.raises(InputError, match="cannot be written .*too long") as error:
        with opened(tmp_path / name, CfgNode()):
            raise AssertionError("not reached")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text", [b"\xff", b"[1]", b"1: 2\n", b"a.b: 1\n", b"[" * 9000, b"x: !!python/name:os.system ''\n"]
)
def test_damaged_settings_of_a_begun_run_are_one_line(tmp_path, text):
    run = begun(tmp_path / "run", settings())
    (run / CONFIG).write_bytes(text)
    with pytest.raises(InputError, match="config.yaml is damaged") as error:
        in_time(lambda: check_same_settings(settings(), run))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text", ["{", "[", "[" * 99999, "3", '{"tasks": [3]}', '{"tasks": [{"name": "a", "x": 1}], "y": 2}']
)
def test_damaged_declarations_are_compared_in_words(text):
    assert declaration_changes(text, '{"tasks": [{"name": "a", "classnames": {}}]}')

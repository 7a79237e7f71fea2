"""A run's folder belongs to one process at a time."""

import subprocess
import sys

import pytest
from yacs.config import CfgNode

from common.errors import Busy
from runs.folder import LOCK, opened
from trainers import run_folder

HOLD = """
import sys, time
from filelock import FileLock
lock = FileLock(sys.argv[1]); lock.acquire(); print("held", flush=True); time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process at work in tmp_path / "run"."""
    (tmp_path / "run").mkdir()
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run" / LOCK)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_the_second_is_told_and_harms_nothing(holder, tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "PATIENCE", 0.1)
    (tmp_path / "run" / "config.yaml").write_text("the first's")
    with pytest.raises(Busy, match="Another process is at work in .*run; wait") as told:
        with opened(tmp_path / "run", CfgNode()):
            raise AssertionError("not reached")
    assert "\n" not in str(told.value)
    assert (tmp_path / "run" / "config.yaml").read_text() == "the first's"


def test_a_lock_ends_with_its_process_however_that_ends(holder, tmp_path):
    holder.kill()
    with opened(tmp_path / "run", CfgNode()):
        assert (tmp_path / "run" / "config.yaml").exists()
    with opened(tmp_path / "run", CfgNode()):  # and with the run
        pass


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    class NoLocks:
        def __init__(self, path, **_):
            pass

        def acquire(self, timeout):
            raise NotImplementedError

    monkeypatch.setattr(run_folder, "FileLock", NoLocks)
    with opened(tmp_path / "run", CfgNode()):
        pass
    assert (tmp_path / "run" / "config.yaml").exists()

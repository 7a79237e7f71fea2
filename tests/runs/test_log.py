"""A run's log: what is written where, and a disk that is full."""

from __future__ import annotations

import errno
import sys

import pytest

from runs.log import Tee


@pytest.mark.parametrize("quiet", [True, False])
def test_the_log_has_everything_and_the_console_unless_quiet(tmp_path, capsys, quiet):
    with Tee(tmp_path / "log.txt", quiet) as tee:
        assert sys.stdout is tee
        print("epoch 1\tloss 2")
        print("task ro\x1b[2J\x9b31mse\u202e, \udcff")
    assert sys.stdout is not tee
    shown = "epoch 1\tloss 2\ntask ro[2J31mse, "
    assert (tmp_path / "log.txt").read_text() == f"{shown}?\n"
    assert capsys.readouterr().out == ("" if quiet else f"{shown}?\n")


@pytest.mark.parametrize("call", ["write", "flush"])
def test_a_full_disk_names_the_log(tmp_path, call):
    path = tmp_path / "log.txt"
    before = sys.stdout
    with pytest.raises(OSError) as error:
        with Tee(path, quiet=True) as tee:
            tee.file.close()
            tee.file = open("/dev/full", "w", buffering=1)
            tee.write("no line yet")
            tee.write("\n") if call == "write" else tee.flush()
    assert error.value.errno == errno.ENOSPC and error.value.filename == str(path)
    assert sys.stdout is before

"""A disk that is full at any point of a run: one line, nothing half-written, and a rerun equals an undisturbed run."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import threading

import pytest

from common.errors import DiskFull
from common.paths import RESULTS
from runs.run import disk_full_in_one_line
from tests.support.limits import small_disk

# What a run of this test writes, with its bank, is some 200 KB; a file takes whole blocks of 4 KB.
SIZES = (4, 8, 12, 16, 20, 28, 36, 48, 64, 96, 128, 192)


@pytest.mark.parametrize("kilobytes", SIZES)
def test_a_full_disk_is_one_line_and_the_rerun_the_same(workplace, capfd, kilobytes):
    expected = workplace.run("CoOp", "undisturbed")["tasks"]
    capfd.readouterr()
    usual = workplace.output
    with small_disk(usual.parent / "small", kilobytes) as place:
        workplace.output = place
        try:
            workplace.run("CoOp", "run", "BANK.DIR", str(usual / ".bank"))
            full = False
        except DiskFull as error:
            full = True
            assert f"no space left on {place}" in str(error) and "\n" not in str(error)
        assert "Traceback" not in "".join(capfd.readouterr())
        assert full == (not (place / "run" / RESULTS).exists())
        assert full or kilobytes > SIZES[0]
        assert kilobytes > SIZES[0] or not os.listdir(place)  # not even the settings fit
        assert not full or kilobytes < SIZES[-1]
        assert not list(place.rglob(".*.[0-9]*"))
        subprocess.run(["mount", "-o", "remount,size=4m", str(place)], check=True)
        results = workplace.run("CoOp", "run", "BANK.DIR", str(usual / ".bank"))
        assert results["tasks"] == expected and json.loads((place / "run" / RESULTS).read_text()) == results
        assert os.listdir(place) == ["run"]


def test_a_writers_thread_prints_no_traceback_of_a_full_disk(tmp_path, monkeypatch):
    """TensorBoard's raises its error once more where the main thread writes."""
    seen = []
    monkeypatch.setattr(threading, "excepthook", lambda args: seen.append(args.exc_value))

    def fail(error: Exception) -> None:
        raise error

    def in_a_thread(error: Exception) -> None:
        thread = threading.Thread(target=fail, args=(error,))
        thread.start()
        thread.join()

    full, other = OSError(errno.ENOSPC, "No space left on device"), ValueError("other")
    with pytest.raises(DiskFull, match=f"no space left on {tmp_path}"), disk_full_in_one_line(tmp_path):
        in_a_thread(full)
        in_a_thread(other)
        raise full
    assert seen == [other]
    in_a_thread(full)  # afterwards, threads are as they were
    assert seen == [other, full]
    with pytest.raises(PermissionError), disk_full_in_one_line(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied")

"""A full disk ends a run in one line, whichever file does not fit, and the next run goes on as if nothing had been."""

import errno
import os
import resource
import sys

import pytest

from common.errors import InputError

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full(*_, **__):
    raise FULL


def ends_in_one_line(workplace, capfd, **kwargs):
    with pytest.raises(InputError, match=f"no space left on {workplace.output}") as error:
        workplace.run("CoOp", **kwargs)
    assert "\n" not in str(error.value)
    assert "Traceback" not in "".join(capfd.readouterr())
    assert not (workplace.output / "run" / "results.json").exists()


@pytest.mark.parametrize(
    "place", ["os.fsync", "trainers.engine.checkpoint_fit.write_record", "prompting.feature_bank.os.replace"]
)
def test_checkpoints_their_record_and_the_bank(workplace, monkeypatch, capfd, place):
    with monkeypatch.context() as patch:
        patch.setattr(place, full)
        ends_in_one_line(workplace, capfd)
    assert not [path for path in workplace.output.rglob("*") if path.name.endswith(".part") or ".writing-" in path.name]
    assert workplace.run("CoOp")["tasks"] == workplace.run("CoOp", "whole")["tasks"]


@pytest.mark.parametrize("after", [0, 3, 20])
def test_the_thread_of_tensorboard(workplace, monkeypatch, capfd, after):
    """Its error is raised where something is logged; the thread prints nothing."""
    record_writer = pytest.importorskip("tensorboard.summary.writer.record_writer")
    write, written = record_writer.RecordWriter.write, []

    def fails(self, data):
        written.append(data)
        if len(written) > after:
            raise FULL
        write(self, data)

    monkeypatch.setattr(record_writer.RecordWriter, "write", fails)
    ends_in_one_line(workplace, capfd, epochs=6)


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files")
def test_a_file_that_may_not_grow(workplace, capfd):
    """PyTorch's own writer does not say why it failed; the line does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    try:
        with pytest.raises(InputError, match=f"{workplace.output}.*File too large"):
            workplace.run("SoftCPT")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(workplace.output.rglob("*.part"))

"""Long runs: file descriptors and memory do not grow with the number of epochs."""

import os
import resource
import sys

import pytest
import torch

from trainers.engine.image_features import EpochTables

EPOCHS = 80


@pytest.fixture
def few_descriptors():
    """A limit of 40 file descriptors above those that are open."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 40, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
def test_more_epochs_than_descriptors(workplace, few_descriptors):
    """Each epoch's table is a file of the bank; one is open at a time."""
    results = workplace.run("CoOp", epochs=EPOCHS)
    assert results["finished"] and len(list((workplace.output / ".bank").glob("*.features"))) == EPOCHS + 2
    again = workplace.run("CoOp", "again", epochs=EPOCHS)  # from the bank
    assert again["tasks"] == results["tasks"]


def test_one_table_is_held_at_a_time():
    loaded = []

    def load(epoch):
        loaded.append(epoch)
        return torch.full((2, 2), float(epoch))

    tables = EpochTables(range(3, 6), load)
    assert list(tables) == [3, 4, 5] and len(tables) == 3 and not loaded
    assert tables[4][0, 0] == 4 and tables[4][0, 0] == 4 and loaded == [4]
    assert sum(table[0, 0] for table in tables.values()) == 12 and loaded == [4, 3, 4, 5]
    with pytest.raises(KeyError):
        tables[6]


@pytest.mark.parametrize("case", ["read-only", "small"])
def test_a_bank_that_cannot_store_the_epochs_gives_the_same_run(workplace, case):
    """It is encoded when it is trained on, one epoch in memory at a time."""
    whole = workplace.run("CoOp", "whole")
    (workplace.output / "file").write_text("in the way")
    words = {
        "read-only": ("BANK.DIR", str(workplace.output / "file" / "bank")),
        "small": ("BANK.DIR", str(workplace.output / "small"), "BANK.LIMIT_GB", "0.00001"),
    }
    other = workplace.run("CoOp", case, *words[case])
    assert other["tasks"] == whole["tasks"]
    first, second = (workplace.learned(name, 3) for name in ("whole", case))
    assert all(torch.equal(value, second[name]) for name, value in first.items())

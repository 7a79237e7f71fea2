"""Batches of one task each."""

from trainers.engine.batches import OneTaskBatches


def test_batches_of_one_task():
    tasks = [0] * 70 + [1] * 20 + [2] * 32
    batches = list(OneTaskBatches(tasks, 32))
    assert len(batches) == len(OneTaskBatches(tasks, 32)) == 4
    assert sorted(len(b) for b in batches) == [20, 32, 32, 32]
    for b in batches:
        assert len({tasks[i] for i in b}) == 1 and len(set(b)) == len(b)
    drawn = [i for b in batches for i in b]
    assert len(set(drawn)) == len(drawn)
    assert list(OneTaskBatches(tasks, 32)) != list(OneTaskBatches(tasks, 32))

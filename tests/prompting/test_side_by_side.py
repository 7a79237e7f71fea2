"""Computations in several threads: their order, errors, early ends, and PyTorch's number of threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from prompting.side_by_side import side_by_side


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


def test_results_come_in_order_and_each_thread_is_one() -> None:
    def compute(number: int) -> tuple[int, int, str]:
        time.sleep(0.02 if number % 3 == 0 else 0)
        return number, torch.get_num_threads(), threading.current_thread().name

    found = list(side_by_side(compute, range(20), 3))
    assert [number for number, _, _ in found] == list(range(20)) and {count for _, count, _ in found} == {1}
    assert len({name for _, _, name in found}) > 1 and threading.current_thread().name not in {n for _, _, n in found}


def test_computations_overlap() -> None:
    together = threading.Barrier(2, timeout=20)
    assert len(list(side_by_side(lambda _: together.wait(), range(4), 2))) == 4


def test_nothing_is_computed_far_ahead() -> None:
    begun: list[int] = []
    results = side_by_side(begun.append, range(100), 2)
    next(results)
    results.close()  # type: ignore[attr-defined]  # it is a generator
    assert len(begun) <= 5


def test_an_error_ends_it() -> None:
    def compute(number: int) -> int:
        if number == 3:
            raise ValueError("three")
        return number

    found: list[int] = []
    with pytest.raises(ValueError, match="three"):
        found.extend(side_by_side(compute, range(10), 2))
    assert not list(side_by_side(compute, [], 2))

"""Several computations at once, each in one thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(compute: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """Yield ``compute(item)`` of every item, in order, with ``threads`` of them computed at once.

    Threads that split every operation wait for each other hundreds of times per batch of images; these never do. So
    PyTorch has one thread in each, which also makes results independent of their number.

    Args:
        compute: must not depend on what other threads do, such as drawing from a global generator.
    """
    before, rest = torch.get_num_threads(), iter(items)
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        for item in islice(rest, 2 * threads):
            waiting.append(pool.submit(compute, item))
        while waiting:
            result = waiting.popleft().result()
            for item in islice(rest, 1):
                waiting.append(pool.submit(compute, item))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)  # the number for threads to come is one for the whole process

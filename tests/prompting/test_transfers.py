"""Copies between host and device, on the pretend device."""

import torch

from prompting.transfers import on_host, read_one_late, upload
from tests.support.pretend_device import DEVICE, PretendDevice


def test_what_was_uploaded_is_known_without_reading_the_device():
    with PretendDevice() as device:
        for values in ([3, 1, 2], range(4), torch.tensor([5, 6])):
            there = upload(values, DEVICE)
            assert there.device.type == "cuda" and on_host(there) == list(map(int, values))
        assert not device.trips
        assert on_host(there + 1) == [6, 7] and len(device.trips) == 1  # another tensor is read


def test_on_a_cpu_values_are_those_of_the_tensor():
    there = upload([3, 1], "cpu")
    there += 1
    assert on_host(there) == [4, 2]


def test_results_are_read_in_order_each_when_the_next_is_queued():
    queued: list[int] = []

    def results():
        for number in range(4):
            queued.append(number)
            yield torch.full((2,), float(number)).to(DEVICE, non_blocking=True)

    with PretendDevice():
        for place, values in enumerate(read_one_late(results())):
            assert values.device.type == "cpu" and values.tolist() == [place, place]
            assert len(queued) == min(place + 2, 4)
    assert [float(value) for value in read_one_late(torch.arange(3.0))] == [0, 1, 2]

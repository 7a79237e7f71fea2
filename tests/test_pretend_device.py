"""The pretend device: devices cannot be mixed, every trip is counted once, and results are those of the CPU."""

from __future__ import annotations

import copy
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from common.paths import REPOSITORY
from prompting.frozen import QuickGELU
from tests.support.pretend_device import DEVICE, DeviceMistake, OnDevice, PretendDevice, Trip, held_of

HERE = str(Path(__file__).relative_to(REPOSITORY))


def values(*shape: int, device: Any = "cpu") -> Tensor:
    """Seeded values on a device."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))).to(device)


MIXED: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "sum": lambda here, host: here + host,
    "sum, the other way round": lambda here, host: host + here,
    "in place": lambda here, host: here.add_(host),
    "in place on the CPU": lambda here, host: host.add_(here),
    "product": lambda here, host: here @ host,
    "layer": lambda here, host: nn.Linear(4, 4)(here),
    "concatenation": lambda here, host: torch.cat([here, host]),
    "concatenation with a number": lambda here, host: torch.stack([here.sum(), host.sum()]),
    "embedding": lambda here, host: F.embedding(torch.zeros(2, dtype=torch.long), here),
    "gather": lambda here, host: here.gather(1, torch.zeros(4, 1, dtype=torch.long)),
    "rows of the CPU": lambda here, host: host[torch.zeros(2, dtype=torch.long, device=DEVICE)],
    "values of rows": lambda here, host: here.index_put_((torch.arange(4, device=DEVICE),), host),
    "loss": lambda here, host: F.cross_entropy(here, torch.zeros(4, dtype=torch.long)),
    "attention": lambda here, host: F.scaled_dot_product_attention(here, here, host),
    "number of the CPU changed": lambda here, host: torch.zeros(()).add_(here.sum()),
    "where": lambda here, host: torch.where(here > 0, here, host),
    "numpy": lambda here, host: here.numpy(),
}


@pytest.mark.parametrize("name", MIXED)
def test_devices_cannot_be_mixed(name: str) -> None:
    with PretendDevice():
        with pytest.raises(TypeError if name == "numpy" else DeviceMistake):
            MIXED[name](values(4, 4, device=DEVICE), values(4, 4))


def test_numbers_of_the_cpu_can_be_mixed_in() -> None:
    with PretendDevice() as device:
        here, number = values(4, 4, device=DEVICE), torch.tensor(2.0)
        device.trips.clear()
        for result in (here * number, number * here, here.masked_fill(here > 0, number), here.clone().add_(number)):
            assert result.device == DEVICE
        assert not device.trips


SYNCS: dict[str, Callable[[Tensor], Any]] = {
    "item": lambda x: x[0, 0].item(),
    "bool": lambda x: bool(x[0, 0]),
    "float": lambda x: float(x[0, 0]),
    "int": lambda x: int(x[0, 0]),
    "if": lambda x: 1 if (x > 0).all() else 0,
    "format": lambda x: f"{x[0, 0]:.2f}",
    "slice": lambda x: x[: (x[0] > 0).sum()],
    "tolist": lambda x: x.tolist(),
    "cpu": lambda x: x.cpu(),
    "to": lambda x: x.to("cpu"),
    "to with a type": lambda x: x.to("cpu", torch.float64),
    "like another": lambda x: x.to(torch.zeros(1)),
    "copy_": lambda x: torch.zeros(4, 4).copy_(x),
    "rows of a table": lambda x: torch.zeros(8, 4).__setitem__(slice(0, 4), x),
    "equal": lambda x: torch.equal(x, x),
    "allclose": lambda x: torch.allclose(x, x),
    "nonzero": lambda x: x.nonzero(),
    "where": lambda x: torch.where(x > 0),
    "unique": lambda x: x.unique(),
    "unique rows": lambda x: x.unique(dim=0),
    "unique_consecutive": lambda x: x.unique_consecutive(),
    "masked_select": lambda x: x.masked_select(x > 0),
    "mask": lambda x: x[x > 0],
    "mask of rows": lambda x: x[x[:, 0] > 0],
    "values by mask": lambda x: x.index_put_((x > 0,), x.sum()),
    "bincount": lambda x: (x > 0).flatten().long().bincount(minlength=2),
    "repeat_interleave": lambda x: x.repeat_interleave((x[:, 0] > 0).long(), 0),
    "synchronize": lambda x: torch.cuda.synchronize(),
    "event": lambda x: torch.cuda.Event().synchronize(),
}
UPLOADS: dict[str, Callable[[Tensor], Any]] = {
    "tensor": lambda x: torch.tensor([1, 2], device=DEVICE),
    "number": lambda x: torch.tensor(1.0, device="cuda"),
    "as_tensor": lambda x: torch.as_tensor([1, 2], device=DEVICE),
    "new_tensor": lambda x: x.new_tensor([1, 2]),
    "to": lambda x: torch.zeros(4).to(DEVICE),
    "like another": lambda x: torch.zeros(4).to(x),
    "cuda": lambda x: torch.zeros(4).cuda(),
    "copy_": lambda x: x.copy_(torch.zeros(4, 4)),
    "index": lambda x: x[torch.tensor([0, 1])],
    "list as index": lambda x: x[[0, 1]],
    "rows set": lambda x: x.__setitem__(torch.tensor([0, 1]), 0.0),
    "layer": lambda x: nn.Linear(2, 2, bias=False).to(DEVICE),
}
NEITHER: dict[str, Callable[[Tensor], Any]] = {
    "arithmetic": lambda x: (x @ x.t()).softmax(1).argmax(1) + 1,
    "created": lambda x: torch.zeros(2, device=DEVICE) + torch.arange(2, device="cuda:0"),
    "created like it": lambda x: torch.ones_like(x) + x.new_zeros(4),
    "type": lambda x: x.to(torch.float64).float(),
    "here already": lambda x: x.to(DEVICE),
    "down without waiting": lambda x: x.to("cpu", non_blocking=True),
    "up without waiting": lambda x: torch.zeros(2).pin_memory().to(DEVICE, non_blocking=True),
    "copied up without waiting": lambda x: x.copy_(torch.zeros(4, 4), non_blocking=True),
    "number set": lambda x: x.__setitem__(0, 1.0),
    "number set by mask": lambda x: x.__setitem__(x > 0, 1.0),
    "index": lambda x: x[torch.arange(2, device=DEVICE)],
    "repeat_interleave": lambda x: x.repeat_interleave(torch.full((4,), 2, device=DEVICE), 0, output_size=8),
    "values of the CPU": lambda x: torch.zeros(2).tolist(),
    "shape": lambda x: (len(x), x.shape, x.device),
    "shown": lambda x: repr(x),
}


@pytest.mark.parametrize(
    ("kind", "name", "call"),
    [("sync", *row) for row in SYNCS.items()]
    + [("upload", *row) for row in UPLOADS.items()]
    + [("", *row) for row in NEITHER.items()],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_every_trip_is_counted_once(kind: str, name: str, call: Callable[[Tensor], Any]) -> None:
    with PretendDevice() as device:
        x = values(4, 4, device=DEVICE)
        device.trips.clear()
        call(x)
        assert [(trip.kind, number) for trip, number in device.trips.items()] == ([(kind, 1)] if kind else [])
        assert all(trip.place.startswith(f"{HERE}:") for trip in device.trips)


def test_a_trip_names_the_line_that_causes_it() -> None:
    with PretendDevice() as device:
        x = values(4, 4, device=DEVICE).requires_grad_()
        device.trips.clear()
        line = sys._getframe().f_lineno + 1
        F.normalize(x).sum().item()
    assert device.trips == {Trip("sync", "item", f"{HERE}:{line}"): 1}


class Net(nn.Module):
    """Uses the layers of all towers and methods."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.attention, self.ln = nn.MultiheadAttention(8, 2), nn.LayerNorm(8)
        self.words, self.out = nn.Embedding(10, 8), nn.Linear(8, 6)

    def forward(self, images: Tensor, tokens: Tensor) -> Tensor:
        patches = F.relu(self.norm(self.conv(images))).flatten(2).permute(2, 0, 1)
        x = torch.cat([patches, self.words(tokens).transpose(0, 1)])
        x = x + self.attention(self.ln(x), x, x, need_weights=False)[0]
        x = checkpoint(lambda part: QuickGELU.apply(part), x, use_reentrant=False)
        q = x.transpose(0, 1).unflatten(2, (2, 4)).transpose(1, 2)
        mask = torch.ones(len(x), len(x), dtype=torch.bool, device=x.device).tril()
        x = F.scaled_dot_product_attention(q, q, q, attn_mask=mask).transpose(1, 2).flatten(2)
        first, second = torch.stack([x[:, 0], F.dropout(x.amax(1), 0.2)]).unbind(0)
        rows = torch.arange(len(x), device=x.device).flip(0)
        x = first.index_copy(0, rows, second) + x[rows, -1] + torch.where(first > second, first, 0.0)
        return self.out(F.normalize(x.sort(1)[0], dim=-1))


@pytest.mark.parametrize("optimizer", ("SGD", "AdamW"))
def test_results_are_those_of_the_cpu(optimizer: str) -> None:
    """Bit for bit: losses, parameters and buffers, and what is saved."""

    def train(device: Any) -> tuple[list[float], dict[str, Tensor]]:
        torch.manual_seed(0)
        net = Net().to(device)
        optim = getattr(torch.optim, optimizer)(net.parameters(), lr=0.01, weight_decay=0.01)
        images, tokens = values(4, 3, 6, 6, device=device), torch.arange(8).view(4, 2).to(device)
        label, losses = torch.tensor([0, 1, 2, 3], device=device), []
        for _ in range(3):
            optim.zero_grad()
            loss = F.cross_entropy(net(images, tokens), label, label_smoothing=0.1)
            loss.backward()
            optim.step()
            losses.append(loss.item())
        file = io.BytesIO()
        torch.save(copy.deepcopy(net).state_dict(), file)
        file.seek(0)
        saved = torch.load(file)
        assert not any(isinstance(value, OnDevice) for value in saved.values())
        assert all(torch.equal(held_of(value), saved[key]) for key, value in net.state_dict().items())
        return losses, saved

    expected, state = train("cpu")
    with PretendDevice():
        got, found = train(DEVICE)
    assert got == expected and found.keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in found.items())


def test_gradients_cross_the_border() -> None:
    with PretendDevice() as device:
        x, y = values(4).requires_grad_(), values(4, device=DEVICE).requires_grad_()
        ((x.to(DEVICE) * y).to("cpu") * 2).sum().backward()
        assert x.grad is not None and y.grad is not None and not isinstance(x.grad, OnDevice)
        assert isinstance(y.grad, OnDevice) and torch.equal(x.grad, 2 * held_of(y))
        assert device.count("sync") == 2 and device.count("upload") == 3


def test_the_device_ends_with_its_context() -> None:
    before = torch.zeros, Tensor.cpu, torch.__future__.get_overwrite_module_params_on_conversion()
    with PretendDevice():
        assert torch.zeros is not before[0]
    assert (torch.zeros, Tensor.cpu, torch.__future__.get_overwrite_module_params_on_conversion()) == before
    assert "to" not in vars(Tensor)

"""Transport plans of several images together."""

from __future__ import annotations

import pytest
import torch

from prompting import transport
from prompting.losses import unit
from prompting.transport import Transport, sinkhorn


@pytest.mark.parametrize("queued", [0, 1, 3, 7, 200])
@pytest.mark.parametrize("threshold", [0.0, 1e-3, 1e-2, 1e9])
def test_groups_stop_each_on_its_own(queued: int, threshold: float) -> None:
    spread = torch.tensor([0.05, 1.0, 0.3, 0.0]).view(4, 1, 1, 1)
    cost = (torch.rand(4, 3, 5, 4, generator=torch.Generator().manual_seed(0)) * spread).flatten(0, 1)
    together = sinkhorn(cost, 0.1, 30, threshold, queued, together=3)
    alone = torch.cat([sinkhorn(group, 0.1, 30, threshold) for group in cost.split(3)])
    assert torch.equal(together, alone)
    whole = sinkhorn(cost, 0.1, 30, threshold, queued)
    assert torch.equal(whole, together) == (threshold in (0.0, 1e9))


def test_an_image_does_not_depend_on_those_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    images, text = (unit(torch.randn(size, generator=generator)) for size in ((6, 9, 8), (4, 3, 8)))
    compare = Transport(100.0, 0.1, 100, 0.01)
    together = compare.tested(images, text)
    alone = torch.cat([compare.tested(image.unsqueeze(0), text) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-4)
    monkeypatch.setattr(transport, "TEST_VALUES", 1)
    torch.testing.assert_close(compare.tested(images, text), alone, rtol=1e-5, atol=1e-4)

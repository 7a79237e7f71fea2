"""EFDMix (Zhang et al., CVPR 2022): mixes distributions of values, matched exactly by sorting."""

from __future__ import annotations

import torch

from .style import StyleMixer, contexts, switches


class EFDMix(StyleMixer):
    """Moves each value towards the value of the same rank in the partner's channel."""

    def _mix(self, x: torch.Tensor, weights: torch.Tensor, partners: torch.Tensor) -> torch.Tensor:
        flat = x.flatten(2)
        values, order = flat.sort(dim=-1)
        matched = values[partners].gather(-1, order.argsort(dim=-1))
        return (flat + (matched - flat.detach()) * (1 - weights.squeeze(-1))).view_as(x)


activate_efdmix, deactivate_efdmix, random_efdmix, crossdomain_efdmix = switches(EFDMix)
run_with_efdmix, run_without_efdmix = contexts(EFDMix)

"""MixStyle (Zhou et al., ICLR 2021): mixes the means and standard deviations of channels."""

from __future__ import annotations

import torch

from .style import StyleMixer, contexts, switches


class MixStyle(StyleMixer):
    """Mixes each channel's mean and standard deviation with the partner's, without gradients through them."""

    def _mix(self, x: torch.Tensor, weights: torch.Tensor, partners: torch.Tensor) -> torch.Tensor:
        mean = x.mean(dim=(2, 3), keepdim=True).detach()
        deviation = (x.var(dim=(2, 3), keepdim=True) + self.eps).sqrt().detach()
        mixed_mean = weights * mean + (1 - weights) * mean[partners]
        mixed_deviation = weights * deviation + (1 - weights) * deviation[partners]
        return (x - mean) / deviation * mixed_deviation + mixed_mean


activate_mixstyle, deactivate_mixstyle, random_mixstyle, crossdomain_mixstyle = switches(MixStyle)
run_with_mixstyle, run_without_mixstyle = contexts(MixStyle)

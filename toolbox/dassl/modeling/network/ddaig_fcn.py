"""Networks that perturb images (Zhou et al., AAAI 2020: DDAIG)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn as nn
from torch.nn import functional as F

from dassl.utils import init_network_weights

from .build import NETWORK_REGISTRY

Norm = Callable[[int], nn.Module]

_PADS: dict[str, type[nn.Module] | None] = {
    "reflect": nn.ReflectionPad2d,
    "replicate": nn.ReplicationPad2d,
    "zero": None,  # done by the convolution
}


def get_norm_layer(norm_type: str = "instance") -> Norm | None:
    """Return a function from channels to a norm layer: "instance" (without parameters), "batch" or "none" (None).

    NotImplementedError for any other ``norm_type``.
    """
    norms = {
        "batch": partial(nn.BatchNorm2d, affine=True),
        "instance": partial(nn.InstanceNorm2d, affine=False, track_running_stats=False),
        "none": None,
    }
    if norm_type not in norms:
        raise NotImplementedError(f'norm_type must be one of {", ".join(norms)}, not "{norm_type}"')
    return norms[norm_type]


def _padded_conv(padding_type: str, channels_in: int, channels: int, bias: bool) -> list[nn.Module]:
    """Return padding and a 3 x 3 convolution that keep the size."""
    if padding_type not in _PADS:
        raise NotImplementedError(f'padding_type must be one of {", ".join(_PADS)}, not "{padding_type}"')
    pad = _PADS[padding_type]
    conv = nn.Conv2d(channels_in, channels, 3, padding=0 if pad else 1, bias=bias)
    return [pad(1), conv] if pad else [conv]


class ResnetBlock(nn.Module):
    """Two 3 x 3 convolutions of ``dim`` channels and a shortcut, without a final activation."""

    def __init__(self, dim: int, padding_type: str, norm_layer: Norm, use_dropout: bool, use_bias: bool) -> None:
        super().__init__()
        self.conv_block = self.build_conv_block(dim, padding_type, norm_layer, use_dropout, use_bias)

    def build_conv_block(
        self, dim: int, padding_type: str, norm_layer: Norm, use_dropout: bool, use_bias: bool
    ) -> nn.Sequential:
        """Build the layers parallel to the shortcut."""
        return nn.Sequential(
            *_padded_conv(padding_type, dim, dim, use_bias),
            norm_layer(dim),
            nn.ReLU(inplace=True),
            *([nn.Dropout(0.5)] if use_dropout else []),
            *_padded_conv(padding_type, dim, dim, use_bias),
            norm_layer(dim),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, dim, H, W) -> the same shape."""
        return x + self.conv_block(x)


class LocNet(nn.Module):
    """Predicts how to rotate, scale and shear each image: an affine map without translation.

    Args:
        input_nc, nc: channels of the images and of the hidden layers.
        n_blocks: number of residual blocks, each of which halves the size.
        image_size: height and width, a multiple of 2 ** (n_blocks + 1).
    """

    def __init__(
        self,
        input_nc: int,
        nc: int = 32,
        n_blocks: int = 3,
        use_dropout: bool = False,
        padding_type: str = "zero",
        image_size: int = 32,
    ) -> None:
        super().__init__()
        layers = [nn.Conv2d(input_nc, nc, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(nc), nn.ReLU(True)]
        for _ in range(n_blocks):
            layers += [ResnetBlock(nc, padding_type, nn.BatchNorm2d, use_dropout, False), nn.MaxPool2d(2, stride=2)]
        self.backbone = nn.Sequential(*layers)
        side = int(image_size * 0.5 ** (n_blocks + 1))
        self.fc_loc = nn.Linear(nc * side**2, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, input_nc, H, W) -> affine maps (batch, 2, 3)."""
        linear = self.fc_loc(self.backbone(x).flatten(1)).tanh().view(-1, 2, 2)
        return F.pad(linear, (0, 1))


class FCN(nn.Module):
    """x + lmda * p(x), where the perturbation p is between -1 and 1 and has the size of the image.

    Args:
        input_nc, output_nc, nc: channels of the images, of the perturbation and of the hidden layers.
        n_blocks: number of residual blocks.
        norm_layer: builds a norm layer for a number of channels.
        padding_type: "reflect", "replicate" or "zero".
        gctx: also give every pixel the mean over the image.
        stn: first warp the image with a ``LocNet`` for images of ``image_size`` pixels.
    """

    def __init__(
        self,
        input_nc: int,
        output_nc: int,
        nc: int = 32,
        n_blocks: int = 3,
        norm_layer: Norm = nn.BatchNorm2d,
        use_dropout: bool = False,
        padding_type: str = "reflect",
        gctx: bool = True,
        stn: bool = False,
        image_size: int = 32,
    ) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            *_padded_conv(padding_type, input_nc, nc, bias=False),
            norm_layer(nc),
            nn.ReLU(True),
            *(ResnetBlock(nc, padding_type, norm_layer, use_dropout, False) for _ in range(n_blocks)),
        )
        self.gctx_fusion = None
        if gctx:
            self.gctx_fusion = nn.Sequential(nn.Conv2d(2 * nc, nc, 1, bias=False), norm_layer(nc), nn.ReLU(True))
        self.regress = nn.Sequential(nn.Conv2d(nc, output_nc, 1), nn.Tanh())
        self.locnet = LocNet(input_nc, nc=nc, n_blocks=n_blocks, image_size=image_size) if stn else None

    def init_loc_layer(self) -> None:
        """Initialise the ``LocNet`` to no shear and a scale of tanh(1)."""
        if self.locnet is not None:
            nn.init.zeros_(self.locnet.fc_loc.weight)
            self.locnet.fc_loc.bias.data.copy_(torch.eye(2).flatten())

    def stn(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return warped images of the shape of ``x``, and the affine maps (batch, 2, 3)."""
        theta = self.locnet(x)
        grid = F.affine_grid(theta, list(x.shape), align_corners=False)
        return F.grid_sample(x, grid, align_corners=False), theta

    def forward(
        self, x: torch.Tensor, lmda: float = 1.0, return_p: bool = False, return_stn_output: bool = False
    ) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """Return perturbed images (batch, 3, H, W).

        ``return_p`` adds the perturbations, ``return_stn_output`` these and the images before perturbation.
        """
        image = x if self.locnet is None else self.stn(x)[0]
        hidden = self.backbone(image)
        if self.gctx_fusion is not None:
            context = hidden.mean((2, 3), keepdim=True).expand_as(hidden)
            hidden = self.gctx_fusion(torch.cat([hidden, context], 1))
        perturbation = self.regress(hidden)
        perturbed = image + lmda * perturbation
        if return_stn_output:
            return perturbed, perturbation, image
        return (perturbed, perturbation) if return_p else perturbed


def _fcn(nc: int, **kwargs: Any) -> FCN:
    net = FCN(3, 3, nc=nc, n_blocks=3, norm_layer=get_norm_layer("instance"), **kwargs)
    init_network_weights(net, init_type="normal", gain=0.02)
    net.init_loc_layer()
    return net


@NETWORK_REGISTRY.register()
def fcn_3x32_gctx(**kwargs: Any) -> FCN:
    """An ``FCN`` of 32 channels."""
    return _fcn(32)


@NETWORK_REGISTRY.register()
def fcn_3x64_gctx(**kwargs: Any) -> FCN:
    """An ``FCN`` of 64 channels."""
    return _fcn(64)


@NETWORK_REGISTRY.register()
def fcn_3x32_gctx_stn(image_size: int = 32, **kwargs: Any) -> FCN:
    """An ``FCN`` of 32 channels that warps images of ``image_size`` pixels first."""
    return _fcn(32, stn=True, image_size=image_size)


@NETWORK_REGISTRY.register()
def fcn_3x64_gctx_stn(image_size: int = 224, **kwargs: Any) -> FCN:
    """An ``FCN`` of 64 channels that warps images of ``image_size`` pixels first."""
    return _fcn(64, stn=True, image_size=image_size)

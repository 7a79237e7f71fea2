"""The published augmentation of one image, with a random generator of its own and a third of torchvision's time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import Compose, Normalize, RandomHorizontalFlip, RandomResizedCrop, ToTensor
from torchvision.transforms.functional import InterpolationMode

PUBLISHED = [RandomResizedCrop, RandomHorizontalFlip, ToTensor, Normalize]
FILTERS = {
    InterpolationMode.NEAREST: Image.Resampling.NEAREST,
    InterpolationMode.BILINEAR: Image.Resampling.BILINEAR,
    InterpolationMode.BICUBIC: Image.Resampling.BICUBIC,
}
CONTIGUOUS = torch.contiguous_format
ATTEMPTS = 10  # torchvision's, at a crop that fits into the image


class QuickView:
    """Random crop, flip, tensor, normalisation: the draws and the pixels of the four transforms of torchvision.

    No global random state is used, so nothing has to be restored.
    """

    def __init__(self, crop: RandomResizedCrop, flip: RandomHorizontalFlip, normalize: Normalize):
        height, width = crop.size
        self.size, self.filter = (width, height), FILTERS[crop.interpolation]
        self.scale, self.ratio, self.flip = crop.scale, crop.ratio, flip.p
        self.log_ratio = torch.log(torch.tensor(crop.ratio)).tolist()
        self.mean, self.std = (torch.tensor(values).view(-1, 1, 1) for values in (normalize.mean, normalize.std))

    def __call__(self, image: Image.Image, seed: int) -> Tensor:
        """RGB image, seed -> (3, height, width) float32: what the transforms give after `torch.manual_seed`."""
        generator = torch.Generator().manual_seed(seed)
        left, top, width, height = self._box(image, generator)
        view = image.crop((left, top, left + width, top + height)).resize(self.size, self.filter)
        if torch.rand(1, generator=generator).item() < self.flip:
            view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = torch.from_numpy(np.array(view)).permute(2, 0, 1).to(torch.float32, memory_format=CONTIGUOUS)
        return pixels.div_(255).sub_(self.mean).div_(self.std)

    def _box(self, image: Image.Image, generator: torch.Generator) -> tuple[int, int, int, int]:
        """(left, top, width, height) of a crop; the middle of the image if none of the attempts fits."""
        full_width, full_height = image.size
        draw = torch.empty(1)
        for _ in range(ATTEMPTS):
            area = full_height * full_width * draw.uniform_(*self.scale, generator=generator).item()
            ratio = draw.uniform_(*self.log_ratio, generator=generator).exp_().item()
            width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < width <= full_width and 0 < height <= full_height:
                top = int(torch.randint(0, full_height - height + 1, (1,), generator=generator))
                left = int(torch.randint(0, full_width - width + 1, (1,), generator=generator))
                return left, top, width, height
        width, height, ratio = full_width, full_height, full_width / full_height
        if ratio < min(self.ratio):
            height = round(width / min(self.ratio))
        elif ratio > max(self.ratio):
            width = round(height * max(self.ratio))
        return (full_width - width) // 2, (full_height - height) // 2, width, height


def quick_view(transform: Any) -> QuickView | None:
    """Return the same transform as a `QuickView`; None if it is not the published one."""
    steps: Sequence[Any] = transform.transforms if type(transform) is Compose else ()
    if [type(step) for step in steps] != PUBLISHED or torch.get_default_dtype() != torch.float32:
        return None
    crop, flip, _, normalize = steps
    return QuickView(crop, flip, normalize) if crop.interpolation in FILTERS else None

"""A tiny random CLIP and tiny image folders, so that no test needs weights or data from elsewhere."""

from __future__ import annotations

import types
from pathlib import Path

import pytest
import torch
from PIL import Image

from prompting.towers import import_clip, load_tower

torch.set_num_threads(1)


def random_clip(
    vision_layers=2,
    image_size: int = 32,
    text_width: int = 64,
    text_layers: int = 2,
    embed_dim: int = 48,
    seed: int = 0,
):
    """OpenAI's architecture at a toy size, with random weights; ``vision_layers`` a 4-tuple makes a ResNet."""
    torch.manual_seed(seed)
    model = import_clip().model.CLIP(
        embed_dim, image_size, vision_layers, 64, 8, 77, 49408, text_width, text_width // 64, text_layers
    )
    for name, parameter in model.named_parameters():  # layers that start at zero or one would hide mistakes
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def needs_on_cpu(dtype: torch.dtype) -> None:
    """Skip a test where this PyTorch cannot multiply or convolve in a dtype on the CPU (2.1 cannot in float16)."""
    try:
        torch.nn.functional.linear(torch.ones(2, 2, dtype=dtype), torch.ones(2, 2, dtype=dtype))
        torch.nn.functional.conv2d(torch.ones(1, 1, 2, 2, dtype=dtype), torch.ones(1, 1, 2, 2, dtype=dtype))
    except RuntimeError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    """A random ViT CLIP as a state dict on disk, 32-pixel input."""
    path = tmp_path_factory.mktemp("tower") / "tiny.pt"
    torch.save(random_clip().state_dict(), path)
    return path


@pytest.fixture(scope="session")
def tower(checkpoint):
    """The random CLIP, loaded as any checkpoint is, in float32."""
    return load_tower(str(checkpoint))


@pytest.fixture(scope="session")
def tower64(checkpoint):
    """The random CLIP in float64, for comparisons with algebra."""
    return in_double(load_tower(str(checkpoint)))


def in_double(tower):
    """A tower in float64, all of it."""
    tower = tower.double()
    for module in tower.modules():
        if isinstance(module, torch.nn.LayerNorm):  # clip's own goes through float32
            module.forward = types.MethodType(torch.nn.LayerNorm.forward, module)
    return tower


def write_images(folder: Path, count: int, seed: int = 0, size: tuple[int, int] = (40, 36)) -> None:
    """``count`` small JPEG files of seeded noise on a seeded colour."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    for number in range(count):
        colour = torch.randint(0, 256, (3,), generator=generator)
        pixels = (colour + torch.randint(-40, 40, (size[1], size[0], 3), generator=generator)).clamp(0, 255).byte()
        Image.fromarray(pixels.numpy()).save(folder / f"{number}.jpg")

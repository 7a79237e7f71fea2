"""Published weights."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch.nn as nn
import torchvision
from torch.hub import load_state_dict_from_url


def imagenet_urls(*archs: str) -> dict[str, str]:
    """Return the URLs of torchvision's first ImageNet weights for each model; upstream loads the same."""
    return {arch: torchvision.models.get_model_weights(arch)["IMAGENET1K_V1"].url for arch in archs}


def init_pretrained_weights(model: nn.Module, model_url: str) -> None:
    """Load the weights at ``model_url`` (downloaded once) into ``model``; a classifier in the file is ignored.

    Raises:
        ValueError: the file lacks parameters that the model has.
    """
    weights = load_state_dict_from_url(model_url, progress=True, map_location="cpu", weights_only=True)
    missing, _ = model.load_state_dict(weights, strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]  # newer than some of the files
    if missing:
        raise ValueError(
            f"{model_url} lacks {len(missing)} parameters of {type(model).__name__}, such as {', '.join(missing[:3])}"
        )


def without_classifier(make: Callable[..., nn.Module], *args: Any, **kwargs: Any) -> nn.Module:
    """Return ``make(*args, **kwargs)`` with a classifier of no classes.

    It draws no random numbers, so a seed initialises the backbone and everything after it as in upstream.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Initializing zero-element tensors")
        return make(*args, num_classes=0, **kwargs)

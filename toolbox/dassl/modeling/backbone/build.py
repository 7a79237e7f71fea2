"""Backbones by name."""

from __future__ import annotations

from typing import Any

from dassl.utils import Registry, check_availability

BACKBONE_REGISTRY = Registry("BACKBONE")


def build_backbone(name: str, verbose: bool = True, **kwargs: Any) -> Any:
    """The backbone ``name``: a registered one, ``torchvision:<model>`` or ``timm:<model>``.

    Raises:
        ValueError: the name is unknown; the message says the nearest.
        ImportError: ``timm:`` without timm.
    """
    from .others import timm_backbone, torchvision_backbone

    family, colon, model = name.partition(":")
    outside = {"torchvision": torchvision_backbone, "timm": timm_backbone}
    if colon and family in outside:
        if verbose:
            print(f"Backbone: {name}")
        return outside[family](model, **kwargs)
    check_availability(name, BACKBONE_REGISTRY.registered_names())
    if verbose:
        print(f"Backbone: {name}")
    return BACKBONE_REGISTRY.get(name)(**kwargs)

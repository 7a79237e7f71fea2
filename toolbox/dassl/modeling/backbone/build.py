"""Backbones by name."""

from __future__ import annotations

from typing import Any

from dassl.utils import Registry, check_availability

BACKBONE_REGISTRY = Registry("BACKBONE")


def build_backbone(name: str, verbose: bool = True, **kwargs: Any) -> Any:
    """Build the backbone ``name``: a registered one, ``torchvision:<model>`` or ``timm:<model>``.

    Raises:
        ValueError: the name is unknown; the message has the nearest one.
        ImportError: timm is needed but not installed.
    """
    from .others import timm_backbone, torchvision_backbone

    family, colon, model = name.partition(":")
    builders = {"torchvision": torchvision_backbone, "timm": timm_backbone}
    if colon and family in builders:
        if verbose:
            print(f"Backbone: {name}")
        return builders[family](model, **kwargs)
    check_availability(name, BACKBONE_REGISTRY.registered_names())
    if verbose:
        print(f"Backbone: {name}")
    return BACKBONE_REGISTRY.get(name)(**kwargs)

"""A run's settings by dotted key: the current ones, and those recorded in its folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from yacs.config import CfgNode

from common.errors import InputError
from common.paths import CONFIG
from datasets.yaml_files import read_yaml


def known_keys(node: Mapping, prefix: str = "") -> list[str]:
    """Return the dotted keys of all settings."""
    keys = []
    for name, value in node.items():
        keys += known_keys(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [f"{prefix}{name}"]
    return keys


def value_of(node: Mapping, key: str) -> Any:
    """Return the value of a dotted key."""
    for part in key.split("."):
        node = node[part]
    return node


def set_value(node: Any, key: str, value: Any) -> None:
    """Set the value of a dotted key; missing sections are added."""
    *sections, name = key.split(".")
    for section in sections:
        if section not in node:
            node[section] = CfgNode()
        node = node[section]
    node[name] = value


def plain(value: Any) -> Any:
    """Convert a value to what YAML would read back: tuples become lists."""
    return yaml.safe_load(yaml.safe_dump(list(value) if isinstance(value, tuple) else value))


def noted_settings(folder: Path | str) -> dict[str, Any] | None:
    """Return the settings recorded in a run's folder, by dotted key; None if there are none."""
    path = Path(folder) / CONFIG
    if not os.path.lexists(path):
        return None
    try:
        noted = read_yaml(path)
        return {key: value_of(noted, key) for key in known_keys(noted)}
    except (InputError, AttributeError, KeyError, TypeError):  # it is not YAML, or not settings
        raise InputError(f"{path} is damaged; remove that run's folder, or name another.") from None

"""Settings of a run by dotted keys: those that it has now, and those that a run folder was begun with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from common.errors import InputError

FILE = "config.yaml"


def known_keys(node: Mapping, prefix: str = "") -> list[str]:
    """The dotted keys of all settings."""
    keys = []
    for name, value in node.items():
        keys += known_keys(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [f"{prefix}{name}"]
    return keys


def value_of(node: Mapping, key: str) -> Any:
    """The value of a dotted key."""
    for part in key.split("."):
        node = node[part]
    return node


def plain(value: Any) -> Any:
    """A value as it comes back from YAML: tuples are lists there."""
    return yaml.safe_load(yaml.safe_dump(list(value) if isinstance(value, tuple) else value))


def noted_settings(folder: Path | str) -> dict[str, Any] | None:
    """The settings that a run folder was begun with; None where they are not written."""
    path = Path(folder) / FILE
    try:
        noted = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        noted = None
    if not isinstance(noted, dict):
        raise InputError(f"{path} is damaged; remove that run's folder, or name another.")
    return {key: value_of(noted, key) for key in known_keys(noted)}

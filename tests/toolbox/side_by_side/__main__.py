"""Prints the figures; see the package docstring."""

from __future__ import annotations

import contextlib
import io
import json
import warnings

from . import CASES, register


def rounded(value: object) -> object:
    """Round floats to eight digits, at any depth."""
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(part) for part in value]
    return float(f"{value:.8g}") if isinstance(value, float) else value


def main() -> None:
    """Print all figures, one case per line."""
    warnings.filterwarnings("ignore")
    register()
    with contextlib.redirect_stdout(io.StringIO()):
        lines = [f"{json.dumps(name)}: {json.dumps(rounded(function()))}" for name, function in CASES.items()]
    print("{\n" + ",\n".join(lines) + "\n}")


if __name__ == "__main__":
    main()

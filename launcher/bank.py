"""Shows how much the bank of image features holds, or shrinks it. What goes is computed again when it is needed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from prompting.feature_bank import FeatureBank  # noqa: E402


def main(argv: list[str] | None = None) -> int:
    """The command line; 0, or 2 when there is no such bank."""
    parser = argparse.ArgumentParser(prog="bash scripts/bank.sh", description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "output", help="where runs go; default: output")
    parser.add_argument("--empty", action="store_true", help="remove everything")
    parser.add_argument("--limit", type=float, metavar="GB", help="remove the least recently used until this is left")
    given = parser.parse_args(argv)
    folder = given.output.expanduser() / ".bank"
    if not given.output.expanduser().is_dir():
        print(f"There is no folder {given.output}; name the one that runs go to with --output.", file=sys.stderr)
        return 2
    bank = FeatureBank(folder)
    if given.empty or given.limit is not None:
        freed = bank.shrink(0 if given.empty else int(given.limit * (1 << 30)))
        print(f"{freed / (1 << 20):,.1f} MiB removed.")
    entries = bank.entries()
    size = sum(size for _, size, _ in entries)
    print(f"{folder}: {len(entries):,} entries, {size / (1 << 20):,.1f} MiB. --empty removes them.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

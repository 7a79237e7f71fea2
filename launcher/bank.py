"""Shows how much the bank of image features holds, or shrinks it. Removed features are computed again when needed."""

from __future__ import annotations

import os
from collections.abc import Sequence

from common.errors import InputError
from common.paths import BANK, OUTPUT
from common.text import counted
from launcher import arguments, frame
from launcher.commands import ANSWERED

SCRIPT = "scripts/bank.sh"
MOST_GB = 1e9  # no disk holds more


def answer(argv: Sequence[str], check: bool) -> int:
    """Run the command, or only ``check`` its arguments."""
    parser = frame.parser(f"bash {SCRIPT}", __doc__, ())
    parser.add_argument("--output", default=OUTPUT, help="where runs go; default: output")
    parser.add_argument("--empty", action="store_true", help="remove everything")
    parser.add_argument("--limit", metavar="GB", help="remove the least recently used until this is left")
    if arguments.asks_for_help(argv):
        parser.print_help()
        return ANSWERED if check else 0
    args = parser.parse_args(argv)
    limit = None if args.limit is None else arguments.number(args.limit, "--limit", "20")
    output = frame.path(args.output)
    if not os.path.isdir(output):
        raise InputError(f"There is no folder {args.output}; name the one that runs go to with --output.")
    if check:
        return 0
    try:
        from prompting.feature_bank import FeatureBank
    except ModuleNotFoundError as error:
        raise frame.not_installed(error, SCRIPT) from error

    bank = FeatureBank(output / BANK)
    if args.empty or limit is not None:
        freed = bank.shrink(0 if args.empty or limit is None else int(min(limit, MOST_GB) * (1 << 30)))
        print(f"{freed / (1 << 20):,.1f} MiB removed.")
    entries = bank.entries()
    size = sum(size for _, size, _ in entries)
    count = counted(len(entries), "entry", "entries")
    print(f"{output / BANK}: {count}, {size / (1 << 20):,.1f} MiB. --empty removes them.")
    return 0

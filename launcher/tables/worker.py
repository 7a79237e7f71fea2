"""A process that does chains of runs for another: one chain a line on standard input, progress on standard output, and
there, behind a mark, what failed.

    python scripts/tables/worker.py [--submitted] < chains

--submitted: as a job of a cluster, whose signals are for submitit, the process above this one, which ends it.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(SCRIPTS.parent), str(SCRIPTS)]

from scripts.tables.chains import failures_to_text, from_text, run_chain  # noqa: E402

from common.errors import InputError  # noqa: E402

ENDED, REFUSED = "\x1eended ", "\x1erefused "


def main() -> int:
    """0, or 1 when a run failed, 2 when what was asked for cannot be done, 130 when interrupted."""
    status = 0
    if "--submitted" in sys.argv[1:]:
        for kind in (signal.SIGUSR2, signal.SIGTERM):
            signal.signal(kind, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace", line_buffering=True)
    try:
        for line in sys.stdin:
            chain = from_text(line)
            try:
                failures = run_chain(chain)
            except InputError as error:
                print(f"\n{REFUSED}{' '.join(str(error).splitlines())}", flush=True)
                status = 2
                continue
            status = max(status, bool(failures))
            print(f"\n{ENDED}{failures_to_text(chain, failures)}", flush=True)
    except KeyboardInterrupt:
        return 130
    return status


if __name__ == "__main__":
    sys.exit(main())

"""A process that runs chains for another one: a chain a line on standard input, progress on standard output and, after
a mark, what failed.

    python launch.py worker [--submitted] < chains

--submitted: as a job of a cluster, whose signals are for submitit, the parent process, which ends this one.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

from common.errors import InputError
from common.paths import REPOSITORY
from common.text import one_line
from launcher.tables.chains import failures_to_text, from_text, run_chain

SUBMITTED = "--submitted"
COMMAND = (str(REPOSITORY / "launch.py"), "worker")  # after the interpreter
ENDED, REFUSED = "\x1eended ", "\x1erefused "


def answer(argv: Sequence[str]) -> int:
    """Run the chains on standard input; 0, 1 if a run failed, 2 for bad input, 130 if interrupted."""
    result = 0
    if SUBMITTED in argv:
        for kind in (signal.SIGUSR2, signal.SIGTERM):
            signal.signal(kind, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a text stream in a process of its own
    try:
        for line in sys.stdin:
            chain = from_text(line)
            try:
                failures = run_chain(chain)
            except InputError as error:
                print(f"\n{REFUSED}{one_line(error)}", flush=True)
                result = 2
                continue
            result = max(result, bool(failures))
            print(f"\n{ENDED}{failures_to_text(chain, failures)}", flush=True)
    except KeyboardInterrupt:
        return 130
    return result

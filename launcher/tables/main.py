"""What stands behind scripts/tables/*.sh: plans the runs of a table, runs what is missing here or on a cluster, and
prints the table.

    python scripts/tables/main.py <table> [collection] [options]    --help says more

As in scripts/launch.py, everything up to the first run uses the standard library alone, and --check as the first word
says by its exit status what the runs need.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(SCRIPTS.parent), str(SCRIPTS)]

import launch  # noqa: E402
from scripts.tables.chains import chains_of  # noqa: E402
from scripts.tables.declared import DECLARED  # noqa: E402
from scripts.tables.planning import TablePlan, make_parser, make_plan  # noqa: E402

from common.errors import unknown  # noqa: E402
from scripts.tables import cluster, local, printing  # noqa: E402


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns its exit status: 0, 2 for bad input, 1 when a run failed, 130 when interrupted."""
    return launch.answered(argv, _answer)


def _answer(name: str, rest: list[str], own: list[str], check: bool) -> int:
    if name not in DECLARED:
        raise unknown("Table", name, DECLARED)
    if launch.asks_for_help(own):
        make_parser(name).print_help()
        return launch.ANSWERED if check else 0
    dry = "--dry-run" in own
    plan = make_plan(name, rest, None if check or dry else launch.task_names)
    if plan.given.dry_run:
        print("\n".join(printing.plan_lines(plan, plan.n_jobs or processes())))
        return launch.ANSWERED if check else 0
    if check:
        return launch.NEEDS_OPENCLIP if plan.needs_openclip else 0
    return carry_out(plan)


def processes() -> int:
    """How many processes run at once where that is not said."""
    return len(local.visible_gpus()) or 1


def carry_out(plan: TablePlan) -> int:
    """Prints the plan, runs, prints the table, and returns the exit status."""
    started = time.monotonic()
    chains = chains_of(plan.jobs, plan.script)
    if plan.slurm and chains:
        cluster.import_submitit()  # told before a plan that cannot be carried out
    count = plan.slurm["slurm_array_parallelism"] if plan.slurm else plan.n_jobs or processes()
    print("\n".join(printing.plan_lines(plan, count)) + "\n", flush=True)
    if plan.slurm and chains:
        logs = plan.request.output / "slurm" / f"{plan.name}-{plan.dataset}"
        jobs = cluster.submit(chains, plan.slurm, logs, f"{plan.name}-{plan.dataset}")
        print("\n".join(printing.submitted(plan, [job.job_id for job in jobs], logs)), flush=True)
        return 0
    done_before = any(map(launch.settled, plan.jobs))
    alone = not done_before and len({section.plan.config for section in plan.sections}) == 1
    failures = local.run_locally(chains, count, alone)
    text, file = printing.table(plan, failures)
    print(f"\n{text}\nAlso in {file}", flush=True)
    page = printing.html_page(plan)
    if page:
        print(page, flush=True)
    print(f"Done in {time.monotonic() - started:.0f} s", flush=True)
    for line in printing.failure_lines(failures):
        print(line, file=sys.stderr)
    left = [job for job in plan.jobs if not launch.settled(job)]
    if left:
        told = f"{len(left)} of {len(plan.jobs)} runs are not finished; the same command runs only them."
        print(told, file=sys.stderr)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())

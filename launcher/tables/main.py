"""The command of scripts/tables/*.sh: plans the runs of a table, runs what is missing here or on a cluster, and
prints the table."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from common.errors import unknown
from launcher import arguments, frame
from launcher.commands import ANSWERED, NEEDS_OPENCLIP
from launcher.execution import check_pictures, names_of_tasks
from launcher.tables import cluster, local, printing
from launcher.tables.catalogue import DECLARED
from launcher.tables.chains import chains_of
from launcher.tables.plan import TablePlan, make_parser, make_plan
from runs.status import status


def answer(argv: Sequence[str], check: bool) -> int:
    """Run a table, or only ``check`` its arguments."""
    name, *rest = argv or [""]
    if name in ("-h", "--help"):
        print("usage: bash scripts/tables/<table>.sh [options]\n\ntables:")
        print("".join(f"  {name:16}{table.about}\n" for name, table in DECLARED.items()), end="")
        return ANSWERED if check else 0
    if name not in DECLARED:
        raise unknown("Table", name, DECLARED)
    if arguments.asks_for_help(rest):
        make_parser(name).print_help()
        return ANSWERED if check else 0
    dry = "--dry-run" in arguments.before_dashes(rest)
    plan = make_plan(name, rest, None if check or dry else names_of_tasks)
    if plan.dry_run:
        print("\n".join(printing.plan_lines(plan, plan.processes.count or default_processes())))
        return ANSWERED if check else 0
    if check:
        return NEEDS_OPENCLIP if plan.needs_openclip else 0
    return carry_out(plan)


def default_processes() -> int:
    """How many processes run at once by default."""
    return len(local.visible_gpus()) or 1


def carry_out(plan: TablePlan) -> int:
    """Print the plan, run, print the table, and return the exit status."""
    started = time.monotonic()
    check_pictures(plan.jobs, plan.request.redo, plan.script)
    chains = chains_of(plan.jobs, plan.script)
    slurm = plan.processes.slurm
    if slurm and chains:
        cluster.import_submitit()  # an error of it comes before a plan that cannot be carried out
    count = slurm["slurm_array_parallelism"] if slurm else plan.processes.count or default_processes()
    print("\n".join(printing.plan_lines(plan, count)) + "\n", flush=True)
    if slurm and chains:
        logs = plan.request.output / "slurm" / f"{plan.name}-{plan.dataset}"
        jobs = cluster.submit(chains, slurm, logs, f"{plan.name}-{plan.dataset}")
        print("\n".join(printing.submitted([job.job_id for job in jobs], logs)), flush=True)
        return 0
    done_before = any(status(job).settled for job in plan.jobs)
    alone = not done_before and len({section.plan.config for section in plan.sections}) == 1
    failures = local.run_locally(chains, count, alone)
    text, file = printing.table(plan, failures)
    print(f"\n{text}\nAlso in {file}", flush=True)
    print(printing.html_page(plan), flush=True)
    print(f"Done in {time.monotonic() - started:.0f} s", flush=True)
    for line in printing.failure_lines(failures):
        print(line, file=sys.stderr)
    left = [job for job in plan.jobs if not status(job).settled]
    if left:
        print(
            f"{len(left)} of {len(plan.jobs)} runs are not finished; the same command runs only them.", file=sys.stderr
        )
    return frame.FAILED if left else 0

"""The seeds of a command as one classifier: its accuracy, measured once when all of them are finished.

What was measured is in a sealed file beside the seeds' folders, with the seeds and a hash of each one's results, so it
is measured again if these change. Standard library only until something has to be measured.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.errors import InputError
from common.files import is_regular, read_bytes, read_record, write_record
from common.paths import CLASSIFIER, RESULTS, TOGETHER
from common.text import one_line
from launcher.execution import load_engine, settings_of
from launcher.plan import Job, Plan
from reporting.measures import MEASURES
from runs.results import Run, TaskScore
from runs.status import status

SHARE, SECONDS = 0.1, 10.0  # what measuring may take: of the runs' own time, or this if that is more

Scores = tuple[TaskScore, ...]


def together(plan: Plan, method: str, shots: int) -> Scores | str | None:
    """What a method's seeds reach as one classifier, by task; a reason if that cannot be measured.

    None for a single seed, if a seed is not finished, and for runs without classifiers: those of earlier versions or of
    a plug-in without a head.
    """
    jobs = [job for job in plan.jobs if job.method == method and job.shots == shots and job.of is None]
    runs = [run for job in jobs if (run := status(job).run)]
    bundles = all(is_regular(job.folder / CLASSIFIER) for job in jobs)
    if len(jobs) < 2 or len(runs) < len(jobs) or len({job.folder.parent for job in jobs}) > 1 or not bundles:
        return None
    try:
        measured = {str(job.seed): digest(job.folder) for job in jobs}
        file = jobs[0].folder.parent / TOGETHER
        tasks = noted(file, measured)
        if tasks is None:
            tasks = measure(jobs, runs, plan.script)
            try:
                write_record(file, {"seeds": measured, "tasks": tasks})
            except OSError:  # it is measured again next time
                pass
        return tuple(TaskScore(one["name"], one["metric"], one["accuracy"], ece=one["ece"]) for one in tasks)
    except InputError as error:
        return one_line(error)
    except Exception as error:  # the runs and their table exist all the same
        return one_line(error) or type(error).__name__


def digest(folder: Path) -> str:
    """A hash of what a finished run recorded."""
    return hashlib.sha256(read_bytes(folder / RESULTS) + read_bytes(folder / CLASSIFIER)).hexdigest()


def noted(file: Path, measured: dict[str, str]) -> list[dict[str, Any]] | None:
    """The tasks that were measured before for the same runs; None if there are none."""
    try:
        record = read_record(file)
    except (OSError, ValueError):
        return None
    return record.get("tasks") if record.get("seeds") == measured else None


def measure(jobs: Sequence[Job], runs: Sequence[Run], script: str) -> list[dict[str, Any]]:
    """Measure it now; InputError if that would take long."""
    load_engine(script)  # plug-ins, and what is told if a module is missing
    from runs.together import measured

    own, whole = (sum(run.seconds[part] for run in runs) for part in ("test", "total"))
    may_encode = own <= max(SECONDS, SHARE * whole)
    found = measured(settings_of(jobs[0]), [job.folder for job in jobs], may_encode)
    if found is None:
        raise InputError(f"it would take about {own:.0f} s, since the images have to be encoded again")
    return found


def line(plan: Plan, pairs: Sequence[tuple[str, Scores | str | None]]) -> list[str]:
    """A line on methods (label, what `together` returned): the mean over tasks of each; none if nothing is known."""
    of = MEASURES[plan.show].of
    parts = []
    for label, scores in pairs:
        if isinstance(scores, str):
            parts.append(f"{label} not measured ({scores.rstrip('.')})".strip())
        elif scores is not None:
            mean = sum(map(of, scores)) / len(scores)
            parts += [f"{label} {'mean ' * (not label)}{mean:.1f}".strip()] if mean == mean else []
    return [f"Seeds as one classifier: {', '.join(parts)}"] if parts else []

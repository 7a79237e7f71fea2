"""Runs in the order in which they cost least, how long they may take, and their way to another process."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from pathlib import Path
from statistics import fmean

from launch import Failure, first_line, run_jobs, same_refusal, settled
from launch_plan import Job

from common.errors import InputError
from common.paths import RESULTS
from runs.results import Run, RunError, read_run


@dataclass(frozen=True)
class Chain:
    """Runs that one process does one after the other; ``numbers`` are theirs among ``count``, for the eye."""

    jobs: tuple[Job, ...]
    numbers: tuple[int, ...]
    count: int
    script: str


def chains_of(jobs: Sequence[Job], script: str) -> list[Chain]:
    """The runs that are not settled, in chains whose runs share their images' encoded views.

    Those depend on the data set, the tower, the shots and the seed: a chain's first run encodes for the others. What
    is left of a chain keeps the order, so that a run is tested after its training.
    """
    missing = [job for job in jobs if not settled(job)]
    together: dict[tuple, list[Job]] = {}
    for job in missing:
        trained = job.of or job
        key = (trained.shots > 0, trained.shots, trained.seed, trained.dataset, trained.files[1].stem)
        together.setdefault(key, []).append(job)
    # Zero-shot CLIP first, which encodes the test images; then few shots before many, so that figures come early.
    ordered = [tuple(together[key]) for key in sorted(together, key=lambda key: key[:2])]
    return _numbered([Chain(part, (), len(missing), script) for part in ordered])


def longest_first(chains: Sequence[Chain]) -> list[Chain]:
    """What is begun last should not be what takes longest; zero-shot CLIP stays in front."""
    return _numbered(sorted(chains, key=lambda chain: (chain.jobs[0].shots > 0, -chain.jobs[0].shots)))


def _numbered(chains: Sequence[Chain]) -> list[Chain]:
    """The same, their runs numbered from 1 on."""
    ends = accumulate(len(chain.jobs) for chain in chains)
    return [
        replace(chain, numbers=tuple(range(end - len(chain.jobs) + 1, end + 1)))
        for chain, end in zip(chains, ends, strict=True)
    ]


def run_chain(chain: Chain) -> list[Failure]:
    """Runs a chain in this process; returns what failed. InputError where all of it is refused for the same reason,
    which the user has to mend."""
    try:
        failures = run_jobs(chain.jobs, chain.script, chain.numbers, chain.count)
    except Exception as error:  # such as a training script that cannot be imported
        if isinstance(error, InputError):
            raise
        failures = [Failure(job, first_line(error)) for job in chain.jobs]
    if len(failures) == len(chain.jobs) and same_refusal(failures):
        raise InputError(failures[0].reason)
    return failures


# -- to another process, and back --


def to_text(chain: Chain) -> str:
    """A chain in one line."""
    return json.dumps(asdict(chain), default=str)


def from_text(text: str) -> Chain:
    """The chain of such a line."""
    record = json.loads(text)
    record["jobs"] = tuple(map(_job, record["jobs"]))
    return Chain(**(record | {"numbers": tuple(record["numbers"])}))


def _job(record: dict) -> Job:
    of = record["of"] and _job(record["of"])
    return Job(**(record | {"folder": Path(record["folder"]), "files": list(map(Path, record["files"])), "of": of}))


def failures_to_text(chain: Chain, failures: Sequence[Failure]) -> str:
    """What failed in a chain, in one line."""
    places = {job.folder: place for place, job in enumerate(chain.jobs)}
    return json.dumps([[places[f.job.folder], f.reason, f.details, f.kind] for f in failures])


def failures_from_text(chain: Chain, text: str) -> list[Failure]:
    """What such a line says."""
    return [Failure(chain.jobs[place], *rest) for place, *rest in json.loads(text)]


def died(chain: Chain, at: int | None, status: int) -> tuple[list[Failure], Chain | None]:
    """What failed in a chain whose process ended before it, and what is left of the chain.

    ``at`` is the number of the run that it was at; None if it came to none, and nothing is worth another try.
    """
    reason = f"its process ended with status {status}"
    if status < 0:
        reason = f"its process was killed by signal {-status}" + " (too little memory?)" * (status == -9)
    done = len(chain.jobs) if at is None else chain.numbers.index(at) + 1
    failed = [job for job in chain.jobs[:done] if not settled(job)]
    # Why those before the last one failed, it has told, but not noted; the last line of their logs says it again.
    before = f"it did not come to its end; later {reason}"
    own = None if at is None else chain.jobs[done - 1]
    failures = [Failure(job, reason if own is None or job is own else before) for job in failed]
    left = replace(chain, jobs=chain.jobs[done:], numbers=chain.numbers[done:])
    return failures, left if left.jobs else None


# -- how long --


def seconds_of(job: Job, known: dict[Path, list[tuple[str, Run]]]) -> float | None:
    """What a run may take: what the same method took at the nearest shot count, its training scaled by the shots.

    None if nothing is known. ``known`` keeps what was read, by folder.
    """
    tested = job.of is not None
    trained = job.of or job
    parts = trained.folder.parents[2]
    if parts not in known:
        known[parts] = _finished_below(parts)
    runs = known[parts]
    own = trained.folder.parents[1].name
    alike = [(part, run) for part, run in runs if _costs_alike(part, own)]
    if not alike:
        return None

    def distance(part: str, run: Run) -> tuple[bool, float]:
        shots = abs(math.log(run.shots / trained.shots)) if run.shots > 0 and trained.shots > 0 else 0.0
        return part != own, shots

    nearest = min(distance(part, run) for part, run in alike)
    taken = []
    for part, run in alike:
        if distance(part, run) == nearest:
            test, total = run.seconds["test"], run.seconds["total"]
            scale = trained.shots / run.shots if run.shots > 0 and trained.shots > 0 else 1.0
            taken.append(test if tested else test + max(0.0, total - test) * scale)
    return fmean(taken)


def _costs_alike(part: str, own: str) -> bool:
    """Whether runs of two configs, with what follows -- in their folders' names, have one recipe and as many epochs."""
    first, second = part.split("+"), own.split("+")
    epochs = [[word for word in words if word.startswith("OPTIM.MAX_EPOCH=")] for words in (first, second)]
    return first[0] == second[0] and epochs[0] == epochs[1]


def _finished_below(folder: Path) -> list[tuple[str, Run]]:
    """(folder of the config, run) of the finished runs of a method."""
    found = []
    for path in sorted(folder.glob(f"*/*shots/seed*/{RESULTS}")):
        try:
            found.append((path.parents[2].name, read_run(path.parent)))
        except RunError:
            continue
    return found


def last_line(job: Job) -> str:
    """The last line of a run's traceback or log that says anything; empty without one."""
    for name in ("traceback.txt", "log.txt"):
        try:
            lines = (job.folder / name).read_text("utf-8", errors="replace").split("\n")
        except OSError:
            continue
        said = [line.strip() for line in lines if line.strip()]
        if said:
            return f"{name}: {said[-1][:200]}"
    return ""

"""Runs in the cheapest order, how long they may take, and passing them to another process."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from pathlib import Path
from statistics import fmean

from common.errors import InputError
from common.files import read_bytes
from common.paths import LOG, RESULTS, TRACEBACK
from common.text import printable
from launcher.execution import Failure, first_line, run_jobs, same_refusal
from launcher.plan import Job
from reporting.published import authors_minutes
from runs.results import Run, RunError, read_run
from runs.status import status


@dataclass(frozen=True)
class Chain:
    """Runs that one process does one after the other; ``numbers`` are theirs among ``count``, for progress lines."""

    jobs: tuple[Job, ...]
    numbers: tuple[int, ...]
    count: int
    script: str


def chains_of(jobs: Sequence[Job], script: str) -> list[Chain]:
    """The runs that are not settled, in chains whose runs share the encoded views of their images.

    The views depend on the data set, the tower, the shots and the seed: a chain's first run encodes them for all.
    A chain keeps the order of its runs, so that a run is tested after its training.
    """
    missing = [job for job in jobs if not status(job).settled]
    together: dict[tuple, list[Job]] = {}
    for job in missing:
        trained = job.of or job
        key = (trained.shots > 0, trained.shots, trained.seed, trained.dataset, trained.config.stem)
        together.setdefault(key, []).append(job)
    # Zero-shot CLIP first, which encodes the test images; then few shots before many, so that figures come early.
    ordered = [tuple(together[key]) for key in sorted(together, key=lambda key: key[:2])]
    return _numbered([Chain(part, (), len(missing), script) for part in ordered])


def longest_first(chains: Sequence[Chain]) -> list[Chain]:
    """The longest chains first, so that none of them is begun last; zero-shot CLIP stays in front."""
    return _numbered(sorted(chains, key=lambda chain: (chain.jobs[0].shots > 0, -chain.jobs[0].shots)))


def _numbered(chains: Sequence[Chain]) -> list[Chain]:
    """The same, their runs numbered from 1 on."""
    ends = accumulate(len(chain.jobs) for chain in chains)
    return [
        replace(chain, numbers=tuple(range(end - len(chain.jobs) + 1, end + 1)))
        for chain, end in zip(chains, ends, strict=True)
    ]


def run_chain(chain: Chain) -> list[Failure]:
    """Run a chain in this process and return what failed; InputError if all of it is refused for the same reason, which
    the user has to fix."""
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
    places = {key: Path(record[key]) for key in ("folder", "dataset_file", "config", "data", "bank")}
    pairs = tuple((key, value) for key, value in record["pairs"])
    return Job(**(record | places | {"pairs": pairs, "of": record["of"] and _job(record["of"])}))


def failures_to_text(chain: Chain, failures: Sequence[Failure]) -> str:
    """What failed in a chain, in one line."""
    places = {job.folder: place for place, job in enumerate(chain.jobs)}
    return json.dumps([[places[f.job.folder], f.reason, f.details, f.kind] for f in failures])


def failures_from_text(chain: Chain, text: str) -> list[Failure]:
    """The failures in such a line."""
    return [Failure(chain.jobs[place], *rest) for place, *rest in json.loads(text)]


def died(chain: Chain, at: int | None, code: int) -> tuple[list[Failure], Chain | None]:
    """What failed in a chain whose process ended before it finished, and what is left of the chain.

    ``at`` is the number of the run that was running; None if no run was begun: then nothing is worth another try.
    """
    reason = f"its process ended with status {code}"
    if code < 0:
        reason = f"its process was killed by signal {-code}" + " (too little memory?)" * (code == -9)
    done = len(chain.jobs) if at is None else chain.numbers.index(at) + 1
    failed = [job for job in chain.jobs[:done] if not status(job).settled]
    # The process printed why the runs before the last one failed, without recording it; their logs end with the reason.
    before = f"it did not finish; later {reason}"
    own = None if at is None else chain.jobs[done - 1]
    failures = [Failure(job, reason if own is None or job is own else before) for job in failed]
    left = replace(chain, jobs=chain.jobs[done:], numbers=chain.numbers[done:])
    return failures, left if left.jobs else None


# -- how long --


def seconds_of(job: Job, known: dict[Path, list[tuple[str, Run]]]) -> float | None:
    """An estimate for a run: the time of the same method at the nearest shot count, its training scaled by the shots.

    None if nothing is known. ``known`` caches the runs that were read, by folder.
    """
    tested = job.of is not None
    trained = job.of or job
    parts = trained.folder.parents[2]
    if parts not in known:
        known[parts] = _finished_below(parts)
    runs = known[parts]
    own = trained.folder.parents[1].name
    similar = [(part, run) for part, run in runs if _similar_cost(part, own)]
    if not similar:
        return None

    def distance(part: str, run: Run) -> tuple[bool, float]:
        shots = abs(math.log(run.shots / trained.shots)) if run.shots > 0 and trained.shots > 0 else 0.0
        return part != own, shots

    nearest = min(distance(part, run) for part, run in similar)
    taken = []
    for part, run in similar:
        if distance(part, run) == nearest:
            test, total = run.seconds["test"], run.seconds["total"]
            scale = trained.shots / run.shots if run.shots > 0 and trained.shots > 0 else 1.0
            taken.append(test if tested else test + max(0.0, total - test) * scale)
    return fmean(taken)


def seconds_like_authors(job: Job, known: dict[Path, list[tuple[str, Run]]]) -> float | None:
    """An estimate for a run of a method without finished runs: the time of another method here, scaled by the ratio of
    the authors' training times on the collections of the published table. None if nothing is known."""
    minutes = authors_minutes()
    own = {collection: taken for (collection, method), taken in minutes.items() if method == job.method}
    found = []
    for other in dict.fromkeys(method for _, method in minutes):
        ratios = [own[c] / taken for (c, method), taken in minutes.items() if method == other and c in own]
        seconds = seconds_of(_run_of(job, other), known) if ratios else None
        if seconds is not None:
            found.append(seconds * fmean(ratios))
    return fmean(found) if found else None


def _run_of(job: Job, method: str) -> Job:
    """The same run of another method, as far as its folder says."""
    place, tail = job.folder.parents[3], job.folder.parts[-3:]
    return replace(job, method=method, folder=place.joinpath(method, *tail), of=None)


def _similar_cost(part: str, own: str) -> bool:
    """True if runs of two configs have the same recipe and number of epochs, by the names of their folders."""
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
    """The last line of a run's traceback or log that is not blank; empty without one."""
    for name in (TRACEBACK, LOG):
        try:
            lines = read_bytes(job.folder / name).decode("utf-8", "replace").split("\n")
        except OSError:
            continue
        filled = [line.strip() for line in lines if line.strip()]
        if filled:
            return f"{name}: {printable(filled[-1])[:200]}"
    return ""

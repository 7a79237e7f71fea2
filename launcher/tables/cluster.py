"""Submits chains to a Slurm cluster through submitit, as one job array."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from launch import SCRIPTS
from scripts.tables.chains import Chain, to_text

from common.errors import InputError

WORKER = SCRIPTS / "tables" / "worker.py"


class Submitted:
    """What a job of the array does: one chain, by a worker process.

    A job that is preempted, or runs out of its time, is queued again with the same chain: what is finished by then is
    skipped, and the run that was interrupted goes on from its last epoch.
    """

    def __init__(self, python: str, worker: str, chain: str):
        self.python, self.worker, self.chain = python, worker, chain

    def __call__(self) -> int:
        done = subprocess.run([self.python, "-u", self.worker, "--submitted"], input=self.chain, text=True)
        if done.returncode:
            raise RuntimeError(f"Some runs did not come to their end (status {done.returncode}); the log says which.")
        return done.returncode

    def checkpoint(self):
        """Called by submitit before a job is taken off its node: what is to be queued in its place."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def import_submitit():
    """submitit, which is asked for only here; InputError with what to do when it is not installed."""
    try:
        import cloudpickle
        import submitit
    except ImportError:
        raise InputError(
            f"--launcher slurm needs submitit, which is not installed: {sys.executable} -m pip install submitit"
        ) from None
    # By value, since a job on its node does not know where this repository's modules are.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    return submitit


def submit(chains: Sequence[Chain], options: Mapping[str, object], logs: Path, name: str, cluster: str = "slurm"):
    """Submits one job a chain and returns submitit's jobs.

    Args:
        chains: what is to be run.
        options: parameters of submitit's executor, those of Slurm with "slurm_" before their names.
        logs: the folder for what jobs print.
        name: of the jobs, for the queue.
        cluster: "slurm"; submitit's "local" and "debug" run the same on this machine.

    Raises:
        InputError: there is no such cluster here, or it does not take the options.
    """
    submitit = import_submitit()
    try:
        executor = submitit.AutoExecutor(folder=logs, cluster=cluster)
        executor.update_parameters(name=name, **options)
        with executor.batch():
            return [executor.submit(Submitted(sys.executable, str(WORKER), to_text(chain) + "\n")) for chain in chains]
    except (RuntimeError, ValueError, TypeError, NameError, OSError, subprocess.SubprocessError) as error:
        raise InputError(f"Slurm does not take these jobs: {' '.join(str(error).split())}") from None
    except Exception as error:
        if type(error).__name__ != "FailedJobError":  # submitit's, for what sbatch says
            raise
        raise InputError(f"Slurm does not take these jobs: {' '.join(str(error).split())}") from None

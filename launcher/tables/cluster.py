"""Submits chains to a Slurm cluster through submitit, as one job array."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.errors import InputError
from launcher.tables.chains import Chain, to_text
from launcher.tables.worker import COMMAND, SUBMITTED


class Submitted:
    """What a job of the array does: one chain, in a worker process.

    A job that is preempted, or runs out of time, is queued again with the same chain: finished runs are skipped, and
    the interrupted one resumes from its last epoch.
    """

    def __init__(self, command: Sequence[str], chain: str):
        self.command, self.chain = list(command), chain

    def __call__(self) -> int:
        done = subprocess.run(self.command, input=self.chain, text=True)
        if done.returncode:
            raise RuntimeError(f"Some runs did not finish (status {done.returncode}); the log says which.")
        return done.returncode

    def checkpoint(self):
        """Called by submitit before a job is taken off its node: returns the job to queue in its place."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def import_submitit():
    """submitit, which only this needs; InputError with what to do if it is not installed."""
    try:
        import cloudpickle
        import submitit
    except ImportError:
        raise InputError(
            f"--launcher slurm needs submitit, which is not installed: {sys.executable} -m pip install submitit"
        ) from None
    # By value, since a job on its node cannot import this repository's modules.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    return submitit


def submit(chains: Sequence[Chain], options: Mapping[str, object], logs: Path, name: str, cluster: str = "slurm"):
    """Submits one job per chain and returns submitit's jobs.

    Args:
        chains: the runs.
        options: parameters of submitit's executor, those of Slurm with "slurm_" before their names.
        logs: the folder for what jobs print.
        name: of the jobs, for the queue.
        cluster: "slurm"; submitit's "local" and "debug" run the same on this machine.

    Raises:
        InputError: there is no such cluster here, or it refuses the options.
    """
    submitit = import_submitit()
    try:
        executor = submitit.AutoExecutor(folder=logs, cluster=cluster)
        executor.update_parameters(name=name, **options)
        with executor.batch():
            command = (sys.executable, "-u", *COMMAND, SUBMITTED)
            return [executor.submit(Submitted(command, to_text(chain) + "\n")) for chain in chains]
    except (RuntimeError, ValueError, TypeError, NameError, OSError, subprocess.SubprocessError) as error:
        raise InputError(f"Slurm does not take these jobs: {' '.join(str(error).split())}") from None
    except Exception as error:
        if type(error).__name__ != "FailedJobError":  # submitit's, with sbatch's message
            raise
        raise InputError(f"Slurm does not take these jobs: {' '.join(str(error).split())}") from None

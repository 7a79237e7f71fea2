"""Tables on a cluster: the jobs that submitit gets, and, where it is installed, its own executor for this machine."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any, ClassVar

import pytest

from launcher.tables.cluster import Submitted
from tests.support.launching import Launch, run_folder, start

TWO = ["--methods", "ZeroshotCLIP,SoftCPT-NATA"]
SLURM = (
    "--launcher slurm --slurm-partition gpu --slurm-time 90 --slurm-mem 8G --slurm-account us --slurm-array 3 "
    "--slurm-extra constraint=a100 --slurm-extra nice=1"
).split()


class Recorded:
    """Records what submitit is asked for; ``jobs`` are the callables of the array."""

    last: ClassVar[Recorded]

    def __init__(self, folder: Path, cluster: str):
        self.folder, self.cluster, self.batches = folder, cluster, 0
        self.parameters: dict[str, Any] = {}
        self.jobs: list[Submitted] = []
        Recorded.last = self

    def update_parameters(self, **parameters: Any) -> None:
        self.parameters |= parameters

    def batch(self) -> contextlib.AbstractContextManager[None]:
        self.batches += 1
        return contextlib.nullcontext()

    def submit(self, job: Submitted) -> types.SimpleNamespace:
        self.jobs.append(job)
        return types.SimpleNamespace(job_id=f"77_{len(self.jobs) - 1}")


@pytest.fixture
def submitit(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """An invented submitit, with `Recorded` for its executor."""
    fake, pickles, helpers = (types.ModuleType(n) for n in ("submitit", "cloudpickle", "submitit.helpers"))
    vars(fake).update(AutoExecutor=Recorded)
    vars(pickles).update(register_pickle_by_value=lambda module: None)
    vars(helpers).update(DelayedSubmission=lambda job: ("again", job))
    for module in (fake, pickles, helpers):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return fake


def test_slurm_gets_one_array(
    launch: Launch, submitit: types.ModuleType, clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["table", "garden8", *TWO, "--shots", "1,4", "--seeds", "1,2"]
    assert launch(*words, *SLURM) == 0
    executor = Recorded.last
    assert (executor.cluster, executor.batches, len(executor.jobs)) == ("slurm", 1, 5)
    assert executor.parameters == {
        "name": "garden8-garden8", "slurm_partition": "gpu", "timeout_min": 90, "slurm_mem": "8G",
        "slurm_account": "us", "slurm_array_parallelism": 3, "slurm_gpus_per_node": 1,
        "slurm_additional_parameters": {"constraint": "a100", "nice": "1"},
    }  # fmt: skip
    out = capsys.readouterr().out
    assert "Submitted 5 jobs: 77_0, 77_1" in out and str(executor.folder) in out and "5 runs: 0 finished" in out
    assert launch.calls == []
    job = executor.jobs[1]
    assert job.checkpoint() == ("again", job)
    assert job.command[:2] == [sys.executable, "-u"] and job.command[-1] == "--submitted"
    job.command[2] = str(clone / "launch.py")  # whose runs are invented
    assert job() == 0
    assert run_folder(launch.output, "results.json", dataset="garden8", shots=1).exists()
    assert launch(*words, *SLURM) == 0
    assert len(Recorded.last.jobs) == 4  # what has finished meanwhile is not submitted again


def test_a_job_whose_runs_fail_fails(launch: Launch, submitit: types.ModuleType, clone: Path) -> None:
    words = ["table", "garden8", "--methods", "SoftCPT-NATA", "--shots", "1", "--seeds", "1"]
    for key in ("FAKE.FAIL", "FAKE.BAD"):
        assert launch(*words, *SLURM, "--", key, "1") == 0
        (job,) = Recorded.last.jobs
        job.command[2] = str(clone / "launch.py")
        with pytest.raises(RuntimeError, match=r"status [12]\b"):
            job()


def test_slurm_errors_are_one_line(
    launch: Launch, submitit: types.ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_slurm(folder: Path, cluster: str) -> None:
        raise RuntimeError('Could not detect "srun", are you indeed on a slurm cluster?')

    vars(submitit).update(AutoExecutor=no_slurm)
    assert launch("table", "garden8", *TWO, *SLURM) == 2
    assert 'Could not detect "srun"' in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert launch("table", "garden8", *TWO, *SLURM) == 2
    captured = capsys.readouterr()
    assert "-m pip install submitit" in captured.err and captured.err.count("\n") == 1 and captured.out == ""


def test_a_finished_table_is_printed(
    launch: Launch, submitit: types.ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["table", "garden8", *TWO, "--shots", "4", "--seeds", "1"]
    assert launch(*words) == 0
    assert launch(*words, *SLURM) == 0
    out = capsys.readouterr().out
    assert "2 runs: 2 finished, 0 to do" in out and out.count("SoftCPT-NATA  ") >= 2


LOCALLY = """
import sys
from pathlib import Path
from launcher.tables.chains import chains_of
from launcher.tables.cluster import submit
from launcher.tables.plan import make_plan

plan = make_plan("garden8", sys.argv[2:])
chains = chains_of(plan.jobs, plan.script)
jobs = submit(chains, {"timeout_min": 5}, Path(sys.argv[1]), "garden8", cluster="local")
for job in jobs:
    try:
        print("ended", job.result())
    except Exception as error:
        print("failed", " ".join(str(error).split()))
"""


def test_jobs_run_on_submitits_own_executor_for_this_machine(clone: Path, tmp_path: Path) -> None:
    """Through submitit's pickles and processes: a job that is done, and one of whose runs one fails."""
    pytest.importorskip("submitit")
    words = ["--methods", "SoftCPT-NATA", "--shots", "1,4", "--seeds", "1,2", "--", "FAKE.FAIL", "2"]
    command = [sys.executable, "-c", LOCALLY, str(tmp_path / "logs"), *words]
    env = os.environ | {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": os.pathsep.join([str(clone), *sys.path])}
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
    results = done.stdout.splitlines()
    assert sorted(line.split()[0] for line in results) == ["ended", "ended", "failed", "failed"]
    assert all("status 1" in line for line in results if line.startswith("failed"))
    folders = [
        run_folder(clone / "output", dataset="garden8", config="small+FAKE.FAIL=2", shots=shots, seed=seed)
        for shots in (1, 4)
        for seed in (1, 2)
    ]
    assert [(folder / "results.json").exists() for folder in folders] == [True, False, True, False]
    process = start(clone, "table", "garden8", *words[:6], "--dry-run", *words[6:])
    out, _ = process.communicate(timeout=60)
    assert "4 runs: 2 finished, 2 to do" in out

"""scripts/tables/*.sh: what they plan, skip, run here or submit, and print; train.py is invented."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest
from scripts.launch_methods import METHODS

from common.errors import Busy
from tests.scripts.conftest import ROOT, load

SCRIPTS = sorted((ROOT / "scripts" / "tables").glob("*.sh"))
NAMES = [path.stem for path in SCRIPTS]
TWO = ["--methods", "ZeroshotCLIP,SoftCPT-NATA"]


@pytest.fixture
def configured(clone):
    """The clone with the collections that tables are of, and a config of each name for every trainer."""
    for name in ("general10", "plant6", "rs8", "fashion20"):
        (clone / f"configs/datasets/{name}.yaml").write_text(f"DATASET:\n  NAME: {name}\n")
    (clone / "configs/datasets/garden8.yaml").write_text("# default config: small\nDATASET:\n  NAME: Garden8\n")
    for trainer in {trainer for trainer, *_ in METHODS.values()}:
        folder = clone / "configs/trainers" / trainer
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("small", "rn50_ep50", "rn101_ep50", "vit_b32_ep50", "vit_b16_ep50"):
            (folder / f"{name}.yaml").write_text("\n")
    return clone


@pytest.fixture
def table(configured, monkeypatch):
    """scripts/tables/main.py over the clone's configs and its invented train module."""
    monkeypatch.setattr(sys, "path", [str(ROOT / "scripts"), *sys.path])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr("scripts.launch_words.ROOT", configured)
    module = load(ROOT / "scripts" / "tables" / "main.py", "tables_under_test")
    fake = load(configured / "train.py", "fake_train")
    monkeypatch.setitem(sys.modules, "train", fake)
    call = lambda *words: module.main([str(word) for word in words])  # noqa: E731
    call.train, call.module = fake, module
    return call


def folder(root, method="SoftCPT-NATA", config="small", shots=4, seed=1):
    return root / "output" / "garden8" / method / config / f"{shots}shots" / f"seed{seed}"


def plan_rows(out):
    return {line.split("  ")[0]: line.split()[-4:] for line in out.splitlines() if line[:4] in ("Zero", "Soft", "CoOp")}


@pytest.mark.parametrize("name", NAMES)
def test_every_script_plans_and_helps_without_pytorch(name, configured):
    """What is printed comes from the standard library alone: an interpreter without site-packages does for it."""
    env = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    for flag in ("--dry-run", "--help"):
        words = [sys.executable, "-S", str(configured / "scripts/tables/main.py"), "--check", name, flag]
        done = subprocess.run(words, capture_output=True, text=True, env=env)
        assert (done.returncode, done.stderr) == (11, "")
        assert f"bash scripts/tables/{name}.sh" in done.stdout if flag == "--help" else "runs: 0 fin" in done.stdout


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("flag", ["--dry-run", "--help"])
def test_every_script_from_the_shell(name, flag, configured):
    """setup_env.sh is left before it installs anything."""
    env = os.environ | {"CUDA_VISIBLE_DEVICES": "", "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    script = configured / "scripts" / "tables" / f"{name}.sh"
    done = subprocess.run(["bash", str(script), flag], capture_output=True, text=True, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Plan of {name} on" in done.stdout or f"bash scripts/tables/{name}.sh" in done.stdout
    assert not (configured / ".venv").exists() and not (configured / "output").exists()


@pytest.mark.parametrize(
    ("name", "runs"),
    [
        ("general10", 1 + 12 * 15), ("plant6", 181), ("rs8", 181), ("fashion20", 181), ("garden8", 181),
        ("variants", 6 * 15), ("backbones", 4 * (1 + 3 * 3)), ("base_to_new", 2 + 7 * 6),
        ("context_length", 9 * 3), ("new_tasks", 1 + 3 * 2 * 2 * 3),
    ],
)  # fmt: skip
def test_how_many_runs_a_table_has(table, capsys, name, runs):
    assert table(name, "--dry-run") == 0
    assert f"{runs} runs: 0 finished, {runs} to do" in capsys.readouterr().out
    assert table.train.calls == []


def test_the_published_tables_rows_are_those_of_the_published_table():
    from scripts.tables.declared import PUBLISHED

    assert len(PUBLISHED) == 13 and set(PUBLISHED) < set(METHODS)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["garden9"], "did you mean 'garden8'?"),
        ([], "Table '' is unknown"),
        (["variants", "gardn8"], "did you mean 'garden8'?"),
        (["garden8", "plant6"], "plant6"),
        (["garden8", "--methods", "SoftCTP-NATA"], "did you mean 'SoftCPT-NATA'?"),
        (["garden8", "--methods", "CoOp-CA,,LP-CLIP"], "empty name"),
        (["garden8", "--shots", "0"], "--shots must be positive whole numbers"),
        (["garden8", "--seeds", "a"], "--seeds must be whole numbers"),
        (["garden8", "--jobs", "0"], "--jobs must be a whole number from 1 on"),
        (["garden8", "--jobs", "two"], "not 'two'"),
        (["garden8", "--cfg", "smal"], "Config 'smal' is unknown"),
        (["garden8", "--launcher", "slrm"], "did you mean 'slurm'?"),
        (["garden8", "--slurm-time", "5"], "goes with --launcher slurm"),
        (["garden8", "--launcher", "slurm", "--jobs", "2"], "--slurm-array"),
        (["garden8", "--launcher", "slurm", "--slurm-time", "1h"], "--slurm-time must be a whole number"),
        (["garden8", "--launcher", "slurm", "--slurm-extra", "a100"], "KEY=VALUE"),
        (["garden8", "--", "OPTIM.LR"], "has no value"),
        (["garden8", "--", "TRAINER.SOFTCPT.VARIANT", "NATS"], "--methods sets it"),
        (["context_length", "garden8", "--", "TRAINER.SOFTCPT.N_CTX", "2"], "the script sets it"),
        (["context_length", "garden8", "--methods", "CoOp-CA"], "CoOp-CA has no lengths L and M"),
        (["base_to_new", "garden8", "--methods", "CoOp-CS"], "CoOp-CS has a context for every class"),
        (["new_tasks", "garden8", "--methods", "CoOp-CA"], "CoOp-CA has a context for every task"),
        (["new_tasks", "garden8", "--methods", "ZeroshotCLIP"], "learns nothing"),
        (["garden8", "--data", "nowhere"], "there is no such folder"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_bad_words_are_one_line_and_status_2(table, capsys, words, said, check):
    assert table(*(["--check"] if check else []), *words) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and said in captured.err
    assert table.train.calls == []


def test_a_table_is_planned_run_and_printed_and_then_only_what_is_missing(table, configured, capsys):
    words = ["garden8", *TWO, "--shots", "1,4", "--seeds", "1,2"]
    assert table(*words) == 0
    assert len(table.train.calls) == 5
    out = capsys.readouterr().out
    assert out.index("5 runs: 0 finished, 5 to do") < out.index("[1/5] ZeroshotCLIP on garden8")
    assert "SoftCPT-NATA    56.5 ± 0.5  56.5 ± 0.5" in out
    file = Path(out.split("Also in ")[1].splitlines()[0])
    assert "| SoftCPT-NATA | **56.5 ± 0.5** |" in file.read_text("utf-8")
    (folder(configured, seed=2) / "results.json").unlink()
    table.train.calls.clear()
    assert table(*words) == 0
    assert len(table.train.calls) == 1 and str(folder(configured, seed=2)) in table.train.calls[0]
    assert "5 runs: 4 finished, 1 to do" in capsys.readouterr().out


def test_a_part_of_a_table_has_a_file_of_its_own(table, configured):
    for words in ([], ["--seeds", "1"], ["--cfg", "rn50_ep50"], ["--", "OPTIM.LR", "1"]):
        assert table("backbones", "garden8", *words) == 0
    assert len(list((configured / "output/garden8").glob("table_backbones*.md"))) == 4


def test_dry_run_runs_nothing_and_tells_the_time(table, configured, capsys):
    assert table("garden8", "--methods", "SoftCPT-NATA", "--shots", "1", "--seeds", "1") == 0
    table.train.calls.clear()
    capsys.readouterr()
    assert table("garden8", *TWO, "--shots", "1,8", "--seeds", "1,2,3", "--dry-run") == 0
    out = capsys.readouterr().out
    # A run of 4.5 s, of which 1 s is testing: twice the same, and three times 1 + 8 * 3.5 s.
    assert plan_rows(out)["SoftCPT-NATA"] == ["1", "5", "2", "min"] and "6         1      5           2 min" in out
    assert plan_rows(out)["Zero-shot CLIP"][-1] == "unknown"
    assert "7 runs: 1 finished, 6 to do; estimated time, by finished runs: 2 min, without Zero-shot CLIP" in out
    assert table("garden8", *TWO, "--shots", "1,8", "--dry-run", "--jobs", "2") == 0
    assert "with 2 at once, by finished runs: 48 s" in capsys.readouterr().out
    assert table("garden8", *TWO, "--shots", "8", "--dry-run", "--", "OPTIM.MAX_EPOCH", "9") == 0
    assert "by finished runs: unknown" in capsys.readouterr().out
    assert table.train.calls == []


def test_runs_that_share_views_follow_each_other(table):
    assert table("garden8", "--methods", "CoOp-CA,SoftCPT-NATA,ZeroshotCLIP", "--shots", "4,1", "--seeds", "1,2") == 0
    folders = [Path(argv[11]) for argv in table.train.calls]
    assert folders[0].parts[-4] == "ZeroshotCLIP"
    chains = [path.parts[-2:] for path in folders[1:]]
    assert chains == [(f"{n}shots", f"seed{k}") for n in (1, 4) for k in (1, 2) for _ in range(2)]


def test_failed_runs_are_listed_with_their_logs_last_line_and_done_again(table, configured, capsys):
    words = ["garden8", "--methods", "SoftCPT-NATA", "--shots", "4"]
    assert table(*words, "--", "FAKE.FAIL", "2") == 1
    captured = capsys.readouterr()
    last = captured.err.splitlines()[-2:]
    run = "SoftCPT-NATA on garden8, 4 shots, seed 2 (small+FAKE.FAIL=2)"
    assert last[0].startswith(f"Failed: {run}: RuntimeError: out of memory")
    assert last[0].endswith("traceback.txt: and more)")
    assert last[1] == "1 of 3 runs are not finished; the same command runs only them."
    assert "(2 of 3 seeds)" in captured.out
    assert table(*words, "--dry-run", "--", "FAKE.FAIL", "2") == 0
    assert "failed before" in capsys.readouterr().out
    table.train.calls.clear()
    assert table(*words, "--", "FAKE.FAIL", "2") == 1
    assert len(table.train.calls) == 1


def test_what_the_user_has_to_mend(table, capsys):
    """Of one method: the others go on. Of all: said once, status 2."""
    words = ["garden8", "--methods", "CoOp-CA,SoftCPT-NATA", "--shots", "4"]
    assert table(*words, "--", "FAKE.REFUSE", "CoOp") == 1
    captured = capsys.readouterr()
    assert captured.err.count("CoOp cannot do this tower") == 3 and "SoftCPT-NATA" in captured.out
    assert table(*words, "--", "FAKE.BAD", "1") == 2
    captured = capsys.readouterr()
    assert captured.err == "Image x.jpg is corrupt; replace it.\n"


def test_interrupted_and_resumed(table, configured, capsys):
    words = ["garden8", "--methods", "SoftCPT-NATA", "--shots", "4"]
    assert table(*words, "--", "FAKE.INTERRUPT", "2") == 130
    assert "goes on from where it was" in capsys.readouterr().err
    assert table(*words, "--dry-run", "--", "FAKE.INTERRUPT", "2") == 0
    assert "3 runs: 1 finished, 2 to do" in capsys.readouterr().out


def test_what_another_process_is_at_is_left_to_it(table, configured, capsys, monkeypatch):
    run = table.train.run

    def busy(argv, brief=False):
        if argv[3] == "2":
            raise Busy("Another process is at work in x.")
        return run(argv, brief)

    monkeypatch.setattr(table.train, "run", busy)
    words = ["garden8", "--methods", "SoftCPT-NATA", "--shots", "4"]
    assert table(*words) == 1
    captured = capsys.readouterr()
    assert "Left to another process, which is at work on them: SoftCPT-NATA on garden8, 4 shots, seed 2" in captured.err
    assert "Failed" not in captured.err and "1 of 3 runs are not finished" in captured.err
    assert folder(configured, seed=3).exists()


def test_a_page_that_cannot_be_written_costs_no_table(table, configured, capsys, monkeypatch):
    words = ["garden8", "--methods", "SoftCPT-NATA", "--shots", "4"]
    assert table(*words) == 0
    (configured / "output/garden8/report.html").unlink()
    (configured / "output/garden8/report.html").mkdir()
    (configured / "output/garden8/report.html/report.html").mkdir()
    assert table(*words) == 0
    out = capsys.readouterr().out
    assert "No page: " in out and out.splitlines()[-1].startswith("Done in")


def test_time_is_not_shared_within_a_chain(table, capsys):
    assert table("garden8", "--methods", "SoftCPT-NATA", "--shots", "1", "--seeds", "1") == 0
    capsys.readouterr()
    words = ["garden8", "--methods", "SoftCPT-NATA", "--shots", "1,16", "--seeds", "2", "--dry-run", "--jobs", "2"]
    assert table(*words) == 0
    # 1 s of testing each; 3.5 s and 16 times as much of training, the latter in one process.
    assert "with 2 at once, by finished runs: 57 s" in capsys.readouterr().out


def test_tables_of_each_kind(table, capsys):
    short = ["--seeds", "1,2", "--shots", "4"]
    assert table("backbones", "plant6", *TWO, *short) == 0
    out = capsys.readouterr().out
    assert "RN50       RN101    ViT-B/32    ViT-B/16" in out and out.count("56.5 ± 0.5") == 4
    assert table("backbones", "garden8", *TWO, *short) == 0
    assert "garden8 has one tower, that of its config small: one column." in capsys.readouterr().out
    assert table("context_length", "garden8", *short) == 0
    out = capsys.readouterr().out
    assert "L = 2, M = 4" in out and "L = 16, M = 16" in out and out.count("56.5 ± 0.5") == 9
    assert table("variants", "garden8", "--methods", "SoftCPT-NATA,SoftCPT-NATS", *short) == 0
    assert capsys.readouterr().out.count("56.5 ± 0.5") == 2


def test_base_to_new_and_new_tasks(table, configured, capsys):
    short = ["--seeds", "1,2", "--shots", "4"]
    assert table("base_to_new", "garden8", *TWO, *short) == 0
    out = capsys.readouterr().out
    assert "Zero-shot CLIP" in out and "SoftCPT-NATA    56.5 ± 0.5  46.5 ± 0.5  51.0 ± 0.5" in out
    assert "leaf shape" in next((configured / "output/garden8").glob("table_base_to_new*")).read_text("utf-8")
    tested = [argv for argv in table.train.calls if argv[0] == "--eval-only"]
    assert [table.train.calls.index(argv) for argv in tested] == [3, 5]  # each behind its training
    table.train.calls.clear()
    # Of this collection no number of tasks is declared, and train.py is asked.
    assert table("new_tasks", "tiny8", "--methods", "SoftCPT-NATA", *short) == 0
    assert table.train.calls[0] == "names"
    out = capsys.readouterr().out
    row = next(line for line in reversed(out.splitlines()) if line.startswith("SoftCPT-NATA"))
    assert row.split()[1:] == ["46.5", "±", "0.5", "56.0", "-9.5"]
    details = next((configured / "output/tiny8").glob("table_new_tasks*")).read_text("utf-8")
    assert "petal colour" in details and "Held out: of runs" in details


# -- several processes --


def start(clone, *words, **env):
    command = [sys.executable, str(clone / "scripts/tables/main.py"), *map(str, words)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""} | env, **streams)


def before_running(clone, code):
    """Has the invented train.py do this as well."""
    train, line = clone / "train.py", 'if keys.get("FAKE.INTERRUPT")'
    train.write_text(train.read_text().replace(line, f"{code}\n    {line}"))


def test_what_is_ignored_stays_so(monkeypatch):
    """nohup ignores SIGHUP, so that the terminal's end is not the runs'."""
    monkeypatch.setattr(sys, "path", [str(ROOT / "scripts"), *sys.path])
    local = importlib.import_module("scripts.tables.local")
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with local.ended_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(1)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_two_processes(configured):
    words = ["garden8", *TWO, "--shots", "1,4", "--seeds", "1,2", "--jobs", "2"]
    process = start(configured, *words, "--", "FAKE.FAIL", "2")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    said = [line for line in out.splitlines() if "/5] " in line]
    assert {line[:4] for line in said} == {"1 | ", "2 | "} and len(said) == 5
    assert err.count("Failed: ") == 2 and "2 of 5 runs are not finished" in err
    assert "(1 of 2 seeds)" in out


def test_a_process_that_dies_costs_one_run(configured):
    before_running(configured, 'if keys.get("FAKE.DIE") == str(seed): import os; os.kill(os.getpid(), 9)')
    words = ["garden8", "--methods", "CoOp-CA,SoftCPT-NATA", "--shots", "4", "--seeds", "1,2", "--jobs", "2"]
    process = start(configured, *words, "--", "FAKE.DIE", "2")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.count("killed by signal 9 (too little memory?)") == 2 and "log.txt: log" in err
    assert "2 of 4 runs are not finished" in err


def test_what_failed_before_its_process_died_keeps_its_own_reason(configured):
    before_running(configured, 'if flags["--trainer"] == "SoftCPT": import os; os.kill(os.getpid(), 9)')
    words = ["garden8", "--methods", "CoOp-CA,SoftCPT-NATA", "--shots", "4", "--seeds", "1,2", "--jobs", "2"]
    process = start(configured, *words, "--", "FAKE.FAIL", "1")
    _, err = process.communicate(timeout=60)
    first = next(line for line in err.splitlines() if line.startswith("Failed: CoOp-CA on garden8, 4 shots, seed 1"))
    assert "it did not come to its end; later its process was killed" in first and "traceback.txt" in first


def test_an_interrupted_pool_leaves_no_process(configured):
    before_running(configured, 'import os, time; print("pid", os.getpid(), flush=True); time.sleep(60)')
    process = start(configured, "garden8", "--methods", "SoftCPT-NATA", "--shots", "4", "--jobs", "2")
    pids = []
    while len(pids) < 2:
        line = process.stdout.readline()
        assert line
        pids += [int(line.split()[-1])] if "| pid" in line else []
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and "goes on from where it was" in err
    for pid in pids:
        for _ in range(50):
            if not Path(f"/proc/{pid}").exists():
                break
            time.sleep(0.1)
        else:
            raise AssertionError(f"{pid} lives on")


def test_what_all_processes_refuse_is_said_once(configured):
    process = start(configured, "garden8", "--methods", "SoftCPT-NATA", "--shots", "1,4", "--seeds", "1", "--jobs", "2",
                    "--", "FAKE.BAD", "1")  # fmt: skip
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (2, "Image x.jpg is corrupt; replace it.\n")


def test_gpus_go_round(table, monkeypatch):
    local = sys.modules["scripts.tables.local"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert local.visible_gpus() == ["3", "5"]
    assert [local.environment(n, 3, ["3", "5"])["CUDA_VISIBLE_DEVICES"] for n in range(3)] == ["3", "5", "3"]
    assert table.module.processes() == 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert local.visible_gpus() == [] and table.module.processes() == 1
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert int(local.environment(0, 10_000, [])["OMP_NUM_THREADS"]) == 1


# -- a cluster --


class Recorded:
    """What submitit is asked for; ``jobs`` are the callables of the array."""

    def __init__(self, folder, cluster):
        self.folder, self.cluster, self.parameters, self.jobs, self.batches = folder, cluster, {}, [], 0
        Recorded.last = self

    def update_parameters(self, **parameters):
        self.parameters |= parameters

    def batch(self):
        import contextlib

        self.batches += 1
        return contextlib.nullcontext()

    def submit(self, job):
        self.jobs.append(job)
        return types.SimpleNamespace(job_id=f"77_{len(self.jobs) - 1}")


@pytest.fixture
def submitit(monkeypatch):
    fake = types.ModuleType("submitit")
    fake.AutoExecutor = Recorded
    pickles = types.ModuleType("cloudpickle")
    pickles.register_pickle_by_value = lambda module: None
    helpers = types.ModuleType("submitit.helpers")
    helpers.DelayedSubmission = lambda job: ("again", job)
    for name, module in (("submitit", fake), ("cloudpickle", pickles), ("submitit.helpers", helpers)):
        monkeypatch.setitem(sys.modules, name, module)
    return fake


SLURM = (
    "--launcher slurm --slurm-partition gpu --slurm-time 90 --slurm-mem 8G --slurm-account us --slurm-array 3 "
    "--slurm-extra constraint=a100 --slurm-extra nice=1"
).split()


def test_slurm_gets_one_array(table, submitit, configured, capsys):
    words = ["garden8", *TWO, "--shots", "1,4", "--seeds", "1,2"]
    assert table(*words, *SLURM) == 0
    executor = Recorded.last
    assert (executor.cluster, executor.batches, len(executor.jobs)) == ("slurm", 1, 5)
    assert executor.parameters == {
        "name": "garden8-garden8", "slurm_partition": "gpu", "timeout_min": 90, "slurm_mem": "8G",
        "slurm_account": "us", "slurm_array_parallelism": 3, "slurm_gpus_per_node": 1,
        "slurm_additional_parameters": {"constraint": "a100", "nice": "1"},
    }  # fmt: skip
    out = capsys.readouterr().out
    assert "Submitted 5 jobs: 77_0, 77_1" in out and str(executor.folder) in out and "5 runs: 0 finished" in out
    assert table.train.calls == []
    job = executor.jobs[1]
    assert job.checkpoint() == ("again", job)
    job.worker = str(configured / "scripts/tables/worker.py")
    assert job() == 0 and folder(configured, shots=1).joinpath("results.json").exists()
    assert table(*words, *SLURM) == 0
    assert len(Recorded.last.jobs) == 4  # what has finished meanwhile is not submitted again


def test_slurm_says_what_is_wrong(table, submitit, monkeypatch, capsys):
    def none(folder, cluster):
        raise RuntimeError('Could not detect "srun", are you indeed on a slurm cluster?')

    submitit.AutoExecutor = none
    assert table("garden8", *TWO, *SLURM) == 2
    assert 'Could not detect "srun"' in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert table("garden8", *TWO, *SLURM) == 2
    captured = capsys.readouterr()
    assert "-m pip install submitit" in captured.err and captured.err.count("\n") == 1 and captured.out == ""


def test_a_cluster_finished_table_is_printed(table, submitit, capsys):
    words = ["garden8", *TWO, "--shots", "4", "--seeds", "1"]
    assert table(*words) == 0
    assert table(*words, *SLURM) == 0
    out = capsys.readouterr().out
    assert "2 runs: 2 finished, 0 to do" in out and out.count("SoftCPT-NATA  ") >= 2


def test_chains_pass_to_other_processes_whole(table, configured):
    chains = sys.modules["scripts.tables.chains"]
    plan = table.module.make_plan("base_to_new", ["garden8", "--methods", "SoftCPT-NATA", "--seeds", "1"])
    (chain,) = chains.chains_of(plan.jobs, plan.script)
    assert chains.from_text(chains.to_text(chain)) == chain and chain.jobs[1].of == chain.jobs[0]
    assert json.loads(chains.to_text(chain))["count"] == 2

"""Tables: what they plan and refuse, and the time that they estimate; the runs are invented."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from common.catalogue import METHODS
from common.paths import REPOSITORY
from launcher.main import main
from launcher.tables.catalogue import DECLARED, PUBLISHED
from launcher.tables.chains import chains_of, from_text, to_text
from launcher.tables.plan import make_plan
from tests.support.launching import Launch

SCRIPTS = sorted((REPOSITORY / "scripts" / "tables").glob("*.sh"))
NAMES = [path.stem for path in SCRIPTS]
TWO = ["--methods", "ZeroshotCLIP,SoftCPT-NATA"]


def plan_rows(out: str) -> dict[str, list[str]]:
    return {line.split("  ")[0]: line.split()[-4:] for line in out.splitlines() if line[:4] in ("Zero", "Soft", "CoOp")}


def test_every_table_has_a_script() -> None:
    assert NAMES == sorted(DECLARED)


@pytest.mark.parametrize("name", NAMES)
def test_every_table_plans_and_helps_without_pytorch(name: str, clone: Path) -> None:
    """The output comes from the standard library alone: an interpreter without site-packages is enough."""
    env = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    for flag in ("--dry-run", "--help"):
        words = [sys.executable, "-S", str(clone / "launch.py"), "--check", "table", name, flag]
        done = subprocess.run(words, capture_output=True, text=True, env=env)
        assert (done.returncode, done.stderr) == (11, "")
        assert f"bash scripts/tables/{name}.sh" in done.stdout if flag == "--help" else "runs: 0 fin" in done.stdout


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("flag", ["--dry-run", "--help"])
def test_every_script_from_the_shell(name: str, flag: str, clone: Path) -> None:
    """setup_env.sh ends before it installs anything."""
    env = os.environ | {"CUDA_VISIBLE_DEVICES": "", "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    script = clone / "scripts" / "tables" / f"{name}.sh"
    done = subprocess.run(["bash", str(script), flag], capture_output=True, text=True, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Plan of {name} on" in done.stdout or f"bash scripts/tables/{name}.sh" in done.stdout
    assert not (clone / ".venv").exists() and not (clone / "output").exists()


@pytest.mark.parametrize(
    ("name", "runs"),
    [
        ("general10", 1 + 12 * 15), ("plant6", 181), ("rs8", 181), ("fashion20", 181), ("garden8", 181),
        ("variants", 6 * 15), ("backbones", 4 * (1 + 3 * 3)), ("base_to_new", 2 + 7 * 6),
        ("context_length", 9 * 3), ("new_tasks", 1 + 3 * 2 * 2 * 3),
    ],
)  # fmt: skip
def test_how_many_runs_a_table_has(launch: Launch, capsys: pytest.CaptureFixture[str], name: str, runs: int) -> None:
    assert launch("table", name, "--dry-run") == 0
    assert f"{runs} runs: 0 finished, {runs} to do" in capsys.readouterr().out
    assert launch.calls == []


def test_the_commands_and_counts_in_the_documentation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = (REPOSITORY / "docs" / "tables.md").read_text("utf-8").splitlines()
    commands = [line.split("#")[0].split() for line in lines if line.startswith("bash scripts/tables/")]
    assert len(commands) >= 3
    for _, script, *words in commands:
        assert (REPOSITORY / script).is_file()
        here = [str(tmp_path) if word == "~/data" else word for word in words]
        assert main(["--check", "table", Path(script).stem, *here, "--dry-run"]) == 11, capsys.readouterr().err
    rows = [line.strip("|").split("|") for line in lines if line.startswith("| `") and ".sh" in line]
    counts = {
        name: int(row[-1].split()[0])
        for row in rows
        for name in DECLARED
        if re.search(rf"`{name}\.sh( \[collection\])?`", row[0])
    }
    assert counts == {name: len(make_plan(name, []).jobs) for name in DECLARED}


def test_the_rows_of_the_published_table() -> None:
    assert len(PUBLISHED) == 13 and set(PUBLISHED) < set(METHODS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["garden9"], "did you mean 'garden8'?"),
        ([], "Table '' is unknown"),
        (["variants", "gardn8"], "did you mean 'garden8'?"),
        (["garden8", "plant6"], "plant6"),
        (["garden8", "--methods", "SoftCTP-NATA"], "did you mean 'SoftCPT-NATA'?"),
        (["garden8", "--methods", "CoOp-CA,,LP-CLIP"], "empty name"),
        (["garden8", "--methods", "CoOp-CA,MaPLe"], "MaPLe needs a vision transformer"),
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
def test_bad_input_is_one_line_and_status_2(
    launch: Launch, capsys: pytest.CaptureFixture[str], words: Sequence[str], message: str, check: bool
) -> None:
    assert launch(*(["--check"] if check else []), "table", *words) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and message in captured.err
    assert launch.calls == []


def test_all_methods_and_those_that_are_left_out(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("table", "garden8", "--methods", "all", "--dry-run") == 0
    out = capsys.readouterr().out
    assert "Left out, as config 'small' lacks a vision transformer: MaPLe, PromptSRC\n" in out and "LP-CLIP" in out
    assert launch("table", "new_tasks", "garden8", "--methods", "all", "--dry-run") == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("Left out"))
    tied = [name for name, method in METHODS.items() if method.tied_to != "nothing" or not method.learns]
    assert sorted(line.split(": ")[1].split(", ")) == sorted(tied)


def test_what_a_cluster_needs_is_said_by_check(launch: Launch) -> None:
    assert launch("--check", "table", "variants", "garden8") == 0
    assert launch("--check", "table", "variants", "plants7") == 10


def test_dry_run_runs_nothing_and_estimates_the_time(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["table", "garden8"]
    assert launch(*words, "--methods", "SoftCPT-NATA", "--shots", "1", "--seeds", "1") == 0
    launch.calls.clear()
    capsys.readouterr()
    assert launch(*words, *TWO, "--shots", "1,8", "--seeds", "1,2,3", "--dry-run") == 0
    out = capsys.readouterr().out
    # A run of 4.5 s, of which 1 s is testing: twice the same, and three times 1 + 8 * 3.5 s.
    assert plan_rows(out)["SoftCPT-NATA"] == ["1", "5", "2", "min"] and "6         1      5           2 min" in out
    assert plan_rows(out)["Zero-shot CLIP"][-1] == "unknown"
    assert "7 runs: 1 finished, 6 to do; estimated time, by finished runs: 2 min, without Zero-shot CLIP" in out
    assert launch(*words, *TWO, "--shots", "1,8", "--dry-run", "--jobs", "2") == 0
    assert "with 2 at once, by finished runs: 48 s" in capsys.readouterr().out
    assert launch(*words, *TWO, "--shots", "8", "--dry-run", "--", "OPTIM.MAX_EPOCH", "9") == 0
    assert "by finished runs: unknown" in capsys.readouterr().out
    assert launch.calls == []


def test_time_is_not_shared_within_a_chain(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["table", "garden8", "--methods", "SoftCPT-NATA"]
    assert launch(*words, "--shots", "1", "--seeds", "1") == 0
    capsys.readouterr()
    assert launch(*words, "--shots", "1,16", "--seeds", "2", "--dry-run", "--jobs", "2") == 0
    # 1 s of testing each; 3.5 s and 16 times as much of training, the latter in one process.
    assert "with 2 at once, by finished runs: 57 s" in capsys.readouterr().out


def test_chains_pass_to_other_processes_whole(launch: Launch) -> None:
    words = ["garden8", "--methods", "SoftCPT-NATA", "--seeds", "1", "--", "OPTIM.LR", "0.1"]
    plan = make_plan("base_to_new", words)
    (chain,) = chains_of(plan.jobs, plan.script)
    again = from_text(to_text(chain))
    assert again == chain and chain.jobs[1].of == chain.jobs[0] and chain.count == 2
    assert [job.overrides() for job in again.jobs] == [job.overrides() for job in chain.jobs]
    assert [job.command() for job in again.jobs] == [job.command() for job in chain.jobs]
    assert "\n" not in to_text(chain)

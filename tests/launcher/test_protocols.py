"""base_to_new and new_tasks: what they plan, refuse, run and print; the runs are invented."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from common import paths
from common.errors import InputError
from common.paths import REPOSITORY
from launcher import protocols
from launcher.protocols import Holdout
from tests.support.fake_runs import Call
from tests.support.launching import Launch, rows_of, run_folder

PARTS = ("base", "new")


def base_folder(launch: Launch, *parts: str, **more: Any) -> Path:
    return run_folder(launch.output, *parts, config="small+DATASET.SUBSAMPLE_CLASSES=base", **more)


def new_folder(launch: Launch, **more: Any) -> Path:
    return base_folder(launch, "tested", "tiny8+DATASET.SUBSAMPLE_CLASSES=new", **more)


def in_command(call: Call) -> tuple[str | None, str, dict[str, str]]:
    """(model dir or None, output folder, keys) in the arguments of train.py that a run records."""
    words = list(call.request.command)
    tested = words[2] if words[0] == "--eval-only" else None
    words = words[3:] if tested else words
    return tested, words[11], dict(zip(words[12::2], words[13::2], strict=True))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["base_to_new"], "Which method?"),
        (["base_to_new", "--seeds", "1"], "Which method?"),
        (["base_to_new", "compare", "tiny8", "4"], "Method 'compare' is unknown"),
        (["new_tasks", "softctp", "tiny8", "4"], "did you mean 'softcpt'?"),
        (["base_to_new", "softcpt"], "Which dataset? For example: bash scripts/base_to_new.sh softcpt garden8 4"),
        (["new_tasks", "softcpt", "tiny8"], "How many shots"),
        (["new_tasks", "softcpt", "tiny8", "1,2"], "not '1,2'; scripts/compare.sh takes several"),
        (["base_to_new", "softcpt", "tiny8", "4", "--folds", "2"], "--folds"),
        (["base_to_new", "softcpt", "tiny8", "4", "--", "DATASET.SUBSAMPLE_CLASSES", "all"], "the script sets it"),
        (["new_tasks", "softcpt", "tiny8", "4", "--", "dataset.subsample_tasks", "all"], "the script sets it"),
        (["new_tasks", "softcpt", "tiny8", "4", "--", "TRAINER.SOFTCPT.VARIANT", "NATS"], "--variant sets it"),
        (["new_tasks", "softcpt", "tiny8", "4", "--folds", "1"], "--folds must be a whole number from 2 on"),
        (["new_tasks", "softcpt", "tiny8", "4", "--folds", "x"], "not 'x'"),
        (["new_tasks", "softcpt", "tiny8", "4", "--folds", "2", "--hold-out", "0"], "do not go together"),
        (["new_tasks", "softcpt", "tiny8", "4", "--test", "plian"], "did you mean 'plain'?"),
        (["new_tasks", "softcpt", "tiny8", "4", "--test", "tiny8"], "--test tiny8 is the training collection"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_bad_input_is_one_line_before_anything_runs(
    launch: Launch, capsys: pytest.CaptureFixture[str], words: Sequence[str], message: str, check: bool
) -> None:
    assert launch(*(["--check"] if check else []), *words) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and message in captured.err
    assert launch.calls == []


@pytest.mark.parametrize(
    ("protocol", "method", "pattern"),
    [
        ("new_tasks", ["coop"], "CoOp-CA has a context for every task .* use --context shared"),
        ("new_tasks", ["coop", "--context", "class"], "CoOp-CS has a context for every class .* --context shared"),
        ("new_tasks", ["kgcoop"], "KgCoOp has a context for every task .* use softcpt, or coop --context shared"),
        ("new_tasks", ["prograd"], "ProGrad has"),
        ("new_tasks", ["plot"], "PLOT has contexts"),
        ("new_tasks", ["cocoop"], "CoCoOp has a context and a meta-net for every task"),
        ("new_tasks", ["softcpt", "--variant", "NATS"], "task context .* use --variant NATA or R or CATA or STAR"),
        ("new_tasks", ["softcpt", "--variant", "CSTA"], "class context"),
        ("new_tasks", ["linear_probe"], "LP-CLIP has weights"),
        ("new_tasks", ["tip_adapter", "--finetune", "yes"], "Tip-Adapter-F has a cache"),
        ("base_to_new", ["coop", "--context", "class"], "for classes that .* use --context task or shared"),
        ("base_to_new", ["softcpt", "--variant", "CSTS"], "use --variant NATA or R or NATS or CATA or CATS or STAR"),
        ("base_to_new", ["linear_probe"], "LP-CLIP has weights for every class .* use softcpt or coop"),
        ("base_to_new", ["protonet"], "ProtoNet has"),
        ("base_to_new", ["tip_adapter"], "Tip-Adapter has"),
    ],
)
def test_methods_that_a_protocol_cannot_test_are_refused_in_one_line(
    launch: Launch,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    protocol: str,
    method: Sequence[str],
    pattern: str,
) -> None:
    monkeypatch.setattr(paths, "CONFIGS", REPOSITORY / "configs")
    assert launch(protocol, method[0], "garden8", "4", *method[1:]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and re.search(pattern, captured.err), captured.err
    assert launch.calls == []


# -- base to new --


def test_base_to_new_trains_once_and_tests_twice(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["base_to_new", "softcpt", "tiny8", "4", "--seeds", "1,2", "--", "OPTIM.LR", "0.1"]
    assert launch(*words) == 0
    first, second, *_ = launch.calls
    config = "small+DATASET.SUBSAMPLE_CLASSES=base+OPTIM.LR=0.1"
    assert (first.of, first.folder) == (None, run_folder(launch.output, config=config))
    keys = {
        "DATASET.NUM_SHOTS": "4", "BANK.DIR": str(launch.output / ".bank"), "OPTIM.LR": "0.1",
        "DATASET.SUBSAMPLE_CLASSES": "base",
    }  # fmt: skip
    assert first.method == second.method == "SoftCPT-NATA" and first.keys == keys
    assert second.of == first.folder
    assert second.folder == run_folder(launch.output, "tested", "tiny8+DATASET.SUBSAMPLE_CLASSES=new", config=config)
    assert second.keys | {"DATASET.NUM_SHOTS": "4", "DATASET.SUBSAMPLE_CLASSES": "base"} == first.keys
    assert "DATASET.NUM_SHOTS" not in second.keys and second.keys["DATASET.SUBSAMPLE_CLASSES"] == "new"
    for call in (first, second):
        variant = {"TRAINER.SOFTCPT.VARIANT": "NATA", "RESIDUAL.FIT": "False"}
        of = None if call.of is None else str(call.of)
        assert in_command(call) == (of, str(call.folder), call.keys | variant)
    assert len(launch.calls) == 4
    out = capsys.readouterr().out
    assert "SoftCPT-NATA on tiny8, 4 shots (small+OPTIM.LR=0.1): base and new classes" in out
    assert rows_of(out) == {
        "task": ["metric", "base", "new", "H"],
        "petal colour": ["overall", "51.5 ± 0.5", "41.5 ± 0.5", "46.0 ± 0.5"],
        "leaf shape": ["class mean", "61.5 ± 0.5", "51.5 ± 0.5", "56.1 ± 0.5"],
        "mean": ["56.5 ± 0.5", "46.5 ± 0.5", "51.0 ± 0.5"],
    }
    assert "as in the literature" in out and "seed1,2/tested" in out
    assert launch(*words) == 0
    assert len(launch.calls) == 4


def test_an_evaluation_belongs_to_its_checkpoint(launch: Launch) -> None:
    call = ["base_to_new", "softcpt", "tiny8", "4", "--seeds", "1"]
    assert launch(*call) == 0
    (new_folder(launch) / "evaluation.json").unlink()
    launch.calls.clear()
    assert launch(*call) == 0
    assert [bool(call.of) for call in launch.calls] == [True]  # the training is not repeated
    # Trained again by another command: the evaluated checkpoint is gone.
    (base_folder(launch) / "results.json").unlink()
    assert launch("softcpt", "tiny8", "4", "--seeds", "1", "--", "DATASET.SUBSAMPLE_CLASSES", "base") == 0
    launch.calls.clear()
    assert launch(*call) == 0
    assert [bool(call.of) for call in launch.calls] == [True]
    # Trained again with the same result, or by a version that did not record checkpoints: a later time is enough.
    path = base_folder(launch) / "results.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in record.items() if key != "checkpoint"}))
    launch.calls.clear()
    assert launch(*call) == 0 and launch(*call) == 0
    assert [bool(call.of) for call in launch.calls] == [True]


def test_a_killed_evaluation_or_training_continues(launch: Launch) -> None:
    call = ["base_to_new", "softcpt", "tiny8", "4", "--seeds", "1,2"]
    assert launch(*call, "--", "FAKE.INTERRUPT", "2") == 130
    assert len(launch.calls) == 3
    assert launch(*call) == 0
    launch.calls.clear()
    for path in (new_folder(launch) / "evaluation.json", base_folder(launch, seed=2) / "results.json"):
        path.write_text(path.read_text()[:30])
    assert launch(*call) == 0
    assert [call.folder for call in launch.calls] == [
        new_folder(launch), base_folder(launch, seed=2), new_folder(launch, seed=2)
    ]  # fmt: skip


def test_a_failed_training_stops_its_own_seed_alone(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("base_to_new", "softcpt", "tiny8", "4", "--", "FAKE.FAIL", "2") == 1
    captured = capsys.readouterr()
    assert "seed 2, new classes: the run to be tested is not finished" in captured.out
    lines = captured.err.splitlines()
    assert len(lines) == 2 and "seed 2, base classes: RuntimeError: out of memory" in lines[0]
    assert "1 of 6 runs failed" in lines[1]
    assert "No finished run on base classes with seed 2.\nNo finished run on new classes with seed 2." in captured.out
    assert " ".join(captured.out.split()).count("(2 of 3 seeds)") == 3
    assert rows_of(captured.out)["mean"] == ["57.0 ± 1.0", "47.0 ± 1.0", "51.5 ± 1.0"]
    assert launch("base_to_new", "softcpt", "tiny8", "4", "--seeds", "2", "--", "FAKE.FAIL", "2") == 1
    assert "No finished run." in capsys.readouterr().out


def test_base_to_new_of_zero_shot_clip(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("base_to_new", "zsclip", "tiny8") == 0
    configs = [f"small+DATASET.SUBSAMPLE_CLASSES={part}" for part in PARTS]
    assert [(call.of, call.folder) for call in launch.calls] == [
        (None, run_folder(launch.output, method="ZeroshotCLIP", config=config, shots=0)) for config in configs
    ]
    assert rows_of(capsys.readouterr().out)["mean"] == ["56.0", "56.0", "56.0"]


# -- new tasks --


def test_each_half_is_held_out_once(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["new_tasks", "coop", "tiny8", "4", "--context", "shared", "--seeds", "1,2"]
    assert launch(*words) == 0
    assert launch.fake.names_asked == [0]  # before the first run
    calls = launch.calls
    assert len(calls) == 9
    assert calls[0].folder == run_folder(launch.output, method="ZeroshotCLIP", shots=0)
    chosen = [(bool(call.of), call.keys["DATASET.SUBSAMPLE_TASKS"]) for call in calls[1:]]
    assert chosen[:4] == [(False, "new"), (True, "base"), (False, "base"), (True, "new")] == chosen[4:]
    assert calls[2].folder.is_relative_to(calls[1].folder) and calls[2].of == calls[1].folder
    out = capsys.readouterr().out
    assert rows_of(out) == {
        "task": ["metric", "held out", "zero-shot", "difference"],
        "petal colour": ["overall", "41.5 ± 0.5", "51.0", "-9.5"],
        "leaf shape": ["class mean", "51.5 ± 0.5", "61.0", "-9.5"],
        "mean": ["46.5 ± 0.5", "56.0", "-9.5"],
    }
    launch.calls.clear()
    assert launch(*words) == 0
    assert launch.calls == [] and launch.fake.names_asked == [0]  # the names are in the finished run's results


def test_a_chosen_split(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("new_tasks", "softcpt", "tiny8", "4", "--hold-out", "Leaf shape", "--seeds", "1") == 0
    assert [call.keys.get("DATASET.SUBSAMPLE_TASKS") for call in launch.calls] == [None, "base", "new"]
    rows = rows_of(capsys.readouterr().out)
    assert rows["leaf shape"] == ["class mean", "51.0", "61.0", "-10.0"] and "petal colour" not in rows
    assert rows["mean"] == ["51.0", "61.0", "-10.0"]
    assert launch("new_tasks", "zsclip", "tiny8", "--hold-out", "1") == 2
    assert "Zero-shot CLIP learns nothing" in capsys.readouterr().err
    for listed, message in [
        ("0,1", "leaves no task"), ("2", "task '2' is unknown. Known: 0 petal colour, 1 leaf shape."),
        ("leaf shap", "did you mean 'leaf shape'"), ("", "task '' is unknown"),
    ]:  # fmt: skip
        assert launch("new_tasks", "softcpt", "tiny8", "4", "--hold-out", listed) == 2
        assert message in capsys.readouterr().err
    assert launch("new_tasks", "softcpt", "tiny8", "4", "--folds", "3") == 2
    assert capsys.readouterr().err == "--folds 3 is more than the 2 tasks of tiny8.\n"


def test_prompts_for_new_tasks_are_measured_in_training_unless_said_otherwise(launch: Launch) -> None:
    """By methods that have a knob for it, and in the trainings of this protocol alone."""
    key, call = "TRAINER.SOFTCPT.NEW_TASK_FOLDS", ["new_tasks", "softcpt", "tiny8", "4", "--seeds", "1"]
    assert launch(*call) == 0
    assert [(bool(job.of), job.keys.get(key)) for job in launch.calls[1:3]] == [(False, "3"), (True, None)]
    launch.calls.clear()
    assert launch(*call, "--", key, "2") == 0
    assert {job.keys.get(key) for job in launch.calls if job.of is None} == {"2"}
    launch.calls.clear()
    assert launch("new_tasks", "coop", "tiny8", "4", "--seeds", "1", "--context", "shared") == 0
    assert launch("base_to_new", "softcpt", "tiny8", "4", "--seeds", "1") == 0
    assert launch.calls and not any(key in job.keys for job in launch.calls)


def test_a_residual_is_not_for_zero_shot_clip_beside_the_method(launch: Launch) -> None:
    words = ("tiny8", "4", "--seeds", "1", "--context", "shared", "--residual")
    assert launch("new_tasks", "coop", *words) == 0
    zero_shot, *others = launch.calls
    assert zero_shot.settings.method == "ZeroshotCLIP" and "RESIDUAL.FIT" not in zero_shot.keys
    assert others and all(job.keys["RESIDUAL.FIT"] == "True" for job in others)


def test_a_single_task_cannot_be_held_out(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    launch.fake.tasks.pop()
    assert launch("new_tasks", "softcpt", "tiny8", "4") == 2
    error = capsys.readouterr().err
    assert "tiny8 has one task, 'petal colour'" in error and "scripts/new_tasks.sh" in error
    assert (REPOSITORY / "scripts/new_tasks.sh").is_file()


def test_another_collection_is_tested_with_the_same_parameters(
    launch: Launch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch("coop", "tiny8", "4", "--seeds", "1", "--context", "shared") == 0
    assert launch("new_tasks", "coop", "tiny8", "4", "--seeds", "1", "--test", "plain", "--context", "shared") == 0
    own, zero_shot, tested = launch.calls  # the training was there already
    assert tested.of == own.folder and tested.folder == own.folder / "tested" / "plain"
    assert zero_shot.folder == run_folder(launch.output, dataset="plain", method="ZeroshotCLIP", shots=0)
    assert "DATASET.SUBSAMPLE_TASKS" not in tested.keys
    for call in launch.calls[1:]:
        dataset, config = (launch.root / "configs" / name for name in ("datasets/plain.yaml", "trainers/small.yaml"))
        assert (call.settings.dataset, call.settings.config) == (dataset, config)  # one tower for both
        assert {str(dataset), str(config)} < set(call.request.command)
    out = capsys.readouterr().out
    assert "CoOp-MT (shared) on tiny8, 4 shots (small): tested on plain" in out
    assert rows_of(out)["petal colour"] == ["overall", "41.0", "51.0", "-10.0"]
    (note,) = (line for line in out.splitlines() if line.startswith("Not new:"))
    assert note.endswith("(petal colour, leaf shape).")


def test_a_failed_fold_is_marked_in_the_table(
    launch: Launch, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = launch.fake.record

    def failing(call: Call) -> dict[str, Any]:
        if call.keys.get("DATASET.SUBSAMPLE_TASKS") == "base" and call.seed == 2 and call.of is None:
            raise RuntimeError("out of memory")
        return record(call)

    monkeypatch.setattr(launch.fake, "record", failing)
    assert launch("new_tasks", "softcpt", "tiny8", "4", "--seeds", "1,2") == 1
    captured = capsys.readouterr()
    rows = rows_of(captured.out)
    assert rows["petal colour"][1] == "41.5 ± 0.5" and rows["leaf shape"][1] == "51.0 (1 of 2 seeds)"
    assert rows["mean"] == ["46.0 (1 of 2 seeds)", "56.0", "-10.0"]
    assert "No finished test of leaf shape with seed 2." in captured.out
    assert len(captured.err.splitlines()) == 2


def test_folds_and_subsets() -> None:
    def folds(count: int, n: str | None) -> list[list[int]]:
        holdout = protocols.read_holdout(n, None, None)
        return [list(held) for held in protocols.held_out(holdout, [f"t{i}" for i in range(count)], "some")]

    assert folds(5, None) == folds(5, "2") == [[0, 1, 2], [3, 4]]
    assert folds(8, "3") == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert folds(4, "4") == [[0], [1], [2], [3]]
    subsets = [protocols.subset(part, 5) for part in ([0, 1, 2], [3, 4], [0, 3, 4])]
    assert subsets == ["base", "new", "task0+task3+task4"]
    assert protocols.numbers_of(" T2,0 , t0", ["t0", "t1", "t2"]) == (0, 2)
    assert protocols.numbers_of("1", ["1", "0"]) == (0,)  # a name comes first
    assert protocols.held_out(Holdout(tasks="1"), ["a", "b"], "some") == [(1,)]
    with pytest.raises(InputError, match="several tasks are called 'a'"):
        protocols.numbers_of("a", ["a", "A"])


def test_tasks_are_not_known_before_the_installation(launch: Launch) -> None:
    assert launch("--check", "new_tasks", "softcpt", "tiny8", "4", "--hold-out", "petal colour") == 0
    assert launch("--check", "new_tasks", "softcpt", "plants7", "4") == 10
    assert launch.calls == [] and launch.fake.names_asked == []

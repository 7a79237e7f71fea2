"""scripts/base_to_new.sh and scripts/new_tasks.sh: what they plan, refuse, run and print."""

import json
import os
import re
import sys

import pytest
from scripts.launch_methods import METHODS, TIED_TO

from tests.scripts.conftest import ROOT, load
from tests.trainers.conftest import Workplace

PARTS = ("base", "new")


def folder(clone, *parts, method="SoftCPT-NATA", config="small", shots=4, seed=1):
    return clone.joinpath("output", "tiny8", method, config, f"{shots}shots", f"seed{seed}", *parts)


def base_folder(clone, *parts, **more):
    return folder(clone, *parts, config="small+DATASET.SUBSAMPLE_CLASSES=base", **more)


def new_folder(clone, **more):
    return base_folder(clone, "tested", "tiny8+DATASET.SUBSAMPLE_CLASSES=new", **more)


def flags_of(argv):
    """(model dir or None, output folder, keys) of what train.run got."""
    tested = argv[2] if argv[0] == "--eval-only" else None
    words = argv[3:] if tested else argv
    keys = dict(zip(words[12::2], words[13::2], strict=True))
    return tested, words[11], keys


def rows_of(out):
    """The table's rows as lists of cells, by their first."""
    lines = [re.split(r"\s{2,}", line.strip()) for line in out.splitlines()]
    return {line[0]: line[1:] for line in lines if len(line) > 2}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["base_to_new"], "Which method?"),
        (["base_to_new", "--seeds", "1"], "Which method?"),
        (["base_to_new", "compare", "tiny8", "4"], "Method 'compare' is unknown"),
        (["new_tasks", "softctp", "tiny8", "4"], "did you mean 'softcpt'?"),
        (["base_to_new", "softcpt"], "Which dataset? For example: bash scripts/base_to_new.sh softcpt garden8 4"),
        (["new_tasks", "softcpt", "tiny8"], "How many shots"),
        (["new_tasks", "softcpt", "tiny8", "1,2"], "One shot count at a time"),
        (["base_to_new", "softcpt", "tiny8", "4", "--folds", "2"], "--folds"),
        (["base_to_new", "softcpt", "tiny8", "4", "--", "DATASET.SUBSAMPLE_CLASSES", "all"], "the script sets it"),
        (["new_tasks", "softcpt", "tiny8", "4", "--", "dataset.subsample_tasks", "all"], "the script sets it"),
        (["new_tasks", "softcpt", "tiny8", "4", "--", "TRAINER.SOFTCPT.VARIANT", "NATS"], "--variant sets it"),
        (["new_tasks", "softcpt", "tiny8", "4", "--folds", "1"], "--folds must be a whole number from 2 on"),
        (["new_tasks", "softcpt", "tiny8", "4", "--folds", "x"], "not 'x'"),
        (["new_tasks", "softcpt", "tiny8", "4", "--folds", "2", "--hold-out", "0"], "do not go together"),
        (["new_tasks", "softcpt", "tiny8", "4", "--test", "plian"], "did you mean 'plain'?"),
        (["new_tasks", "softcpt", "tiny8", "4", "--test", "tiny8"], "is what is trained on"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_bad_input_is_one_line_before_anything_runs(launch, capsys, words, said, check):
    assert launch(*(["--check"] if check else []), *words) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and said in captured.err
    assert launch.train.calls == []


@pytest.mark.parametrize(
    ("protocol", "method", "said"),
    [
        ("new_tasks", ["coop"], "CoOp-CA has a context for every task .* use --context shared"),
        ("new_tasks", ["coop", "--context", "class"], "CoOp-CS has a context for every class .* --context shared"),
        ("new_tasks", ["kgcoop"], "KgCoOp has a context for every task .* use softcpt, or coop --context shared"),
        ("new_tasks", ["prograd"], "ProGrad has"),
        ("new_tasks", ["plot"], "PLOT has contexts"),
        ("new_tasks", ["cocoop"], "CoCoOp has a context and a meta-net for every task"),
        ("new_tasks", ["softcpt", "--variant", "NATS"], "task context .* use --variant NATA or CATA or STAR"),
        ("new_tasks", ["softcpt", "--variant", "CSTA"], "class context"),
        ("new_tasks", ["linear_probe"], "LP-CLIP has weights"),
        ("new_tasks", ["tip_adapter", "--finetune", "yes"], "Tip-Adapter-F has a cache"),
        ("base_to_new", ["coop", "--context", "class"], "for classes that .* use --context task or shared"),
        ("base_to_new", ["softcpt", "--variant", "CSTS"], "use --variant NATA or NATS or CATA or CATS or STAR"),
        ("base_to_new", ["linear_probe"], "LP-CLIP has weights for every class .* use softcpt or coop"),
        ("base_to_new", ["protonet"], "ProtoNet has"),
        ("base_to_new", ["tip_adapter"], "Tip-Adapter has"),
    ],
)
def test_methods_that_cannot_refuse_in_one_line(launch, capsys, protocol, method, said, monkeypatch):
    monkeypatch.setattr("scripts.launch_words.ROOT", ROOT)
    assert launch(protocol, method[0], "garden8", "4", *method[1:]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and re.search(said, captured.err), captured.err
    assert launch.train.calls == []


def test_the_launcher_and_the_trainers_agree_on_what_parameters_are_tied_to(launch, monkeypatch):
    from dassl.engine import TRAINER_REGISTRY

    monkeypatch.delitem(sys.modules, "train")
    import train

    for method, (trainer, keys, _) in METHODS.items():
        cfg = train.get_cfg_default()
        train.extend_cfg(cfg)
        cfg.merge_from_list(keys)
        tied = TRAINER_REGISTRY.get(trainer).tied_to(cfg)
        assert TIED_TO.get(method, ("nothing",))[0] == tied, method
    assert set(TIED_TO) <= set(METHODS)


@pytest.mark.parametrize("protocol", ["base_to_new", "new_tasks"])
def test_help(launch, capsys, protocol):
    assert launch(protocol, "--help") == 0
    out = capsys.readouterr().out
    assert "method" in out and f"examples:\n  bash scripts/{protocol}.sh softcpt garden8 4\n" in out
    assert launch("--check", protocol, "softcpt", "--help") == 11
    out = capsys.readouterr().out
    assert "--variant" in out and f"usage: bash scripts/{protocol}.sh softcpt" in out
    assert ("--hold-out" in out) == (protocol == "new_tasks")


# -- base to new --


def test_base_to_new_trains_once_and_tests_twice(launch, clone, capsys):
    assert launch("base_to_new", "softcpt", "tiny8", "4", "--seeds", "1,2", "--", "OPTIM.LR", "0.1") == 0
    first, second, *_ = map(flags_of, launch.train.calls)
    config = "small+DATASET.SUBSAMPLE_CLASSES=base+OPTIM.LR=0.1"
    assert first[:2] == (None, str(folder(clone, config=config)))
    assert first[2] == {
        "DATASET.NUM_SHOTS": "4", "TRAINER.SOFTCPT.VARIANT": "NATA", "BANK.DIR": str(clone / "output/.bank"),
        "OPTIM.LR": "0.1", "DATASET.SUBSAMPLE_CLASSES": "base",
    }  # fmt: skip
    assert second[0] == first[1]
    assert second[1] == str(folder(clone, "tested", "tiny8+DATASET.SUBSAMPLE_CLASSES=new", config=config))
    assert second[2] | {"DATASET.NUM_SHOTS": "4", "DATASET.SUBSAMPLE_CLASSES": "base"} == first[2]
    assert "DATASET.NUM_SHOTS" not in second[2] and second[2]["DATASET.SUBSAMPLE_CLASSES"] == "new"
    assert len(launch.train.calls) == 4
    out = capsys.readouterr().out
    assert "SoftCPT-NATA on tiny8, 4 shots (small+OPTIM.LR=0.1): base and new classes" in out
    assert rows_of(out) == {
        "task": ["metric", "base", "new", "H"],
        "petal colour": ["overall", "51.5 ± 0.5", "41.5 ± 0.5", "46.0 ± 0.5"],
        "leaf shape": ["class mean", "61.5 ± 0.5", "51.5 ± 0.5", "56.1 ± 0.5"],
        "mean": ["56.5 ± 0.5", "46.5 ± 0.5", "51.0 ± 0.5"],
    }
    assert "as in the literature" in out and "seed1,2/tested" in out
    assert launch("base_to_new", "softcpt", "tiny8", "4", "--seeds", "1,2", "--", "OPTIM.LR", "0.1") == 0
    assert len(launch.train.calls) == 4


def test_an_evaluation_belongs_to_the_checkpoint_that_it_is_of(launch, clone):
    call = ["base_to_new", "softcpt", "tiny8", "4", "--seeds", "1"]
    assert launch(*call) == 0
    (new_folder(clone) / "evaluation.json").unlink()
    launch.train.calls.clear()
    assert launch(*call) == 0
    assert [bool(flags_of(argv)[0]) for argv in launch.train.calls] == [True]  # the training is not repeated
    # Trained again by another command: the evaluation is of what is no longer there.
    (base_folder(clone) / "results.json").unlink()
    assert launch("softcpt", "tiny8", "4", "--seeds", "1", "--", "DATASET.SUBSAMPLE_CLASSES", "base") == 0
    launch.train.calls.clear()
    assert launch(*call) == 0
    assert [bool(flags_of(argv)[0]) for argv in launch.train.calls] == [True]
    # Redone with the same outcome, or by a version that did not note checkpoints: younger is enough.
    path = base_folder(clone) / "results.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in record.items() if key != "checkpoint"}))
    launch.train.calls.clear()
    assert launch(*call) == 0 and launch(*call) == 0
    assert [bool(flags_of(argv)[0]) for argv in launch.train.calls] == [True]


def test_a_killed_evaluation_or_training_goes_on(launch, clone):
    call = ["base_to_new", "softcpt", "tiny8", "4", "--seeds", "1,2"]
    assert launch(*call, "--", "FAKE.INTERRUPT", "2") == 130
    assert len(launch.train.calls) == 3
    assert launch(*call) == 0
    launch.train.calls.clear()
    for path in (new_folder(clone) / "evaluation.json", base_folder(clone, seed=2) / "results.json"):
        path.write_text(path.read_text()[:30])
    assert launch(*call) == 0
    assert [flags_of(argv)[1] for argv in launch.train.calls] == [
        str(new_folder(clone)), str(base_folder(clone, seed=2)), str(new_folder(clone, seed=2))
    ]  # fmt: skip


def test_a_failed_training_costs_its_own_seed_alone(launch, capsys):
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


def test_base_to_new_of_zero_shot_clip(launch, clone, capsys):
    assert launch("base_to_new", "zsclip", "tiny8") == 0
    assert [flags_of(argv)[:2] for argv in launch.train.calls] == [
        (None, str(folder(clone, method="ZeroshotCLIP", config=f"small+DATASET.SUBSAMPLE_CLASSES={part}", shots=0)))
        for part in PARTS
    ]
    assert rows_of(capsys.readouterr().out)["mean"] == ["56.0", "56.0", "56.0"]


# -- new tasks --


def test_each_half_is_held_out_once(launch, clone, capsys):
    assert launch("new_tasks", "coop", "tiny8", "4", "--context", "shared", "--seeds", "1,2") == 0
    assert launch.train.calls[0] == "names"
    calls = [flags_of(argv) for argv in launch.train.calls[1:]]
    assert len(calls) == 9
    assert calls[0][1] == str(folder(clone, method="ZeroshotCLIP", shots=0))
    chosen = [(bool(tested), keys["DATASET.SUBSAMPLE_TASKS"]) for tested, _, keys in calls[1:]]
    assert chosen[:4] == [(False, "new"), (True, "base"), (False, "base"), (True, "new")] == chosen[4:]
    assert calls[2][1].startswith(calls[1][1]) and calls[2][0] == calls[1][1]
    out = capsys.readouterr().out
    assert rows_of(out) == {
        "task": ["metric", "held out", "zero-shot", "difference"],
        "petal colour": ["overall", "41.5 ± 0.5", "51.0", "-9.5"],
        "leaf shape": ["class mean", "51.5 ± 0.5", "61.0", "-9.5"],
        "mean": ["46.5 ± 0.5", "56.0", "-9.5"],
    }
    launch.train.calls.clear()
    assert launch("new_tasks", "coop", "tiny8", "4", "--context", "shared", "--seeds", "1,2") == 0
    assert launch.train.calls == []  # the names are in the finished run's results


def test_a_chosen_split(launch, clone, capsys):
    assert launch("new_tasks", "softcpt", "tiny8", "4", "--hold-out", "Leaf shape", "--seeds", "1") == 0
    chosen = [flags_of(argv)[2].get("DATASET.SUBSAMPLE_TASKS") for argv in launch.train.calls[1:]]
    assert chosen == [None, "base", "new"]
    rows = rows_of(capsys.readouterr().out)
    assert rows["leaf shape"] == ["class mean", "51.0", "61.0", "-10.0"] and "petal colour" not in rows
    assert rows["mean"] == ["51.0", "61.0", "-10.0"]
    assert launch("new_tasks", "zsclip", "tiny8", "--hold-out", "1") == 2
    assert "Zero-shot CLIP learns nothing" in capsys.readouterr().err
    for listed, said in [
        ("0,1", "leaves no task"), ("2", "task '2' is unknown. Known: 0 petal colour, 1 leaf shape."),
        ("leaf shap", "did you mean 'leaf shape'"), ("", "task '' is unknown"),
    ]:  # fmt: skip
        assert launch("new_tasks", "softcpt", "tiny8", "4", "--hold-out", listed) == 2
        assert said in capsys.readouterr().err
    assert launch("new_tasks", "softcpt", "tiny8", "4", "--folds", "3") == 2
    assert capsys.readouterr().err == "--folds 3 is more than the 2 tasks of tiny8.\n"
    launch.train.TASKS.pop()
    (folder(clone, method="ZeroshotCLIP", shots=0) / "results.json").unlink()
    assert launch("new_tasks", "softcpt", "tiny8", "4") == 2
    assert "tiny8 has one task, 'petal colour'" in capsys.readouterr().err


def test_another_collection_is_tested_with_the_same_parameters(launch, clone, capsys):
    assert launch("softcpt", "tiny8", "4", "--seeds", "1") == 0
    assert launch("new_tasks", "softcpt", "tiny8", "4", "--seeds", "1", "--test", "plain") == 0
    own, zero_shot, tested = map(flags_of, launch.train.calls)  # the training was there already
    assert tested[0] == own[1] and tested[1] == str(folder(clone, "tested", "plain"))
    assert zero_shot[1] == str(clone / "output/plain/ZeroshotCLIP/small/0shots/seed1")
    assert "DATASET.SUBSAMPLE_TASKS" not in tested[2]
    for argv in launch.train.calls[1:]:
        assert str(clone / "configs/datasets/plain.yaml") in argv
        assert any(re.search(r"trainers/\w+/small.yaml", word) for word in argv)  # one tower for both
    out = capsys.readouterr().out
    assert "SoftCPT-NATA on tiny8, 4 shots (small): tested on plain" in out
    assert rows_of(out)["petal colour"] == ["overall", "41.0", "51.0", "-10.0"]
    assert "Not new: tasks of the same name were trained on (petal colour, leaf shape)." in out


def test_a_failed_fold_is_said_in_the_table(launch, capsys, monkeypatch):
    run = launch.train.run

    def failing(argv, brief=False):
        if flags_of(argv)[2].get("DATASET.SUBSAMPLE_TASKS") == "base" and "2" in argv and "--eval-only" not in argv:
            raise RuntimeError("out of memory")
        return run(argv, brief)

    monkeypatch.setattr(launch.train, "run", failing)
    assert launch("new_tasks", "softcpt", "tiny8", "4", "--seeds", "1,2") == 1
    captured = capsys.readouterr()
    rows = rows_of(captured.out)
    assert rows["petal colour"][1] == "41.5 ± 0.5" and rows["leaf shape"][1] == "51.0 (1 of 2 seeds)"
    assert rows["mean"] == ["46.0 (1 of 2 seeds)", "56.0", "-10.0"]
    assert "No finished test of leaf shape with seed 2." in captured.out
    assert len(captured.err.splitlines()) == 2


def test_folds_and_subsets(launch):
    plan = launch.protocols

    def folds(count, n):
        given = type("Given", (), {"hold_out": None, "folds": n})
        return [list(held) for held in plan.held_out(given, [f"t{i}" for i in range(count)], "some")]

    assert folds(5, None) == folds(5, "2") == [[0, 1, 2], [3, 4]]
    assert folds(8, "3") == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert folds(4, "4") == [[0], [1], [2], [3]]
    assert [plan.subset(part, 5) for part in ([0, 1, 2], [3, 4], [0, 3, 4])] == ["base", "new", "task0+task3+task4"]
    assert plan.numbers_of(" T2,0 , t0", ["t0", "t1", "t2"]) == (0, 2)
    assert plan.numbers_of("1", ["1", "0"]) == (0,)  # a name comes first
    with pytest.raises(plan.InputError, match="several tasks are called 'a'"):
        plan.numbers_of("a", ["a", "A"])


def test_nothing_is_known_of_tasks_before_the_installation(launch):
    assert launch("--check", "new_tasks", "softcpt", "tiny8", "4", "--hold-out", "petal colour") == 0
    assert launch("--check", "new_tasks", "softcpt", "plants7", "4") == 10
    assert launch.train.calls == []


# -- the real thing, on the small collection of the trainers' tests --


@pytest.fixture
def real(tmp_path, checkpoint, monkeypatch):
    """call(protocol, method, ...) over the repository's own train.py; the place's folders are its attributes."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("launch_plan", "protocols", "train"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    module = load(ROOT / "scripts" / "launch.py", "launch_under_test")
    place = Workplace(tmp_path, checkpoint)
    config = tmp_path / "own.yaml"
    config.write_text(
        f"_BASE_: {ROOT}/configs/trainers/ep50.yaml\nMODEL:\n  BACKBONE:\n    NAME: {checkpoint}\n"
        "INPUT:\n  SIZE: (32, 32)\nDATALOADER:\n  NUM_WORKERS: 0\n  TRAIN_X:\n    BATCH_SIZE: 4\n"
        "OPTIM:\n  MAX_EPOCH: 2\n"
    )
    fixed = ["--cfg", config, "--data", place.root, "--output", place.output]

    def call(protocol, method, *words):
        argv = [protocol, method, place.declaration, "2", *words, *fixed]
        return module.main([str(word) for word in argv])

    call.place = place
    return call


def test_a_whole_base_to_new(real, capsys):
    assert real("base_to_new", "coop", "--seeds", "1") == 0
    rows = rows_of(capsys.readouterr().out)
    trained = real.place.output / "tiny/CoOp-CA/own+DATASET.SUBSAMPLE_CLASSES=base/2shots/seed1"
    first = json.loads((trained / "results.json").read_text())
    tested = trained / "tested/tiny+DATASET.SUBSAMPLE_CLASSES=new"
    second = json.loads((tested / "evaluation.json").read_text())
    assert [task["classes"] for task in first["tasks"]] == [2, 1]
    assert [task["classes"] for task in second["tasks"]] == [1, 1]
    assert second["checkpoint"] == first["checkpoint"] and len(first["checkpoint"]) == 16
    assert not (tested / "results.json").exists()
    base, new = (f"{record['tasks'][0]['accuracy']:.1f}" for record in (first, second))
    assert rows["kind of flower"][:3] == ["overall", base, new]
    stamps = [path.stat().st_mtime_ns for path in (trained / "results.json", tested / "evaluation.json")]
    assert real("base_to_new", "coop", "--seeds", "1") == 0
    assert "2 of 2 runs are finished already" in capsys.readouterr().out
    assert stamps == [path.stat().st_mtime_ns for path in (trained / "results.json", tested / "evaluation.json")]


def test_whole_new_tasks(real, capsys):
    assert real("new_tasks", "softcpt", "--seeds", "1", "--variant", "CATA") == 0
    rows = rows_of(capsys.readouterr().out)
    assert list(rows) == ["task", "kind of flower", "colour", "mean"]
    folders = real.place.output / "tiny/SoftCPT-CATA"
    held = {
        part: json.loads(next(folders.glob(f"*={train}/2shots/seed1/tested/*={part}/evaluation.json")).read_text())
        for part, train in zip(PARTS, reversed(PARTS), strict=True)
    }
    zero_shot = json.loads((real.place.output / "tiny/ZeroshotCLIP/own/0shots/seed1/results.json").read_text())
    for task, part in zip(zero_shot["tasks"], PARTS, strict=True):
        (mine,) = held[part]["tasks"]
        assert (mine["name"], mine["total"]) == (task["name"], task["total"])
        assert rows[task["name"]][1:3] == [f"{mine['accuracy']:.1f}", f"{task['accuracy']:.1f}"]
    # On another collection, of a single task, with what a plain run of all tasks has learned.
    other = real.place.declaration.with_name("other.yaml")
    other.write_text("folder: tiny\ntasks:\n  - name: hue\n    folder: colours\n")
    assert real("new_tasks", "softcpt", "--seeds", "1", "--test", other) == 0
    assert rows_of(capsys.readouterr().out)["hue"][0] == "overall"
    assert real("new_tasks", "softcpt", "--hold-out", "hue") == 2
    assert "--hold-out: task 'hue' is unknown" in capsys.readouterr().err


def test_a_task_of_one_class_is_refused_before_training(real, capsys):
    os.rename(real.place.root / "tiny/colours/blue", real.place.root / "tiny/kinds/blue")
    assert real("base_to_new", "softcpt", "--seeds", "1") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "task 'colour' has a single class" in error
    assert not list(real.place.output.rglob("results.json"))

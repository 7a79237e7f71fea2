"""train.sh with a dataset: plans, choices and what is printed, over invented runs; then real ones, of which the test
images cannot be read."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from dassl.data.datasets import build_dataset

from common.catalogue import METHODS
from common.paths import REPOSITORY
from launcher import pick
from launcher.main import main
from launcher.predict import answer as predict
from tests.support.launching import Launch, rows_of
from tests.support.training import Workplace, workplace

__all__ = ["workplace"]
DEFAULT = pick.default_of(pick.candidates())
FAST = "ZeroshotCLIP,ProtoNet,Tip-Adapter"


def keys(launch: Launch) -> list[tuple[str, str]]:
    """(method, fold) of each run so far; the fold of a usual run is empty."""
    return [(call.method, call.keys.get("DATASET.FOLD", "")) for call in launch.calls]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tiny8"], "How many shots"),
        (["tiny8", "four"], "not 'four'"),
        (["tiny8", "0"], "Shots must be positive whole numbers"),
        (["tiny8", "2,4"], "One number of shots"),
        (["tny8", "4"], "'tny8' is neither a method nor a dataset; did you mean 'tiny8'?"),
        (["softcp", "tiny8", "4"], "did you mean 'softcpt'?"),
        (["4", "tiny8"], "'4' is neither a method nor a dataset"),
        (["none.yaml", "4"], "none.yaml"),
        (["--all-images", "tiny8", "4"], "Which method or dataset? It comes first"),
        (["tiny8", "4", "--methods", "LP-CLIPP"], "did you mean 'LP-CLIP'?"),
        (["tiny8", "4", "--methods", "ZeroshotCLIP"], "has no method that learns from shots"),
        (["tiny8", "4", "--seeds", "x"], "Seeds must be"),
        (["tiny8", "4", "--cfg", "smal"], "Config 'smal' is unknown"),
        (["tiny8", "4", "--data", "nowhere"], "nowhere"),
        (["tiny8", "4", "--", "dataset.fold", "1/2"], "the comparison sets it"),
        (["tiny8", "4", "--", "DATASET.ALL_IMAGES", "True"], "--all-images sets it"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_bad_input_is_one_line_and_status_2(
    launch: Launch, capsys: pytest.CaptureFixture[str], words: Sequence[str], message: str, check: bool
) -> None:
    assert launch(*(["--check"] if check else []), "train", *words) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and message in captured.err and not launch.calls


def test_help_and_check(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("--check", "train", "--help") == 11
    out = capsys.readouterr().out
    assert "train.sh <method> <dataset> <shots>" in out and "train.sh <dataset> <shots>" in out
    assert launch("--check", "train", "tiny8", "--help") == 11
    assert "--all-images" in capsys.readouterr().out
    assert launch("--check", "train", "tiny8", "4") == 0
    assert launch("--check", "train", "plants7", "4") == 10  # its tower is OpenCLIP's
    assert not launch.calls


def test_one_method_is_the_default_and_it_costs_seconds() -> None:
    assert [method.candidate for method in METHODS.values()].count("default") == 1
    assert DEFAULT.learns and not pick.is_slow(DEFAULT)


def test_a_methods_name_wins(launch: Launch) -> None:
    (launch.root / "configs/datasets/coop.yaml").write_text("config: small\nDATASET:\n  NAME: Coop\n")
    assert launch("train", "coop", "tiny8", "4", "--seeds", "1") == 0
    assert keys(launch) == [("CoOp-CA", "")]


def test_all_folds_then_the_best_method(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    launch.fake.right = {"Tip-Adapter": 9, "ProtoNet": 2}
    assert launch("train", "tiny8", "16", "--methods", FAST, "--", "OPTIM.LR", "0.1") == 0
    folds = [(method, f"{k}/4") for method in FAST.split(",") for k in range(1, 5)]
    assert keys(launch) == [*folds, ("Tip-Adapter", "")]
    assert {call.keys["DATASET.NUM_SHOTS"] for call in launch.calls} == {"16"}
    part = "small+OPTIM.LR=0.1/16shots"
    assert launch.calls[4].folder == launch.output / "tiny8/ProtoNet" / part / "folds/seed1-1of4"
    final = launch.output / "tiny8/Tip-Adapter" / part / "seed1"
    assert launch.calls[-1].folder == final and "DATASET.FOLD" not in launch.calls[-1].keys
    out = capsys.readouterr().out
    rows = rows_of(out)
    assert rows["Zero-shot CLIP"][0] == "50.0" and rows["Tip-Adapter"][:2] == ["90.0", rows["Tip-Adapter"][1]]
    ((low, high),) = re.findall(
        r"Chosen: Tip-Adapter. Expected accuracy with \d+ shots?: 90.0, 95 % interval (\S+) to (\S+);",
        " ".join(out.split()),
    )
    assert rows["Tip-Adapter"][1] == f"[{low}, {high}]" and float(low) < 90 < float(high)
    assert out.index("Chosen") < out.index("Training Tip-Adapter on all shots") < out.index("[1/1] Tip-Adapter on")
    assert f"bash scripts/predict.sh '{final}' photos/" in out  # there is a space in it
    assert "mean                       56.0" in re.sub(r" +", " " * 23, out)


def test_finished_runs_are_not_repeated_and_the_choice_is_the_same(
    launch: Launch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("train", "tiny8", "2", "--methods", FAST)
    launch.fake.right = {"ProtoNet": 9}
    with pytest.MonkeyPatch.context() as patch:
        run = launch.fake.run

        def interrupted(settings, request):
            if len(launch.calls) == 3:
                raise KeyboardInterrupt
            return run(settings, request)

        patch.setattr(sys.modules["runs.run"], "run", interrupted)
        assert launch(*words) == 130
    assert launch(*words) == 0 and len(launch.calls) == 7
    first = capsys.readouterr().out
    assert "3 of 6 runs are finished already." in first
    assert launch(*words) == 0 and len(launch.calls) == 7
    again = capsys.readouterr().out
    assert re.findall("Chosen: .*", first) == re.findall("Chosen: .*", again) != []
    assert launch(*words, "--redo") == 0 and len(launch.calls) == 14


def test_a_method_of_minutes_is_given_up_once_it_is_behind(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    launch.fake.right = {"ProtoNet": 8, "SoftCPT-NATA": 1}
    words = ("train", "tiny8", "4", "--methods", "SoftCPT-NATA,ProtoNet")
    fast = [("ProtoNet", f"{k}/4") for k in range(1, 5)]
    for _ in range(2):  # finished runs give up in the same place
        assert launch(*words) == 0
        assert keys(launch) == [*fast, ("SoftCPT-NATA", "1/4"), ("ProtoNet", "")]
    assert "SoftCPT-NATA (given up after fold 1 of 4)" in capsys.readouterr().out
    launch.fake.right = {"ProtoNet": 8, "SoftCPT-NATA": 8}
    assert launch(*words, "--output", launch.root / "other") == 0
    assert keys(launch)[-9:-1] == [(m, f"{k}/4") for m in ("ProtoNet", "SoftCPT-NATA") for k in range(1, 5)]


def test_one_shot_leaves_nothing_to_compare_on(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("train", "tiny8", "1") == 0
    assert keys(launch) == [(DEFAULT.name, "")]
    out = capsys.readouterr().out
    assert (
        f"With one image per class, methods cannot be compared, so the default, {DEFAULT.label}, is trained"
        in " ".join(out.split())
    )
    assert "Expected" not in out


def test_several_seeds(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    launch.fake.right = {"ProtoNet": 8}
    assert launch("train", "tiny8", "2", "--methods", FAST, "--seeds", "3,5") == 0
    assert [(call.method, call.seed) for call in launch.calls[-2:]] == [("ProtoNet", 3), ("ProtoNet", 5)]
    assert len(launch.calls) == 3 * 2 * 2 + 2
    out = capsys.readouterr().out
    assert "± 0.0 over 2 seeds." in " ".join(out.split()) and "seed3" in out and "seed5" in out


def test_the_default_is_kept_if_another_is_not_surely_better(
    launch: Launch, capsys: pytest.CaptureFixture[str]
) -> None:
    launch.fake.right = {DEFAULT.name: 5, "ProtoNet": 5, "Tip-Adapter": 5}
    assert launch("train", "tiny8", "4", "--methods", f"ProtoNet,{DEFAULT.name},Tip-Adapter") == 0
    assert keys(launch)[-1] == (DEFAULT.name, "")


def test_all_images(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    launch.fake.right = {"ProtoNet": 8}
    assert launch("train", "tiny8", "2", "--methods", FAST, "--all-images") == 0
    last = launch.calls[-1]
    assert last.method == "ProtoNet" and last.keys["DATASET.ALL_IMAGES"] == "True"
    assert "DATASET.NUM_SHOTS" not in last.keys and "DATASET.FOLD" not in last.keys
    assert "ALL_IMAGES" not in str([call.keys for call in launch.calls[:-1]])
    out = " ".join(capsys.readouterr().out.split())
    assert "was trained on all 40 labelled images" in out and "No image is left to test it on" in out
    assert "accuracy overall" not in out and str(last.folder) in out
    assert launch("train", "tiny8", "2", "--methods", FAST, "--all-images") == 0 and launch.calls[-1] == last


def test_a_method_that_cannot_run_is_left_out(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("train", "tiny8", "4", "--methods", FAST)
    assert launch(*words, "--", "FAKE.REFUSE", "ProtoNet") == 0
    out = capsys.readouterr().out
    assert out.count("Left out: ProtoNet: ProtoNet does not support this tower") == out.count("Left out") == 1
    assert "ProtoNet" not in rows_of(out)
    assert launch("train", "tiny8", "4", "--methods", "ProtoNet", "--", "FAKE.REFUSE", "ProtoNet") == 2
    assert capsys.readouterr().err == "ProtoNet does not support this tower; use another.\n"


def test_what_zero_shot_clip_refuses_ends_the_command(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("train", "tiny8", "4", "--methods", FAST, "--", "FAKE.BAD", "1") == 2
    captured = capsys.readouterr()
    assert captured.err == "Image x.jpg is corrupt; replace it.\n" and len(launch.calls) == 1


def test_a_failure_is_named_and_its_method_left_out(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("train", "tiny8", "4", "--methods", FAST, "--", "FAKE.FAIL", "1") == 1
    captured = capsys.readouterr()
    assert "failed; the same command runs only them again." in captured.err and "Chosen" not in captured.out


# -- real runs --


@pytest.fixture
def words(tmp_path: Path, workplace: Workplace) -> list[str]:
    """A comparison of two methods on two shots of the small collection."""
    workplace.give_classes_colours()
    config = tmp_path / "own.yaml"
    config.write_text(
        f"_BASE_: {REPOSITORY}/configs/trainers/_ep50.yaml\nMODEL:\n  BACKBONE:\n    NAME: {workplace.checkpoint}\n"
        "INPUT:\n  SIZE: (32, 32)\nDATALOADER:\n  NUM_WORKERS: 0\n"
    )
    return [
        "train", str(workplace.declaration), "2", "--methods", "ZeroshotCLIP,ProtoNet",
        "--cfg", str(config), "--data", str(workplace.root), "--output", str(workplace.output),
    ]  # fmt: skip


def chosen(out: str) -> str:
    return re.findall("Chosen: .*", out)[0]


def test_the_choice_reads_no_image_but_the_shots(
    words: list[str], workplace: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    """With validation and test images that cannot be read the choice is the same, and the last run names one."""
    dataset = build_dataset(workplace.config("ProtoNet"))
    assert main(words) == 0
    before = capsys.readouterr().out
    assert chosen(before).startswith("Chosen: ProtoNet. Expected accuracy ")
    others = [item.impath for item in [*dataset.test, *dataset.val]]
    for path in others:
        Path(path).write_bytes(b"not an image")
    output = workplace.output.with_name("without")
    words[words.index("--output") + 1] = str(output)
    assert main(words) == 2
    captured = capsys.readouterr()
    assert chosen(captured.out) == chosen(before)
    assert rows_of(captured.out)["ProtoNet"][:2] == rows_of(before)["ProtoNet"][:2]
    assert any(path in captured.err for path in others) and "cannot be read" in captured.err
    counts = [json.loads(file.read_text())["counts"] for file in output.rglob("results.json")]
    assert len(counts) == 4  # two methods, two folds
    assert {(c["train_images"], c["val_images"], c["test_images"]) for c in counts} == {(5, 0, 5)}


def test_all_images_are_trained_on_and_classify(
    words: list[str], workplace: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--all-images"]) == 0
    out = capsys.readouterr().out
    assert "trained on all 50 labelled images" in out
    (folder,) = workplace.output.glob("tiny/ProtoNet/*ALL_IMAGES*/0shots/seed1")
    results = json.loads((folder / "results.json").read_text())
    assert results["counts"]["train_images"] == 50 and results["shots"] == -1
    assert all(task["accuracy"] is None and not task["confusion"] for task in results["tasks"])
    assert str(folder) in out
    photo = next((workplace.root / "tiny/kinds/rose").iterdir())
    assert predict([str(folder), str(photo), "--json"], False) == 0
    captured = capsys.readouterr()
    answer = json.loads(captured.out)
    assert "ProtoNet on tiny, all images, seed 1" in captured.err
    assert answer["tasks"]["kind of flower"][0]["class"] == "rose"
    assert main(["report", str(workplace.output)]) == 0
    capsys.readouterr()
    assert main([*words, "--all-images"]) == 0  # nothing runs again
    assert "4 of 4 runs are finished already." in (again := capsys.readouterr().out) and "[1/1]" not in again


def test_folds_are_in_no_table_of_runs(words: list[str], workplace: Workplace) -> None:
    from launcher.trained import Wish, find
    from runs.results import find_runs

    assert main(words) == 0
    runs, skipped = find_runs(workplace.output)
    assert [run.method for run in runs] == ["ProtoNet"] and not skipped
    wish = Wish(method="ProtoNet", output=str(workplace.output))
    found, _ = find([words[1], "2"], wish, "")
    assert found.folders == (runs[0].folder,)


def test_another_default() -> None:
    methods = [replace(METHODS["ZeroshotCLIP"], candidate=""), replace(METHODS["ProtoNet"], candidate="")]
    assert pick.default_of(methods).name == "ProtoNet"

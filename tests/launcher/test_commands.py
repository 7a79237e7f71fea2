"""Commands that run one method: what they refuse, ask for, skip and print; the runs are invented."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.launching import Launch, run_folder


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["softcpt"], "Which dataset?"),
        (["softcpt", "tiny8"], "How many shots"),
        (["softcpt", "tny8", "4"], "did you mean 'tiny8'?"),
        (["softcpt", "tiny8", "0"], "Shots must be positive whole numbers"),
        (["softcpt", "tiny8", "-1"], "Shots must be positive whole numbers"),
        (["softcpt", "tiny8", "four"], "not 'four'"),
        (["softcpt", "tiny8", "1.5"], "not '1.5'"),
        (["softcpt", "tiny8", "1,2"], "not '1,2'; scripts/compare.sh takes several"),
        (["compare", "tiny8", "1,,2"], "such as 1,2,4,8,16"),
        (["softcpt", "tiny8", "4", "--seeds", "1,b"], "Seeds must be whole numbers"),
        (["softcpt", "tiny8", "4", "--seeds", "-1"], "Seeds must be whole numbers from 0 on"),
        (["softcpt", "tiny8", "4", "--seeds", ""], "Seeds must be"),
        (["softcpt", "tiny8", "4", "--variant", "NATB"], "Variant 'NATB' is unknown; did you mean"),
        (["coop", "tiny8", "4", "--context", "shard"], "did you mean 'shared'?"),
        (["coop", "tiny8", "4", "--variant", "NATA"], "--variant"),
        (
            ["softcpt", "tiny8", "4", "--cfg", "smal"],
            "Config 'smal' is unknown in configs/trainers and configs/trainers/S",
        ),
        (
            ["coop", "tiny8", "4", "--cfg", "special"],
            "Config 'special' is unknown in configs/trainers and configs/train",
        ),
        (["softcpt", "tiny8", "4", "--cfg", "_lite"], "Config '_lite' is unknown"),
        (["softcpt", "tiny8", "4", "--cfg"], "--help"),
        (["softcpt", "tiny8", "4", "--plugin"], "--help"),
        (["softcpt", "tiny8", "4", "5"], "5"),
        (["softcpt", "tiny8", "4", "--", "OPTIM.LR"], "'OPTIM.LR', has no value"),
        (["softcpt", "tiny8", "4", "--", "dataset.num_shots", "8"], "the shots after the dataset sets it"),
        (["softcpt", "tiny8", "4", "--", "TRAINER.COOP.CONTEXT", "task"], "--context sets it"),
        (
            ["softcpt", "tiny8", "4", "--", "RESIDUAL.FIT", "True"],
            "--residual, or the method, such as SoftCPT-R, sets it",
        ),
        (["plot", "tiny8", "4", "--residual"], "--residual"),
        (["zsclip", "tiny8", "--templates", "imagnet"], "did you mean 'imagenet'?"),
        (["tip_adapter", "tiny8", "4", "--finetune", "maybe"], "--finetune 'maybe' is unknown"),
        (["nonsense"], "Command 'nonsense' is unknown"),
        ([], "Which command?"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_bad_input_is_one_line_and_status_2(
    launch: Launch, capsys: pytest.CaptureFixture[str], words: Sequence[str], message: str, check: bool
) -> None:
    assert launch(*(["--check"] if check else []), *words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1 and message in captured.err
    assert launch.calls == []


def test_a_file_in_place_of_a_folder(launch: Launch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for flag in ("--data", "--output"):
        assert launch("softcpt", "tiny8", 4, flag, file / "sub") == 2
        assert f"{file} is a file" in capsys.readouterr().err
    assert launch("softcpt", "tiny8", 4, "--data", tmp_path / "none") == 2
    assert f"--data {tmp_path}/none: there is no such folder" in capsys.readouterr().err


def test_a_missing_file_is_reported(launch: Launch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert launch("softcpt", f"{tmp_path}/none.yaml", "1") == 2
    assert capsys.readouterr().err == f"Dataset {tmp_path}/none.yaml: there is no such file.\n"


def test_all_seeds_run_and_are_in_the_table(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("softcpt", "tiny8", "4") == 0
    assert [call.seed for call in launch.calls] == [1, 2, 3]
    out = capsys.readouterr().out
    assert "petal colour  overall       51.0    52.0    53.0  52.0 ± 0.8" in out
    assert "leaf shape    class mean    61.0    62.0    63.0  62.0 ± 0.8" in out
    assert "mean                        56.0    57.0    58.0  57.0 ± 0.8" in out
    assert "4,096 trainable parameters" in out and "population" in out
    assert str(run_folder(launch.output).parent) in out


def test_the_settings_of_a_run(launch: Launch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    words = ["--variant", "nats", "--seeds", "7", "--cfg", "rn50_ep50", "--data", "d", "--output", "o"]
    assert launch("softcpt", "tiny8", "2", *words, "--", "OPTIM.LR", "0.1") == 0
    folder = tmp_path / "o/tiny8/SoftCPT-NATS/rn50_ep50+OPTIM.LR=0.1/2shots/seed7"
    dataset, config = (launch.root / "configs" / name for name in ("datasets/tiny8.yaml", "trainers/rn50_ep50.yaml"))
    (call,) = launch.calls
    assert (call.settings.dataset, call.settings.method, call.settings.config) == (dataset, "SoftCPT-NATS", config)
    assert call.settings.overrides == (
        ("DATASET.ROOT", tmp_path / "d"), ("OUTPUT_DIR", folder), ("SEED", 7), ("DATASET.NUM_SHOTS", "2"),
        ("BANK.DIR", tmp_path / "o/.bank"), ("OPTIM.LR", "0.1"),
    )  # fmt: skip
    assert (call.request.dataset, call.request.config) == ("tiny8", "rn50_ep50")
    assert call.request.brief and call.request.train and not call.request.evaluate
    # train.py's arguments for the same run.
    assert list(call.request.command) == [
        "--root", str(tmp_path / "d"), "--seed", "7", "--trainer", "SoftCPT",
        "--dataset-config-file", str(dataset), "--config-file", str(config), "--output-dir", str(folder),
        "DATASET.NUM_SHOTS", "2", "TRAINER.SOFTCPT.VARIANT", "NATS",
        "BANK.DIR", str(tmp_path / "o/.bank"), "OPTIM.LR", "0.1",
    ]  # fmt: skip


def test_a_residual_is_an_entry_or_a_setting(launch: Launch) -> None:
    """SoftCPT has an entry for it; other methods' runs are told apart by their folders."""
    for words in (["softcpt"], ["softcpt", "--variant", "R"], ["coop"], ["train", "kgcoop"]):
        assert launch(*words, "tiny8", 4, "--seeds", "1", *([] if "R" in words else ["--residual"])) == 0
    first, *others = launch.calls  # the second command finds the first one's run
    assert first.settings.method == "SoftCPT-R" and first.folder == run_folder(launch.output, method="SoftCPT-R")
    for call, method in zip(others, ("CoOp-CA", "KgCoOp"), strict=True):
        assert call.folder == run_folder(launch.output, method=method, config="small+RESIDUAL.FIT=True")
        assert ("RESIDUAL.FIT", "True") in call.settings.overrides


def test_configs_by_default_and_by_path(launch: Launch, tmp_path: Path) -> None:
    assert launch("softcpt", "plain", "1", "--seeds", "1") == 0
    own = tmp_path / "own.yaml"
    own.write_text("")
    assert launch("softcpt", launch.root / "configs/datasets/tiny8.yaml", "1", "--seeds", "1", "--cfg", own) == 0
    first, second = launch.calls
    assert first.settings.config == launch.root / "configs/trainers/rn50_ep50.yaml"
    assert second.settings.config == own
    assert second.folder == run_folder(launch.output, config="own", shots=1)


def test_a_config_of_the_methods_own_takes_the_place_of_a_shared_one(launch: Launch) -> None:
    for method in ("coop", "softcpt"):
        assert launch(method, "tiny8", "1", "--seeds", "1", "--cfg", "lite") == 0
    assert launch("softcpt", "tiny8", "1", "--seeds", "1", "--cfg", "special") == 0
    used = [str(call.settings.config.relative_to(launch.root / "configs/trainers")) for call in launch.calls]
    assert used == ["CoOp/lite.yaml", "lite.yaml", "SoftCPT/special.yaml"]


@pytest.mark.parametrize(
    "base",
    [
        "_BASE_: tower.yaml", "_BASE_: 'tower.yaml'  # this", "_BASE_: [none.yaml, tower.yaml]",
        "_BASE_:\n  - none.yaml  # that\n  - tower.yaml", "A: 1\n_BASE_:\n- tower.yaml\nB: 2",
    ],
)  # fmt: skip
def test_a_tower_in_a_config_that_others_build_on(launch: Launch, tmp_path: Path, base: str) -> None:
    (tmp_path / "tower.yaml").write_text("MODEL:\n  BACKBONE:\n    NAME: open_clip:x@y\n")
    (tmp_path / "none.yaml").write_text("# not open_clip: here\n")
    (tmp_path / "own.yaml").write_text(base + "\n")
    assert launch("--check", "softcpt", "tiny8", "4", "--cfg", tmp_path / "own.yaml") == 10
    assert launch("--check", "softcpt", "tiny8", "4", "--cfg", tmp_path / "none.yaml") == 0


def test_overrides_never_share_a_folder(launch: Launch) -> None:
    values = ["a/b", "a_b", "x" * 300, "x" * 299 + "y"]
    for value in values:
        assert launch("softcpt", "tiny8", "1", "--seeds", "1", "--", "MODEL.BACKBONE.NAME", value) == 0
    assert len({call.folder for call in launch.calls}) == len(values)
    assert max(len(part) for call in launch.calls for part in call.folder.parts) < 200


def test_zero_shot_runs_once_and_needs_no_shots(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("zsclip", "tiny8") == 0
    assert launch("zsclip", "tiny8", "16", "--seeds", "1,2,3") == 0
    (call,) = launch.calls
    assert "DATASET.NUM_SHOTS" not in call.keys and "DATASET.NUM_SHOTS" not in call.request.command
    assert run_folder(launch.output, method="ZeroshotCLIP", shots=0).is_dir()
    assert "The run is finished already" in capsys.readouterr().out


def test_finished_runs_are_skipped_and_broken_ones_are_not(launch: Launch) -> None:
    assert launch("softcpt", "tiny8", "4") == 0
    run_folder(launch.output, "results.json", seed=2).write_text('{"finished": tr')
    run_folder(launch.output, "results.json", seed=3).unlink()
    launch.calls.clear()
    assert launch("softcpt", "tiny8", "4") == 0
    assert [call.seed for call in launch.calls] == [2, 3]


def test_another_run_in_the_folder_is_not_reported(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("softcpt", "tiny8", "4", "--seeds", "1") == 0
    path = run_folder(launch.output, "results.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"shots": 16}))
    capsys.readouterr()
    assert launch("softcpt", "tiny8", "4", "--seeds", "1") == 2
    assert "16 shots" in capsys.readouterr().err


def test_a_failed_run_does_not_stop_the_others(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("softcpt", "tiny8", "4", "--", "FAKE.FAIL", "2") == 1
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert len(lines) == 2 and "seed 2: RuntimeError: out of memory" in lines[0]
    assert "1 of 3 runs failed" in lines[1]
    traceback = Path(lines[0].split("details in ")[1].rstrip(")"))
    assert "RuntimeError: out of memory" in traceback.read_text()
    assert "(2 of 3 seeds)" in " ".join(captured.out.split())
    assert "51.0    53.0" in captured.out


def test_bad_input_that_the_run_finds(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("softcpt", "tiny8", "4", "--", "FAKE.BAD", "1") == 2
    assert capsys.readouterr().err == "Image x.jpg is corrupt; replace it.\n"
    assert len(launch.calls) == 1


def test_interrupted(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("softcpt", "tiny8", "4", "--", "FAKE.INTERRUPT", "2") == 130
    assert "the same command continues where it stopped" in capsys.readouterr().err
    assert len(launch.calls) == 2


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["softcpt", "tiny8", "4"], 0),
        (["softcpt", "plants7", "4"], 10),
        (["coop", "plants7", "4"], 10),
        (["zsclip", "plants7"], 10),
        (["train", "SoftCPT*", "plants7", "4"], 10),
        (["compare", "plants7", "4", "--cfg", "small"], 0),
        (["softcpt", "tiny8", "4", "--", "MODEL.BACKBONE.NAME", "open_clip:RN50@openai"], 10),
        (["softcpt", "plants7", "4", "--", "MODEL.BACKBONE.NAME", "RN50"], 0),
        (["coop", "--help"], 11),
    ],
)
def test_check_says_what_is_needed_and_runs_nothing(launch: Launch, words: Sequence[str], status: int) -> None:
    assert launch("--check", *words) == status
    assert launch.calls == []


@pytest.mark.parametrize(
    "name", ["trainers/small.yaml", "trainers/_lite.yaml", "trainers/SoftCPT/_recipe.yaml", "datasets/tiny8.yaml"]
)
def test_a_run_with_changed_configs_is_compared_again(launch: Launch, name: str) -> None:
    """runs.run compares a finished run's settings with the new ones; it must be called when the content of any file is
    not the one that the run was made from, however old the file is."""
    small, file = launch.root / "configs/trainers/small.yaml", launch.root / "configs" / name
    small.write_text("_BASE_: _lite.yaml\n")
    before = file.read_text()
    for calls, text in ((1, None), (1, None), (2, "# another\n"), (2, None), (3, "# a third\n")):
        if text:
            file.write_text(before + text)
            os.utime(file, (1e9, 1e9))
        assert launch("softcpt", "tiny8", "1", "--seeds", "1") == 0
        assert len(launch.calls) == calls


# -- scripts/train.sh: any method --


@pytest.mark.parametrize(
    ("word", "method"),
    [
        ("SoftCPT-NATS", "SoftCPT-NATS"),
        ("softcpt-nats", "SoftCPT-NATS"),
        ("SoftCPT*", "SoftCPT-STAR"),
        ("CoOp-MT (shared)", "CoOp-MT"),
        ("zero-shot clip (ensemble)", "ZeroshotCLIP-ensemble"),
        ("protonet", "ProtoNet"),
        ("LP-CLIP", "LP-CLIP"),
        ("linear_probe", "LP-CLIP"),
        ("coop", "CoOp-CA"),
        ("CoOp", "CoOp-CA"),
    ],
)
def test_train_knows_names_labels_and_commands(launch: Launch, word: str, method: str) -> None:
    assert launch("train", word, "tiny8", "4", "--seeds", "1") == 0
    (call,) = launch.calls
    shots = 0 if method.startswith("Zero") else 4
    assert (call.method, call.folder) == (method, run_folder(launch.output, method=method, shots=shots))


def test_train_by_a_command_has_its_flag_and_by_a_name_has_not(
    launch: Launch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch("train", "coop", "tiny8", "4", "--seeds", "1", "--context", "shared") == 0
    assert launch.calls[0].method == "CoOp-MT"
    assert launch("train", "CoOp-CA", "tiny8", "4", "--context", "shared") == 2
    assert "--context" in capsys.readouterr().err and len(launch.calls) == 1


def test_train_runs_what_the_methods_script_runs(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("softcpt", "tiny8", "4", "--variant", "CATA") == 0
    assert launch("train", "SoftCPT-CATA", "tiny8", "4") == 0
    assert len(launch.calls) == 3 and "3 of 3 runs are finished already" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["sofcpt-nata", "tiny8", "4"],
            "'sofcpt-nata' is neither a method nor a dataset; did you mean 'SoftCPT-NATA'?",
        ),
        (["linear_prob", "tiny8", "4"], "did you mean 'linear_probe'?"),
        (["compare", "tiny8", "4"], "'compare' is neither a method nor a dataset"),
        (["--seeds", "1"], "Which method or dataset?"),
        (["SoftCPT-NATA"], "Which dataset? For example: bash scripts/train.sh SoftCPT-NATA garden8 4"),
        (["SoftCPT-NATA", "tiny8"], "How many shots"),
    ],
)
def test_train_refuses_in_one_line(
    launch: Launch, capsys: pytest.CaptureFixture[str], words: Sequence[str], message: str
) -> None:
    assert launch("train", *words) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and message in captured.err
    assert launch.calls == []


def test_a_method_that_needs_a_vision_transformer(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    for method in ("maple", "promptsrc"):
        assert launch(method, "plain", "4") == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and "needs a vision transformer" in error
        assert "'rn50_ep50'" in error and "use one of vit_b16_ep50, vit_b32_ep50." in error
    assert launch("maple", "plain", "4", "--seeds", "1", "--cfg", "vit_b16_ep50") == 0
    assert launch.calls[0].settings.config == launch.root / "configs/trainers/vit_b16_ep50.yaml"

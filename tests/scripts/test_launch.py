import json
import os
from pathlib import Path

import pytest


def run_folder(clone, method="SoftCPT-NATA", config="small", shots=4, seed=1):
    return clone / "output" / "tiny8" / method / config / f"{shots}shots" / f"seed{seed}"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["softcpt"], "Which dataset?"),
        (["softcpt", "tiny8"], "How many shots"),
        (["softcpt", "tny8", "4"], "did you mean 'tiny8'?"),
        (["softcpt", "tiny8", "0"], "Shots must be positive whole numbers"),
        (["softcpt", "tiny8", "-1"], "Shots must be positive whole numbers"),
        (["softcpt", "tiny8", "four"], "not 'four'"),
        (["softcpt", "tiny8", "1.5"], "not '1.5'"),
        (["softcpt", "tiny8", "1,2"], "One shot count at a time"),
        (["compare", "tiny8", "1,,2"], "such as 1,2,4,8,16"),
        (["softcpt", "tiny8", "4", "--seeds", "1,b"], "Seeds must be whole numbers"),
        (["softcpt", "tiny8", "4", "--seeds", "-1"], "Seeds must be whole numbers from 0 on"),
        (["softcpt", "tiny8", "4", "--seeds", ""], "Seeds must be"),
        (["softcpt", "tiny8", "4", "--variant", "NATB"], "Variant 'NATB' is unknown; did you mean"),
        (["coop", "tiny8", "4", "--context", "shard"], "did you mean 'shared'?"),
        (["coop", "tiny8", "4", "--variant", "NATA"], "--variant"),
        (["softcpt", "tiny8", "4", "--cfg", "smal"], "Config 'smal' is unknown in configs/trainers/SoftCPT"),
        (["softcpt", "tiny8", "4", "--cfg"], "--help"),
        (["softcpt", "tiny8", "4", "5"], "5"),
        (["softcpt", "tiny8", "4", "--", "OPTIM.LR"], "'OPTIM.LR', has no value"),
        (["softcpt", "tiny8", "4", "--", "dataset.num_shots", "8"], "the shots after the dataset sets it"),
        (["zsclip", "tiny8", "--templates", "imagnet"], "did you mean 'imagenet'?"),
        (["tip_adapter", "tiny8", "4", "--finetune", "maybe"], "--finetune 'maybe' is unknown"),
        (["nonsense"], "Command 'nonsense' is unknown"),
        ([], "unknown"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_bad_input_is_one_line_and_status_2(launch, capsys, words, said, check):
    assert launch(*(["--check"] if check else []), *words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1 and said in captured.err
    assert launch.train.calls == []


def test_a_file_where_a_folder_belongs(launch, capsys, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    for flag in ("--data", "--output"):
        assert launch("softcpt", "tiny8", 4, flag, file / "sub") == 2
        assert f"{file} is a file" in capsys.readouterr().err


def test_all_seeds_run_and_are_tabled(launch, clone, capsys):
    assert launch("softcpt", "tiny8", "4") == 0
    assert len(launch.train.calls) == 3
    out = capsys.readouterr().out
    assert "petal colour  overall       51.0    52.0    53.0  52.0 ± 0.8" in out
    assert "leaf shape    class mean    61.0    62.0    63.0  62.0 ± 0.8" in out
    assert "mean                        56.0    57.0    58.0  57.0 ± 0.8" in out
    assert "4,096 trainable parameters" in out and "population" in out
    assert str(run_folder(clone).parent) in out


def test_what_train_gets(launch, clone, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    words = ["--variant", "nats", "--seeds", "7", "--cfg", "rn50_ep50", "--data", "d", "--output", "o"]
    assert launch("softcpt", "tiny8", "2", *words, "--", "OPTIM.LR", "0.1") == 0
    folder = tmp_path / "o/tiny8/SoftCPT-NATS/rn50_ep50+OPTIM.LR=0.1/2shots/seed7"
    assert launch.train.calls == [[
        "--root", str(tmp_path / "d"), "--seed", "7", "--trainer", "SoftCPT",
        "--dataset-config-file", str(clone / "configs/datasets/tiny8.yaml"),
        "--config-file", str(clone / "configs/trainers/SoftCPT/rn50_ep50.yaml"), "--output-dir", str(folder),
        "DATASET.NUM_SHOTS", "2", "TRAINER.SOFTCPT.VARIANT", "NATS",
        "BANK.DIR", str(tmp_path / "o/.bank"), "OPTIM.LR", "0.1",
    ]]  # fmt: skip


def test_configs_by_default_and_by_path(launch, clone, tmp_path):
    assert launch("softcpt", "plain", "1", "--seeds", "1") == 0
    own = tmp_path / "own.yaml"
    own.write_text("")
    assert launch("softcpt", clone / "configs/datasets/tiny8.yaml", "1", "--seeds", "1", "--cfg", own) == 0
    first, second = launch.train.calls
    assert str(clone / "configs/trainers/SoftCPT/rn50_ep50.yaml") in first
    assert str(own) in second and str(run_folder(clone, config="own", shots=1)) in second


def test_overrides_never_share_a_folder(launch):
    values = ["a/b", "a_b", "x" * 300, "x" * 299 + "y"]
    for value in values:
        assert launch("softcpt", "tiny8", "1", "--seeds", "1", "--", "MODEL.BACKBONE.NAME", value) == 0
    assert len({argv[11] for argv in launch.train.calls}) == len(values)
    assert max(len(part) for argv in launch.train.calls for part in Path(argv[11]).parts) < 200


def test_zero_shot_runs_once_and_needs_no_shots(launch, clone, capsys):
    assert launch("zsclip", "tiny8") == 0
    assert launch("zsclip", "tiny8", "16", "--seeds", "1,2,3") == 0
    assert len(launch.train.calls) == 1
    assert "DATASET.NUM_SHOTS" not in launch.train.calls[0]
    assert run_folder(clone, "ZeroshotCLIP", shots=0).is_dir()
    assert "The run is finished already" in capsys.readouterr().out


def test_finished_runs_are_skipped_and_broken_ones_are_not(launch, clone):
    assert launch("softcpt", "tiny8", "4") == 0
    (run_folder(clone, seed=2) / "results.json").write_text('{"finished": tr')
    (run_folder(clone, seed=3) / "results.json").unlink()
    launch.train.calls.clear()
    assert launch("softcpt", "tiny8", "4") == 0
    assert [argv[3] for argv in launch.train.calls] == ["2", "3"]


def test_a_strange_run_in_the_folder_is_not_reported(launch, clone, capsys):
    assert launch("softcpt", "tiny8", "4", "--seeds", "1") == 0
    path = run_folder(clone) / "results.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"shots": 16}))
    capsys.readouterr()
    assert launch("softcpt", "tiny8", "4", "--seeds", "1") == 2
    assert "16 shots" in capsys.readouterr().err


def test_a_failed_run_costs_only_itself(launch, capsys):
    assert launch("softcpt", "tiny8", "4", "--", "FAKE.FAIL", "2") == 1
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert len(lines) == 2 and "seed 2: RuntimeError: out of memory" in lines[0]
    assert "1 of 3 runs failed" in lines[1]
    traceback = Path(lines[0].split("details in ")[1].rstrip(")"))
    assert "RuntimeError: out of memory" in traceback.read_text()
    assert "(2 of 3 seeds)" in " ".join(captured.out.split())
    assert "51.0    53.0" in captured.out


def test_bad_input_found_by_train(launch, capsys):
    assert launch("softcpt", "tiny8", "4", "--", "FAKE.BAD", "1") == 2
    assert capsys.readouterr().err == "Image x.jpg is corrupt; replace it.\n"
    assert len(launch.train.calls) == 1


def test_interrupted(launch, capsys):
    assert launch("softcpt", "tiny8", "4", "--", "FAKE.INTERRUPT", "2") == 130
    assert "goes on from where it was" in capsys.readouterr().err
    assert len(launch.train.calls) == 2


def test_compare(launch, clone, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    assert launch("compare", "tiny8", "4") == 0
    assert len(launch.train.calls) == 1 + 3 * 3
    out = capsys.readouterr().out
    rows = [line for line in out.splitlines() if line.startswith(("Zero", "CoOp", "Soft"))]
    assert [row.split("  ")[0] for row in rows] == [
        "Zero-shot CLIP", "CoOp-CA (per task)", "CoOp-MT (shared)", "SoftCPT-NATA"
    ]  # fmt: skip
    assert rows[3].split()[1:] == ["52.0", "62.0", "57.0", "±", "0.8", "4,096", "4.5"]
    assert "\033" not in out
    markdown = (clone / "output/tiny8/compare_4shots.md").read_text("utf-8")
    assert "| SoftCPT-NATA | **52.0** | **62.0** | **57.0 ± 0.8** | 4,096 | 4.5 |" in markdown
    assert launch("compare", "tiny8", "4") == 0
    assert len(launch.train.calls) == 10


def test_compare_over_shots_reuses_zero_shot(launch, clone, capsys):
    assert launch("compare", "tiny8", "1,4", "--seeds", "1,2") == 0
    assert len(launch.train.calls) == 1 + 2 * 3 * 2
    rows = capsys.readouterr().out.splitlines()
    assert next(row for row in rows if row.startswith("SoftCPT-NATA")).split()[1:8] == [
        "56.5", "±", "0.5", "56.5", "±", "0.5", "4,096"
    ]  # fmt: skip
    markdown = (clone / "output/tiny8/compare_1-4shots.md").read_text("utf-8")
    assert "## 1 shot\n" in markdown and "## 4 shots\n" in markdown and "| 1 shot | 4 shots |" in markdown


def test_compare_says_which_seeds_are_missing(launch, clone, capsys):
    assert launch("compare", "tiny8", "4", "--", "FAKE.FAIL", "3") == 1
    captured = capsys.readouterr()
    assert captured.out.count("(2 of 3 seeds)") == 3
    assert len(captured.err.splitlines()) == 4


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["softcpt", "tiny8", "4"], 0),
        (["softcpt", "plants7", "4"], 10),
        (["zsclip", "plants7"], 10),
        (["compare", "plants7", "4", "--cfg", "small"], 0),
        (["softcpt", "tiny8", "4", "--", "MODEL.BACKBONE.NAME", "open_clip:RN50@openai"], 10),
        (["softcpt", "plants7", "4", "--", "MODEL.BACKBONE.NAME", "RN50"], 0),
        (["coop", "--help"], 11),
    ],
)
def test_check_says_what_is_needed_and_runs_nothing(launch, words, status):
    assert launch("--check", *words) == status
    assert launch.train.calls == []


@pytest.mark.parametrize("command", ["softcpt", "coop", "zsclip", "linear_probe", "protonet", "tip_adapter", "compare"])
def test_help(launch, capsys, command):
    assert launch(command, "tiny8", "--help") == 0
    out = capsys.readouterr().out
    assert "examples:\n  bash scripts/" in out and "KEY VALUE" in out


def test_a_run_whose_configs_read_otherwise_is_train_runs_to_judge(launch, clone):
    """train.run compares a finished run's settings with those asked for; it must be asked when a file's content is not
    what the run was made from, however old the file is."""
    config = clone / "configs/trainers/SoftCPT/small.yaml"
    for calls, text in ((1, None), (1, None), (2, "# another\n"), (2, None), (3, "# a third\n")):
        if text:
            config.write_text(text)
            os.utime(config, (1e9, 1e9))
        assert launch("softcpt", "tiny8", "1", "--seeds", "1") == 0
        assert len(launch.train.calls) == calls


def test_a_path_without_a_file_is_told_as_such(launch, capsys, tmp_path):
    assert launch("softcpt", f"{tmp_path}/none.yaml", "1") == 2
    assert capsys.readouterr().err == f"Dataset {tmp_path}/none.yaml: there is no such file.\n"

"""train.py: CoOp's flags, in this process and under a Python without PyTorch."""

import json
import resource
import subprocess
import sys

import pytest

import train
from common.paths import REPOSITORY
from launcher import frame


def bare(*args: str) -> subprocess.CompletedProcess:
    """A Python with the standard library alone."""
    command = [sys.executable, "-E", "-S", str(REPOSITORY / "train.py"), *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)


def failed(capsys, flags: list[str]) -> str:
    """The one line of a call that exits with 2."""
    capsys.readouterr()
    assert frame.run(train.answer, flags) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.endswith("\n")
    return error


def test_a_run_by_flags(workplace, capsys):
    flags = workplace.flags("CoOp", "run", "TRAINER.COOP.CONTEXT", "shared", epochs=1)
    assert frame.run(train.answer, flags) == 0
    assert "epoch [1/1] batch [1/" in capsys.readouterr().out
    results = json.loads((workplace.output / "run/results.json").read_text())
    assert results["command"] == flags and results["method"] == "CoOp-MT"
    assert (results["dataset"], results["config"], results["seed"]) == ("tiny", "_ep50", 1)
    assert frame.run(train.answer, flags) == 0
    assert "already finished" in capsys.readouterr().out

    evaluate = ["--eval-only", "--model-dir", str(workplace.output / "run"), "--load-epoch", "1"]
    again = workplace.flags("CoOp", "again", "TRAINER.COOP.CONTEXT", "shared")
    assert frame.run(train.answer, [*evaluate, *again]) == 0
    evaluated = json.loads((workplace.output / "again/evaluation.json").read_text())
    assert evaluated["tasks"] == results["tasks"] and evaluated["evaluated"] == str(workplace.output / "run")

    resume = ["--resume", str(workplace.output / "run")]
    longer = workplace.flags("CoOp", "longer", "TRAINER.COOP.CONTEXT", "shared", epochs=2)
    assert frame.run(train.answer, [*resume, *longer]) == 0
    assert json.loads((workplace.output / "longer/results.json").read_text())["resumed_from_epoch"] == 1


def test_no_train_builds_everything_and_records_nothing(workplace):
    assert frame.run(train.answer, ["--no-train", *workplace.flags("CoOp")]) == 0
    assert not (workplace.output / "run/results.json").exists()


def test_flags_become_settings():
    words = ["--root", "1", "--output-dir", "2", "--backbone", "RN50", "--transforms", "normalize", "--seed", "7"]
    domains = ["--source-domains", "a", "b", "--target-domains", "c", "--head", "mlp"]
    found = train.overrides_of(train.parse_args([*words, *domains, "OPTIM.LR", "0.1", "SEED", "8"]))
    as_text = [(key, str(value)) for key, value in found]
    assert as_text == [
        ("DATASET.ROOT", "1"),
        ("OUTPUT_DIR", "2"),
        ("DATASET.SOURCE_DOMAINS", "('a', 'b')"),
        ("DATASET.TARGET_DOMAINS", "('c',)"),
        ("INPUT.TRANSFORMS", "('normalize',)"),
        ("MODEL.BACKBONE.NAME", "RN50"),
        ("MODEL.HEAD.NAME", "mlp"),
        ("SEED", "7"),
        ("OPTIM.LR", "0.1"),
        ("SEED", "8"),
    ]
    assert dict(found[:2]) == {"DATASET.ROOT": train.Path("1"), "OUTPUT_DIR": train.Path("2")}
    assert train.overrides_of(train.parse_args(["--", "OPTIM.LR", "0.1"])) == [("SEED", -1), ("OPTIM.LR", "0.1")]


def test_mistakes_are_one_line(workplace, tmp_path, capsys):
    flags = workplace.flags("SoftCPT")
    assert "'OPTIM.LR' stands alone" in failed(capsys, [*flags, "OPTIM.LR"])
    assert "Trainer 'SoftCTP' is unknown; did you mean 'SoftCPT'" in failed(capsys, workplace.flags("SoftCTP"))
    assert "--sed" in failed(capsys, ["--sed", "1"])
    assert "--seed" in failed(capsys, ["--seed", "one"])
    assert "--model-dir" in failed(capsys, ["--eval-only", *flags])
    assert "names no data set" in failed(capsys, ["--trainer", "SoftCPT"])
    damaged = tmp_path / "bad.yaml"
    damaged.write_text("OPTIM:\n  MAX_EPOCHS: 3\n")
    flags[flags.index("--config-file") + 1] = str(damaged)
    assert "'OPTIM.MAX_EPOCHS' is unknown" in failed(capsys, flags)
    assert not (workplace.output / "run").exists()


def test_a_corrupt_image_is_one_line(workplace, capsys):
    for image in (workplace.root / "tiny" / "colours" / "blue").iterdir():
        image.write_bytes(image.read_bytes()[:200])
    error = failed(capsys, workplace.flags("SoftCPT", "run", "DATALOADER.NUM_WORKERS", "2"))
    assert "blue" in error and "replace or remove" in error


# -- without PyTorch --


def test_without_pytorch_it_exits_in_one_line(workplace):
    done = bare(*workplace.flags("CoOp"))
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "no module '" in done.stderr and "scripts/softcpt/main.sh" in done.stderr
    assert not workplace.output.exists()


def test_mistakes_in_flags_need_no_pytorch():
    done = bare("--seed", "one")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "--seed" in done.stderr
    assert "no module" not in done.stderr


def test_help_needs_no_pytorch_and_little_time():
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = bare("--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0 and done.stderr == ""
    for word in ("--dataset-config-file", "--eval-only", "--plugin", "SoftCPT", "KEY VALUE"):
        assert word in done.stdout
    # Of the processor, since the machine may be busy; importing PyTorch alone takes more.
    assert (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime) < 2


@pytest.mark.parametrize("words", [["--help"], ["--seed", "one"]])
def test_pytorch_is_not_imported_for_what_does_not_need_it(words):
    code = (
        "import sys, train\nfrom launcher import frame\n"
        f"try:\n    frame.run(train.answer, {words})\nexcept SystemExit:\n    pass\n"
        "sys.exit(3 if {'torch', 'dassl', 'numpy'} & sys.modules.keys() else 0)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=REPOSITORY).returncode == 0

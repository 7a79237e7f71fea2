"""Runs end to end: what they leave behind, and how they are reported, evaluated and refused."""

import json
import shutil

import pytest
import torch
import yaml

from common.errors import InputError
from common.files import SEAL, unsealed
from runs import pictures
from runs.results import read_results
from runs.run import Request, run, task_names
from tests.support.limits import in_time, make_pipe
from tests.support.towers import random_clip


@pytest.mark.parametrize("method", ["SoftCPT-NATA", "SoftCPT-NATS", "CoOp-CA", "CoOp-MT"])
def test_a_run_leaves_a_folder_that_explains_itself(workplace, method, capsys):
    results = workplace.run(method)
    folder = workplace.output / "run"
    assert json.loads((folder / "results.json").read_text()) == results and results["finished"]
    assert [t["name"] for t in results["tasks"]] == ["kind of flower", "colour"]
    assert [t["metric"] for t in results["tasks"]] == ["A", "C"]
    assert results["mean"] == pytest.approx(sum(t["accuracy"] for t in results["tasks"]) / 2)
    assert results["counts"]["train_images"] == 10 and results["counts"]["test_images"] == 15
    assert results["counts"]["val_images"] == 10 and results["counts"]["classes"] == 5
    assert yaml.safe_load((folder / "config.yaml").read_text())["TRAINER"]["NAME"] == results["trainer"]
    log = (folder / "log.txt").read_text()
    for line in (
        "=> result",
        "* accuracy: ",
        "epoch [3/3] batch [1/",
        "* task: 1 (colour)",
        "Deploy the last-epoch model",
    ):
        assert line in log
    assert "epoch [" not in capsys.readouterr().out  # brief: details are in the log alone
    files = {path.name for path in (folder / "prompt_learner").iterdir()}
    assert files == {"model.pth.tar-3", "checkpoint"}


def test_results_record_what_was_asked_for(workplace):
    request = Request("tiny", "mine", ("--seed", "1"), brief=True)
    results = run(workplace.config("CoOp-MT", epochs=1), request)
    assert (results["dataset"], results["config"], results["command"]) == ("tiny", "mine", ["--seed", "1"])
    assert (results["method"], results["trainer"], results["shots"], results["seed"]) == ("CoOp-MT", "CoOp", 2, 1)
    assert results["data_root"] == str(workplace.root) and results["backbone"] == str(workplace.checkpoint)
    assert "plugins" not in results and results["evaluated"] is None and results["device"] in ("cpu", "cuda")
    assert set(results["versions"]) >= {"python", "torch", "torchvision", "dassl"}


def test_a_finished_run_is_reported_not_repeated(workplace, capsys):
    first = workplace.run("CoOp")
    stamp = (workplace.output / "run" / "results.json").stat().st_mtime_ns
    capsys.readouterr()
    assert workplace.run("CoOp") == first
    assert "already finished" in capsys.readouterr().out
    assert (workplace.output / "run" / "results.json").stat().st_mtime_ns == stamp


def test_other_settings_in_the_same_folder_are_refused(workplace):
    workplace.run("CoOp")
    with pytest.raises(InputError, match="OPTIM.LR 0.002.* 0.01"):
        workplace.run("CoOp", "run", "OPTIM.LR", "0.01")


def test_an_evaluation_neither_passes_for_a_training_nor_touches_one(workplace):
    trained = workplace.run("SoftCPT")
    folder = workplace.output / "run"
    before = (folder / "results.json").read_text()
    for name in ("again", "run"):  # in a folder of its own, and in the run's
        evaluated = workplace.evaluate("run", "SoftCPT", name, epoch=3)
        assert evaluated["tasks"] == trained["tasks"] and evaluated["evaluated"] == str(folder)
    assert read_results(workplace.output / "again") is None
    assert (workplace.output / "again" / "evaluation.json").exists()
    assert (folder / "results.json").read_text() == before
    with pytest.raises(InputError, match="No trained model at .*elsewhere"):
        workplace.evaluate("elsewhere", "SoftCPT", "third", epoch=3)
    with pytest.raises(InputError, match="--eval-only .*--model-dir"):
        workplace.evaluate("", "SoftCPT", "third")


def test_a_changed_collection_or_tower_is_another_run(workplace, tmp_path):
    """Results belong to the content of the declaration and of the weights, not to their names."""
    workplace.run("CoOp")
    text = workplace.declaration.read_text()
    workplace.declaration.write_text(text.replace("metric: C", "metric: A"))
    with pytest.raises(InputError, match="(?i)declaration"):
        workplace.run("CoOp")
    workplace.declaration.write_text(text)
    assert workplace.run("CoOp")["finished"]
    workplace.checkpoint = tmp_path / "tower.pt"
    torch.save(random_clip(seed=5).state_dict(), workplace.checkpoint)
    workplace.run("CoOp", "mine")
    torch.save(random_clip(seed=6).state_dict(), workplace.checkpoint)
    with pytest.raises(InputError, match="MODEL.BACKBONE.DIGEST"):
        workplace.run("CoOp", "mine")


def test_without_training_everything_is_built_and_nothing_is_recorded(workplace):
    assert run(workplace.config("CoOp"), Request(train=False, brief=True)) == {}
    folder = workplace.output / "run"
    assert "# params" in (folder / "log.txt").read_text() and not (folder / "results.json").exists()
    assert workplace.run("CoOp")["finished"]  # the folder can be used


def test_a_refused_run_leaves_no_folder(workplace):
    with pytest.raises(InputError, match="6 shots"):
        workplace.run("CoOp", "deep/er", "DATASET.NUM_SHOTS", "6")
    assert not (workplace.output / "deep").exists()
    (workplace.output / "mine").mkdir(parents=True)
    (workplace.output / "mine" / "notes.txt").write_text("keep me")
    with pytest.raises(InputError, match="6 shots"):
        workplace.run("CoOp", "mine", "DATASET.NUM_SHOTS", "6")
    assert (workplace.output / "mine" / "notes.txt").exists()
    workplace.run("CoOp", "mine")  # a run that was refused does not block the folder


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_corrupt_image_is_one_line_and_leaves_no_result(workplace, workers):
    for image in (workplace.root / "tiny" / "colours" / "blue").iterdir():
        image.write_bytes(image.read_bytes()[:200])
    with pytest.raises(InputError) as caught:
        workplace.run("SoftCPT", "run", "DATALOADER.NUM_WORKERS", workers)
    error = str(caught.value)
    assert "\n" not in error and "blue" in error and "cannot be read" in error and "replace or remove" in error
    assert not (workplace.output / "run" / "results.json").exists()


def test_large_seeds(workplace):
    assert workplace.run("CoOp", "large", seed=123_456_789)["seed"] == 123_456_789
    with pytest.raises(InputError, match="SEED is 4294967296; it must be .*below 4294967296"):
        workplace.run("CoOp", "larger", seed=1 << 32)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("DATASET.NUM_SHOTS", "6"), "6 shots .*'ox-eye_daisy' .*'tiny/kinds' has 5 training images"),
        (("INPUT.SIZE", "(64, 64)"), "32 x 32 pixels, but INPUT.SIZE is .64, 64."),
        (("MODEL.BACKBONE.NAME", "gone.pt"), "'gone.pt' is missing"),
        (("DATASET.ROOT", "/nowhere"), "/nowhere/tiny is missing"),
        (("OPTIM.NAME", "sgdd"), "OPTIM.NAME 'sgdd' is unknown.*Known: .*sgd"),
        (("OPTIM.LR_SCHEDULER", "cos"), "OPTIM.LR_SCHEDULER 'cos' is unknown.*Known: .*cosine"),
        (("INPUT.TRANSFORMS", "('flip',)"), "cannot be used: .*flip"),
        (("DATALOADER.TRAIN_X.SAMPLER", "Foo"), "cannot be used: .*Foo"),
        (("MODEL.INIT_WEIGHTS", "/nowhere.pt"), "cannot be used: .*nowhere.pt"),
        (("TRAINER.SOFTCPT.N_CTX", "80"), "a prompt of 8. tokens"),
    ],
)
def test_settings_that_do_not_fit_are_one_line(workplace, words, message):
    with pytest.raises(InputError, match=message) as error:
        workplace.run("SoftCPT", "run", *words)
    assert "\n" not in str(error.value)
    assert not (workplace.output / "run" / "results.json").exists()


def test_the_names_of_tasks_without_a_run(workplace, capsys):
    assert task_names(workplace.config("SoftCPT")) == ["kind of flower", "colour"]
    assert task_names(workplace.config("CoOp", "run", "DATASET.SUBSAMPLE_TASKS", "task1")) == ["colour"]
    assert capsys.readouterr().out == "" and not workplace.output.exists()


# -- what a finished run is compared with --


def test_results_are_sealed_and_an_edited_digit_is_not_reported(workplace, capsys):
    results = workplace.run("CoOp")
    path = workplace.output / "run" / "results.json"
    text = path.read_text()
    assert unsealed(json.loads(text)) == {key: value for key, value in results.items() if key != SEAL}
    path.write_text(text.replace('"seed": 1', '"seed": 3'))
    capsys.readouterr()
    again = workplace.run("CoOp")
    error = capsys.readouterr().err
    assert error.count("results.json cannot be read: its checksum differs") == 1 and "runs it again" in error
    assert again["tasks"] == results["tasks"] and again["seed"] == 1
    assert unsealed(json.loads(path.read_text()))["seed"] == 1


def test_results_without_a_checksum_are_those_of_an_earlier_version(workplace, capsys):
    workplace.run("CoOp")
    path = workplace.output / "run" / "results.json"
    record = {key: value for key, value in json.loads(path.read_text()).items() if key != SEAL}
    path.write_text(json.dumps(record))
    assert workplace.run("CoOp") == record
    del record["mean"]  # no longer needed: it is that of the tasks
    path.write_text(json.dumps(record))
    assert workplace.run("CoOp") == record
    assert capsys.readouterr().out.count("already finished") == 2


def test_a_finished_run_with_other_pictures_is_refused(workplace, tmp_path):
    """Called as train.py calls it, too: the launcher is not the only way."""
    results = workplace.run("CoOp")
    usual = workplace.root
    workplace.root = tmp_path / "copy"
    shutil.copytree(usual, workplace.root)
    assert workplace.run("CoOp") == results
    image = sorted((workplace.root / "tiny" / "colours" / "blue").iterdir())[0]
    image.write_bytes(image.read_bytes()[:-1] + b"x")
    pictures._changes.cache_clear()
    with pytest.raises(
        InputError, match="'tiny/colours/blue' has files.*another content; choose another output folder"
    ):
        workplace.run("CoOp")


def test_a_finished_run_without_its_pictures_is_reported_with_a_line(workplace, tmp_path, capsys):
    results = workplace.run("CoOp")
    workplace.root = tmp_path / "empty"
    workplace.root.mkdir()
    capsys.readouterr()
    assert workplace.run("CoOp") == results
    assert f"{workplace.root} has no folder tiny" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["results.json", "config.yaml", "log.txt", "tasks.json", "pictures.json", "traceback.txt"]
)
def test_named_pipes_in_the_place_of_a_runs_files(workplace, name):
    make_pipe(workplace.output / "run" / name)
    with pytest.raises(InputError, match=name) as error:
        in_time(lambda: workplace.run("CoOp"), 60)
    assert "\n" not in str(error.value)

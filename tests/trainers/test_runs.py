"""Runs end to end: what they leave behind, how they are resumed, reported and refused."""

import json
import re

import pytest
import torch
import yaml
from dassl.utils import load_checkpoint

import train
from common.errors import InputError
from tests.support.towers import random_clip

METHODS = [
    ("SoftCPT", ()),
    ("SoftCPT", ("TRAINER.SOFTCPT.VARIANT", "NATS")),
    ("CoOp", ()),
    ("CoOp", ("TRAINER.COOP.CONTEXT", "shared")),
]


@pytest.mark.parametrize(("trainer", "opts"), METHODS)
def test_a_run_leaves_a_folder_that_explains_itself(workplace, trainer, opts, capsys):
    results = workplace.run(trainer, "run", *opts)
    folder = workplace.output / "run"
    assert json.loads((folder / "results.json").read_text()) == results and results["finished"]
    assert [t["name"] for t in results["tasks"]] == ["kind of flower", "colour"]
    assert [t["metric"] for t in results["tasks"]] == ["A", "C"]
    assert results["mean"] == pytest.approx(sum(t["accuracy"] for t in results["tasks"]) / 2)
    assert results["counts"]["train_images"] == 10 and results["counts"]["test_images"] == 15
    assert results["counts"]["val_images"] == 10 and results["counts"]["classes"] == 5
    assert yaml.safe_load((folder / "config.yaml").read_text())["TRAINER"]["NAME"] == trainer
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


def test_learning_lowers_the_loss(workplace):
    """Without augmentation and with every image in every batch, the few shots must be fitted."""
    losses = []
    opts = ("OPTIM.LR", "0.01", "INPUT.TRANSFORMS", "('normalize',)", "DATALOADER.TRAIN_X.BATCH_SIZE", "32")
    trainer = workplace.trainer("SoftCPT", *opts, epochs=30)
    trainer.watch.epoch = lambda done, total, loss: losses.append(loss)
    trainer.train()
    assert losses[-1] < 0.75 * losses[0]


@pytest.mark.parametrize(("trainer", "opts"), METHODS[:3])
def test_a_killed_run_resumes_to_the_very_same_result(workplace, trainer, opts):
    workplace.killed_and_resumed(trainer, *opts)


def test_a_damaged_checkpoint_is_one_line(workplace, capsys):
    workplace.run("CoOp")
    folder = workplace.output / "run"
    (folder / "results.json").unlink()
    checkpoint = folder / "prompt_learner" / "model.pth.tar-3"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    flags = ["--eval-only", "--model-dir", str(folder), "--load-epoch", "3", *workplace.flags("CoOp", "other")]
    remedies = ("remove the run's folder", "name another with --load-epoch")
    for argv, remedy in zip((workplace.flags("CoOp"), flags), remedies, strict=True):
        assert train.main(argv) == 2
        error = capsys.readouterr().err.strip()
        assert len(error.splitlines()) == 1 and error.startswith(f"Checkpoint {checkpoint} cannot be read: ")
        assert remedy in error and error.count("another") + error.count("delete") <= 1  # one piece of advice


def test_a_finished_run_is_reported_not_repeated(workplace, capsys):
    first = workplace.run("CoOp")
    stamp = (workplace.output / "run" / "results.json").stat().st_mtime_ns
    capsys.readouterr()
    assert workplace.run("CoOp") == first
    assert "already finished" in capsys.readouterr().out
    assert (workplace.output / "run" / "results.json").stat().st_mtime_ns == stamp


def test_other_settings_in_the_same_folder_are_refused(workplace):
    workplace.run("CoOp")
    with pytest.raises(InputError, match="was begun with OPTIM.LR 0.002, and now 0.01 is asked for"):
        workplace.run("CoOp", "run", "OPTIM.LR", "0.01")


def test_evaluating_a_trained_run_gives_its_result(workplace):
    trained = workplace.run("SoftCPT")
    folder = workplace.output / "run"
    evaluate = ["--eval-only", "--model-dir", str(folder), "--load-epoch", "3"]
    before = (folder / "results.json").read_text()
    assert train.run([*evaluate, *workplace.flags("SoftCPT", "again")], brief=True)["tasks"] == trained["tasks"]
    assert train.run([*evaluate, *workplace.flags("SoftCPT")], brief=True)["tasks"] == trained["tasks"]
    # An evaluation neither passes for a training nor touches one.
    assert train.read_results(workplace.output / "again") is None
    assert (workplace.output / "again" / "evaluation.json").exists()
    assert (folder / "results.json").read_text() == before
    for argv, message in [
        (["--eval-only", "--model-dir", "elsewhere", "--load-epoch", "3"], "No trained model at .*elsewhere"),
        (["--eval-only"], "--eval-only needs --model-dir"),
    ]:
        with pytest.raises(InputError, match=message):
            train.run([*argv, *workplace.flags("SoftCPT", "third")], brief=True)
    for method, opts, message in [
        ("CoOp", (), "with TRAINER.NAME SoftCPT, and here it is CoOp; set it alike, or name another run"),
        ("SoftCPT", ("TRAINER.SOFTCPT.FEATURES", "unit"), "with TRAINER.SOFTCPT.FEATURES raw, and here it is unit"),
        ("SoftCPT", ("TRAINER.SOFTCPT.VARIANT", "NATS"), "with TRAINER.SOFTCPT.VARIANT NATA"),
    ]:
        with pytest.raises(InputError, match=message):
            train.run([*evaluate, *workplace.flags(method, "fourth", *opts)], brief=True)
    # What training alone reads may differ, and without the run's config the shapes still tell.
    sampled = workplace.flags("SoftCPT", "fifth", "TRAINER.SOFTCPT.CLASS_SAMPLE_RATE", "0.5")
    assert train.run([*evaluate, *sampled], brief=True)["tasks"] == trained["tasks"]
    (folder / "config.yaml").unlink()
    with pytest.raises(InputError, match="does not fit this method, collection or backbone"):
        train.run([*evaluate, *workplace.flags("CoOp", "sixth")], brief=True)


def test_a_changed_collection_or_tower_is_another_run(workplace, tmp_path):
    """Results are of the declaration and the weights that they were made with, not of what bears their names now."""
    workplace.run("CoOp")
    text = workplace.declaration.read_text()
    workplace.declaration.write_text(text.replace("metric: C", "metric: A"))
    with pytest.raises(InputError, match="was begun with DATASET.DECLARATION"):
        workplace.run("CoOp")
    workplace.declaration.write_text(text)
    assert workplace.run("CoOp")["finished"]
    other = tmp_path / "other.pt"
    torch.save(random_clip(seed=5).state_dict(), other)
    workplace.checkpoint = tmp_path / "tower.pt"
    workplace.checkpoint.write_bytes(other.read_bytes())
    workplace.run("CoOp", "mine")
    torch.save(random_clip(seed=6).state_dict(), workplace.checkpoint)
    with pytest.raises(InputError, match="was begun with MODEL.BACKBONE.DIGEST"):
        workplace.run("CoOp", "mine")


def test_resuming_from_elsewhere(workplace):
    workplace.run("CoOp", "short", epochs=2)
    flags = ["--resume", str(workplace.output / "short"), *workplace.flags("CoOp", "long", epochs=4)]
    assert train.run(flags, brief=True)["resumed_from_epoch"] == 2
    flags = ["--resume", str(workplace.output / "none"), *workplace.flags("CoOp", "other", epochs=4)]
    with pytest.raises(InputError, match="There is no checkpoint to resume in .*none"):
        train.run(flags, brief=True)


def test_a_run_killed_while_views_are_encoded_goes_on_there(workplace, monkeypatch):
    from prompting.feature_bank import FeatureBank

    original, kept = FeatureBank.put, []

    def killed(self, key, table):
        if len(kept) == 2:
            raise KeyboardInterrupt
        kept.append(key.get("epoch"))
        return original(self, key, table)

    monkeypatch.setattr(FeatureBank, "put", killed)
    with pytest.raises(KeyboardInterrupt):
        workplace.run("CoOp", epochs=4)
    monkeypatch.setattr(
        FeatureBank, "put", lambda self, key, table: kept.append(key.get("epoch")) or original(self, key, table)
    )
    parts = workplace.run("CoOp", epochs=4)
    assert kept[:4] == [0, 1, 2, 3] and parts["tasks"] == workplace.run("CoOp", "whole", epochs=4)["tasks"]


def test_the_best_on_validation_can_be_deployed(workplace):
    results = workplace.run("CoOp", "run", "TEST.FINAL_MODEL", "best_val")
    assert results["finished"] and (workplace.output / "run" / "prompt_learner" / "model-best.pth.tar").exists()


@pytest.mark.parametrize("augmentation", ["cutout", "randaugment", "gaussian_noise"])
def test_views_of_any_augmentation_can_be_drawn_again(workplace, augmentation):
    trainer = workplace.trainer("CoOp", "INPUT.TRANSFORMS", f"('random_resized_crop', '{augmentation}', 'normalize')")
    images = trainer.train_loader_x.dataset
    assert torch.equal(images.view(0, 1), images.view(0, 1)) and not torch.equal(images.view(0, 1), images.view(0, 2))
    again = workplace.trainer("CoOp", "INPUT.TRANSFORMS", f"('random_resized_crop', '{augmentation}', 'normalize')")
    assert trainer.features._key(images) == again.features._key(again.train_loader_x.dataset)


def test_a_batch_without_some_tasks_gives_the_same_loss(workplace):
    """Encoding only the tasks of a batch, or all of them, is the same for the loss and for what it teaches."""
    trainer = workplace.trainer("SoftCPT")
    torch.manual_seed(0)
    features = torch.nn.functional.normalize(torch.randn(4, 48), dim=-1)
    label = torch.tensor([3, 4, 4, 3])
    task = trainer.task_of_class[label]
    assert trainer.tasks_to_encode(task) == [1]
    few, _, column = trainer.loss(features, label, task)
    gradients = torch.autograd.grad(few, list(trainer.model.parameters()))
    trainer.tasks_to_encode = lambda task: [0, 1]
    every, _, flat = trainer.loss(features, label, task)
    assert column.tolist() == [0, 1, 1, 0] and flat.tolist() == [3, 4, 4, 3]
    torch.testing.assert_close(few, every)
    for a, b in zip(gradients, torch.autograd.grad(every, list(trainer.model.parameters())), strict=True):
        torch.testing.assert_close(a, b)


def test_zero_shot_needs_no_training_and_no_shots(workplace):
    results = workplace.run("ZeroshotCLIP", "run", "DATASET.NUM_SHOTS", "-1")
    assert results["counts"]["trainable_parameters"] == 0 and results["seconds"]["train"] == 0
    assert results == {
        **workplace.run("ZeroshotCLIP", "other", "DATASET.NUM_SHOTS", "-1"),
        "seconds": results["seconds"],
        "command": results["command"],  # which names the folder
    }


@pytest.mark.parametrize(("trainer", "opts"), METHODS[:3])
def test_views_encoded_ahead_train_step_for_step_as_on_the_fly(workplace, trainer, opts, monkeypatch):
    """Same views, same batches, same losses at every step, whether images are encoded ahead or when they are needed."""
    losses = {}
    original = train.trainers.engine.base.PromptTrainer.forward_backward
    for name, ahead in (("ahead", "True"), ("fly", "False")):
        seen = losses[name] = []

        def watched(self, batch, seen=seen):
            summary = original(self, batch)
            seen.append((self.epoch, batch["index"].tolist(), summary["loss"]))
            return summary

        monkeypatch.setattr(train.trainers.engine.base.PromptTrainer, "forward_backward", watched)
        workplace.run(trainer, name, *opts, "BANK.TRAIN", ahead, "BANK.TEST", ahead)
    assert len(losses["fly"]) >= 6
    for (epoch, batch, loss), (epoch_fly, batch_fly, loss_fly) in zip(losses["ahead"], losses["fly"], strict=True):
        assert (epoch, batch) == (epoch_fly, batch_fly)
        assert loss == pytest.approx(loss_fly, rel=1e-5)


def test_methods_share_the_views_and_a_second_run_encodes_nothing(workplace, monkeypatch):
    workplace.run("SoftCPT", "first")
    monkeypatch.setattr("prompting.towers.Tower.encode_image", lambda *_: pytest.fail("an image was encoded again"))
    workplace.run("CoOp", "second")
    workplace.run("ZeroshotCLIP", "third", "DATASET.NUM_SHOTS", "-1")


def test_worker_processes_do_not_change_the_result(workplace):
    alone = workplace.run("SoftCPT", "alone")
    workers = workplace.run(
        "SoftCPT", "workers", "DATALOADER.NUM_WORKERS", "2", "BANK.DIR", str(workplace.output / "b2")
    )
    first, second = (
        load_checkpoint(str(workplace.output / name / "prompt_learner" / "model.pth.tar-3"))["state_dict"]
        for name in ("alone", "workers")
    )
    assert all(torch.equal(first[key], second[key]) for key in first) and alone["tasks"] == workers["tasks"]


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_corrupt_image_is_one_line_and_leaves_no_result(workplace, workers, capsys):
    for image in (workplace.root / "tiny" / "colours" / "blue").iterdir():
        image.write_bytes(image.read_bytes()[:200])
    status = train.main(workplace.flags("SoftCPT", "run", "DATALOADER.NUM_WORKERS", workers))
    error = capsys.readouterr().err.strip()
    assert status == 2 and len(error.splitlines()) == 1
    assert "blue" in error and "cannot be read" in error and "replace or remove" in error
    assert not (workplace.output / "run" / "results.json").exists()


@pytest.mark.parametrize(
    ("opts", "message"),
    [
        (
            ("DATASET.NUM_SHOTS", "6"),
            "6 shots asked for, but class 'ox-eye_daisy' of task 'tiny/kinds' has 5 training images",
        ),
        (("OPTIM.LRR", "1"), "Config key 'OPTIM.LRR' is unknown in the command line; did you mean 'OPTIM.LR'"),
        (("OPTIM.LR", "fast"), "^OPTIM.LR is 'fast' in the command line; it must be a number, such as 0.0"),
        (("OPTIM.MAX_EPOCH", "two"), "^OPTIM.MAX_EPOCH is 'two' in the command line; it must be a whole number"),
        (("DATASET.NAME", ""), "names no data set: it needs DATASET: NAME"),
        (("OPTIM.LR",), "'OPTIM.LR' stands alone"),
        (("TRAINER.SOFTCPT.VARIANT", "NATTA"), "SoftCPT variant 'NATTA' is unknown; did you mean 'NATA'"),
        (("INPUT.SIZE", "(64, 64)"), "takes images of 32 x 32 pixels, but INPUT.SIZE is .64, 64."),
        (("MODEL.BACKBONE.NAME", "gone.pt"), "Checkpoint 'gone.pt' is missing; looked at"),
        (("DATASET.ROOT", "/nowhere"), "/nowhere/tiny is missing"),
        (("OPTIM.NAME", "sgdd"), "cannot be used: .*sgdd"),
        (("OPTIM.LR_SCHEDULER", "cos"), "cannot be used: .*cos"),
        (("INPUT.TRANSFORMS", "('flip',)"), "cannot be used: .*flip"),
        (("DATALOADER.TRAIN_X.SAMPLER", "Foo"), "cannot be used: .*Foo"),
        (("MODEL.INIT_WEIGHTS", "/nowhere.pt"), "cannot be used: .*nowhere.pt"),
        (("TRAINER.SOFTCPT.N_CTX", "0"), "TRAINER.SOFTCPT.N_CTX is 0; it must be at least 1"),
        (("TRAINER.SOFTCPT.N_CTX", "80"), "makes a prompt of 8. tokens"),
        (("TRAINER.SOFTCPT.CLASS_TOKEN_POSITION", "centre"), "Name position 'centre' is unknown"),
        (("DATALOADER.TRAIN_X.BATCH_SIZE", "0"), "BATCH_SIZE is 0; it must be at least 1"),
        (("TEST.SPLIT", "vall"), "TEST.SPLIT is vall; it must be val or test"),
        (("OPTIM.MAX_EPOCH", "0"), "OPTIM.MAX_EPOCH is 0"),
    ],
)
def test_bad_settings_are_one_line(workplace, opts, message, capsys):
    assert train.main(workplace.flags("SoftCPT", "run", *opts)) == 2
    error = capsys.readouterr().err.strip()
    assert len(error.splitlines()) == 1
    assert re.search(message, error), error
    assert not (workplace.output / "run" / "results.json").exists()


def test_unknown_names(workplace, tmp_path, capsys):
    flags = workplace.flags("SoftCTP")
    assert train.main(flags) == 2
    assert "Trainer 'SoftCTP' is unknown; did you mean 'SoftCPT'" in capsys.readouterr().err
    bad = tmp_path / "bad.yaml"
    bad.write_text("OPTIM:\n  MAX_EPOCHS: 3\n")
    flags = workplace.flags("SoftCPT")
    flags[flags.index("--config-file") + 1] = str(bad)
    assert train.main(flags) == 2
    assert "'OPTIM.MAX_EPOCHS' is unknown" in capsys.readouterr().err
    bad.write_text("- OPTIM\n")
    assert train.main(flags) == 2
    assert "bad.yaml is a list and no settings" in capsys.readouterr().err


def test_a_refused_run_leaves_no_folder(workplace):
    with pytest.raises(InputError, match="6 shots"):
        workplace.run("CoOp", "deep/er", "DATASET.NUM_SHOTS", "6")
    assert not (workplace.output / "deep").exists()
    (workplace.output / "mine").mkdir(parents=True)
    (workplace.output / "mine" / "notes.txt").write_text("keep me")
    with pytest.raises(InputError, match="6 shots"):
        workplace.run("CoOp", "mine", "DATASET.NUM_SHOTS", "6")
    assert (workplace.output / "mine" / "notes.txt").exists()
    workplace.run("CoOp", "mine")  # what was refused before does not stand in the way


def test_large_seeds(workplace):
    assert workplace.run("CoOp", "large", seed=123_456_789)["seed"] == 123_456_789
    with pytest.raises(InputError, match="SEED is 4294967296; it must be below"):
        workplace.run("CoOp", "larger", seed=1 << 32)


def test_names_that_look_like_numbers(workplace, monkeypatch):
    monkeypatch.chdir(workplace.output.parent)
    flags = workplace.flags("CoOp")
    flags[flags.index("--output-dir") + 1] = "7"
    assert train.run(flags, brief=True)["finished"]


STILL = ("INPUT.TRANSFORMS", "('normalize',)")


def test_images_that_are_not_augmented_are_encoded_once(workplace):
    """As they are tested: resized and cropped, not squashed; with and without the bank it is the same run."""
    banked = workplace.run("SoftCPT", "banked", *STILL)
    assert len(list((workplace.output / ".bank").glob("*.features"))) == 2  # training images and test images
    plain = workplace.run("SoftCPT", "plain", *STILL, "BANK.TRAIN", "False", "BANK.TEST", "False")
    assert banked["tasks"] == plain["tasks"]
    learned = [workplace.learned(name, 3)["sub_network.weight"] for name in ("banked", "plain")]
    torch.testing.assert_close(*learned, rtol=1e-4, atol=1e-6)
    trainer = workplace.trainer("SoftCPT", *STILL)
    train, test = trainer.train_loader_x.dataset, trainer.test_loader.dataset
    test.data_source = train.data_source
    assert torch.equal(train.view(0, epoch=0), train.view(0, epoch=1))
    assert torch.equal(train.view(0, epoch=0), test.view(0, epoch=0))


def test_tip_adapter_keys_of_images_that_are_not_augmented(workplace):
    workplace.run("TipAdapter", "run", *STILL, "TRAINER.TIPADAPTER.STEPS_BETA", "5")
    assert len(list((workplace.output / ".bank").glob("*.features"))) == 3  # training, validation and test images

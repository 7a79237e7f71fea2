"""A complete run on generated images: log lines, files, resuming, the best model, several runs in one process."""

from __future__ import annotations

import os
import re
import sys

import pytest
import torch
from dassl.data.datasets import Datum
from dassl.engine import TRAINER_REGISTRY, SimpleNet, TrainerBase, build_trainer
from dassl.utils import set_random_seed, setup_logger
from dassl.utils.checkpoint_reader import CheckpointError


def files(folder):
    return sorted(
        os.path.relpath(os.path.join(base, name), folder) for base, _, names in os.walk(folder) for name in names
    )


def log_of(run):
    with open(os.path.join(run, "log.txt")) as file:
        return file.read()


def test_two_epochs_then_a_third(cfg):
    console = sys.stdout
    with setup_logger(cfg.OUTPUT_DIR):
        trainer = build_trainer(cfg)
        trainer.train()
    assert sys.stdout is console
    names = files(cfg.OUTPUT_DIR)
    assert [name for name in names if "events" not in name] == [
        "log.txt",
        "model/checkpoint",
        "model/model.pth.tar-2",
    ]
    assert any(re.match(r"tensorboard/events\.out\.tfevents\.", name) for name in names)

    lines = log_of(cfg.OUTPUT_DIR).splitlines()
    batch = re.compile(
        r"epoch \[(\d)/2\] batch \[(\d)/3\] time \d+\.\d{3} \(\d+\.\d{3}\) data \d+\.\d{3} \(\d+\.\d{3}\) "
        r"loss \d+\.\d{4} \(\d+\.\d{4}\) acc \d+\.\d{4} \(\d+\.\d{4}\) lr (\d\.\d{4}e-\d\d) eta \d+:\d\d:\d\d"
    )
    matches = [batch.fullmatch(line) for line in lines if line.startswith("epoch")]
    # Each batch is logged because PRINT_FREQ is above 3; the rate after the last batch is the next epoch's.
    assert [m.groups() for m in matches] == [
        ("1", "1", "1.0000e-05"),
        ("1", "2", "1.0000e-05"),
        ("1", "3", "1.0000e-01"),
        ("2", "1", "1.0000e-01"),
        ("2", "2", "1.0000e-01"),
        ("2", "3", "5.0000e-02"),
    ]
    expected = [
        "Loading trainer: ColourTrainer",
        "Loading dataset: Colours",
        "Creating a 4-shot dataset",
        "Building transform_train",
        "Building transform_test",
        "Building model",
        "Backbone: smallnet",
        "# params: 1,571",
        "Loading evaluator: Classification",
        "No checkpoint found, train from scratch",
        f"Initialize tensorboard (log_dir={cfg.OUTPUT_DIR}/tensorboard)",
        f"Checkpoint saved to {cfg.OUTPUT_DIR}/model/model.pth.tar-2",
        "Finish training",
        "Deploy the last-epoch model",
        "Evaluate on the *test* set",
        "=> result",
        "* total: 24",
    ]
    assert [line for line in lines if line in expected] == expected
    assert re.fullmatch(r"\* accuracy: \d+\.\d%", lines[lines.index("* total: 24") + 2])
    assert re.fullmatch(r"Elapsed: \d:\d\d:\d\d", lines[-1])

    cfg.OPTIM.MAX_EPOCH = 3
    with setup_logger(cfg.OUTPUT_DIR):
        again = build_trainer(cfg)
        fresh = again.model.classifier.weight.clone()
        again.train()
    assert again.start_epoch == 2 and len(again.seen) == 3
    assert not torch.equal(fresh, again.model.classifier.weight)
    logs = [name for name in files(cfg.OUTPUT_DIR) if name.startswith("log.txt")]
    assert len(logs) == 2 and re.fullmatch(r"log\.txt-\d{4}(-\d\d){5}", logs[1])
    with open(os.path.join(cfg.OUTPUT_DIR, logs[1])) as file:
        text = file.read()
    assert f"Found checkpoint at {cfg.OUTPUT_DIR} (will resume training)" in text and "Previous epoch: 2" in text
    assert "model.pth.tar-3" in text and "epoch [3/3] batch [3/3]" in text and "epoch [2/3]" not in text
    assert re.search("cosine of 2 epochs, .*MAX_EPOCH is 3", text)


def flat(value, name=""):
    """Return (name, value) of all leaves of nested dictionaries and lists."""
    if isinstance(value, dict | list | tuple):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return [leaf for key, part in pairs for leaf in flat(part, f"{name}/{key}")]
    return [(name, value)]


def assert_same_checkpoints(one, other):
    """Compare weights, optimizers and schedules bit for bit."""
    for (name, expected), (other_name, found) in zip(flat(one), flat(other), strict=True):
        assert name == other_name
        assert torch.equal(expected, found) if isinstance(expected, torch.Tensor) else expected == found, name


OPTIMIZATIONS = {
    "sgd, cosine, constant warm-up": {},
    "sgd, cosine": {"WARMUP_EPOCH": -1},
    "adam, cosine, linear warm-up": {"NAME": "adam", "LR": 0.01, "WARMUP_EPOCH": 3, "WARMUP_TYPE": "linear"},
    "radam, cosine": {"NAME": "radam", "WARMUP_EPOCH": -1},
    "rmsprop, steps, warm-up counted": {
        "NAME": "rmsprop",
        "LR": 0.01,
        "LR_SCHEDULER": "multi_step",
        "STEPSIZE": (2, 4),
        "WARMUP_RECOUNT": False,
    },
    "adamw, one step": {"NAME": "adamw", "LR": 0.01, "LR_SCHEDULER": "single_step", "STEPSIZE": (2,)},
}


@pytest.mark.parametrize("settings", OPTIMIZATIONS.values(), ids=OPTIMIZATIONS)
@pytest.mark.parametrize("stop, new_folder", [(1, False), (2, True), (4, False)])
def test_resuming_in_the_middle_equals_an_uninterrupted_run(cfg, monkeypatch, capsys, settings, stop, new_folder):
    """Of six planned epochs, the run is stopped in the middle of epoch ``stop``, counted from 0.

    Epochs start from fixed seeds, because checkpoints do not hold the state of random generators (nor do upstream's).
    """
    cfg.merge_from_list([part for key, value in settings.items() for part in (f"OPTIM.{key}", value)])
    cfg.OPTIM.MAX_EPOCH, cfg.TRAIN.CHECKPOINT_FREQ = 6, 1
    trainer_class = TRAINER_REGISTRY.get("ColourTrainer")
    monkeypatch.setattr(trainer_class, "before_epoch", lambda self: set_random_seed(self.epoch))
    base = cfg.OUTPUT_DIR

    def train(folder, stop=None, resume=""):
        cfg.OUTPUT_DIR, cfg.RESUME = base + folder, resume
        set_random_seed(7)
        trainer = build_trainer(cfg)
        trainer.rates = []
        step = trainer.forward_backward

        def forward_backward(batch):
            if (trainer.epoch, trainer.batch_idx) == (stop, 1):
                raise KeyboardInterrupt
            trainer.rates.append(trainer.get_current_lr())
            return step(batch)

        monkeypatch.setattr(trainer, "forward_backward", forward_backward)
        if stop is None:
            trainer.train()
        else:
            with pytest.raises(KeyboardInterrupt):
                trainer.train()
            trainer.close_writer()
        return trainer

    whole = train("-whole")
    capsys.readouterr()
    first = train("-parts", stop=stop)
    second = train("-more" if new_folder else "-parts", resume=first.output_dir if new_folder else "")
    assert "cosine of" not in capsys.readouterr().out
    done = 3 * stop  # batches
    assert second.start_epoch == stop
    assert first.rates[:done] + second.rates == whole.rates and first.seen[:done] + second.seen == whole.seen
    assert all(rate > 0 for rate in whole.rates) and len(set(whole.rates)) > 1
    for epoch in range(stop + 1, 7):
        paths = [os.path.join(run.output_dir, "model", f"model.pth.tar-{epoch}") for run in (whole, second)]
        assert_same_checkpoints(*(torch.load(path, weights_only=True) for path in paths))
    # The comparison can fail: the first epoch after resuming changes the weights.
    before, after = (
        torch.load(os.path.join(whole.output_dir, "model", f"model.pth.tar-{epoch}"), weights_only=True)["state_dict"]
        for epoch in (stop, stop + 1)
    )
    assert not torch.equal(before["classifier.weight"], after["classifier.weight"])


def test_training_learns_and_is_reproducible(cfg):
    cfg.OPTIM.MAX_EPOCH = 30
    cfg.DATASET.NUM_SHOTS = 8
    results = []
    for run in ("first", "second"):
        cfg.OUTPUT_DIR += run
        set_random_seed(1)
        trainer = build_trainer(cfg)
        trainer.train()
        results.append((trainer.test(), trainer.model.classifier.weight.sum().item(), trainer.seen))
    assert results[0] == results[1] and results[0][0] > 60


def test_the_best_model_is_kept_after_resuming(cfg, monkeypatch, capsys):
    cfg.TEST.FINAL_MODEL = "best_val"
    cfg.OPTIM.MAX_EPOCH = 3
    trainer = build_trainer(cfg)
    values = iter([50.0, 70.0, 60.0])
    test = type(trainer).test
    monkeypatch.setattr(trainer, "test", lambda split=None: next(values) if split == "val" else test(trainer, split))
    trainer.train()
    folder = os.path.join(cfg.OUTPUT_DIR, "model")
    assert torch.load(os.path.join(folder, "model-best.pth.tar"), weights_only=True)["val_result"] == 70.0
    out = capsys.readouterr().out
    assert "Deploy the model with the best val performance" in out and "(epoch=2, val_result=70.0)" in out

    cfg.OPTIM.MAX_EPOCH = 4
    trainer = build_trainer(cfg)
    monkeypatch.setattr(trainer, "test", lambda split=None: 65.0)
    trainer.train()
    assert trainer.best_result == 70.0
    assert torch.load(os.path.join(folder, "model-best.pth.tar"), weights_only=True)["epoch"] == 2


def test_the_best_model_is_copied_to_a_new_folder(cfg, monkeypatch, capsys):
    cfg.TEST.FINAL_MODEL = "best_val"
    old, new = cfg.OUTPUT_DIR, cfg.OUTPUT_DIR + "-more"

    def trained(epochs, result):
        cfg.OPTIM.MAX_EPOCH = epochs
        trainer = build_trainer(cfg)
        monkeypatch.setattr(trainer, "test", lambda split=None: result)
        trainer.train()

    trained(1, 70.0)
    cfg.OUTPUT_DIR, cfg.RESUME = new, old
    trained(2, 60.0)
    best = os.path.join(new, "model", "model-best.pth.tar")
    assert f"Load {best} to model (epoch=1, val_result=70.0)" in capsys.readouterr().out
    trained(3, 80.0)
    assert torch.load(best, weights_only=True)["val_result"] == 80.0
    assert torch.load(best.replace(new, old), weights_only=True)["val_result"] == 70.0


def test_checkpoint_frequency_and_no_test(cfg, capsys):
    cfg.OPTIM.MAX_EPOCH, cfg.TRAIN.CHECKPOINT_FREQ, cfg.TEST.NO_TEST = 5, 2, True
    build_trainer(cfg).train()
    assert files(os.path.join(cfg.OUTPUT_DIR, "model"))[1:] == [f"model.pth.tar-{epoch}" for epoch in (2, 4, 5)]
    assert "Evaluate" not in capsys.readouterr().out


def test_print_frequency(cfg, capsys):
    cfg.TRAIN.PRINT_FREQ = 2
    build_trainer(cfg).train()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    assert [line[:25] for line in lines] == ["epoch [1/2] batch [2/3] t", "epoch [2/2] batch [2/3] t"]


def test_evaluation_of_a_saved_model(cfg, capsys):
    trained = build_trainer(cfg)
    trained.train()
    accuracy = trained.test()
    fresh = build_trainer(cfg)
    fresh.load_model(cfg.OUTPUT_DIR, epoch=2)
    assert fresh.test() == accuracy and fresh.test(split="val") == trained.test(split="val")
    assert capsys.readouterr().out.count("Evaluate on the *val* set") == 2
    cfg.MODEL.HEAD.NAME, cfg.MODEL.HEAD.HIDDEN_LAYERS = "mlp", (5,)
    with pytest.raises(CheckpointError, match="not of this model"):
        build_trainer(cfg).load_model(cfg.OUTPUT_DIR, epoch=2)


@pytest.mark.parametrize("count_iter, batches", [("train_x", 3), ("train_u", 5), ("smaller_one", 3)])
def test_labelled_and_unlabelled_batches(cfg, count_iter, batches):
    cfg.TRAINER.NAME = "PairTrainer"
    cfg.TRAIN.COUNT_ITER = count_iter
    cfg.DATALOADER.TRAIN_U.SAME_AS_X = False
    cfg.DATALOADER.TRAIN_U.BATCH_SIZE = 2
    cfg.OPTIM.MAX_EPOCH = 1
    trainer = build_trainer(cfg)
    trainer.train()
    assert trainer.pairs == [(4, 2)] * batches


def test_an_unknown_count_iter(cfg):
    cfg.TRAINER.NAME, cfg.TRAIN.COUNT_ITER = "PairTrainer", "both"
    with pytest.raises(ValueError, match='TRAIN.COUNT_ITER .*"both"'):
        build_trainer(cfg).train()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_corrupt_image_raises_a_one_line_error(cfg, items, image_folder, tmp_path, workers):
    broken = tmp_path / "broken.png"
    broken.write_bytes((image_folder / "0_0.png").read_bytes()[:200])
    items.append(Datum(str(broken), 0, 0, "red"))
    cfg.DATALOADER.NUM_WORKERS = workers
    trainer = build_trainer(cfg)
    with pytest.raises(OSError, match="Image .*broken.png cannot be read") as caught:
        trainer.test()
    assert "\n" not in str(caught.value)


def test_an_infinite_loss_stops_training(cfg):
    trainer = build_trainer(cfg)
    with pytest.raises(FloatingPointError, match="infinite or NaN"):
        trainer.model_backward_and_update(torch.tensor(float("nan")))


def test_models_modes_and_names(cfg):
    trainer = build_trainer(cfg)
    trainer.set_model_mode("eval")
    assert not trainer.model.training
    trainer.set_model_mode("train", "model")
    assert trainer.model.training
    with pytest.raises(KeyError, match="off"):
        trainer.set_model_mode("off")
    with pytest.raises(KeyError, match="'head'"):
        trainer.get_model_names("head")
    with pytest.raises(ValueError, match="'model'"):
        trainer.register_model("model", trainer.model)
    assert trainer.get_current_lr() == 1e-5

    class WithoutSuperInit(TrainerBase):
        def __init__(self):
            self.register_model("m")

    with pytest.raises(AttributeError, match="super"):
        WithoutSuperInit()
    with pytest.raises(NotImplementedError, match="run_epoch"):
        TrainerBase().run_epoch()


def test_simple_net(cfg):
    cfg.MODEL.HEAD.NAME, cfg.MODEL.HEAD.HIDDEN_LAYERS, cfg.MODEL.HEAD.DROPOUT = "mlp", (6, 5), 0.1
    net = SimpleNet(cfg, cfg.MODEL, 3).eval()
    logits, features = net(torch.ones(2, 3, 16, 16), return_feature=True)
    assert logits.shape == (2, 3) and features.shape == (2, 5) and net.fdim == 5
    assert SimpleNet(cfg, cfg.MODEL, 0).eval()(torch.ones(2, 3, 16, 16)).shape == (2, 5)


def test_unknown_trainers(cfg):
    cfg.TRAINER.NAME = "ColorTrainer"
    with pytest.raises(ValueError, match=r"\[ColorTrainer\].*ColourTrainer"):
        build_trainer(cfg)
    cfg.TRAINER.NAME = "FixMatch"
    with pytest.raises(ValueError, match="FixMatch .*upstream Dassl"):
        build_trainer(cfg)
    assert "FixMatch" not in TRAINER_REGISTRY.registered_names()

"""Checkpoints: written atomically, read safely, resumed correctly."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch
import torch.nn as nn
from dassl.engine import TrainerBase
from dassl.utils import (
    count_num_param,
    init_network_weights,
    load_checkpoint,
    load_pretrained_weights,
    open_all_layers,
    open_specified_layers,
    resume_from_checkpoint,
    save_checkpoint,
)
from dassl.utils.checkpoint_reader import CheckpointError, Placeholder
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, StepLR

from tests.support.flipped import flip_bit_of


def trained(epochs=2, width=3):
    """Return a linear model after a few steps, with its optimizer and schedule."""
    model = nn.Linear(2, width)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = StepLR(optimizer, 1, gamma=0.5)
    for _ in range(epochs):
        optimizer.zero_grad()
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        scheduler.step()
    return model, optimizer, scheduler


def save(folder, epoch=2, model_name="", **more):
    model, optimizer, scheduler = trained(epoch)
    state = {
        "state_dict": model.state_dict(),
        "epoch": epoch,
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "val_result": None,
        **more,
    }
    save_checkpoint(state, str(folder), model_name=model_name)
    return model


def test_file_names_and_best_model(tmp_path):
    state = {"state_dict": OrderedDict({"module.weight": torch.ones(2)}), "epoch": 3}
    save_checkpoint(state, str(tmp_path), is_best=True)
    assert sorted(os.listdir(tmp_path)) == ["checkpoint", "model-best.pth.tar", "model.pth.tar-3"]
    assert (tmp_path / "checkpoint").read_text() == "model.pth.tar-3\n"
    assert list(load_checkpoint(str(tmp_path / "model-best.pth.tar"))["state_dict"]) == ["weight"]


def test_resuming_restores_everything(tmp_path):
    saved = save(tmp_path)
    model, optimizer, scheduler = trained(0)
    assert resume_from_checkpoint(str(tmp_path), model, optimizer, scheduler) == 2
    assert torch.equal(model.weight, saved.weight)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.025)
    assert scheduler.last_epoch == 2 and optimizer.state_dict()["state"]


def test_numpy_results_are_saved_as_plain_numbers(tmp_path):
    save(tmp_path, val_result=np.float64(63.1), extra={"list": [np.int64(3), np.arange(2)]})
    raw = torch.load(tmp_path / "model.pth.tar-2", weights_only=True)  # the strict reader accepts it
    assert type(raw["val_result"]) is float and type(raw["extra"]["list"][0]) is int


def test_a_crash_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    save(tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}

    def crash_while_saving(state, path, **kwargs):
        with open(path, "wb") as file:
            file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", crash_while_saving)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == before


def test_a_crash_before_the_pointer_is_replaced(tmp_path, monkeypatch):
    save(tmp_path)
    replace = os.replace

    def fail_for_pointer(source, target):
        if os.path.basename(target) == "checkpoint":
            raise OSError("no space left")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail_for_pointer)
    with pytest.raises(OSError, match="no space"):
        save(tmp_path, epoch=3)
    assert sorted(os.listdir(tmp_path)) == ["checkpoint", "model.pth.tar-2", "model.pth.tar-3"]
    assert resume_from_checkpoint(str(tmp_path), nn.Linear(2, 3)) == 2


def test_a_new_file_has_default_permissions(tmp_path):
    save(tmp_path)
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "model.pth.tar-2").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("pointer", [None, "", "model.pth.tar-77\n"])
def test_without_a_valid_pointer_the_latest_checkpoint_is_used(tmp_path, pointer):
    for epoch in (2, 9, 10):
        save(tmp_path, epoch)
    os.remove(tmp_path / "checkpoint")
    if pointer is not None:
        (tmp_path / "checkpoint").write_text(pointer)
    assert resume_from_checkpoint(str(tmp_path), nn.Linear(2, 3)) == 10


def test_an_empty_folder_has_nothing_to_resume(tmp_path):
    with pytest.raises(FileNotFoundError, match="No checkpoint in"):
        resume_from_checkpoint(str(tmp_path), nn.Linear(2, 3))


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "pickle"])
def test_a_damaged_checkpoint_raises_a_one_line_error(tmp_path, damage):
    save(tmp_path)
    path = tmp_path / "model.pth.tar-2"
    data = path.read_bytes()
    path.write_bytes(
        {
            "truncated": data[: len(data) // 2],
            "empty": b"",
            "text": b"hello, this is no checkpoint",
            "pickle": pickle.dumps(print)[:-3],
        }[damage]
    )
    with pytest.raises(CheckpointError, match="model.pth.tar-2 cannot be read") as caught:
        load_checkpoint(str(path))
    assert "\n" not in str(caught.value) and isinstance(caught.value, RuntimeError)


def test_nothing_in_a_checkpoint_is_executed(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "boom"),)

    torch.save({"epoch": 1, "state_dict": {"w": torch.ones(1)}, "bomb": Bomb()}, tmp_path / "bomb.pth")
    checkpoint = load_checkpoint(str(tmp_path / "bomb.pth"))
    assert not (tmp_path / "boom").exists()
    assert isinstance(checkpoint["bomb"], Placeholder) and checkpoint["state_dict"]["w"].item() == 1


def test_missing_files_and_paths():
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_checkpoint("nowhere/model.pth.tar-1")
    with pytest.raises(ValueError, match="None"):
        load_checkpoint(None)


class PluginWarmup(LRScheduler):
    """A warm-up like upstream's: it keeps another schedule in an attribute and inherits state_dict."""

    def __init__(self, optimizer, successor):
        self.successor = successor
        super().__init__(optimizer)

    def get_lr(self):
        return [group["lr"] for group in self.optimizer.param_groups]


@pytest.mark.parametrize("by_upstream", [True, False])
def test_a_scheduler_inside_a_scheduler(tmp_path, by_upstream):
    def build():
        model = nn.Linear(2, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        return model, optimizer, PluginWarmup(optimizer, CosineAnnealingLR(optimizer, 8))

    model, optimizer, scheduler = build()
    optimizer.step()
    for _ in range(3):
        scheduler.successor.step()
    state = {
        "state_dict": model.state_dict(),
        "epoch": 3,
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),  # includes the inner scheduler as an object
    }
    if by_upstream:
        for _, patched in [(optimizer, "step")]:
            vars(optimizer).pop(patched, None)  # a wrapper that cannot be pickled
        torch.save(state, tmp_path / "model.pth.tar-3")
    else:
        save_checkpoint(state, str(tmp_path))
        torch.load(tmp_path / "model.pth.tar-3", weights_only=True)
    model, optimizer, scheduler = build()
    assert resume_from_checkpoint(str(tmp_path), model, optimizer, scheduler) == 3
    assert isinstance(scheduler.successor, CosineAnnealingLR) and scheduler.successor.optimizer is optimizer
    assert scheduler.successor.last_epoch == 3


def two_models():
    trainer = TrainerBase()
    for name in ("a", "b"):
        trainer.register_model(name, *trained(0))
    return trainer


def test_two_models_resume_at_their_last_common_epoch(tmp_path, capsys):
    trainer = two_models()
    assert trainer.resume_model_if_exist(str(tmp_path)) == 0
    for epoch in (0, 1):
        trainer.save_model(epoch, str(tmp_path))
    assert trainer.resume_model_if_exist(str(tmp_path)) == 2
    save(tmp_path / "a", epoch=3)
    assert trainer.resume_model_if_exist(str(tmp_path)) == 2
    for name in ("checkpoint", "model.pth.tar-1", "model.pth.tar-2"):
        os.remove(tmp_path / "b" / name)
    assert trainer.resume_model_if_exist(str(tmp_path)) == 0
    assert "No checkpoint found, train from scratch" in capsys.readouterr().out
    assert TrainerBase().resume_model_if_exist(str(tmp_path)) == 0  # no models, as in zero-shot trainers


def test_load_model_prints_what_it_loads_and_lists_saved_epochs(tmp_path, capsys):
    trainer = two_models()
    trainer.save_model(0, str(tmp_path), model_name="model-best.pth.tar", val_result=63.14)
    trainer.save_model(4, str(tmp_path))
    capsys.readouterr()
    trainer.load_model(str(tmp_path))
    trainer.load_model(str(tmp_path), epoch=5)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("to a (epoch=1, val_result=63.1)") and lines[2].endswith("to a (epoch=5)")
    with pytest.raises(FileNotFoundError, match="epochs saved there: 5"):
        trainer.load_model(str(tmp_path), epoch=6)
    trainer.load_model("")
    assert "load_model() is skipped" in capsys.readouterr().out


def test_a_checkpoint_of_another_model_raises_a_one_line_error(tmp_path):
    save(tmp_path / "a")
    other = TrainerBase()
    other.register_model("a", *trained(0, width=5))
    with pytest.raises(CheckpointError, match=r"model.pth.tar-2 is not of this model \(.*weight") as caught:
        other.load_model(str(tmp_path), epoch=2)
    assert "\n" not in str(caught.value)
    with pytest.raises(CheckpointError, match="not of this model"):
        other.resume_model_if_exist(str(tmp_path))


def test_a_checkpoint_of_another_optimizer_is_reported(tmp_path):
    save(tmp_path)
    model = nn.Linear(2, 3)
    with pytest.raises(CheckpointError, match="another optimizer"):
        two_groups = torch.optim.SGD([{"params": [p]} for p in model.parameters()], lr=0.1)
        resume_from_checkpoint(str(tmp_path), model, two_groups)
    torch.save({"weight": torch.ones(1)}, tmp_path / "model.pth.tar-2")
    with pytest.raises(CheckpointError, match="no training state"):
        resume_from_checkpoint(str(tmp_path), model)


def test_pretrained_weights_load_matching_tensors(tmp_path, capsys):
    path = str(tmp_path / "w.pth")
    torch.save({"state_dict": {"module.weight": torch.full((3, 2), 7.0), "bias": torch.ones(9)}}, path)
    model = nn.Linear(2, 3)
    load_pretrained_weights(model, path)
    assert (model.weight == 7).all()
    assert "['bias']" in capsys.readouterr().out
    torch.save({"other": torch.ones(1)}, path)
    with pytest.warns(UserWarning, match="Nothing in"):
        load_pretrained_weights(model, path)
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match="no state dict"):
        load_pretrained_weights(model, path)


def test_opening_and_counting_layers():
    model = nn.Sequential()
    model.add_module("base", nn.Linear(2, 3))
    model.add_module("norm", nn.BatchNorm1d(3))
    assert count_num_param(model) == 15 and count_num_param(params=[{"params": model.base.weight}]) == 6
    with pytest.raises(ValueError, match="model or its params"):
        count_num_param()
    open_specified_layers(model, "norm")
    assert not model.base.weight.requires_grad and model.norm.training and not model.base.training
    with pytest.raises(AttributeError, match='"head".*base, norm'):
        open_specified_layers(model, ["head"])
    open_all_layers(model)
    assert model.base.training and all(p.requires_grad for p in model.parameters())
    init_network_weights(model, "kaiming")
    assert (model.base.bias == 0).all() and (model.norm.weight == 1).all()
    with pytest.raises(NotImplementedError, match='"normel"'):
        init_network_weights(model, "normel")


@pytest.mark.parametrize("where", ["data/0", "data.pkl"])
def test_a_flipped_bit_is_noticed(tmp_path, where):
    save(tmp_path)
    path = tmp_path / "model.pth.tar-2"
    flip_bit_of(path, where)
    with pytest.raises(CheckpointError, match="checksum of its part .*data"):
        load_checkpoint(str(path))
    with pytest.raises(CheckpointError, match="model.pth.tar-2"):
        resume_from_checkpoint(str(tmp_path), *trained(0))


@pytest.mark.parametrize("epoch", [-5, "2", 2.0, True, None, [2]])
def test_an_epoch_is_a_whole_number(tmp_path, epoch):
    save(tmp_path)
    path = tmp_path / "model.pth.tar-2"
    torch.save({**torch.load(path, weights_only=True), "epoch": epoch}, path)
    with pytest.raises(CheckpointError, match="epoch"):
        resume_from_checkpoint(str(tmp_path), *trained(0))


@pytest.mark.parametrize(("part", "state"), [("optimizer", "lost"), ("optimizer", {}), ("scheduler", 7)])
def test_a_state_of_another_kind_is_one_line(tmp_path, part, state):
    save(tmp_path, **{part: state})
    with pytest.raises(CheckpointError, match=r"another (optimizer|schedule)") as error:
        resume_from_checkpoint(str(tmp_path), *trained(0))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("pointer", ["pipe", "outside", "binary"])
def test_a_pointer_that_names_no_file_there_is_ignored(tmp_path, pointer):
    save(tmp_path / "run")
    save(tmp_path / "other", epoch=1)
    path = tmp_path / "run" / "checkpoint"
    path.unlink()
    if pointer == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(b"../other/model.pth.tar-1" if pointer == "outside" else b"\xff\0\xfe")
    assert resume_from_checkpoint(str(tmp_path / "run"), *trained(0)) == 2


def test_why_a_checkpoint_cannot_be_written_is_said(tmp_path, monkeypatch):
    def fails(state, path, **kwargs):
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")

    real = open

    def full(path, mode="r", *args, **kwargs):
        if mode == "ab":
            raise OSError(28, "No space left on device")
        return real(path, mode, *args, **kwargs)

    monkeypatch.setattr(torch, "save", fails)
    with pytest.raises(RuntimeError, match="file write failed"):
        save(tmp_path)
    monkeypatch.setattr("builtins.open", full)
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path)
    assert os.listdir(tmp_path) == []

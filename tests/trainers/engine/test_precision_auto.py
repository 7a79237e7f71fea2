"""PREC auto: what it means on a GPU and on CPUs, for which methods, in the bank and in results.json."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from dassl.config import get_cfg_default
from dassl.engine import TRAINER_REGISTRY

import trainers
from common.errors import InputError
from prompting import image_precision
from trainers.engine import image_features, image_trainer
from trainers.engine.knobs import PRECISION, check_settings, knobs_of

AUTO = ("TRAINER.SOFTCPT.PREC", "auto")


@pytest.fixture
def fast_cpu(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A CPU on which bfloat16 is fast."""
    monkeypatch.setattr(image_precision, "bfloat16_units", lambda: "amx_bf16")
    found = {"speedup": 3.0, "cosine": 0.9999, "problem": ""}
    monkeypatch.setattr(image_precision, "measure", lambda tower: found)
    return monkeypatch


@pytest.mark.parametrize("name", [n for n in TRAINER_REGISTRY.registered_names() if knobs_of(TRAINER_REGISTRY.get(n))])
def test_every_trainer_takes_every_precision(name: str) -> None:
    assert set(PRECISION.among) == set(image_precision.PRECISIONS)
    trainer: Any = TRAINER_REGISTRY.get(name)
    for value in PRECISION.among:
        cfg = get_cfg_default()
        trainers.extend_cfg(cfg)
        cfg.DATASET.NUM_SHOTS = 1
        cfg.TRAINER[trainer.section].PREC = value
        check_settings(cfg, trainer)


def test_a_run_in_bfloat16_says_so_and_has_its_own_features(workplace, fast_cpu):
    plain = workplace.run("SoftCPT", "plain")
    entries = set((workplace.output / ".bank").glob("*.features"))
    auto = workplace.run("SoftCPT", "auto", *AUTO)
    assert plain["tower"]["image_dtype"] == "float32" and auto["tower"]["image_dtype"] == "bfloat16"
    assert len(set((workplace.output / ".bank").glob("*.features"))) == 2 * len(entries) > 0
    assert len(list((workplace.output / ".bank").glob("image-precision-*.json"))) == 1
    log = (workplace.output / "auto" / "log.txt").read_text(encoding="utf-8")
    assert log.count("Images: bfloat16") == 1


def test_a_cpu_without_the_units_runs_as_by_default(workplace, monkeypatch):
    monkeypatch.setattr(image_precision, "bfloat16_units", lambda: "")
    plain = workplace.run("SoftCPT", "plain")
    entries = set((workplace.output / ".bank").iterdir())
    auto = workplace.run("SoftCPT", "auto", *AUTO)
    assert auto["tasks"] == plain["tasks"] and auto["tower"] == plain["tower"]
    assert set((workplace.output / ".bank").iterdir()) == entries  # even the features are the same


@pytest.mark.parametrize(
    ("method", "key", "dtype"),
    [
        ("LP-CLIP", "TRAINER.LINEARPROBE.PREC", torch.bfloat16),
        ("Tip-Adapter", "TRAINER.TIPADAPTER.PREC", torch.bfloat16),
        ("PLOT", "TRAINER.PLOT.PREC", torch.float32),
        ("MaPLe", "TRAINER.MAPLE.PREC", torch.float32),
        ("CLIP-LoRA", "TRAINER.CLIPLORA.PREC", torch.float32),
    ],
)
def test_methods_that_read_more_than_features_keep_float32(workplace, fast_cpu, method, key, dtype):
    depth = ("TRAINER.MAPLE.PROMPT_DEPTH", "2") if method == "MaPLe" else ()
    tower = workplace.trainer(method, key, "auto", *depth).tower
    assert (tower.dtype, tower.image_dtype) == (torch.float32, dtype)


def test_on_a_gpu_auto_is_float16(workplace, fast_cpu):
    trainer, asked = workplace.trainer("SoftCPT", *AUTO), list[tuple[str, torch.dtype]]()
    load = image_trainer.load_tower

    def pretend(name: str, device: torch.device, dtype: torch.dtype, **args: Any) -> Any:
        asked.append((device.type, dtype))
        return load(name, "cpu", dtype, **args)

    fast_cpu.setattr(image_trainer, "load_tower", pretend)
    trainer.device = torch.device("cuda")
    tower = trainer.load_tower()
    assert asked == [("cuda", torch.float16)] and tower.dtype == tower.image_dtype == torch.float16


def test_a_run_does_not_continue_with_another_precision(workplace, fast_cpu):
    workplace.killed_run("SoftCPT", "run", *AUTO, at=1)
    with pytest.MonkeyPatch.context() as elsewhere:
        elsewhere.setattr(image_precision, "bfloat16_units", lambda: "")
        with pytest.raises(InputError, match="MODEL.BACKBONE.IMAGES bfloat16, but the tower takes float32"):
            workplace.run("SoftCPT", "run", *AUTO)
    assert workplace.run("SoftCPT", "run", *AUTO)["tower"]["image_dtype"] == "bfloat16"


@pytest.mark.parametrize(("precision", "key"), [("fp16", AUTO[0]), ("fp32", ""), ("auto", "")])
def test_long_encoding_names_the_setting_unless_it_was_made(workplace, monkeypatch, precision, key):
    """The estimate is for the images that are left."""
    monkeypatch.setattr(image_precision, "bfloat16_units", lambda: "")
    seen = []
    monkeypatch.setattr(image_features, "advise", lambda tower, key, seconds: seen.append((key, seconds)))
    trainer = workplace.trainer("SoftCPT", AUTO[0], precision)
    trainer.features.batch = 2
    trainer.train()
    assert seen and all(found == key and 0 < seconds < 60 for found, seconds in seen)

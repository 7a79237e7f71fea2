"""Runs on towers that were trained to see other pixels: the same figures as on the pixels that they were made from."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from dassl.data.transforms import build_transform
from PIL import Image
from safetensors.torch import save_file

from common import notices
from common.errors import InputError
from prompting.pixels import CLIP_MEAN, CLIP_STD
from runs.run import Request, run
from tests.support.training import Workplace
from trainers.engine.views import as_tested


def rewritten(workplace: Workplace, **pixels: object) -> str:
    """The workplace's tower, made for images of half the standard deviation; and what it records."""
    state = {name: tensor.clone() for name, tensor in torch.load(workplace.checkpoint, weights_only=True).items()}
    state["visual.conv1.weight"] *= 0.5
    path = workplace.output / "rewritten.safetensors"
    path.parent.mkdir(exist_ok=True)
    recorded = {"mean": CLIP_MEAN, "std": [value / 2 for value in CLIP_STD], "interpolation": "bicubic", **pixels}
    save_file(state, path, metadata={"format": "pt", "preprocess_cfg": json.dumps(recorded)})
    return str(path)


def config(workplace: Workplace, method: str, name: str, tower: str, *words: str):
    """A run's settings without INPUT.SIZE, which the workplace gives otherwise."""
    settings = workplace.settings()
    settings.pop("INPUT.SIZE", None)
    workplace.settings = lambda epochs=3: settings  # type: ignore[method-assign]
    return workplace.config(method, name, "MODEL.BACKBONE.NAME", tower, *words)


@pytest.mark.parametrize("method", ["ZeroshotCLIP", "CoOp", "PLOT"])
def test_a_tower_made_for_other_pixels_gives_the_same_figures(workplace, method):
    first = run(config(workplace, method, "first", str(workplace.checkpoint)), Request(brief=True))
    tower = rewritten(workplace)
    second = run(config(workplace, method, "second", tower), Request(brief=True))
    for one, other in zip(first["tasks"], second["tasks"], strict=True):
        assert one["accuracy"] == other["accuracy"] and one["confusion"] == other["confusion"]
    shown = second["tower"]["shown"]
    assert np.allclose(shown["PIXEL_STD"], np.array(CLIP_STD) / 2) and shown["SIZE"] == [32, 32]
    recorded = (workplace.output / "second" / "config.yaml").read_text()
    assert str(CLIP_STD[0] / 2)[:8] in recorded
    again = run(config(workplace, method, "second", tower), Request(brief=True))
    assert again["tasks"] == second["tasks"]  # finished; the config that was written is its own


def test_settings_in_so_many_words_are_obeyed_with_a_line(workplace, capsys):
    notices._print.cache_clear()
    asked = str(list(CLIP_STD))
    cfg = config(workplace, "ZeroshotCLIP", "asked", rewritten(workplace), "INPUT.PIXEL_STD", asked)
    assert cfg.INPUT.GIVEN == "PIXEL_STD"
    results = run(cfg, Request(brief=True))
    assert results["tower"]["shown"]["PIXEL_STD"] == list(CLIP_STD) != results["tower"]["pixels"]["std"]
    assert "as the settings ask, INPUT.PIXEL_STD is" in capsys.readouterr().err
    cfg = config(workplace, "ZeroshotCLIP", "size", rewritten(workplace), "INPUT.SIZE", "(64, 64)")
    with pytest.raises(InputError, match="takes images of 32 x 32 pixels, but INPUT.SIZE is .64, 64."):
        run(cfg, Request(brief=True))


def test_a_users_own_config_is_meant_in_so_many_words(workplace, tmp_path):
    from runs.config import load_config

    own = tmp_path / "mine.yaml"
    own.write_text("INPUT:\n  INTERPOLATION: bilinear\n")
    assert load_config(workplace.declaration, "CoOp", (), own).INPUT.GIVEN == "INTERPOLATION"
    assert load_config(workplace.declaration, "CoOp", (), "rn50_ep50").INPUT.GIVEN == ""


@pytest.mark.parametrize("mode", ["squash", "longest"])
def test_towers_whose_images_are_resized_otherwise(workplace, mode):
    tower = rewritten(workplace, resize_mode=mode)
    trainer = workplace.trainer("CoOp", "MODEL.BACKBONE.NAME", tower)
    view = trainer.test_loader.dataset.transform
    picture = Image.fromarray(np.full((20, 40, 3), 255, np.uint8))
    seen = view(picture)
    assert seen.shape == (3, 32, 32)
    white = (1 - torch.tensor(CLIP_MEAN)) / (torch.tensor(CLIP_STD) / 2)
    black = -torch.tensor(CLIP_MEAN) / (torch.tensor(CLIP_STD) / 2)
    torch.testing.assert_close(seen[:, 16, 16], white, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(seen[:, 2, 16], white if mode == "squash" else black, rtol=1e-5, atol=1e-5)
    results = run(trainer.cfg, Request(brief=True))
    assert results["tower"]["pixels"]["resize_mode"] == mode


def test_the_view_of_a_tower_equals_openclips(workplace):
    open_clip = pytest.importorskip("open_clip")
    cfg = workplace.config("CoOp")
    noise = np.random.default_rng(0).integers(0, 255, (50, 37, 3)).astype(np.uint8)
    for mode in ("shortest", "squash", "longest"):
        theirs = open_clip.image_transform(32, is_train=False, mean=CLIP_MEAN, std=CLIP_STD, resize_mode=mode)
        picture = Image.fromarray(noise)
        torch.testing.assert_close(as_tested(cfg, mode)(picture), theirs(picture), rtol=1e-3, atol=1e-3)
    views = [repr(as_tested(cfg, mode)) for mode in ("shortest", "squash", "longest")]
    assert len(set(views)) == 3 and views[0] == repr(build_transform(cfg, is_train=False))  # the bank's keys have them


def test_a_run_does_not_continue_with_other_pixels(workplace):
    """Whatever changed them: settings, or what lies beside the tower."""
    tower = str(workplace.checkpoint)
    first = run(config(workplace, "CoOp", "one", tower, "INPUT.INTERPOLATION", "bilinear"), Request(brief=True))
    with pytest.raises(InputError, match="begun with INPUT.INTERPOLATION bilinear, and now it follows the tower"):
        run(config(workplace, "CoOp", "one", tower), Request(brief=True))
    again = config(workplace, "CoOp", "one", tower, "INPUT.INTERPOLATION", "bilinear", "INPUT.SIZE", "(32, 32)")
    assert run(again, Request(brief=True))["tasks"] == first["tasks"]  # the same pixels, however they are given
    folder = workplace.output / "one"
    path, before = folder / "config.yaml", (folder / "config.yaml").read_text()
    (folder / "results.json").unlink()
    path.write_text(before.replace("- 0.48145466", "- 0.25"))
    with pytest.raises(InputError, match="begun with INPUT.PIXEL_MEAN .0.25, .*but the tower takes"):
        run(config(workplace, "CoOp", "one", tower, "INPUT.INTERPOLATION", "bilinear"), Request(brief=True))
    with pytest.raises(InputError, match="INPUT.GIVEN is filled in"):
        config(workplace, "CoOp", "one", tower, "INPUT.GIVEN", "SIZE")


def test_a_runs_recorded_config_asks_for_the_same_run(workplace):
    tower = rewritten(workplace)
    first = run(config(workplace, "CoOp", "one", tower), Request(brief=True))
    from runs.config import load_config

    places = [("OUTPUT_DIR", workplace.output / "one"), ("DATASET.ROOT", workplace.root), ("SEED", 1)]
    cfg = load_config(workplace.declaration, "CoOp", places, workplace.output / "one" / "config.yaml")
    assert run(cfg, Request(brief=True))["tasks"] == first["tasks"]

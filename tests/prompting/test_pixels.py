"""A run shows a tower the pixels that it was trained on, or those that are asked for explicitly."""

import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from common import notices
from common.errors import InputError
from common.paths import REPOSITORY
from prompting.pixels import CLIP_MEAN, CLIP_STD, Preprocessing, check_pixels, from_tower, preprocessing_of
from prompting.towers import load_tower
from tests.support.towers import random_clip

OPENAI = Preprocessing(224, source="as in OpenAI's models")


def run(**changes):
    settings = dict(
        SIZE=(224, 224),
        PIXEL_MEAN=list(CLIP_MEAN),
        PIXEL_STD=list(CLIP_STD),
        INTERPOLATION="bicubic",
        TRANSFORMS=("random_flip", "normalize"),
    )
    return SimpleNamespace(**{**settings, **changes})


@pytest.mark.parametrize("settings", [run(), run(PIXEL_MEAN=[0.4815, 0.4578, 0.4082])])
def test_openais_pixels_pass(settings, capsys):
    check_pixels("RN50", OPENAI, settings)
    check_pixels("clip.pt", Preprocessing(224), settings)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (dict(SIZE=(64, 64)), ['INPUT.SIZE "(224, 224)"']),
        (dict(SIZE=(224, 64)), ['INPUT.SIZE "(224, 224)"']),
        (dict(PIXEL_MEAN=[0.0, 0.0, 0.0]), ['INPUT.PIXEL_MEAN "[0.48145466, 0.4578275, 0.40821073]"']),
        (dict(PIXEL_STD=[0.229, 0.224, 0.225]), ['INPUT.PIXEL_STD "[0.26862954, 0.26130258, 0.27577711]"']),
        (dict(INTERPOLATION="bilinear"), ["INPUT.INTERPOLATION bicubic"]),
        (dict(TRANSFORMS=("random_flip",)), ['INPUT.TRANSFORMS \'["random_flip","normalize"]\'']),
        (
            dict(SIZE=(64, 64), PIXEL_MEAN=[0.5] * 3, INTERPOLATION="nearest"),
            ['INPUT.SIZE "(224, 224)"', "INPUT.PIXEL_MEAN ", "INPUT.INTERPOLATION bicubic"],
        ),
    ],
)
def test_each_difference_is_refused_with_what_to_set(changes, named):
    with pytest.raises(InputError) as caught:
        check_pixels("RN50", OPENAI, run(**changes))
    takes, _, sets = str(caught.value).partition("; set ")
    assert all(setting in sets for setting in named) and sets.count("INPUT.") == len(named)
    assert takes.startswith("RN50 takes ") and all(setting.split(" ")[0] in takes for setting in named)


def test_a_tower_with_other_pixels_takes_them_and_refuses_openais():
    mobile = Preprocessing(224, (0.0,) * 3, (1.0,) * 3, "bilinear", source="as the tag says")
    check_pixels("m", mobile, run(PIXEL_MEAN=[0.0] * 3, PIXEL_STD=[1.0] * 3, INTERPOLATION="bilinear"))
    check_pixels("m", mobile, run(TRANSFORMS=(), INTERPOLATION="bilinear"))  # not normalised is mean 0, std 1
    with pytest.raises(InputError) as caught:
        check_pixels("m", mobile, run())
    sets = 'INPUT.PIXEL_MEAN "[0.0, 0.0, 0.0]" INPUT.PIXEL_STD "[1.0, 1.0, 1.0]" INPUT.INTERPOLATION bilinear'
    assert sets in str(caught.value) and "as the tag says" in str(caught.value)


def test_settings_follow_the_tower_unless_they_are_given(capsys):
    notices._print.cache_clear()
    mobile = Preprocessing(256, (0.0,) * 3, (1.0,) * 3, "bilinear", source="as the tag says")
    pixels = {"PIXEL_MEAN": [0.0] * 3, "PIXEL_STD": [1.0] * 3, "INTERPOLATION": "bilinear"}
    assert from_tower(mobile, ()) == {"SIZE": (256, 256), **pixels}
    assert from_tower(mobile, ("SIZE", "PIXEL_STD", "PIXEL_MEAN")) == {"INTERPOLATION": "bilinear"}
    assert from_tower(Preprocessing(64), ()) == {"SIZE": (64, 64)}  # no more is recorded
    settings = run(SIZE=(256, 256), PIXEL_STD=[1.0] * 3, INTERPOLATION="bilinear")
    check_pixels("m", mobile, settings, ("PIXEL_MEAN",))
    said = capsys.readouterr().err
    assert "m takes mean [0.0, 0.0, 0.0] (as the tag says), but as the settings ask, INPUT.PIXEL_MEAN is" in said
    assert said.count("\n") == 1
    with pytest.raises(InputError, match="INPUT.SIZE"):  # which the tower cannot take
        check_pixels("m", mobile, run(SIZE=(224, 224)), ("SIZE", "PIXEL_MEAN", "PIXEL_STD", "INTERPOLATION"))


def test_what_is_not_recorded_is_the_users_choice_and_said(capsys):
    notices._print.cache_clear()
    check_pixels("clip.pt", Preprocessing(224), run(PIXEL_MEAN=[0.0] * 3, PIXEL_STD=[1.0] * 3))
    out = capsys.readouterr().err
    assert "clip.pt" in out and "INPUT.PIXEL_MEAN is [0.0, 0.0, 0.0]" in out and out.count("\n") == 1
    with pytest.raises(InputError, match="INPUT.SIZE"):  # the weights have the size
        check_pixels("clip.pt", Preprocessing(224), run(SIZE=(64, 64)))


def test_configs_of_openclip():
    config = {"size": (256, 256), "mean": [0.5] * 3, "std": 0.5, "interpolation": "random", "resize_mode": "squash"}
    assert preprocessing_of("x", config, "s") == Preprocessing(256, (0.5,) * 3, (0.5,) * 3, "bicubic", "squash", "s")
    assert preprocessing_of("x", {"size": 64, "mean": None}, "") == Preprocessing(64)
    with pytest.raises(InputError, match="336 x 224"):
        preprocessing_of("x", {"size": (224, 336)}, "s")
    with pytest.raises(InputError, match="'mean' has 1 values"):
        preprocessing_of("x", {"size": 224, "mean": [0.5]}, "s")


def test_what_checkpoints_record(tmp_path):
    """Recorded in the file or next to it; garden_clip's own layout is OpenAI's; else assumed."""
    state, other = random_clip(2).state_dict(), {"mean": [0, 0, 0], "std": [1, 1, 1], "interpolation": "bilinear"}
    recorded = Preprocessing(32, (0.0,) * 3, (1.0,) * 3, "bilinear")
    torch.save({"state_dict": state, "preprocess_cfg": other}, tmp_path / "pt.pt")
    save_file(state, tmp_path / "meta.safetensors", metadata={"format": "pt", "preprocess_cfg": json.dumps(other)})
    torch.save(state, tmp_path / "none.pt")
    for name in ("pt.pt", "meta.safetensors"):
        found = load_tower(str(tmp_path / name)).preprocessing
        assert found.source and Preprocessing(*list(vars(found).values())[:5]) == recorded
    assert load_tower(str(tmp_path / "none.pt")).preprocessing == Preprocessing(32)
    garden = load_tower(str(REPOSITORY / "models/garden_clip/garden_clip.safetensors")).preprocessing
    assert garden == Preprocessing(64, source="as in OpenAI's models")

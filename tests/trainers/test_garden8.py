"""The default, for real: Garden-8 is drawn, the small CLIP is loaded, and its card's figures are checked."""

import re
from pathlib import Path

import pytest

from common.paths import REPOSITORY
from runs.config import load_config
from runs.run import Request
from runs.run import run as run_here


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("garden")


def run(place: Path, method: str, *pairs: tuple[str, str]) -> dict:
    folders = [("DATASET.ROOT", place / "data"), ("OUTPUT_DIR", place / method), ("BANK.DIR", place / "bank")]
    return run_here(
        load_config("garden8", method, [*folders, ("SEED", 1), *pairs], "garden_vit_ep50"), Request(brief=True)
    )


def test_zero_shot_is_what_the_model_card_says(place):
    results = run(place, "ZeroshotCLIP")
    assert results["counts"]["tasks"] == 8 and results["counts"]["classes"] == 63
    assert 35 < results["mean"] < 75
    card = (REPOSITORY / "models/garden_clip/README.md").read_text(encoding="utf-8")
    for task in results["tasks"]:
        stated = re.search(rf"^\| {task['name']} \| {task['classes']} \| ([\d.]+) \|", card, re.M)
        # Another version of Pillow or PyTorch may change the class of a picture or two out of some two hundred.
        assert task["accuracy"] == pytest.approx(float(stated.group(1)), abs=1.6), task["name"]


def test_softcpt_learns_from_few_shots(place):
    results = run(place, "SoftCPT-NATA", ("DATASET.NUM_SHOTS", "4"), ("OPTIM.MAX_EPOCH", "12"))
    assert results["counts"]["trainable_parameters"] == 128 * 16 * 128 + 4 * 128
    assert results["counts"]["train_images"] == 4 * 63
    colour = next(task for task in results["tasks"] if task["name"] == "petal colour")
    assert colour["accuracy"] > 60  # zero-shot: 55.7

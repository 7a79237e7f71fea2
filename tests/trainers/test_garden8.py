"""The embedded default, for real: the collection is drawn, the small CLIP is loaded, and its card tells the truth."""

import re
from pathlib import Path

import pytest

import train
from trainers.engine.base import REPOSITORY


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("garden")


def run(place: Path, trainer: str, *opts: str) -> dict:
    return train.run(
        [
            *("--root", str(place / "data"), "--output-dir", str(place / trainer), "--trainer", trainer, "--seed", "1"),
            *("--dataset-config-file", str(REPOSITORY / "configs/datasets/garden8.yaml")),
            *("--config-file", str(REPOSITORY / f"configs/trainers/{trainer}/garden_vit_ep50.yaml")),
            *("BANK.DIR", str(place / "bank")),
            *opts,
        ],
        brief=True,
    )


def test_zero_shot_is_what_the_model_card_says(place):
    results = run(place, "ZeroshotCLIP")
    assert results["counts"]["tasks"] == 8 and results["counts"]["classes"] == 63
    assert 35 < results["mean"] < 75
    card = (REPOSITORY / "models/garden_clip/README.md").read_text(encoding="utf-8")
    for task in results["tasks"]:
        said = re.search(rf"^\| {task['name']} \| {task['classes']} \| ([\d.]+) \|", card, re.M)
        # Another version of Pillow or PyTorch may turn a picture or two out of some two hundred.
        assert task["accuracy"] == pytest.approx(float(said.group(1)), abs=1.6), task["name"]


def test_softcpt_learns_from_few_shots(place):
    results = run(place, "SoftCPT", "DATASET.NUM_SHOTS", "4", "OPTIM.MAX_EPOCH", "12")
    assert results["counts"]["trainable_parameters"] == 128 * 16 * 128 + 4 * 128
    assert results["counts"]["train_images"] == 4 * 63
    colour = next(task for task in results["tasks"] if task["name"] == "petal colour")
    assert colour["accuracy"] > 60  # zero-shot: 55.7

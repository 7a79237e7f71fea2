"""Zero-shot CLIP and its ensemble by hand."""

import pytest
import torch
import torch.nn.functional as F

from common.errors import InputError
from prompting.losses import within_task
from prompting.prompts import sentence
from prompting.reference import encode_plain
from prompting.templates import IMAGENET, template_features
from tests.support.methods import handwritten

ENSEMBLE = ("TRAINER.ZEROSHOT.TEMPLATES", "imagenet")


def class_features(trainer, x):
    """(n_classes, d) text features, from the logits of enough random images of each task."""
    rows = []
    for task in range(len(trainer.layout)):
        logits = trainer.classifier()(x, torch.full((len(x),), task)) / trainer.tower.logit_scale
        classes = trainer.layout.classes_of(task)
        rows.append(torch.linalg.lstsq(x, logits[:, classes.start : classes.stop]).solution.t())
    return torch.cat(rows)


def images(dtype):
    torch.manual_seed(2)
    return F.normalize(torch.randn(200, 48, dtype=dtype), dim=1)


def test_the_ensemble_averages_normalised_features(workplace, tower64):
    trainer = workplace.trainer("ZeroshotCLIP", *ENSEMBLE)
    trainer.tower, text = tower64, tower64.text
    got = class_features(trainer, images(torch.float64))
    assert len(set(IMAGENET)) == 7
    for flat, task in enumerate(trainer.layout.task_of_class.tolist()):
        name = trainer.layout.classnames[flat].replace("_", " ")
        said = [t.format(name) for t in (*IMAGENET, trainer.layout.tasks[task].template)]
        each = F.normalize(encode_plain(text, [sentence(text.vocabulary, s) for s in said], None), dim=1)
        torch.testing.assert_close(got[flat], F.normalize(each.mean(0), dim=0), rtol=1e-9, atol=1e-9)


def test_the_classes_of_a_task_have_its_template(workplace, tower64):
    trainer = workplace.trainer("ZeroshotCLIP")
    trainer.tower, text, layout = tower64, tower64.text, trainer.layout
    expected = handwritten(layout, text)
    torch.testing.assert_close(class_features(trainer, images(torch.float64)), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(template_features(text, layout), expected, rtol=1e-9, atol=1e-9)


def test_handwritten_features_of_other_methods_are_those_of_zero_shot_clip(workplace, tower):
    zero_shot, kgcoop = workplace.trainer("ZeroshotCLIP"), workplace.trainer("KgCoOp")
    x, task = images(torch.float32)[:2], torch.tensor([0, 1])
    expected = within_task(kgcoop.logits(x, kgcoop.handwritten_features), task, kgcoop.task_of_class)
    got = within_task(zero_shot.classifier()(x, task), task, zero_shot.task_of_class)
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(
        kgcoop.handwritten_features, handwritten(kgcoop.layout, tower.text), rtol=1e-4, atol=1e-5
    )


def test_it_needs_no_training_and_no_shots(workplace):
    results = workplace.run("ZeroshotCLIP", "run", "DATASET.NUM_SHOTS", "-1")
    assert results["counts"]["trainable_parameters"] == 0 and results["seconds"]["train"] == 0
    again = workplace.run("ZeroshotCLIP", "other", "DATASET.NUM_SHOTS", "-1")
    differs = {"seconds", "sha256"}  # the record's checksum covers the seconds
    first, second = ({key: value for key, value in run.items() if key not in differs} for run in (results, again))
    assert first == second


def test_an_ensemble_run_with_and_without_the_bank(workplace):
    results = workplace.run("ZeroshotCLIP-ensemble", "run")
    bankless = workplace.run("ZeroshotCLIP-ensemble", "bankless", "BANK.TEST", "False", "BANK.TRAIN", "False")
    assert bankless["mean"] == pytest.approx(results["mean"], abs=7)  # an image may fall on the other side


def test_bad_settings_are_one_line(workplace):
    with pytest.raises(InputError, match="did you mean 'imagenet'") as error:
        workplace.run("ZeroshotCLIP", "run", "TRAINER.ZEROSHOT.TEMPLATES", "imagnet")
    assert "\n" not in str(error.value)

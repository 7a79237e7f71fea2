"""Several seeds as one classifier, streams of photos, and pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from dassl.data.transforms import build_transform
from PIL import Image

from classifier import Classifier
from classifier.heads import LinearHead
from common.errors import InputError
from prompting.losses import unit
from prompting.photographs import read_image
from prompting.views import images_at_a_time, shown
from tests.support.finished import Finished
from tests.support.training import Workplace
from trainers.engine.views import as_tested, shown_in_tests


@pytest.mark.parametrize("method", ["CoOp-CA", "SoftCPT-NATA", "TaskRes"])
def test_seeds_are_the_mean_of_their_class_features(finished: Callable[..., Finished], method: str) -> None:
    runs = [finished(method, seed) for seed in (1, 2)]
    together = Classifier.load(*(run.folder for run in runs))
    (head,) = together.heads
    assert isinstance(head, LinearHead)
    first, second = (run.head.weight for run in runs)
    assert not torch.allclose(first, second)
    torch.testing.assert_close(head.weight, unit((first + second) / 2))
    images = [read_image(path) for path in runs[0].images]
    x = together.tower.encode_image(torch.stack([together.view(image) for image in images]))
    for number, answers in enumerate(together.predict(images).per_task):
        rows = together.layout.classes_of(number)
        temperatures = [run.results["tasks"][number]["temperature"] for run in runs]
        temperature = math.prod(temperatures) ** 0.5
        assert together.temperatures[0][number] == pytest.approx(temperature)
        logits = together.tower.logit_scale * x @ head.weight[rows.start : rows.stop].t()
        expected = (logits / temperature).softmax(1)
        torch.testing.assert_close(answers.probabilities, expected, rtol=1e-4, atol=1e-5)
    assert len(together.bundles) == 2


@pytest.mark.parametrize("method", ["LP-CLIP", "ProtoNet", "LPPlusPlus", "Tip-Adapter", "MaPLe", "PLOT"])
def test_seeds_are_else_the_mean_of_their_probabilities(finished: Callable[..., Finished], method: str) -> None:
    runs = [finished(method, seed) for seed in (1, 2)]
    images = [read_image(path) for path in runs[0].images[:6]]
    alone = [Classifier.load(run.folder).predict(images) for run in runs]
    together = Classifier.load(*(run.folder for run in runs)).predict(images)
    for got, first, second in zip(together.per_task, alone[0].per_task, alone[1].per_task, strict=True):
        assert not torch.allclose(first.probabilities, second.probabilities)
        expected = (first.probabilities + second.probabilities) / 2
        torch.testing.assert_close(got.probabilities, expected, rtol=1e-4, atol=1e-6)


def test_one_seed_twice_is_refused(finished: Callable[..., Finished]) -> None:
    folder = finished("CoOp-CA").folder
    with pytest.raises(InputError, match="are both seed 1; give one of them") as caught:
        Classifier.load(folder, folder)
    assert "\n" not in str(caught.value)


def test_several_seeds_are_not_weighed_again(finished: Callable[..., Finished], tmp_path: Path) -> None:
    """A classifier of seeds 1 and 2 beside seed 3 would give seed 3 half of the weight."""
    Classifier.load(*(finished("CoOp-CA", seed).folder for seed in (1, 2))).save(tmp_path / "two")
    with pytest.raises(InputError, match="two has several seeds already"):
        Classifier.load(tmp_path / "two", finished("CoOp-CA", 3).folder)


def test_runs_with_other_settings_are_not_one_classifier(finished: Callable[..., Finished]) -> None:
    other = finished("CoOp-CA", 2, ("TRAINER.COOP.N_CTX", "4"))
    with pytest.raises(InputError, match="other settings of CoOp-CA"):
        Classifier.load(finished("CoOp-CA").folder, other.folder)
    fewer = finished("CoOp-CA", 2, ("DATASET.NUM_SHOTS", "1"))
    with pytest.raises(InputError, match="another shot, 2 and 1"):
        Classifier.load(finished("CoOp-CA").folder, fewer.folder)


def test_a_stream_keeps_the_order_and_little_else(finished: Callable[..., Finished]) -> None:
    run = finished("CoOp-CA")
    classifier = Classifier.load(run.folder)
    size = images_at_a_time(torch.device("cpu"), 32)
    taken = []

    def photos():
        for number in range(3 * size + 1):
            taken.append(number)
            yield number, run.images[number % len(run.images)]

    whole = classifier.predict([read_image(path) for path in run.images])
    count = 0
    for (number, path), answers in classifier.stream(photos(), lambda photo: read_image(photo[1])):
        assert number == count and len(taken) <= number + 2 * size + size  # no more than the next batch is open
        for one, all_ in zip(answers.per_task, whole.per_task, strict=True):
            expected = all_.probabilities[run.images.index(path)]
            torch.testing.assert_close(one.probabilities[0], expected, rtol=1e-4, atol=1e-5)
        count += 1
    assert count == 3 * size + 1


def test_photos_that_cannot_be_read(finished: Callable[..., Finished], tmp_path: Path) -> None:
    run = finished("CoOp-CA")
    (tmp_path / "empty.jpg").touch()
    photos = [run.images[0], str(tmp_path / "empty.jpg"), run.images[1], str(tmp_path / "gone.jpg")]
    classifier, refused = Classifier.load(run.folder), []
    found = [photo for photo, _ in classifier.stream(photos, read_image, refused=lambda *pair: refused.append(pair))]
    assert found == [run.images[0], run.images[1]] and [photo for photo, _ in refused] == [photos[1], photos[3]]
    assert all(isinstance(error, InputError) and photo in str(error) for photo, error in refused)
    with pytest.raises(InputError, match="empty.jpg"):
        list(classifier.stream(photos, read_image))


def test_images_that_are_not_rgb_or_too_narrow(finished: Callable[..., Finished]) -> None:
    run = finished("CoOp-CA")
    classifier, image = Classifier.load(run.folder), read_image(run.images[0]).convert("L")
    expected, got = (classifier.predict([one]).per_task[0] for one in (image.convert("RGB"), image))
    assert torch.equal(got.probabilities, expected.probabilities)
    classifier.predict([Image.new("RGB", (1000, 1)), Image.new("RGB", (1, 1000)), Image.new("RGB", (1, 1))])
    with pytest.raises(InputError, match="1 x 50000 pixels"):
        classifier.predict([Image.new("RGB", (1, 50_000))])


def test_some_tasks_alone(finished: Callable[..., Finished]) -> None:
    run = finished("MaPLe")
    classifier = Classifier.load(run.folder)
    images = [read_image(path) for path in run.images[:3]]
    whole, part = classifier.predict(images), classifier.predict(images, tasks=[1])
    (answers,) = part.per_task
    assert answers.task is classifier.tasks[1]
    torch.testing.assert_close(answers.probabilities, whole.per_task[1].probabilities)


def test_no_images_and_margins(finished: Callable[..., Finished]) -> None:
    run = finished("CoOp-CA")
    classifier = Classifier.load(run.folder)
    nothing = classifier.predict([])
    assert len(nothing) == 0 and [p.classes() for p in nothing.per_task] == [[], []]
    assert nothing.per_task[0].margin.shape == (0,)
    answers = classifier.predict(map(read_image, run.images[:3])).per_task[0]
    for row, margin in zip(answers.classes(2), answers.margin.tolist(), strict=True):
        assert row[0][1] - row[1][1] == pytest.approx(margin, abs=1e-6) and margin >= 0
    assert [len(row) for row in answers.classes(99)] == [3, 3, 3]


@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
@pytest.mark.parametrize("transforms", ['["normalize"]', "[]", '["normalize", "instance_norm"]'])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "nearest"])
def test_pixels_are_those_of_a_test(place: Workplace, mode: str, transforms: str, interpolation: str) -> None:
    words = ("INPUT.TRANSFORMS", transforms, "INPUT.INTERPOLATION", interpolation)
    cfg = place.config("CoOp", "run", *words)
    recorded = shown(shown_in_tests(cfg, mode).recorded())
    assert recorded == shown_in_tests(cfg, mode)
    for size in ((41, 70), (70, 41), (32, 32), (9, 300)):
        image = Image.effect_noise(size, 80).convert("RGB")
        assert torch.equal(recorded.view()(image), as_tested(cfg, mode)(image))
        if mode == "shortest":
            expected = build_transform(cfg, is_train=False)
            assert expected is not None and torch.equal(recorded.view()(image), expected(image))


def test_an_evaluation_leaves_a_classifier_of_the_tasks_that_it_tested(
    finished: Callable[..., Finished], place: Workplace
) -> None:
    run = finished("SoftCPT-NATA")
    results = place.evaluate("SoftCPT-NATA-1", "SoftCPT-NATA", "one", "DATASET.SUBSAMPLE_TASKS", "task0", epochs=2)
    classifier = Classifier.load(place.output / "one")
    assert [task.name for task in classifier.tasks] == [task["name"] for task in results["tasks"]]
    assert len(classifier.tasks) == 1 and classifier.bundles[0].record["evaluated"] == str(run.folder)

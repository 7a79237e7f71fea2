"""Every method of the catalogue: its run's folder classifies the test images as the run's test did."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from classifier import Classifier
from classifier.bundle import read_bundle
from classifier.heads import KINDS, head_of
from common.catalogue import METHODS
from common.errors import InputError
from prompting import image_precision
from prompting.photographs import read_image
from tests.support.finished import Finished
from tests.support.training import Workplace
from trainers.coop import CoOp
from trainers.engine.task_trainer import TaskTrainer


@pytest.fixture(scope="module", params=list(METHODS))
def run(request: pytest.FixtureRequest, finished: Callable[..., Finished]) -> Finished:
    return finished(request.param)


def test_it_predicts_what_the_run_tested(run: Finished) -> None:
    check_predictions(run)


def check_predictions(run: Finished) -> None:
    """Assert that each image has the same class as in the run's test, with the same confidence; so accuracies agree."""
    classifier = Classifier.load(run.folder)
    answers = classifier.predict(map(read_image, run.images))
    layout = classifier.layout
    assert [task.name for task in classifier.tasks] == [task["name"] for task in run.results["tasks"]]
    for index, (task, result) in enumerate(zip(answers.per_task, run.results["tasks"], strict=True)):
        mine = layout.task_of_class[run.label] == index
        probabilities, start = task.probabilities[mine], layout.offsets[index]
        predicted, true = probabilities.argmax(1), run.label[mine] - start
        assert torch.equal(predicted, run.predicted[mine] - start)
        torch.testing.assert_close(probabilities.amax(1), run.confidence[mine], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(probabilities.sum(1), torch.ones(len(true)))
        confusion = Counter(zip(true.tolist(), predicted.tolist(), strict=True))
        assert confusion == {(t, p): count for t, p, count in result["confusion"]} and mine.any()
        names = [row[0][0] for row in task.classes()]
        assert [task.task.classnames.index(name) for name in names] == task.probabilities.argmax(1).tolist()


def test_one_image_at_a_time_gives_the_same(run: Finished) -> None:
    """An answer does not depend on the images beside it."""
    classifier = Classifier.load(run.folder)
    whole = classifier.predict(map(read_image, run.images[:5]))
    for number, path in enumerate(run.images[:5]):
        alone = classifier.predict([read_image(path)])
        for got, expected in zip(alone.per_task, whole.per_task, strict=True):
            wanted = expected.probabilities[number : number + 1]
            torch.testing.assert_close(got.probabilities, wanted, rtol=1e-4, atol=1e-5)


def test_a_head_survives_its_state(run: Finished) -> None:
    values, tensors = run.head.state()
    assert KINDS[values["kind"]] is type(run.head) and json.loads(json.dumps(values)) == values
    tower = Classifier.load(run.folder).tower
    again, read = head_of(run.head.layout, values, tensors, tower).state()
    assert again == values and read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensor) and read[name].dtype == tensor.dtype for name, tensor in tensors.items())


def test_a_bundle_says_what_was_measured(run: Finished) -> None:
    record = read_bundle(run.folder).record
    assert (record["method"], record["seeds"]) == (run.results["method"], [1])
    for told, result in zip(record["tasks"], run.results["tasks"], strict=True):
        assert all(told[key] == result[key] for key in ("name", "metric", "accuracy", "confusion", "classnames"))
    assert record["pixels"]["size"] == [32, 32] and record["shots"] == 2


VARIANTS = [
    ("ProtoNet", ("TRAINER.PROTONET.DISTANCE", "cosine")),
    ("CLIP-LoRA", ("TRAINER.CLIPLORA.ENCODER", "text")),
    ("CLIP-LoRA", ("TRAINER.CLIPLORA.ENCODER", "vision", "TRAINER.CLIPLORA.RANK", "3")),
    ("CoCoOp", ("TRAINER.COCOOP.CTX_INIT", "", "TRAINER.COCOOP.N_CTX", "3")),
    ("CLIP-Adapter", ("TRAINER.CLIPADAPTER.RATIO", "0.6", "TRAINER.CLIPADAPTER.REDUCTION", "3")),
    ("PromptSRC", ("TRAINER.PROMPTSRC.PROMPT_DEPTH_VISION", "1", "TRAINER.PROMPTSRC.N_CTX_VISION", "1")),
    ("PLOT", ("TRAINER.PLOT.N", "1", "TRAINER.PLOT.EPS", "1.0")),
    ("CoOp-CA", ("TEST.FINAL_MODEL", "best_val")),
    ("CoOp-CA", ("BANK.TEST", "False")),
    ("CoOp-CA", ("INPUT.INTERPOLATION", "bilinear", "INPUT.TRANSFORMS", '["normalize"]')),
    ("TaskRes", ("TRAINER.TASKRES.PREC", "bf16")),
    ("MaPLe", ("TRAINER.MAPLE.PREC", "bf16")),
]


@pytest.mark.parametrize(
    ("method", "words"), VARIANTS, ids=lambda value: value[-1] if isinstance(value, tuple) else value
)
def test_other_settings(finished: Callable[..., Finished], method: str, words: tuple[str, ...]) -> None:
    check_predictions(finished(method, 1, words))


@pytest.mark.parametrize("method", ["SoftCPT-NATA", "PLOT", "Tip-Adapter", "CLIP-LoRA"])
def test_a_resnet(finished: Callable[..., Finished], resnet: Path, method: str) -> None:
    """With images of another size; CLIP-LoRA changes its text tower alone."""
    words: tuple[str, ...] = ("MODEL.BACKBONE.NAME", str(resnet), "INPUT.SIZE", "(64, 64)")
    words += ("TRAINER.CLIPLORA.ENCODER", "text") if method == "CLIP-LoRA" else ()
    run = finished(method, 1, words)
    check_predictions(run)
    assert read_bundle(run.folder).pixels.size == (64, 64)


def test_images_in_bfloat16_where_that_was_faster(
    finished: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PREC auto: the recorded choice is taken, whatever a measurement here would say."""
    with monkeypatch.context() as patch:
        patch.setattr(image_precision, "bfloat16_units", lambda: "amx_bf16")
        patch.setattr(image_precision, "measure", lambda tower: {"speedup": 3.0, "cosine": 1.0, "problem": ""})
        run = finished("SoftCPT-NATA", 1, ("TRAINER.SOFTCPT.PREC", "auto"))
    assert run.results["tower"]["image_dtype"] == "bfloat16"
    check_predictions(run)
    tower = Classifier.load(run.folder).tower
    assert (tower.dtype, tower.image_dtype) == (torch.float32, torch.bfloat16)


def test_the_run_of_a_gpu_is_read_in_float32(place: Workplace) -> None:
    """A tower in float16, whose weights are compared in float16 before it is loaded as a CPU computes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trainers.engine.image_trainer.dtype_of", lambda *_: torch.float16)
        place.run("CoOp-CA", "half", epochs=1)
    tower = read_bundle(place.output / "half").tower
    assert (tower.precision, tower.dtype, tower.image_dtype) == ("fp16", "float16", "float16")
    classifier = Classifier.load(place.output / "half")
    assert classifier.tower.dtype == torch.float32


def test_a_method_with_logits_of_its_own_leaves_no_classifier(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a plug-in that changes how classes are compared, and has no head: it is tested as it says."""

    def negated(self: CoOp, image_features: Tensor, text_features: Tensor) -> Tensor:
        return -TaskTrainer.logits(self, image_features, text_features)

    plain = place.run("CoOp-CA", "plain", epochs=1)
    monkeypatch.setattr(CoOp, "logits", negated, raising=False)
    results = place.run("CoOp-CA", "own", epochs=1)
    assert results["finished"] and results["tasks"] != plain["tasks"]
    with pytest.raises(InputError, match="no classifier.json"):
        Classifier.load(place.output / "own")

"""Results compared with figures calculated by hand."""

from __future__ import annotations

import os

import pytest
import torch
from dassl.config import get_cfg_default
from dassl.evaluation import EvaluatorBase, build_evaluator
from dassl.evaluation.evaluator import confusion_matrix, macro_f1_score
from dassl.metrics import compute_accuracy, compute_ci95, compute_distance_matrix
from torch.nn import functional as F

TRUE = [0, 0, 0, 1, 1, 2]
PRED = [0, 0, 1, 1, 3, 0]  # class 3 is predicted but never true


def test_macro_f1_by_hand():
    # class 0: 2 hits, 3 predicted, 3 true: 4/6; class 1: 1 hit, 2 predicted, 2 true: 2/4; class 2: no hit: 0
    assert macro_f1_score(TRUE, PRED) == pytest.approx((4 / 6 + 2 / 4 + 0) / 3)


def test_confusion_matrix_by_hand():
    assert confusion_matrix(TRUE, PRED) == pytest.approx(
        torch.tensor([[2 / 3, 1 / 3, 0, 0], [0, 1 / 2, 0, 1 / 2], [1, 0, 0, 0], [0, 0, 0, 0]]).double().numpy()
    )


def evaluator(tmp_path, **test):
    cfg = get_cfg_default()
    cfg.OUTPUT_DIR = str(tmp_path)
    cfg.TEST.update(test)
    built = build_evaluator(cfg, lab2cname={0: "red", 1: "green", 2: "blue"})
    for rows in (slice(0, 4), slice(4, 6)):
        built.process(F.one_hot(torch.tensor(PRED[rows]), 4).float(), torch.tensor(TRUE[rows]))
    return built


def test_classification_prints_and_returns(tmp_path, capsys):
    results = evaluator(tmp_path, PER_CLASS_RESULT=True, COMPUTE_CMAT=True).evaluate()
    assert list(results) == ["accuracy", "error_rate", "macro_f1", "perclass_accuracy"]
    assert results["accuracy"] == 50.0 and results["error_rate"] == 50.0
    assert results["macro_f1"] == pytest.approx(100 * 7 / 18)
    assert results["perclass_accuracy"] == pytest.approx((200 / 3 + 50 + 0) / 3)
    assert all(type(value) is float for value in results.values())
    assert capsys.readouterr().out.splitlines() == [
        "Loading evaluator: Classification",
        "=> result",
        "* total: 6",
        "* correct: 3",
        "* accuracy: 50.0%",
        "* error: 50.0%",
        "* macro_f1: 38.9%",
        "=> per-class result",
        "* class: 0 (red)\ttotal: 3\tcorrect: 2\tacc: 66.7%",
        "* class: 1 (green)\ttotal: 2\tcorrect: 1\tacc: 50.0%",
        "* class: 2 (blue)\ttotal: 1\tcorrect: 0\tacc: 0.0%",
        "* average: 38.9%",
        f"Confusion matrix is saved to {tmp_path}/cmat.pt",
    ]
    matrix = torch.load(os.path.join(tmp_path, "cmat.pt"), weights_only=True)
    assert matrix[0, 1].item() == pytest.approx(1 / 3)


def test_reset_discards_batches(tmp_path):
    built = evaluator(tmp_path)
    built.reset()
    with pytest.raises(ValueError, match="no batch"):
        built.evaluate()
    built.process(torch.tensor([[0.0, 1.0]]), torch.tensor([1]))
    assert built.evaluate() == {"accuracy": 100.0, "error_rate": 0.0, "macro_f1": 100.0}


def test_missing_names_are_reported():
    cfg = get_cfg_default()
    cfg.TEST.PER_CLASS_RESULT = True
    with pytest.raises(ValueError, match="lab2cname"):
        build_evaluator(cfg)
    cfg.TEST.EVALUATOR = "Clasification"
    with pytest.raises(ValueError, match="Classification"):
        build_evaluator(cfg)
    with pytest.raises(NotImplementedError, match="evaluate"):
        EvaluatorBase(cfg).evaluate()


def test_accuracy_at_k():
    logits = torch.tensor([[0.1, 0.7, 0.2], [0.5, 0.4, 0.1], [0.2, 0.3, 0.5]])
    target = torch.tensor([2, 0, 0])
    top = compute_accuracy((logits, None), target, topk=(1, 2, 3))
    assert [t.item() for t in top] == pytest.approx([100 / 3, 200 / 3, 100]) and top[0].shape == (1,)


def test_ci95():
    assert compute_ci95([1.0, 3.0]) == pytest.approx(1.96 * 1 / 2**0.5)


def test_distances():
    a, b = torch.tensor([[1.0, 0], [0, 2]]), torch.tensor([[0.0, 1], [3, 0], [1, 1]])
    assert torch.allclose(compute_distance_matrix(a, b), torch.tensor([[2.0, 4, 1], [1, 13, 2]]))
    cosine = compute_distance_matrix(a, b, "cosine")
    assert torch.allclose(cosine, torch.tensor([[1, 0, 1 - 0.5**0.5], [0, 1, 1 - 0.5**0.5]]), atol=1e-6)
    for one, two, metric, error in (
        (a, b, "manhattan", ValueError),
        (a, torch.ones(2, 3), "cosine", ValueError),
        (a, torch.ones(2), "cosine", ValueError),
        (a, [[1, 2]], "cosine", TypeError),
    ):
        with pytest.raises(error):
            compute_distance_matrix(one, two, metric)

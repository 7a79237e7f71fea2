"""Classification results."""

from __future__ import annotations

import os.path as osp
from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from yacs.config import CfgNode

from dassl.utils.tools import atomic_path

from .build import EVALUATOR_REGISTRY


def macro_f1_score(y_true: Sequence[int], y_pred: Sequence[int]) -> float:
    """Unweighted mean, over the classes that occur in ``y_true``, of F1 = 2 hits / (predicted + true); 0 .. 1."""
    true, pred = np.asarray(y_true), np.asarray(y_pred)
    scores = []
    for label in np.unique(true):
        hits = np.sum((true == label) & (pred == label))
        scores.append(2 * hits / (np.sum(pred == label) + np.sum(true == label)))
    return float(np.mean(scores))


def confusion_matrix(y_true: Sequence[int], y_pred: Sequence[int]) -> np.ndarray:
    """Shares (n, n) of each true class (row) given each label (column), over the n labels that occur, ascending.

    A row of a label that is predicted but never true is 0.
    """
    labels = np.union1d(y_true, y_pred)
    counts = np.zeros((len(labels), len(labels)))
    np.add.at(counts, (np.searchsorted(labels, y_true), np.searchsorted(labels, y_pred)), 1)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


class EvaluatorBase:
    """Gathers batches, then says what they amount to."""

    def __init__(self, cfg: CfgNode) -> None:
        self.cfg = cfg

    def reset(self) -> None:
        """Forget what was gathered."""
        raise NotImplementedError(f"{type(self).__name__} does not say what reset() does")

    def process(self, mo: Any, gt: Any) -> None:
        """Take in a batch: model output and ground truth."""
        raise NotImplementedError(f"{type(self).__name__} does not say what process() does")

    def evaluate(self) -> OrderedDict[str, float]:
        """The results, the main one first."""
        raise NotImplementedError(f"{type(self).__name__} does not say what evaluate() does")


@EVALUATOR_REGISTRY.register()
class Classification(EvaluatorBase):
    """Accuracy, error and macro F1 in percent; results a class and a confusion matrix on demand.

    Args:
        lab2cname: class name by label, needed for TEST.PER_CLASS_RESULT.
    """

    def __init__(self, cfg: CfgNode, lab2cname: Mapping[int, str] | None = None, **kwargs: Any) -> None:
        super().__init__(cfg)
        if cfg.TEST.PER_CLASS_RESULT and lab2cname is None:
            raise ValueError("TEST.PER_CLASS_RESULT needs the class names; hand lab2cname to the evaluator")
        self._lab2cname = lab2cname
        self.reset()

    def reset(self) -> None:
        """Forget what was gathered."""
        self._correct = 0
        self._total = 0
        self._y_true: list[int] = []
        self._y_pred: list[int] = []
        self._per_class_res = defaultdict(list) if self.cfg.TEST.PER_CLASS_RESULT else None

    def process(self, mo: torch.Tensor, gt: torch.Tensor) -> None:
        """Take in logits (batch, classes) and labels (batch,)."""
        pred = mo.max(dim=1).indices.tolist()
        true = gt.tolist()
        matches = [int(p == t) for p, t in zip(pred, true, strict=True)]
        self._correct += sum(matches)
        self._total += len(true)
        self._y_true.extend(true)
        self._y_pred.extend(pred)
        if self._per_class_res is not None:
            for label, match in zip(true, matches, strict=True):
                self._per_class_res[label].append(match)

    def evaluate(self) -> OrderedDict[str, float]:
        """Print and return accuracy, error_rate, macro_f1, on demand perclass_accuracy. ValueError without data."""
        if self._total == 0:
            raise ValueError("Nothing to evaluate: no batch was processed; check the test data")
        accuracy = 100.0 * self._correct / self._total
        results = OrderedDict(
            accuracy=accuracy,
            error_rate=100.0 - accuracy,
            macro_f1=100.0 * macro_f1_score(self._y_true, self._y_pred),
        )
        print(
            "=> result\n"
            f"* total: {self._total:,}\n"
            f"* correct: {self._correct:,}\n"
            f"* accuracy: {accuracy:.1f}%\n"
            f"* error: {results['error_rate']:.1f}%\n"
            f"* macro_f1: {results['macro_f1']:.1f}%"
        )
        if self._per_class_res is not None:
            results["perclass_accuracy"] = self._evaluate_classes()
        if self.cfg.TEST.COMPUTE_CMAT:
            self._save_confusion_matrix()
        return results

    def _evaluate_classes(self) -> float:
        print("=> per-class result")
        accuracies = []
        for label in sorted(self._per_class_res):
            matches = self._per_class_res[label]
            accuracies.append(100.0 * sum(matches) / len(matches))
            print(
                f"* class: {label} ({self._lab2cname[label]})\ttotal: {len(matches):,}\t"
                f"correct: {sum(matches):,}\tacc: {accuracies[-1]:.1f}%"
            )
        mean = float(np.mean(accuracies))
        print(f"* average: {mean:.1f}%")
        return mean

    def _save_confusion_matrix(self) -> None:
        path = osp.join(self.cfg.OUTPUT_DIR, "cmat.pt")
        # As a tensor: PyTorch's safe reader takes no NumPy array.
        matrix = torch.from_numpy(confusion_matrix(self._y_true, self._y_pred))
        with atomic_path(path) as partial:
            torch.save(matrix, partial)
        print(f"Confusion matrix is saved to {path}")

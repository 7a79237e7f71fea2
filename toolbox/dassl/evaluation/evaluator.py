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
    """Return the mean of F1 = 2 hits / (predicted + true), from 0 to 1, over the classes that occur in ``y_true``."""
    true, pred = np.asarray(y_true), np.asarray(y_pred)
    scores = []
    for label in np.unique(true):
        hits = np.sum((true == label) & (pred == label))
        scores.append(2 * hits / (np.sum(pred == label) + np.sum(true == label)))
    return float(np.mean(scores))


def confusion_matrix(y_true: Sequence[int], y_pred: Sequence[int]) -> np.ndarray:
    """Return the share (n, n) of each true class (row) that is predicted as each label (column).

    The n labels are those that occur, in ascending order. The row of a label that is predicted but never true is 0.
    """
    labels = np.union1d(y_true, y_pred)
    counts = np.zeros((len(labels), len(labels)))
    np.add.at(counts, (np.searchsorted(labels, y_true), np.searchsorted(labels, y_pred)), 1)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


class EvaluatorBase:
    """Collects batches, then computes results from them."""

    def __init__(self, cfg: CfgNode) -> None:
        self.cfg = cfg

    def reset(self) -> None:
        """Discard the collected batches."""
        raise NotImplementedError(f"{type(self).__name__} does not implement reset()")

    def process(self, mo: Any, gt: Any) -> None:
        """Add a batch: model output and ground truth."""
        raise NotImplementedError(f"{type(self).__name__} does not implement process()")

    def evaluate(self) -> OrderedDict[str, float]:
        """Return the results, the main one first."""
        raise NotImplementedError(f"{type(self).__name__} does not implement evaluate()")


@EVALUATOR_REGISTRY.register()
class Classification(EvaluatorBase):
    """Accuracy, error and macro F1 in percent; optionally per-class accuracies and a confusion matrix.

    Args:
        lab2cname: class name by label, needed for TEST.PER_CLASS_RESULT.
    """

    def __init__(self, cfg: CfgNode, lab2cname: Mapping[int, str] | None = None, **kwargs: Any) -> None:
        super().__init__(cfg)
        if cfg.TEST.PER_CLASS_RESULT and lab2cname is None:
            raise ValueError("TEST.PER_CLASS_RESULT needs the class names; pass lab2cname to the evaluator")
        self._lab2cname = lab2cname
        self.reset()

    def reset(self) -> None:
        """Discard the collected batches."""
        self._correct = 0
        self._total = 0
        self._y_true: list[int] = []
        self._y_pred: list[int] = []
        # Label -> 1 for each correct prediction, 0 for each wrong one.
        self._per_class_res: defaultdict[int, list[int]] | None = (
            defaultdict(list) if self.cfg.TEST.PER_CLASS_RESULT else None
        )

    def process(self, mo: torch.Tensor, gt: torch.Tensor) -> None:
        """Add logits (batch, classes) and labels (batch,)."""
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
        """Print and return accuracy, error_rate, macro_f1 and perclass_accuracy (if set). ValueError without data."""
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
            results["perclass_accuracy"] = self._evaluate_classes(self._per_class_res)
        if self.cfg.TEST.COMPUTE_CMAT:
            self._save_confusion_matrix()
        return results

    def _evaluate_classes(self, matches_by_label: Mapping[int, list[int]]) -> float:
        assert self._lab2cname is not None, "checked in __init__"
        print("=> per-class result")
        accuracies = []
        for label, matches in sorted(matches_by_label.items()):
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
        # PyTorch's safe reader does not accept NumPy arrays.
        matrix = torch.from_numpy(confusion_matrix(self._y_true, self._y_pred))
        with atomic_path(path) as partial:
            torch.save(matrix, partial)
        print(f"Confusion matrix is saved to {path}")

"""Multinomial logistic regression with a penalty, for one set of samples and several C."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize
from threadpoolctl import ThreadpoolController
from torch import Tensor

# A problem with fewer samples x columns x classes is solved on the CPU: the samples leave a GPU once, and no evaluation
# waits for the launch of some ten small kernels. The limit is an estimate; it was not measured on a GPU.
SMALL = 2**24


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()  # looks through the libraries of the process, some milliseconds


class _Converged(Exception):
    """Ends a solver; its argument is the solution."""


class LogisticRegression:
    """min_{W, b} sum_i cross-entropy(W x_i + b, y_i) + |W|^2 / (2 C), of (n, d) features and (n,) int64 classes.

    If there are two classes, the first has W_0 = 0 and b_0 = 0, as in scikit-learn.

    With (n, n_classes) ``offset``, logits are o_i + W x_i: no b, and a row of W for each of two classes too.

    Work that does not depend on C is done once. If n < d, the rows of W are combinations of the features (at the
    minimum W = C sum_i (onehot_i - p_i) x_i^T), so with x^T = Q R the problem is solved for W Q, with n columns, not
    d. |W| = |W Q|, so it is the same problem. The first two points of the path from zero are the same for every C too,
    since the penalty has no gradient at zero; their cross-entropy is kept.
    """

    def __init__(self, x: Tensor, y: Tensor, n_classes: int, offset: Tensor | None = None):
        x = x.double()
        self.n, self.d = x.shape
        self.fixed = int(n_classes == 2 and offset is None)
        self.offset = None if offset is None else offset.double()
        self.basis: Tensor | None = None  # (d, n) orthonormal columns
        if self.n < self.d:
            self.basis, triangle = torch.linalg.qr(x.t())
            x = triangle.t()
        self.x = F.pad(x, (0, 1), value=1.0 if offset is None else 0.0).contiguous()  # the last column multiplies b
        self.target = F.one_hot(y, n_classes).double()
        self.rows = np.arange(self.n)
        self.shape = (n_classes - self.fixed, self.x.shape[1])
        self.small = self.x.numel() * n_classes < SMALL
        if self.small:
            self.host_x, self.host_y, self.host_target = (t.cpu().numpy() for t in (self.x, y, self.target))
            self.host_offset = None if self.offset is None else self.offset.cpu().numpy()
        self.host_basis = None if self.basis is None else np.ascontiguousarray(self.basis.t().cpu().numpy())
        self.first: dict[bytes, tuple[float, np.ndarray]] = {}

    def loss(self, weights: np.ndarray) -> tuple[float, np.ndarray]:
        """(rows, columns) weights -> n times the mean cross-entropy, and its gradient; one read if on a GPU."""
        if not self.small:
            return self.loss_on_device(weights)
        logits = self.host_x @ weights.T
        if self.fixed:
            logits = np.pad(logits, ((0, 0), (1, 0)))
        if self.host_offset is not None:
            logits += self.host_offset
        logits -= logits.max(1, keepdims=True)
        right = logits[self.rows, self.host_y].sum()
        p = np.exp(logits, out=logits)
        total = p.sum(1, keepdims=True)
        p /= total
        p -= self.host_target
        return float(np.log(total).sum() - right), p[:, self.fixed :].T @ self.host_x

    def loss_on_device(self, weights: np.ndarray) -> tuple[float, np.ndarray]:
        logits = self.x @ torch.from_numpy(weights).to(self.x.device).t()
        logits = F.pad(logits, (self.fixed, 0))
        log_p = F.log_softmax(logits if self.offset is None else logits + self.offset, dim=1)
        value = -(log_p * self.target).sum()
        gradient = (log_p.exp() - self.target)[:, self.fixed :].t() @ self.x
        read = torch.cat([value.view(1), gradient.flatten()]).cpu().numpy()
        return float(read[0]), read[1:].reshape(weights.shape)

    def fit(self, c: float, max_iter: int = 1000, tolerance: float = 1e-4) -> tuple[Tensor, Tensor]:
        """Return the (n_classes, d) W and (n_classes,) b, float64, on the features' device; b is 0 with an offset.

        They are the first iterate of L-BFGS, started at zero, at which no entry of the gradient of (objective / n) with
        respect to W and b exceeds ``tolerance``. These are the iterates of scikit-learn's `lbfgs`, to rounding.
        """
        n, penalty, evaluations = self.n, 1 / (c * self.n), 0

        latest = np.zeros(0)  # gradient
        most = self.shape[0] * tolerance**2 * (self.d + 1)

        def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
            nonlocal evaluations, latest
            weights = flat.reshape(self.shape)
            if evaluations < 2:
                key = flat.tobytes()
                if key not in self.first:
                    self.first[key] = self.loss(weights)
                value, gradient = self.first[key]
            else:
                value, gradient = self.loss(weights)
            evaluations += 1
            shrink = penalty * weights
            shrink[:, -1] = 0
            gradient = gradient / n
            gradient += shrink
            latest = gradient.reshape(-1)
            return value / n + 0.5 * float(shrink.reshape(-1) @ flat), latest

        def converged() -> bool:
            # Rows of d + 1 entries within the tolerance have at most this norm, which does not depend on the basis.
            if latest @ latest > most:
                return False
            gradient = latest.reshape(self.shape)
            if self.host_basis is None:
                return bool(np.abs(gradient).max() <= tolerance)
            return bool(
                max(np.abs(gradient[:, :-1] @ self.host_basis).max(), np.abs(gradient[:, -1]).max()) <= tolerance
            )

        def stop_if_converged(flat: np.ndarray) -> None:
            if converged():
                raise _Converged(flat.copy())

        # The solver's own test of the gradient would see it in the reduced coordinates.
        options = {"maxiter": max_iter, "maxls": 50, "gtol": 0.0, "ftol": 64 * np.finfo(float).eps}
        found = np.zeros(self.shape).reshape(-1)
        try:
            # A second thread of BLAS makes products of this size ten times slower where threads sleep while they wait.
            with _libraries().limit(limits=1 if self.small else None, user_api="blas"):
                objective(found)
                stop_if_converged(found)
                evaluations = 0
                found = minimize(
                    objective, found, jac=True, method="L-BFGS-B", callback=stop_if_converged, options=options
                ).x
        except _Converged as end:
            (found,) = end.args
        weights = F.pad(torch.from_numpy(found).view(self.shape).to(self.x.device), (0, 0, self.fixed, 0))
        w = weights[:, :-1]
        return (w if self.basis is None else w @ self.basis.t()), weights[:, -1]

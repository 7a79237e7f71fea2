"""LP-CLIP: the regression by its optimality conditions and by another solver, the search for C by hand."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import minimize
from threadpoolctl import threadpool_info, threadpool_limits

from common.errors import InputError
from prompting import logistic_regression as regression
from prompting.logistic_regression import LogisticRegression
from trainers import linear_probe
from trainers.engine.image_trainer import split_features
from trainers.linear_probe import logistic_regression, search


def points(n: int, d: int, classes: int):
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(n, d, dtype=torch.float64, generator=generator)
    y = torch.arange(n) % classes
    return x + y.unsqueeze(1) * torch.linspace(0.3, -0.2, d, dtype=torch.float64), y


@pytest.mark.parametrize("d", [3, 40])  # fewer and more dimensions than points
@pytest.mark.parametrize("c", [0.01, 1.0, 50.0])
def test_logistic_regression_is_the_minimum(d, c):
    """At the minimum W = C sum_i (onehot_i - p_i) x_i^T and sum_i (onehot_i - p_i) = 0; another solver agrees."""
    x, y = points(15, d, 3)
    w, b = logistic_regression(x, y, 3, c, max_iter=10000, tolerance=1e-9)
    missing = F.one_hot(y, 3).double() - (x @ w.t() + b).softmax(1)
    torch.testing.assert_close(w, c * missing.t() @ x, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(missing.sum(0), torch.zeros(3).double(), rtol=0, atol=1e-5)

    def objective(flat):
        weights = flat.reshape(3, d + 1)
        z = x.numpy() @ weights[:, :d].T + weights[:, d]
        log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
        return -log_p[np.arange(15), y.numpy()].sum() + (weights[:, :d] ** 2).sum() / (2 * c)

    other = minimize(objective, np.zeros(3 * (d + 1)), method="BFGS", options={"gtol": 1e-7}).x.reshape(3, d + 1)
    np.testing.assert_allclose(w.numpy(), other[:, :d], atol=2e-4)


def test_two_classes_are_fitted_with_one_vector():
    x, y = points(12, 4, 2)
    w, b = logistic_regression(x, y, 2, 0.7, max_iter=10000, tolerance=1e-9)
    sign = (2 * y - 1).numpy()

    def objective(v):
        return np.log1p(np.exp(-sign * (x.numpy() @ v[:4] + v[4]))).sum() + (v[:4] ** 2).sum() / (2 * 0.7)

    one = minimize(objective, np.zeros(5), method="BFGS", options={"gtol": 1e-8}).x
    np.testing.assert_allclose((w[1] - w[0]).numpy(), one[:4], atol=1e-5)
    assert float(b[1] - b[0]) == pytest.approx(one[4], abs=1e-5)


def plain_fit(x, y, classes, c, tolerance=1e-4):
    """SciPy's L-BFGS-B on W and b themselves, started at zero, as scikit-learn calls it."""
    n, d = x.shape
    fixed = int(classes == 2)

    def objective(flat):
        weights = torch.from_numpy(flat).view(-1, d + 1).requires_grad_()
        logits = F.pad(x @ weights[:, :-1].t() + weights[:, -1], (fixed, 0))
        value = F.cross_entropy(logits, y) + weights[:, :-1].square().sum() / (2 * c * n)
        return value.item(), torch.autograd.grad(value, weights)[0].flatten().numpy()

    options = {"maxiter": 1000, "maxls": 50, "gtol": tolerance, "ftol": 64 * np.finfo(float).eps}
    start = np.zeros((classes - fixed) * (d + 1))
    weights = minimize(objective, start, jac=True, method="L-BFGS-B", options=options).x.reshape(-1, d + 1)
    return torch.from_numpy(np.pad(weights, ((fixed, 0), (0, 0))))


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("d", [4, 60])  # n > d, n < d
def test_fits_stop_where_scipy_does(d, classes):
    """The rule stops far from the minimum of separable samples; so only the same iterates give the same weights."""
    x, y = points(30, d, classes)
    problem = LogisticRegression(4 * x, y, classes)
    for c in (1e6, 1e2, 1.0, 1e-2, 1e-6):
        w, b = problem.fit(c)
        expected = plain_fit(4 * x, y, classes, c)
        torch.testing.assert_close(torch.cat([w, b[:, None]], 1), expected, rtol=0, atol=1e-6 * float(expected.max()))


def test_the_reduced_problem_has_the_same_minimum():
    x, y = points(20, 50, 3)
    reduced = LogisticRegression(x, y, 3)
    assert reduced.basis is not None
    for c in (10.0, 0.1):
        w, b = reduced.fit(c, 10000, 1e-9)
        expected = plain_fit(x, y, 3, c, 1e-9)
        torch.testing.assert_close(torch.cat([w, b[:, None]], 1), expected, rtol=0, atol=1e-6)


def test_the_order_of_fits_does_not_matter():
    """What fits share does not depend on C, so a fit equals that of a fresh problem, bit for bit."""
    x, y = points(20, 50, 4)
    shared = LogisticRegression(x, y, 4)
    for c in (1e-3, 1e4, 1.0, 1e4):
        for ours, fresh in zip(shared.fit(c), LogisticRegression(x, y, 4).fit(c), strict=True):
            assert torch.equal(ours, fresh)


def test_a_class_without_shots():
    """Its logit has no sample to raise it: W and b fall along the others' mean, as in SciPy."""
    x, y = points(16, 30, 3)
    w, b = logistic_regression(x, y, 4, 1.0)
    torch.testing.assert_close(torch.cat([w, b[:, None]], 1), plain_fit(x, y, 4, 1.0), rtol=0, atol=1e-6)
    assert not ((x @ w.t() + b).argmax(1) == 3).any()


@pytest.mark.parametrize("classes", [2, 4])
def test_large_problems_are_computed_on_the_samples_device(classes, monkeypatch):
    x, y = points(20, 50, classes)
    small = LogisticRegression(x, y, classes).fit(1.0)
    monkeypatch.setattr(regression, "SMALL", 0)
    large = LogisticRegression(x, y, classes)
    assert not large.small
    for ours, expected in zip(large.fit(1.0), small, strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("small", [True, False])
def test_small_fits_take_one_thread_of_blas_and_give_the_others_back(small, monkeypatch):
    monkeypatch.setattr(regression, "SMALL", 2**24 if small else 0)
    fit = LogisticRegression(*points(9, 4, 3), 3)

    def numbers():
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    seen, loss = [], fit.loss
    monkeypatch.setattr(fit, "loss", lambda weights: (seen.append(numbers()), loss(weights))[1])
    with threadpool_limits(2, user_api="blas"):
        before = numbers()
        fit.fit(1.0)
        assert numbers() == before
    assert before and len(seen) > 1
    assert all(now == ([1] * len(before) if small else before) for now in seen)


def test_the_search_for_c_by_hand():
    """Highest at 10^2.3: the best decade is 2, then the interval [1, 3] is halved towards 3, and from there left."""
    asked = []

    def score(c):
        asked.append(round(math.log10(c), 6))
        return -abs(math.log10(c) - 2.3)

    assert math.log10(search(score, 0)) == pytest.approx(2)
    asked.clear()
    # [1, 3]: 3 wins -> [2, 3]: 2 wins -> [2, 2.5]: 2.5 wins -> [2.25, 2.5]: 2.25 wins
    assert math.log10(search(score, 4)) == pytest.approx(2.25)
    assert asked == [6, 4, 2, 0, -2, -4, -6, 1, 3, 2.5, 2.25]
    assert math.log10(search(lambda c: 1.0, 3)) == pytest.approx(5)  # ties: the first decade, then the left end


def test_a_run_searches_c(workplace):
    short = ("TRAINER.LINEARPROBE.STEPS", "2", "TRAINER.LINEARPROBE.MAX_ITER", "100")
    results = workplace.run("LinearProbe", "run", *short)
    assert results["method"] == "LP-CLIP" and results["counts"]["trainable_parameters"] == 5 * 49
    mean = workplace.run("LinearProbe", "bankless", *short, "BANK.TEST", "False", "BANK.TRAIN", "False")["mean"]
    assert mean == pytest.approx(results["mean"], abs=7)  # an image may fall on the other side


def test_a_fit_on_a_collection_is_the_fit_of_each_task(workplace):
    trainer = workplace.trainer("LinearProbe", "TRAINER.LINEARPROBE.C", "0.5")
    trainer.train()
    x, y = split_features(trainer, "train")
    w, b = logistic_regression(x[y >= 3], y[y >= 3] - 3, 2, 0.5)
    torch.testing.assert_close(trainer.model.weight[3:].detach(), w.float())
    torch.testing.assert_close(trainer.model.bias[3:].detach(), b.float())


def test_bad_settings_are_one_line(workplace):
    with pytest.raises(InputError, match="TRAINER.LINEARPROBE.C is -1.0") as error:
        workplace.run("LinearProbe", "run", "TRAINER.LINEARPROBE.C", "-1.0")
    assert "\n" not in str(error.value)


def test_without_validation_images_c_is_cross_validated(workplace, monkeypatch):
    trainer = workplace.trainer("LinearProbe")
    trainer.dm.dataset._val = None
    asked = []
    monkeypatch.setattr(linear_probe, "search", lambda score, steps: asked.append(score) or 0.5)
    trainer.train()
    x, y = split_features(trainer, "train")
    x, y = x[y < 3], y[y < 3]  # the first task, two shots a class: two folds
    right = 0
    for held in (torch.tensor([0, 1] * 3) == 0, torch.tensor([0, 1] * 3) == 1):
        assert sorted(y[~held].tolist()) == [0, 1, 2]
        w, b = logistic_regression(x[~held], y[~held], 3, 0.01)
        right += int(((x[held].double() @ w.t() + b).argmax(1) == y[held]).sum())
    assert asked[0](0.01) == pytest.approx(right / 6)


def test_without_validation_images_a_single_shot_is_too_few(workplace):
    trainer = workplace.trainer("LinearProbe", "DATASET.NUM_SHOTS", "1")
    trainer.dm.dataset._val = None
    with pytest.raises(InputError, match="validation images.* TRAINER.LINEARPROBE.C"):
        trainer.train()

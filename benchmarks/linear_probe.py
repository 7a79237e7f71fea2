"""LP-CLIP's search for C: SciPy's solver on the features of every fit against the shared, reduced problem.

    python -m benchmarks.linear_probe [--shots 4] [--feature-dim 512] [--features FILE ...] [--json]

Samples are random, with the numbers of classes of plants7 and the norm of lite0's features. --features reads real ones
instead: files of torch.save with a dict of "name", "metric" ("A" or "C"), "k" (classes), and "shots" and "val", each a
pair of (n, d) features and (n,) classes. The plain path fits each C on its own, in all d dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize
from torch import Tensor

from benchmarks.common import arguments, device, paired, show
from prompting.logistic_regression import LogisticRegression
from trainers.engine.fitted_trainer import accuracy
from trainers.linear_probe import predict, search

PLANTS7 = {"flowers": 5, "fruits": 28, "vegetables": 22, "crops": 11, "seedlings": 12, "diseases": 14, "trees": 4}
STEPS = 8

Samples = tuple[Tensor, Tensor]
Fit = Callable[[float], tuple[Tensor, Tensor]]


def plain_fit(x: Tensor, y: Tensor, n_classes: int, c: float) -> tuple[Tensor, Tensor]:
    """Return W and b of SciPy's L-BFGS-B on all d dimensions."""
    x = x.double()
    n, d = x.shape
    penalty, fixed = 1 / (c * n), int(n_classes == 2)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = torch.from_numpy(flat).to(x.device).view(-1, d + 1)
        w, b = weights[:, :-1], weights[:, -1]
        log_p = F.log_softmax(F.pad(x @ w.t() + b, (fixed, 0)), dim=1)
        value = F.nll_loss(log_p, y) + 0.5 * penalty * w.square().sum()
        residual = (log_p.exp() - F.one_hot(y, n_classes))[:, fixed:] / n
        gradient = torch.cat([residual.t() @ x + penalty * w, residual.sum(0).unsqueeze(1)], dim=1)
        return float(value), gradient.flatten().cpu().numpy()

    options = {"maxiter": 1000, "maxls": 50, "gtol": 1e-4, "ftol": 64 * np.finfo(float).eps}
    start = np.zeros((n_classes - fixed) * (d + 1))
    found = minimize(objective, start, jac=True, method="L-BFGS-B", options=options).x
    weights = F.pad(torch.from_numpy(found).to(x.device).view(-1, d + 1), (0, 0, fixed, 0))
    return weights[:, :-1], weights[:, -1]


def searched(fit: Fit, val: Samples, metric: str) -> tuple[float, Tensor]:
    """Return the C that the search finds, and the classes predicted with it."""
    fit = cache(fit)
    c = search(lambda c: accuracy(predict(val[0], *fit(c)), val[1], metric), STEPS)
    return c, predict(val[0], *fit(c))


def shared_search(x: Tensor, y: Tensor, n_classes: int, val: Samples, metric: str) -> tuple[float, Tensor]:
    return searched(LogisticRegression(x, y, n_classes).fit, val, metric)


def random_task(n_classes: int, shots: int, d: int, device: str) -> tuple[Samples, Samples]:
    """Return shots and validation shots, with features of norm 16."""
    generator = torch.Generator().manual_seed(n_classes)
    shared, means = torch.randn(d, generator=generator), torch.randn(n_classes, d, generator=generator)
    y = torch.arange(n_classes).repeat_interleave(shots)
    draws = [shared + 0.5 * means[y] + torch.randn(len(y), d, generator=generator) for _ in range(2)]
    train, val = ((16 * F.normalize(x, dim=1)).to(device) for x in draws)
    return (train, y.to(device)), (val, y.to(device))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--shots", type=int, default=4)
    parser.add_argument("--feature-dim", type=int, default=512)
    parser.add_argument(
        "--features", nargs="*", default=[], metavar="FILE", help="real features instead of random ones"
    )
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    tasks = []
    for name, n_classes in {} if args.features else PLANTS7.items():
        tasks.append((name, n_classes, "A", *random_task(n_classes, args.shots, args.feature_dim, device())))
    for file in args.features:
        given = torch.load(file, map_location=device(), weights_only=True)
        tasks.append((given["name"], given["k"], given["metric"], given["shots"], given["val"]))
    rows: list[dict[str, object]] = []
    total_plain = total_ours = 0.0
    for name, n_classes, metric, (x, y), val in tasks:
        plain = partial(searched, partial(plain_fit, x, y, n_classes), val, metric)
        ours = partial(shared_search, x, y, n_classes, val, metric)
        (c_plain, plain_classes), (c, classes) = plain(), ours()
        time = paired(plain, ours, args.rounds, warm=False)
        total_plain, total_ours = total_plain + time.plain, total_ours + time.ours
        rows.append(
            {
                "task": name,
                "classes": n_classes,
                "samples": len(y),
                "plain s": time.plain,
                "ours s": time.ours,
                "ratio": time.ratio,
                "C plain": c_plain,
                "C ours": c,
                "predictions that differ": int((plain_classes != classes).sum()),
            }
        )
    show(rows, args.json, feature_dim=tasks[0][3][0].shape[1], ratio_of_the_sums=total_plain / total_ours)


if __name__ == "__main__":
    main()

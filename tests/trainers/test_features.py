"""Methods on frozen image features, and zero-shot ensembles: by hand, by another solver, and end to end."""

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import minimize

from common.errors import InputError
from datasets.images import SeededImages
from prompting.prompts import sentence
from prompting.reference import encode_plain
from trainers.engine.fitted import accuracy, split_features
from trainers.linear_probe import logistic_regression, search
from trainers.protonet import Prototypes
from trainers.tip_adapter import Cache, grid

F_OPTS = ("TRAINER.TIPADAPTER.FINETUNE", "True", "OPTIM.LR", "0.01")
METHODS = [
    ("LinearProbe", ("TRAINER.LINEARPROBE.STEPS", "2"), "LP-CLIP"),
    ("ProtoNet", (), "ProtoNet"),
    ("ProtoNet", ("TRAINER.PROTONET.DISTANCE", "cosine"), "ProtoNet"),
    ("TipAdapter", ("TRAINER.TIPADAPTER.STEPS_BETA", "5"), "Tip-Adapter"),
    ("TipAdapter", (*F_OPTS, "TRAINER.TIPADAPTER.STEPS_BETA", "5"), "Tip-Adapter-F"),
    ("ZeroshotCLIP", ("TRAINER.ZEROSHOT.TEMPLATES", "imagenet"), "ZeroshotCLIP-ensemble"),
]


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


def test_accuracy_has_its_metrics_the_right_way_round():
    label = torch.tensor([0, 0, 0, 2])
    predicted = torch.tensor([0, 0, 0, 1])
    assert accuracy(predicted, label, "A") == 0.75 and accuracy(predicted, label, "C") == 0.5


def test_prototypes_by_hand():
    x = torch.tensor([[1.0, 0.0], [3.0, 2.0], [0.0, 4.0]])
    asked = torch.tensor([[2.0, 2.0], [0.0, 1.0]])
    euclidean = Prototypes(2, 2, "euclidean", 100.0)
    euclidean.fit(x, torch.tensor([0, 0, 1]))
    assert euclidean.prototypes.tolist() == [[2.0, 1.0], [0.0, 4.0]]
    expected = -torch.tensor([[1.0, 8.0], [4.0, 9.0]])  # squared distances
    torch.testing.assert_close(euclidean(asked).softmax(1), expected.softmax(1))
    cosine = Prototypes(2, 2, "cosine", 100.0)
    cosine.fit(F.normalize(x, dim=1), torch.tensor([0, 0, 1]))
    middle = F.normalize(torch.tensor([1.0 + 3 / 13**0.5, 2 / 13**0.5]), dim=0)
    torch.testing.assert_close(cosine(asked), 100 * asked @ torch.stack([middle, torch.tensor([0.0, 1.0])]).t())


def test_tip_adapter_by_hand():
    cache = Cache(3, 2, 2, alpha=0.5, beta=2.0, trained=False)
    cache.keys.copy_(torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]))
    cache.values.copy_(torch.tensor([1, 0, 1]))
    got = cache(torch.tensor([[0.8, 0.6]]))
    near = [math.exp(-2 * (1 - cosine)) for cosine in (0.8, 0.96, 0.6)]
    torch.testing.assert_close(got, torch.tensor([[0.5 * near[1], 0.5 * (near[0] + near[2])]]))
    assert grid(7, 200)[:2] == pytest.approx([0.1, 0.1345]) and grid(3, 20)[-1] == pytest.approx(3 - 2.9 / 20)


def test_tip_adapter_f_from_first_principles(workplace, tower64):
    trainer = workplace.trainer("TipAdapter", *F_OPTS)
    trainer.fill_caches()
    for cache in trainer.model:
        assert torch.allclose(cache.keys.norm(dim=1), torch.ones(len(cache.keys)))
    trainer.tower, trainer.model = tower64, trainer.model.double()
    layout, text = trainer.layout, tower64.text
    x = F.normalize(torch.randn(4, text.feature_dim, dtype=torch.float64), dim=1)
    label = torch.tensor([3, 4, 4, 3])  # of the second task
    loss, logits, column = trainer.loss(x, label, layout.task_of_class[label])
    got = torch.autograd.grad(loss, trainer.model[1].keys)[0]
    assert column.tolist() == [0, 1, 1, 0] and logits.shape == (4, 2)

    keys = trainer.model[1].keys.detach().clone().requires_grad_()
    values = F.one_hot(trainer.model[1].values, 2).double()
    prompts = [sentence(text.vocabulary, layout.tasks[1].template.format(n)) for n in layout.tasks[1].classnames]
    w = F.normalize(encode_plain(text, prompts, None), dim=1)
    alpha, beta = (float(torch.tensor(value)) for value in (1.17, 1.0))
    z = tower64.logit_scale * x @ w.t() + alpha * torch.exp(-beta * (1 - x @ keys.t())) @ values
    expected = F.cross_entropy(z, label - 3)
    torch.testing.assert_close(loss, expected, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(got, torch.autograd.grad(expected, keys)[0], rtol=1e-6, atol=1e-10)


def test_the_ensemble_averages_normalised_features(workplace, tower64):
    trainer = workplace.trainer("ZeroshotCLIP", "TRAINER.ZEROSHOT.TEMPLATES", "imagenet")
    trainer.tower, text = tower64, tower64.text
    got, columns = trainer.text_features(range(2))
    assert columns.tolist() == [0, 1, 2, 3, 4]
    from prompting.templates import IMAGENET

    assert len(set(IMAGENET)) == 7
    for flat, task in enumerate(trainer.layout.task_of_class.tolist()):
        name = trainer.layout.classnames[flat].replace("_", " ")
        said = [t.format(name) for t in (*IMAGENET, trainer.layout.tasks[task].template)]
        each = F.normalize(encode_plain(text, [sentence(text.vocabulary, s) for s in said], None), dim=1)
        torch.testing.assert_close(got[flat], F.normalize(each.mean(0), dim=0), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("trainer", "opts", "label"), METHODS)
def test_a_whole_run(workplace, trainer, opts, label):
    results = workplace.run(trainer, "run", *opts)
    assert results["finished"] and results["method"] == label and len(results["tasks"]) == 2
    expected = {"LP-CLIP": 5 * 49, "Tip-Adapter-F": 10 * 48}.get(label, 0)
    assert results["counts"]["trainable_parameters"] == expected
    if trainer == "ZeroshotCLIP":
        return
    epoch = 3 if label == "Tip-Adapter-F" else 1
    again = ["--eval-only", "--model-dir", str(workplace.output / "run"), "--load-epoch", str(epoch)]
    import train

    evaluated = train.run([*again, *workplace.flags(trainer, "again", *opts)], brief=True)
    assert evaluated["tasks"] == results["tasks"]
    bankless = workplace.run(trainer, "bankless", *opts, "BANK.TEST", "False", "BANK.TRAIN", "False")
    assert bankless["mean"] == pytest.approx(results["mean"], abs=7)  # an image may fall on the other side


@pytest.mark.parametrize(("trainer", "opts", "label"), METHODS)
def test_towers_stay_as_they_are(workplace, trainer, opts, label):
    built = workplace.trainer(trainer, *opts)
    before = copy.deepcopy(built.tower.state_dict())
    built.train()
    after = built.tower.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert not any(p.requires_grad or p.grad is not None for p in built.tower.parameters())


def test_features_are_those_of_unaugmented_images_with_their_norms(workplace):
    trainer = workplace.trainer("LinearProbe")
    x, y = split_features(trainer, "train")
    items = trainer.dm.dataset.train_x
    assert y.tolist() == [item.label for item in items]
    from datasets.images import read_image

    transform = trainer.test_loader.dataset.transform
    images = torch.stack([transform(read_image(item.impath)) for item in items])
    torch.testing.assert_close(x, trainer.tower.visual(images).detach(), rtol=1e-4, atol=1e-5)
    assert (x.norm(dim=1) - 1).abs().max() > 0.1


def test_a_fit_on_a_collection_is_the_fit_of_each_task(workplace):
    trainer = workplace.trainer("LinearProbe", "TRAINER.LINEARPROBE.C", "0.5")
    trainer.train()
    x, y = split_features(trainer, "train")
    w, b = logistic_regression(x[y >= 3], y[y >= 3] - 3, 2, 0.5)
    torch.testing.assert_close(trainer.model.weight[3:].detach(), w.float())
    torch.testing.assert_close(trainer.model.bias[3:].detach(), b.float())


@pytest.mark.parametrize(
    ("trainer", "opts", "said"),
    [
        ("LinearProbe", ("TRAINER.LINEARPROBE.C", "-1.0"), "LINEARPROBE.C is -1.0"),
        ("ProtoNet", ("TRAINER.PROTONET.DISTANCE", "euclid"), "did you mean 'euclidean'"),
        ("TipAdapter", ("TRAINER.TIPADAPTER.VIEWS", "0"), "VIEWS is 0"),
        ("TipAdapter", (*F_OPTS, "TEST.FINAL_MODEL", "best_val"), "last_step"),
        ("ZeroshotCLIP", ("TRAINER.ZEROSHOT.TEMPLATES", "imagnet"), "did you mean 'imagenet'"),
    ],
)
def test_what_they_cannot_do_is_one_line(workplace, trainer, opts, said):
    with pytest.raises(InputError, match=said) as error:
        workplace.run(trainer, "run", *opts)
    assert "\n" not in str(error.value)


def test_a_killed_tip_adapter_f_resumes_to_the_same_result(workplace):
    workplace.killed_and_resumed("TipAdapter", *F_OPTS, "TRAINER.TIPADAPTER.STEPS_BETA", "5")


def test_without_validation_images(workplace):
    trainer = workplace.trainer("LinearProbe")
    trainer.dm.dataset._val = None
    with pytest.raises(InputError, match="no validation images to choose C on"):
        trainer.train()


@pytest.mark.parametrize("method", ["PLOT", "MaPLe"])
def test_still_images_are_read_once_by_methods_without_the_bank(workplace, method, monkeypatch):
    """And it changes no bit of what is learned; images that move, or do not fit, are read anew in every epoch."""
    still = ("INPUT.TRANSFORMS", "('normalize',)", "TRAINER.PLOT.N_CTX", "2", "TRAINER.MAPLE.PROMPT_DEPTH", "2")
    read, view = [], SeededImages.view
    monkeypatch.setattr(SeededImages, "view", lambda self, *a: read.append(self.is_train) or view(self, *a))

    def reads(name, *opts):
        read.clear()
        workplace.run(method, name, *opts)  # 3 epochs of 10 images
        return sum(read)

    assert reads("once", *still) == 10
    assert reads("anew", *still, "BANK.TRAIN", "False") > 20 < reads("moving", *still[2:])
    first, second = (workplace.learned(name, 3) for name in ("once", "anew"))
    assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
    monkeypatch.setattr("trainers.engine.image_features.ONCE_BYTES", 100)
    assert reads("large", *still) > 20

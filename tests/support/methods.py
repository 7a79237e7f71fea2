"""Methods from first principles: a trainer in float64, batches for it, and the papers' equations in plain PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from prompting.prompts import lay_out, sentence
from prompting.reference import encode_plain
from prompting.tasks import Task, TaskLayout
from prompting.text_tower import TextTower
from prompting.towers import Tower
from trainers.softcpt import CLASS_SPECIFIC

# Classes of every task of the published collections.
COLLECTIONS = {
    "General-10": (100, 47, 10, 100, 101, 102, 37, 196, 397, 101),
    "Plant-6": (36, 5, 9, 15, 12, 39),
    "RS-8": (30, 45, 31, 45, 7, 10, 21, 19),
    "Fashion-20": (4,) * 18 + (3, 3),
}


def layout_of_sizes(sizes: Iterable[int]) -> TaskLayout:
    """Tasks with these numbers of classes."""
    return TaskLayout(
        tuple(Task(f"task {t}", tuple(f"class {c}" for c in range(size))) for t, size in enumerate(sizes))
    )


def in_float64(trainer: Any, tower64: Tower) -> Any:
    """The trainer with the float64 tower, its learner built on it again with random parameters."""
    trainer.tower = tower64
    trainer.model = trainer.build_learner().double()
    trainer._packed.clear()
    torch.manual_seed(3)
    for parameter in trainer.model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return trainer


def batch(layout: TaskLayout, feature_dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """Six image features of the collection in tests.support.training, their flat classes and tasks."""
    torch.manual_seed(4)
    label = torch.tensor([0, 4, 2, 3, 1, 4])
    return F.normalize(torch.randn(6, feature_dim, dtype=torch.float64), dim=-1), label, layout.task_of_class[label]


def batch_of_task(layout: TaskLayout, feature_dim: int, task: int) -> tuple[Tensor, Tensor, Tensor]:
    """Two image features of every class of a task, their flat classes and tasks."""
    torch.manual_seed(5)
    label = torch.tensor(list(layout.classes_of(task)) * 2)
    features = F.normalize(torch.randn(len(label), feature_dim, dtype=torch.float64), dim=-1)
    return features, label, layout.task_of_class[label]


def loss_by_tasks(
    tower: Tower, layout: TaskLayout, text_features: Tensor, image_features: Tensor, label: Tensor, task: Tensor
) -> Tensor:
    """The paper's loss as a sum over tasks: cross-entropy within each task, divided by the batch size."""
    total = torch.zeros((), dtype=text_features.dtype)
    for t in range(len(layout)):
        mine = task == t
        columns = list(layout.classes_of(t))
        cosine = F.cosine_similarity(image_features[mine].unsqueeze(1), text_features[columns].unsqueeze(0), dim=-1)
        total = total + F.cross_entropy(tower.logit_scale * cosine, label[mine] - columns[0], reduction="sum")
    return total / len(label)


def handwritten(layout: TaskLayout, text: TextTower) -> Tensor:
    """(n_classes, feature_dim) features of unit norm of the tasks' templates."""
    prompts = [
        sentence(text.vocabulary, task.template.replace("{}", name.replace("_", " ")))
        for task in layout.tasks
        for name in task.classnames
    ]
    return F.normalize(encode_plain(text, prompts), dim=-1)


def features_of_contexts(layout: TaskLayout, text: TextTower, contexts: Tensor) -> Tensor:
    """(n_classes, feature_dim) features of unit norm of ``[SOS] context of the task, class name . [EOT]``."""
    names = zip(layout.task_of_class.tolist(), layout.classnames, strict=True)
    prompts = [lay_out(text.vocabulary, name, t, contexts.shape[1]) for t, name in names]
    return F.normalize(encode_plain(text, prompts, contexts), dim=-1)


def softcpt_features(
    text: TextTower,
    layout: TaskLayout,
    learner: Any,
    variant: str,
    kind: str,
    position: str,
    scale: Callable[[Tensor], Tensor] = lambda features: features,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Text features of all classes by SoftCPT's equations, and the parameters that they are a function of.

    Args:
        scale: scales the features of names before the sub-network reads them.
    """
    leaf = {name: p.detach().clone().requires_grad_() for name, p in learner.named_parameters()}
    u, v = leaf.get("task_context"), leaf.get("class_context")
    m, tasks = 0 if u is None else 4, range(len(layout))
    f = encode_plain(
        text,
        [lay_out(text.vocabulary, layout.tasks[t].name, t if variant.endswith("TS") else 0, m) for t in tasks],
        u,
    )
    f = scale(f)
    x = f
    if variant in CLASS_SPECIFIC:
        per_class = variant.startswith("CS")
        names = enumerate(layout.classnames)
        prompts = [lay_out(text.vocabulary, name, c if per_class else 0, 4) for c, name in names]
        g, f = scale(encode_plain(text, prompts, v)), f[layout.task_of_class]
        x = {"linmean": (g + f) / 2, "lincls": g}.get(kind, torch.cat([g, f], 1))
    if kind == "mlp":
        x = (x @ leaf["sub_network.hidden_weight"] + leaf["sub_network.hidden_bias"]).clamp(min=0)
    s = x @ leaf["sub_network.weight"]
    if "sub_network.bias" in leaf:
        s = s + leaf["sub_network.bias"]
    of_class = range(layout.n_classes) if variant in CLASS_SPECIFIC else layout.task_of_class.tolist()
    prompts = [lay_out(text.vocabulary, name, of_class[c], 16, position) for c, name in enumerate(layout.classnames)]
    return encode_plain(text, prompts, s.reshape(len(s), 16, text.width)), leaf

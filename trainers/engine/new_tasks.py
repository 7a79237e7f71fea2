"""How far a method's prompts for new tasks can be trusted, measured within training.

A meta network writes prompts for a task that it was never trained on. If it saw few tasks, these can be worse than the
task's template. So new tasks are answered in between: with the class features t of the template and s of the method,

    w(a) = unit((1 - a) t + a s),        0 <= a <= 1: the weight, 0 for zero-shot CLIP, 1 for the method alone.

The weight is chosen on tasks that are held out of training. The training tasks are split into folds; for each fold the
method is trained again on the other tasks, and classifies the training images of the fold's tasks with prompts for them
as new tasks. So each task i has an accuracy p_i(a) for each weight. With the gains g_i(a) = p_i(a) - p_i(0) over the
template,

    a = argmax over WEIGHTS of  low g(a),        low g(a) = mean g(a) - t s(g(a)) / sqrt(T),

where low is the lower 95 % bound of the mean gain over T tasks: t is Student's quantile and s the sample standard
deviation. It is 0 for a = 0, so a weight is chosen only if its mean gain exceeds the noise. The bound is over tasks,
not images, since another task is what it predicts. The likelihood would have finer steps than the accuracy, but it
rewards lower confidence: where templates are confidently wrong, it prefers any prompts that are less confident, however
bad. With three tasks of plants7 (4 shots) it preferred weight 1: the mean log-likelihood of the held-out tasks' images
rose from -2.57 to -2.44, and their accuracy fell from 25.6 to 18.8 %.
"""

from __future__ import annotations

import contextlib
import copy
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from dassl.utils import set_random_seed
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from common.intervals import interval
from common.text import counted
from datasets.images import Labels, SeededImages
from prompting.tasks import TaskLayout
from prompting.templates import blended
from trainers.engine.image_trainer import images_of
from trainers.engine.task_trainer import TaskTrainer

WEIGHTS = tuple(step / 10 for step in range(11))
LEAST_TASKS = 3  # with fewer, their spread says nothing
LEVEL = 0.9  # of the two-sided interval, whose lower end is then a one-sided bound of 95 %
OF_A_TRAINER = ("all_classes", "handwritten_features")  # cached, and of its tasks


@dataclass(frozen=True)
class Measured:
    """What the held-out tasks say.

    Args:
        weight: of the method's own class features, of WEIGHTS.
        tasks: of each held-out task its name and, for each of WEIGHTS, the "accuracy" in percent of its training
            images.
        folds: how often the method was trained for it.
    """

    weight: float
    tasks: tuple[dict[str, Any], ...]
    folds: int

    @property
    def line(self) -> str:
        """What was found, in a line."""
        if self.folds == 0:
            return f"New tasks: their templates alone, since {counted(LEAST_TASKS, 'training task')} or more are needed"
        held = f"{counted(len(self.tasks), 'task')} held out in {counted(self.folds, 'fold')}"
        return f"New tasks: weight {self.weight:g} of 1 for the method's own prompts, from {held}"

    def recorded(self) -> dict[str, Any]:
        """Return the entry "new_tasks" of results.json."""
        return {"weight": self.weight, "folds": self.folds, "weights": list(WEIGHTS), "tasks": list(self.tasks)}


def chosen(accuracies: Tensor) -> float:
    """Return the weight of WEIGHTS that (tasks, weights) accuracies of held-out tasks suggest, in any unit.

    The first column is that of weight 0, which fewer than LEAST_TASKS tasks get.
    """
    if len(accuracies) < LEAST_TASKS:
        return 0.0
    gains = (accuracies - accuracies[:, :1]).double()
    bounds = [interval(column, LEVEL)[0] for column in gains.t().tolist()]
    return WEIGHTS[bounds.index(max(bounds))]  # the first, so that a tie goes to the smaller weight


def measure(trainer: TaskTrainer, folds: int) -> Measured:
    """Hold the trainer's tasks out of training, in ``folds`` parts, and choose the weight; the trainer stays as it is.

    Args:
        trainer: a method whose parameters belong to no task; its data, tower and settings are used.
        folds: at least 2; as many as tasks at most are used.
    """
    count = len(trainer.layout)
    folds = min(folds, count)
    if count < LEAST_TASKS:
        return Measured(0.0, (), 0)
    views = None
    if trainer.cfg.BANK.TRAIN and trainer.cfg.SEED >= 0:  # those that training used, now from the bank
        images = cast(SeededImages, trainer.dm.train_loader_x.dataset)
        views = trainer.features.views(images, range(trainer.max_epoch), trainer.watch.encoding)
    found: dict[int, dict[str, Any]] = {}
    for fold in range(folds):
        held = range(fold, count, folds)
        part = trained_on(trainer, [task for task in range(count) if task not in held], views)
        found |= scores(trainer, part, held)
        trainer.watch.fold(fold + 1, folds)
    tasks = tuple(found[task] for task in range(count) if task in found)
    return Measured(chosen(torch.tensor([task["accuracy"] for task in tasks])), tasks, folds)


class Part(Dataset):
    """The images of some tasks, labelled as if there were no others."""

    images: Any  # what has no views of its own takes an epoch too

    def __init__(self, images: SeededImages | Labels, layout: TaskLayout, tasks: Sequence[int]):
        self.images, self.data_source = images, images.data_source
        label = {old: new for new, old in enumerate(layout.classes_of_all(tasks))}
        self._rows = [(row, label[item.label]) for row, item in enumerate(self.data_source) if item.label in label]

    @property
    def epoch(self) -> int:
        """The epoch whose views are shown."""
        return getattr(self.images, "epoch", 0)

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self.images.epoch = epoch

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> dict[str, Any]:
        row, label = self._rows[number]
        return {**self.images[row], "label": label}


def trained_on(trainer: TaskTrainer, tasks: Sequence[int], views: Any = None) -> TaskTrainer:
    """Train the trainer's method anew on some of its tasks, as a run on these alone would; nothing is saved or tested.

    Args:
        trainer: it is not changed; tower and data are shared.
        tasks: their numbers, in order.
        views: epoch -> features of the training images' views; None to encode images in every step.
    """
    part = copy.copy(trainer)
    for name in OF_A_TRAINER:
        vars(part).pop(name, None)
    part._models, part._optims, part._scheds = OrderedDict(), OrderedDict(), OrderedDict()
    part.layout = TaskLayout(tuple(trainer.layout.tasks[task] for task in tasks))
    plain = trainer.dm.train_loader_x
    images = cast(SeededImages, plain.dataset)
    if views is not None:
        part._views = views
    data = Part(images if views is None else Labels(images), trainer.layout, tasks)
    size = plain.batch_size or 1
    part.train_loader_x = DataLoader(
        data,
        size,
        shuffle=True,
        num_workers=plain.num_workers if views is None else 0,
        drop_last=len(data) >= size,  # as Dassl does
    )
    if trainer.cfg.SEED >= 0:
        set_random_seed(trainer.cfg.SEED)
    with contextlib.redirect_stdout(None):
        part.build_model()
    part.num_batches = len(part.train_loader_x)
    for epoch in range(part.max_epoch):
        part.epoch = epoch
        part.before_epoch()
        part.set_model_mode("train")
        for number, batch in enumerate(part.train_loader_x):
            part.batch_idx = number
            part.forward_backward(batch)
    part.set_model_mode("eval")
    return part


@torch.no_grad()
def scores(trainer: TaskTrainer, part: TaskTrainer, held: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Return for each held-out task of a trainer how prompts by ``part``, which was trained without it, do on the
    task's training images, see `Measured`."""
    still = images_of(trainer.test_loader)
    items = [item for item in trainer.dm.dataset.train_x if item.domain in held]
    loader = DataLoader(SeededImages(still.cfg, items, transform=still.transform), trainer.test_loader.batch_size)
    features, labels = (torch.cat(both) for both in zip(*trainer.test_batches(loader), strict=True))
    questions = part.questions()
    assert questions is not None
    found = {}
    for number in held:
        task, classes = trainer.layout.tasks[number], trainer.layout.classes_of(number)
        mine = (labels >= classes.start) & (labels < classes.stop)
        if not mine.any():
            continue
        template = trainer.handwritten_features[classes.start : classes.stop]
        own, truth = questions.features(trainer.tower.text, task), labels[mine] - classes.start
        logits = (trainer.logits(features[mine], blended(template, own, weight)) for weight in WEIGHTS)
        accuracy = [100 * float((row.argmax(1) == truth).double().mean()) for row in logits]
        found[number] = {"name": task.name, "accuracy": accuracy}
    return found

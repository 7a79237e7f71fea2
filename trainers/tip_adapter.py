"""Tip-Adapter and Tip-Adapter-F (arXiv 2111.03930): a cache of the few shots, added to zero-shot CLIP.

For each task, with image feature x, shots' features k_i (keys) and one-hot classes (values), all features of unit norm:

    logits_c = exp(logit_scale) x.w_c + alpha sum_{i in class c} exp(-beta (1 - x.k_i))            (paper, eq. 5 and 6)

w_c is the text feature of the task's template. A key is the mean feature of ten augmented views of a shot, scaled to
unit norm. Tip-Adapter learns nothing. Tip-Adapter-F trains the keys: AdamW, learning rate 0.001, 20 epochs, cosine,
batches of 256, cross-entropy; it has images x feature_dim parameters. Both then search alpha and beta for each task, on
a grid and the validation shots.

Deviations from the public code:
* It uses the epoch of F that is best on the TEST images, and reports the better of that result and the searched one.
  Ours uses the last epoch and the searched values.
* It has grids and initial values for each data set. Ours uses those of ImageNet for all.
* It averages views before normalising them, ours after.
* Its learning rate falls at every step, ours at every epoch.
* It keeps incomplete batches. Ours drops them if a task has a complete one.
* Ours compares candidates by the task's own metric, not always by overall accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from dassl.engine import TRAINER_REGISTRY
from dassl.optim import build_lr_scheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from yacs.config import CfgNode

from classifier.heads import CacheHead
from common.errors import InputError
from common.knobs import Knob
from prompting.adapters import Cache
from prompting.losses import unit, within_task
from prompting.transfers import upload
from trainers.engine.fitted_trainer import accuracy
from trainers.engine.image_trainer import features_by_task, images_of
from trainers.engine.task_trainer import TaskTrainer
from trainers.engine.tasks_of_batch import tasks_of


@TRAINER_REGISTRY.register()
class TipAdapter(TaskTrainer):
    """Tip-Adapter, or with FINETUNE Tip-Adapter-F."""

    section = "TIPADAPTER"
    KNOBS = (
        Knob("FINETUNE", False, "False: Tip-Adapter, nothing is trained; True: Tip-Adapter-F trains the keys"),
        Knob("VIEWS", 10, "augmented views per shot; its key is their mean", least=1, most=100_000, training=True),
        Knob(
            "ALPHA",
            1.17,
            "alpha, weight of the cache: while keys are trained, and without a search",
            least=0,
            training=True,
        ),
        Knob("BETA", 1.0, "beta, sharpness of the cache: in the same cases", least=0, training=True),
        Knob("SEARCH", True, "search alpha and beta on the validation shots at the end", training=True),
        Knob("MOST_ALPHA", 3.0, "upper end of alpha's grid, which starts at 0.1", least=0.1, training=True),
        Knob("MOST_BETA", 7.0, "upper end of beta's grid, which starts at 0.1", least=0.1, training=True),
        Knob("STEPS_ALPHA", 20, "values in alpha's grid", least=1, most=10_000, training=True),
        Knob("STEPS_BETA", 200, "values in beta's grid", least=1, most=10_000, training=True),
    )

    @classmethod
    def one_task_batches(cls, cfg: CfgNode) -> bool:
        return True

    @classmethod
    def uses_validation(cls, cfg: CfgNode) -> bool:
        return True

    def check_cfg(self, cfg: CfgNode) -> None:
        super().check_cfg(cfg)
        if cfg.TRAINER.TIPADAPTER.FINETUNE and cfg.TEST.FINAL_MODEL == "best_val":
            raise InputError("Tip-Adapter-F searches alpha and beta at the end; set TEST.FINAL_MODEL last_step.")
        if cfg.SEED < 0:
            raise InputError("Tip-Adapter's keys come from seeded views; set --seed to 0 or more.")

    def build_learner(self) -> nn.ModuleList:
        k, labels = self.knobs, torch.tensor([item.label for item in self.dm.dataset.train_x])
        shots = torch.bincount(self.layout.task_of_class[labels], minlength=len(self.layout)).tolist()
        return nn.ModuleList(
            Cache(n, self.tower.text.feature_dim, len(task.classnames), k.ALPHA, k.BETA, k.FINETUNE)
            for n, task in zip(shots, self.layout.tasks, strict=True)
        )

    def trained_in_steps(self) -> bool:
        return False  # its keys start from the shots

    def make_optimizer(self) -> tuple[Optimizer, Any]:
        optim = self.cfg.OPTIM
        # The published eps. Dassl's own AdamW would use 1e-8, and gradients here are not much larger than 1e-4.
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=optim.LR, weight_decay=optim.WEIGHT_DECAY, eps=1e-4)
        return optimizer, build_lr_scheduler(optimizer, optim)

    @property
    def caches(self) -> Sequence[Cache]:
        """One cache per task: ``self.model``, typed by its elements."""
        return cast("Sequence[Cache]", self.model)

    def task_logits(self, task: int, image_features: Tensor) -> Tensor:
        """(batch, d) -> (batch, classes of the task), by the equation above."""
        classes = self.layout.classes_of(task)
        text_features = self.handwritten_features[classes.start : classes.stop]
        return self.logits(image_features, text_features) + self.caches[task](image_features)

    def head(self) -> CacheHead:
        return CacheHead(self.layout, self.handwritten_features, self.tower.logit_scale, self.caches)

    def loss(self, image_features: Tensor, label: Tensor, task: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        tasks = tasks_of(task)
        columns = upload(self.layout.classes_of_all(tasks), label.device)
        logits = torch.cat([self.task_logits(t, image_features) for t in tasks], dim=1)
        logits = within_task(logits, task, self.task_of_class[columns])
        column = torch.searchsorted(columns, label)
        return F.cross_entropy(logits, column), logits, column

    # -- filling the caches, and the search --

    @torch.no_grad()
    def fill_caches(self) -> None:
        """Set keys and values from augmented views of the shots."""
        images = images_of(self.dm.train_loader_x)
        views = self.features.views(images, range(self.knobs.VIEWS), self.watch.encoding)
        keys = unit(sum(views.values(), torch.zeros(()))).to(self.device)
        label = torch.tensor([item.label for item in images.data_source], device=self.device)
        for t, cache in enumerate(self.caches):
            shots = self.task_of_class[label] == t
            cache.keys.copy_(keys[shots])
            cache.values.copy_(label[shots] - self.layout.offsets[t])

    @torch.no_grad()
    def search(self) -> None:
        """Set each task's alpha and beta: the first best pair on its validation shots, with beta in the outer loop."""
        k, of_tasks = self.knobs, features_by_task(self, "val")
        for t, (cache, task, (x, label)) in enumerate(zip(self.caches, self.layout.tasks, of_tasks, strict=True)):
            if not k.SEARCH or not len(label):
                print(f"task {t} ({task.name}): alpha and beta are not searched")
                continue
            classes = self.layout.classes_of(t)
            zero_shot = self.logits(x, self.handwritten_features[classes.start : classes.stop])
            affinity, best = x @ cache.keys.t(), -1.0
            for beta in grid(k.MOST_BETA, k.STEPS_BETA):
                votes = cache.votes(affinity, beta)
                for alpha in grid(k.MOST_ALPHA, k.STEPS_ALPHA):
                    score = accuracy((zero_shot + alpha * votes).argmax(1), label, task.metric)
                    if score > best:
                        best = score
                        cache.alpha.fill_(alpha)
                        cache.beta.fill_(beta)
            print(
                f"task {t} ({task.name}): alpha {float(cache.alpha):.2f}, beta {float(cache.beta):.2f}, "
                f"validation accuracy {100 * best:.1f}%"
            )

    # -- training --

    def train(self) -> None:
        if self.knobs.FINETUNE:
            super().train()
        else:
            self.train_at_once(self.fit)

    def fit(self) -> None:
        self.fill_caches()
        self.search()

    def before_train(self) -> None:
        super().before_train()
        if not self.start_epoch:
            self.fill_caches()

    def after_epoch(self) -> None:
        if self.epoch + 1 == self.max_epoch:  # before the last checkpoint is saved, so that it contains the result
            self.search()
        super().after_epoch()


def grid(end: float, steps: int) -> list[float]:
    """Return the public code's candidates: ``steps`` evenly spaced values from 0.1, the last one step below ``end``."""
    return [i * (end - 0.1) / steps + 0.1 for i in range(steps)]

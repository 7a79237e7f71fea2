"""What all prompt methods share: a method is contexts + loss, everything else is here.

A method (one file each, beside this one) subclasses `PromptTrainer`, says in `build_learner` where the context vectors
come from, and may override `loss`. Building prompts, encoding them, batching, saving, resuming, testing and logging
exist once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import torch
import torch.nn.functional as F
from dassl.data import DataManager
from dassl.data.transforms import build_transform
from dassl.metrics import compute_accuracy
from dassl.optim import build_lr_scheduler, build_optimizer
from dassl.utils import count_num_param, load_pretrained_weights, set_random_seed
from torch import Tensor
from torch.utils.data import DataLoader, Sampler
from yacs.config import CfgNode

from common.errors import InputError
from common.paths import REPOSITORY
from datasets.collection import layout_of
from datasets.images import Labels, SeededImages, data_root, not_augmented
from prompting.feature_bank import FeatureBank
from prompting.losses import unit, within_task
from prompting.prompts import lay_out
from prompting.templates import template_features
from prompting.text_encoder import PackedPrompts, encode, pack
from prompting.towers import load_tower
from trainers.engine.batches import OneTaskBatches
from trainers.engine.contexts import PromptLearner
from trainers.engine.evaluator import TaskEvaluator
from trainers.engine.image_features import ImageFeatures
from trainers.engine.learned import describe
from trainers.engine.resuming import ResumingTrainer
from trainers.engine.watch import Watch

PRECISIONS = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
MOST = 0.7  # a batch whose tasks have this share of all classes has all classes encoded
EXAMPLES = 3  # wrongly classified test images of a class that results.json names
TEST_ROWS = 4096  # test images whose logits are computed at a time


def search_folders(cfg: CfgNode) -> tuple[Path, ...]:
    """Where the relative path of a checkpoint is looked for, after the working directory."""
    return REPOSITORY, data_root(cfg)


def extend_cfg(cfg: CfgNode) -> None:
    """Config keys that every method reads."""
    cfg.DATASET.DECLARATION = ""  # filled in: what a collection's YAML file says
    cfg.MODEL.BACKBONE.DIGEST = ""  # filled in: a hash of the checkpoint file
    cfg.DATASET.SUBSAMPLE_CLASSES = "all"  # of every task: all, base (the first half, rounded up) or new (the others)
    cfg.DATASET.SUBSAMPLE_TASKS = "all"  # all, base, new, or task<i>+task<j>.., from 0
    cfg.DATASET.ALLOW_FEWER_SHOTS = False  # a class with fewer images than shots gives all it has, instead of an error
    # The released SoftCPT code registers one scheduler under several model names and so steps it several times an
    # epoch: 3 for class-agnostic variants, 4 for class-specific ones. Set this to reproduce it.
    cfg.OPTIM.STEPS_PER_EPOCH = 1
    cfg.MODEL.COMPILE = False  # torch.compile for the text encoder: a minute's compilation, worth it on a GPU at best
    cfg.WANDB = CfgNode()
    cfg.WANDB.PROJECT = ""  # a project of Weights & Biases that gets what TensorBoard does; empty: none
    cfg.BANK = CfgNode()
    cfg.BANK.TEST = True  # image features of test images: computed once, shared by all runs
    cfg.BANK.TRAIN = True  # of each epoch's augmented views: computed ahead in large batches, shared by all methods
    cfg.BANK.DIR = ""  # where they are kept; default: output/.bank in the repository
    cfg.BANK.LIMIT_GB = 20.0  # the least recently used go when there are more


class PromptTrainer(ResumingTrainer):
    """Trains a PromptLearner on a frozen CLIP. Subclasses set ``section`` and implement `build_learner`."""

    section: str  # where the method's knobs lie in the config: cfg.TRAINER.<section>
    one_task_batches = False  # every batch from a single task, as if each task were trained by itself
    uses_bank = True  # False: the method needs more of an image than its feature, so images are encoded as they come
    training_knobs: tuple[str, ...] = ()  # those of its knobs that what was learned does not depend on in use
    raw_features = False  # fixed images' features as the tower gives them, not of unit norm

    def __init__(self, cfg):
        self.watch = Watch()
        super().__init__(cfg)
        self.evaluator = TaskEvaluator(cfg, self.layout)

    @classmethod
    def label(cls, cfg: CfgNode) -> str:
        """What the method is called in tables and run folders."""
        return cls.__name__

    @classmethod
    def tied_to(cls, cfg: CfgNode) -> str:
        """What learned parameters belong to: "tasks", "classes", or "nothing", so that others can be tested with them.

        scripts/launch_methods.py has the same in TIED_TO.
        """
        return "tasks" if cls.one_task_batches else "nothing"

    @property
    def knobs(self) -> CfgNode:
        """The method's own config section."""
        return self.cfg.TRAINER[self.section]

    # -- building --

    def check_cfg(self, cfg):
        precision = cfg.TRAINER[self.section].PREC
        if precision not in PRECISIONS:
            raise InputError(f"TRAINER.{self.section}.PREC is '{precision}'; it must be {' or '.join(PRECISIONS)}.")

    def check_knobs(self, cfg: CfgNode, *rules: tuple[str, bool, str]) -> None:
        """InputError for the first of the method's knobs (name, whether its value fits, what it must be) that does not
        fit."""
        for name, fits, must in rules:
            if not fits:
                value = cfg.TRAINER[self.section][name]
                raise InputError(f"TRAINER.{self.section}.{name} is {value}; it must be {must}.")

    def build_data_loader(self):
        # Without augmentation a training image is shown as it would be tested. Dassl would squash it to a square.
        as_tested = build_transform(self.cfg, is_train=False) if not_augmented(self.cfg) else None
        dm = DataManager(self.cfg, custom_tfm_train=as_tested, dataset_wrapper=SeededImages)
        self.dm, self.layout = dm, layout_of(dm.dataset)
        self.train_loader_x, self.train_loader_u = dm.train_loader_x, dm.train_loader_u
        self.val_loader, self.test_loader = dm.val_loader, dm.test_loader
        self.num_classes, self.num_source_domains, self.lab2cname = dm.num_classes, dm.num_source_domains, dm.lab2cname
        plain = self.train_loader_x
        batches = self.batches(plain, [item.domain for item in dm.dataset.train_x])
        if batches is not None:
            self.train_loader_x = DataLoader(
                plain.dataset, batch_sampler=batches, num_workers=plain.num_workers, pin_memory=plain.pin_memory
            )

    def batches(self, plain: DataLoader, tasks: list[int]) -> Sampler | None:
        """What forms the training batches: None, Dassl's ``plain`` loader itself, or a batch sampler over images of
        ``tasks``. It is told the epoch (attribute ``epoch``), and draws from PyTorch's global generator alone."""
        separate = self.one_task_batches and len(self.layout) > 1
        return OneTaskBatches(tasks, plain.batch_size) if separate else None

    def build_model(self):
        cfg = self.cfg
        print(f"Loading CLIP (backbone: {cfg.MODEL.BACKBONE.NAME})")
        dtype = PRECISIONS[self.knobs.PREC]
        if dtype == torch.float16 and self.device.type == "cpu":
            dtype = torch.float32  # CPUs have no fast float16
        self.tower = load_tower(cfg.MODEL.BACKBONE.NAME, self.device, dtype, search=search_folders(cfg))
        wanted = self.tower.preprocessing.size
        if tuple(cfg.INPUT.SIZE) != (wanted, wanted):
            raise InputError(
                f"{cfg.MODEL.BACKBONE.NAME} takes images of {wanted} x {wanted} pixels, but INPUT.SIZE is "
                f"{tuple(cfg.INPUT.SIZE)}; set INPUT.SIZE ({wanted}, {wanted})."
            )
        self.encode = torch.compile(encode) if cfg.MODEL.COMPILE else encode
        self.task_of_class = self.layout.task_of_class.to(self.device)
        bank = FeatureBank(cfg.BANK.DIR or REPOSITORY / "output" / ".bank", int(cfg.BANK.LIMIT_GB * (1 << 30)))
        self.features = ImageFeatures(self.tower, bank, self.device, cfg.DATALOADER.NUM_WORKERS)
        self.model = self.build_learner().to(self.device)
        if cfg.MODEL.INIT_WEIGHTS:
            load_pretrained_weights(self.model, cfg.MODEL.INIT_WEIGHTS)
        self._prompts = self.class_prompts()
        self._packed: dict[tuple[int, ...], tuple[PackedPrompts, Tensor]] = {}
        print(f"# params: {count_num_param(self.model):,}")
        self.optim, self.sched = self.make_optimizer() if count_num_param(self.model) else (None, None)
        self.register_model("prompt_learner", self.model, self.optim, self.sched)

    def make_optimizer(self):
        """The optimiser of the learner's parameters and its schedule; both None where nothing is learned by steps."""
        optimizer = build_optimizer(self.model, self.cfg.OPTIM)
        return optimizer, build_lr_scheduler(optimizer, self.cfg.OPTIM)

    def build_learner(self) -> PromptLearner:
        """The method's learner; ``self.tower``, ``self.layout`` and ``self.knobs`` are there."""
        raise NotImplementedError

    def class_prompts(self) -> list[list[int]]:
        """The prompts of all classes, in flat order."""
        learner, vocabulary = self.model, self.tower.text.vocabulary
        tasks = self.layout.task_of_class.tolist()
        return [
            lay_out(vocabulary, name, learner.context_of_class(task, flat), learner.n_ctx, learner.position)
            for flat, (task, name) in enumerate(zip(tasks, self.layout.classnames, strict=True))
        ]

    @cached_property
    def handwritten_features(self) -> Tensor:
        """(n_classes, feature_dim) float32 features of unit norm of the tasks' templates, for methods that learn from
        them."""
        return template_features(self.tower.text, self.layout)

    # -- the forward pass --

    def packed(self, tasks: Sequence[int]) -> tuple[PackedPrompts, Tensor]:
        """The packed prompts of some tasks' classes and their (n,) flat class indices; laid out once a set of tasks."""
        key = tuple(tasks)
        if key not in self._packed:
            if len(self._packed) > 64:  # many tasks and small batches: sets that never come again must not pile up
                self._packed.clear()
            columns = self.layout.classes_of_all(tasks)
            packed = self.pack_classes(columns)
            self._packed[key] = packed.to(self.device), torch.tensor(columns, device=self.device)
        return self._packed[key]

    def pack_classes(self, columns: Sequence[int]) -> PackedPrompts:
        """The packed prompts of some classes: one for each, unless the method says else."""
        return pack([self._prompts[column] for column in columns])

    def text_features(self, tasks: Sequence[int], classes: Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
        """(n, feature_dim) float32 features of unit norm of some tasks' classes, and their (n,) flat class indices.

        ``classes``, ascending: only these of the tasks' classes; the learner's ``contexts`` must take them then.
        """
        if classes is None:
            packed, columns = self.packed(tasks)
            contexts = self.model.contexts(tasks) if self.model.n_ctx else None
        else:
            packed = self.pack_classes(classes).to(self.device)
            columns = torch.tensor(classes, device=self.device)
            contexts = self.model.contexts(tasks, classes)
        return unit(self.encode(self.tower.text, packed, contexts)), columns

    def logits(self, image_features: Tensor, text_features: Tensor) -> Tensor:
        """exp(logit_scale) x cosine: (batch, d), (n, d) of unit norm -> (batch, n) (paper, prediction probability)."""
        return self.tower.logit_scale * image_features @ text_features.t()

    def class_logits(
        self, image_features: Tensor, task: Tensor, text: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """(batch, n) logits, -inf outside each image's own task, and the (n,) flat class indices of their columns.

        ``text`` is what `text_features` gave; without it that of the batch's tasks is computed.
        """
        text_features, columns = text or self.text_features(self.tasks_to_encode(task))
        return within_task(self.logits(image_features, text_features), task, self.task_of_class[columns]), columns

    def task_by_task(self, image_features: Tensor, task: Tensor, logits_of: Callable[[int, Tensor], Tensor]) -> Tensor:
        """(batch, classes) logits over all classes, for methods whose cost lies in every pair of image and class:
        ``logits_of(task, features of its images)`` gives (images, the task's classes), all else is -inf."""
        logits = torch.full((len(task), self.layout.n_classes), float("-inf"), device=self.device)
        for index in task.unique().tolist():
            mine = (task == index).nonzero().squeeze(1)
            part = logits_of(index, image_features[mine])
            classes = torch.tensor(self.layout.classes_of(index), device=self.device)
            logits = logits.to(part.dtype).index_put((mine.unsqueeze(1), classes), part)
        return logits

    def classifier(self) -> Callable[[Tensor, Tensor], Tensor]:
        """What tests: (batch, d) image features, their (batch,) tasks -> (batch, classes) logits over the flat axis.

        Those of other tasks' classes do not count. What images have in common, such as text features, is computed here.
        """
        text = self.text_features(range(len(self.layout)))
        return lambda image_features, task: self.class_logits(image_features, task, text)[0]

    def loss(self, image_features: Tensor, label: Tensor, task: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Loss of a batch, its within-task logits (batch, n) and its labels as columns of them."""
        classes = self.classes_to_encode(label, task)
        text = None if classes is None else self.text_features(self.tasks_to_encode(task), classes)
        logits, columns = self.class_logits(image_features, task, text)
        column = torch.searchsorted(columns, label)
        return F.cross_entropy(logits, column), logits, column

    def tasks_to_encode(self, task: Tensor) -> list[int]:
        """The tasks of a batch, or all if few are left out: to pack prompts anew would cost more than to encode all."""
        tasks = task.unique().tolist()
        if len(self.layout.classes_of_all(tasks)) < MOST * self.layout.n_classes or self.one_task_batches:
            return tasks
        return list(range(len(self.layout)))

    def classes_to_encode(self, label: Tensor, task: Tensor) -> list[int] | None:
        """For a method that trains on some of the tasks' classes: these, ascending. None: on all."""
        return None

    def image_features(self, batch: dict) -> Tensor:
        """(batch, feature_dim) float32 features of unit norm: from the bank when they were encoded ahead."""
        if "img" in batch:
            return self.encode_images(batch["img"].to(self.device))
        return self._views[self.epoch][batch["index"]].to(self.device)

    def encode_images(self, images: Tensor) -> Tensor:
        """What the method compares of (batch, 3, height, width) images: (batch, feature_dim), unless it says else."""
        return self.tower.encode_image(images, normalize=not self.raw_features)

    def forward_backward(self, batch):
        label = batch["label"].to(self.device)
        task = self.task_of_class[label]
        loss, logits, column = self.loss(self.image_features(batch), label, task)
        self.model_backward_and_update(loss)
        if self.batch_idx + 1 == self.num_batches:
            for _ in range(self.cfg.OPTIM.STEPS_PER_EPOCH):
                self.update_lr()
        self.last_loss = loss.item()
        return {"loss": self.last_loss, "acc": compute_accuracy(logits, column)[0].item()}

    # -- training and testing --

    def refuse_test_only(self) -> None:
        """InputError for a data set that has nothing to train on."""
        if getattr(self.dm.dataset, "test_only", False):
            raise InputError(
                f"{self.cfg.DATASET.NAME} has no training images; train on another data set and test on this one with "
                "--eval-only."
            )

    def before_train(self):
        self.refuse_test_only()
        super().before_train()
        if self.cfg.BANK.TRAIN and self.cfg.SEED >= 0 and self.start_epoch < self.max_epoch:
            self._encode_views_ahead()

    def _encode_views_ahead(self) -> None:
        """Replace the training images of all epochs to come by the features of the very views they would have shown.

        Methods that cannot use the bank do so only with images that are not augmented, if all fit into memory.
        """
        loader = self.train_loader_x
        epochs = range(self.start_epoch, self.max_epoch)
        if self.uses_bank:
            self._views = self.features.views(loader.dataset, epochs, self.watch.encoding)
        else:
            once = self.features.once(loader.dataset, self.encode_images, self.watch.encoding)
            if once is None:
                return
            self._views = dict.fromkeys(epochs, once)
        # The sampler is kept, and with it the order of batches.
        if loader.batch_size is None:  # batches come from `batches`
            self.train_loader_x = DataLoader(Labels(loader.dataset), batch_sampler=loader.batch_sampler)
        else:
            self.train_loader_x = DataLoader(
                Labels(loader.dataset), loader.batch_size, sampler=loader.sampler, drop_last=loader.drop_last
            )

    def before_epoch(self):
        # All that an epoch draws depends on (seed, epoch) alone, so that a resumed run equals an uninterrupted one.
        if self.cfg.SEED >= 0:
            set_random_seed((self.cfg.SEED * 1_000_003 + self.epoch) % (1 << 32))
        self.train_loader_x.dataset.epoch = self.train_loader_x.batch_sampler.epoch = self.epoch

    def write_scalar(self, tag, scalar_value, global_step=None):
        super().write_scalar(tag, scalar_value, global_step)
        self.watch.scalar(tag, scalar_value, global_step)

    def after_epoch(self):
        super().after_epoch()
        self._checkpoint_for_resuming()
        self.watch.epoch(self.epoch + 1, self.max_epoch, self.last_loss)

    @torch.no_grad()
    def test(self, split=None):
        """Evaluate on a split; text features are encoded once. Returns the mean accuracy over tasks, in percent."""
        began = time.time()
        self.set_model_mode("eval")
        self.evaluator.reset()
        split = split or self.cfg.TEST.SPLIT
        if split != "val" or self.val_loader is None:
            split = "test"
        print(f"Evaluate on the *{split}* set")
        classify = self.classifier()
        loader = self.val_loader if split == "val" else self.test_loader
        self._tested = loader.dataset
        for image_features, label in self._test_batches(loader):
            task = self.task_of_class[label]
            self.evaluator.process(within_task(classify(image_features, task), task, self.task_of_class), label)
        results = self.evaluator.evaluate()
        for name, value in results.items():
            self.write_scalar(f"{split}/{name}", value, self.epoch)
        self.seconds["test"] += time.time() - began
        return next(iter(results.values()))

    def _test_batches(self, loader: DataLoader) -> Iterator[tuple[Tensor, Tensor]]:
        """Image features and labels of a split, on the device."""
        if not (self.uses_bank and self.cfg.BANK.TEST):
            for batch in loader:
                images, label, _ = self.parse_batch_train(batch)
                yield self.encode_images(images), label
            return
        features = self.features.fixed(loader.dataset, self.watch.encoding)
        label = torch.tensor([item.label for item in loader.dataset.data_source])
        for part, labels in zip(features.split(TEST_ROWS), label.split(TEST_ROWS), strict=True):
            part = part.to(self.device)
            yield part if self.raw_features else unit(part), labels.to(self.device)

    def report(self) -> dict:
        """What a finished run says of itself, from the evaluation done last."""
        data = self.dm.dataset
        tasks = self.evaluator.per_task()
        for task, mistakes in zip(tasks, self.evaluator.mistakes(EXAMPLES), strict=True):
            images = [self._tested.name_of(self._tested.data_source[row.pop("number")]) for row in mistakes]
            task["examples"] = [{"image": image, **row} for image, row in zip(images, mistakes, strict=True)]
        mean = sum(task["accuracy"] for task in tasks) / len(tasks)
        if not math.isfinite(mean):
            raise InputError("A task has no test images; check the data set's test split.")
        return {
            "tasks": tasks,
            "mean": mean,
            "contexts": describe(self.model, self.layout, self.tower.text) if getattr(self.model, "n_ctx", 0) else None,
            "counts": {
                "trainable_parameters": count_num_param(self.model),
                "tasks": len(self.layout),
                "classes": self.layout.n_classes,
                "train_images": len(data.train_x),
                "val_images": len(data.val or []),
                "test_images": len(data.test),
            },
            "seconds": {name: round(seconds, 3) for name, seconds in self.seconds.items()},
            "resumed_from_epoch": self.start_epoch,
        }

"""CLIP-LoRA: low-rank few-shot adaptation of vision-language models (arXiv 2405.18541).

No prompt is learned; instead the towers change a little. Every query, key and value matrix W in the attention layers of
both towers gets a low-rank update (prompting.low_rank), trained on the few shots by cross-entropy:

    W + alpha / sqrt(r) B A                   r = 2, alpha = 1, dropout 0.25 before A
    logits                                    exp(logit_scale) x cosine(image feature, feature of the task's template)

On a collection each task has updates of its own and is trained on its own; in training and testing, an image is encoded
by its own task's towers. The towers' weights do not change: only A and B are learned and saved, 6 r width numbers per
layer and task. With ENCODER "text" or "vision" the other tower stays frozen. The image tower must be a vision
transformer; for any other, such as a ResNet, ENCODER must be "text". With "text" the feature bank is used.

As in github.com/MaxZanella/CLIP-LoRA: AdamW, learning rate 2e-4, weight decay 0.01, cosine, 500 steps per shot in
batches of 32 (the last batch of a pass over the images may be smaller), scale alpha / sqrt(r) instead of alpha / r.
Deviations:
* Steps are spread over OPTIM.MAX_EPOCH epochs as evenly as possible. The learning rate falls after every epoch, not
  after every step, and to 0, not to 1e-6. An image that occurs several times in an epoch shows the same view.
* In the text tower, first tokens that prompts share are one token (prompting.text_encoder), with one draw of the
  dropout for all these prompts; the public code draws for each prompt.
* Templates are the tasks' own; the public code uses "a photo of a {}." for every data set.
* Gradients are those of the updated towers at every dropout. The public code does the same with a dropout above 0, as
  published; without dropout, its layers revert their update before the backward pass, which then sees frozen matrices.
* A and B compute in float32 whatever the tower's precision (published: float16 under autocast with a gradient scaler,
  which is not used here).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from dassl.engine import TRAINER_REGISTRY
from torch import Tensor
from torch.utils.data import DataLoader
from yacs.config import CfgNode

from classifier.heads import Head, UpdatedHead
from classifier.questions import Questions, TemplateQuestions, UpdatedQuestions
from common.errors import InputError
from common.knobs import Knob
from prompting.losses import unit
from prompting.low_rank import AttentionBlock, LowRank, encode_updated, image_blocks
from prompting.templates import template_prompts
from prompting.text_encoder import blocks_of, encode_with
from prompting.towers import Tower
from prompting.transfers import upload
from trainers.engine.batches import OneTaskBatches
from trainers.engine.contexts import PromptLearner, module_list
from trainers.engine.prompt_trainer import PromptTrainer
from trainers.engine.tasks_of_batch import rows_of_tasks

ENCODERS = {"both": "both towers", "text": "the text tower", "vision": "the image tower"}


def steps_of(cfg: CfgNode) -> int:
    """Return the training steps of each task; 0 means as many as the epochs have batches."""
    return cfg.TRAINER.CLIPLORA.ITERATIONS * max(cfg.DATASET.NUM_SHOTS, 0)


class TowerUpdates(PromptLearner):
    """Each task's low-rank updates of the tuned towers; prompts have no context.

    Args:
        tower: the frozen CLIP.
        n_tasks: number of tasks.
        encoder: one of ENCODERS.
        rank, alpha, dropout: see LowRank.
    """

    n_ctx = 0
    text: Sequence[LowRank] | None  # one per task; None for a tower that stays frozen
    image: Sequence[LowRank] | None

    def __init__(self, tower: Tower, n_tasks: int, encoder: str, rank: int, alpha: float, dropout: float):
        super().__init__()

        def updates_of(blocks: Sequence[AttentionBlock] | None) -> Sequence[LowRank]:
            assert blocks is not None  # CLIPLoRA.build_learner refuses such a tower
            width = blocks[0].attn.embed_dim
            return module_list(LowRank(len(blocks), width, rank, alpha, dropout) for _ in range(n_tasks))

        self.text = updates_of(blocks_of(tower.text, "CLIP-LoRA")) if encoder != "vision" else None
        self.image = updates_of(image_blocks(tower.visual)) if encoder != "text" else None

    def context_of_class(self, task: int, flat_class: int) -> int:
        return 0


@TRAINER_REGISTRY.register()
class CLIPLoRA(PromptTrainer):
    """Low-rank updates of the towers' attention layers, each task trained on its own."""

    model: TowerUpdates
    section = "CLIPLORA"
    KNOBS = (
        Knob("ENCODER", "both", "the towers to tune", among=ENCODERS),
        Knob("RANK", 2, "r", least=1, most=4096),
        Knob("ALPHA", 1.0, "weight of the updates, before it is divided by sqrt(r)", above=0),
        Knob("DROPOUT", 0.25, "share of A's inputs that training drops", least=0, below=1, training=True),
        Knob(
            "ITERATIONS",
            500,
            "training steps per shot of each task, spread over OPTIM.MAX_EPOCH epochs; 0: one per batch of the epochs",
            least=0,
            training=True,
        ),
    )

    @classmethod
    def one_task_batches(cls, cfg: CfgNode) -> bool:
        return True

    @classmethod
    def uses_bank(cls, cfg: CfgNode) -> bool:
        return cfg.TRAINER.CLIPLORA.ENCODER == "text"

    def check_cfg(self, cfg: CfgNode) -> None:
        super().check_cfg(cfg)
        k = cfg.TRAINER.CLIPLORA
        if 0 < steps_of(cfg) < cfg.OPTIM.MAX_EPOCH:
            raise InputError(
                f"TRAINER.CLIPLORA.ITERATIONS {k.ITERATIONS} a shot is {steps_of(cfg)} steps, too few for "
                f"OPTIM.MAX_EPOCH {cfg.OPTIM.MAX_EPOCH}; set OPTIM.MAX_EPOCH to at most {steps_of(cfg)}."
            )
        if cfg.MODEL.COMPILE:
            raise InputError("CLIP-LoRA changes its text tower from task to task; set MODEL.COMPILE False.")

    def batches(self, plain: DataLoader, tasks: list[int]) -> OneTaskBatches:
        """Return batches of one task each, as many over all epochs as ITERATIONS sets."""
        optim, batch_size = self.cfg.OPTIM, self.cfg.DATALOADER.TRAIN_X.BATCH_SIZE
        return OneTaskBatches(tasks, batch_size, steps_of(self.cfg) or None, optim.MAX_EPOCH)

    def build_learner(self) -> TowerUpdates:
        k = self.knobs
        if k.ENCODER != "text":
            if image_blocks(self.tower.visual) is None:
                raise InputError(
                    f"The image tower of '{self.tower.name}' is not a vision transformer, and CLIP-LoRA updates "
                    "attention layers; set TRAINER.CLIPLORA.ENCODER text."
                )
            print("CLIP-LoRA tunes the image tower, so images are encoded at every step and not taken from the bank")
        return TowerUpdates(self.tower, len(self.layout), k.ENCODER, k.RANK, k.ALPHA, k.DROPOUT)

    def class_prompts(self) -> list[list[int]]:
        return template_prompts(self.tower.text.vocabulary, self.layout)

    def text_features(self, tasks: Sequence[int], classes: Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
        """Encode every task's prompts with the text tower and the task's updates."""
        updates = self.model.text
        if updates is None:
            columns = upload(self.layout.classes_of_all(tasks), self.device)
            return self.handwritten_features[columns], columns
        parts = []
        for task in tasks:
            packed, columns = self.packed([task])
            parts.append((unit(encode_with(updates[task], self.tower.text, packed)), columns))
        return torch.cat([features for features, _ in parts]), torch.cat([columns for _, columns in parts])

    def encode_images(self, images: Tensor) -> Tensor:
        """Return the images unchanged if the image tower is tuned: `class_logits` encodes them by task."""
        return super().encode_images(images) if self.uses_bank(self.cfg) else images

    def adapted_features(self, images: Tensor, task: Tensor) -> Tensor:
        """Encode every image with its own task's image tower: (batch, feature_dim) of unit norm."""
        updates = self.model.image
        assert updates is not None  # ENCODER is not "text"
        images = images.to(self.tower.dtype)
        rows = rows_of_tasks(task)
        parts = [unit(encode_updated(self.tower.visual, updates[t], images[mine])) for t, mine in rows.items()]
        return torch.cat(parts)[torch.cat(list(rows.values())).argsort()]

    def head(self) -> Head:
        updates = self.model.image
        if updates is None:
            return super().head()
        features, _ = self.text_features(range(len(self.layout)))
        scale, alpha = self.tower.logit_scale, self.knobs.ALPHA
        return UpdatedHead(self.layout, features, scale, updates, alpha, self.tower)

    def questions(self) -> Questions:
        updates = self.model.text
        if updates is None:
            return TemplateQuestions(self.trained_tasks)
        return UpdatedQuestions(self.trained_tasks, updates, self.knobs.ALPHA)

    def class_logits(
        self, image_features: Tensor, task: Tensor, text: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """As in `PromptTrainer`; ``image_features`` are images if the image tower is tuned."""
        features = image_features if self.uses_bank(self.cfg) else self.adapted_features(image_features, task)
        return super().class_logits(features, task, text)

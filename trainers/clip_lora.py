"""CLIP-LoRA: low-rank few-shot adaptation of vision-language models (arXiv 2405.18541).

No prompt is learned; the towers themselves move, a little. Every query, key and value matrix W of the attention layers
of both towers gets a low-rank update (prompting.low_rank), which the cross-entropy of the few shots trains:

    W + alpha / sqrt(r) B A                   r = 2, alpha = 1, dropout 0.25 before A
    logits                                    exp(logit_scale) x cosine(image feature, feature of the task's template)

On a collection each task has updates of its own and is trained by itself; an image is encoded by the towers of its own
task, in training and test. The towers' own weights stay as they are: A and B are all that is learned and saved, which
makes 6 r width a layer and task. With ENCODER "text" or "vision" one tower stays frozen. The image tower must be a
vision transformer; with any other, such as a ResNet, ENCODER must be "text". With "text" the feature bank is used.

After github.com/MaxZanella/CLIP-LoRA: AdamW, learning rate 2e-4, weight decay 0.01, cosine, 500 steps a shot in batches
of 32 (the last one of a pass over the images may be smaller), scale alpha / sqrt(r) and not alpha / r. Ours deviates:
* Steps are dealt out to OPTIM.MAX_EPOCH epochs, as evenly as can be; the learning rate falls after each of these and
  not after every step, and to 0 and not 1e-6; an image that comes several times in an epoch shows the same view.
* In the text tower, tokens that several prompts begin with are one token (prompting.text_encoder), with one draw of the
  dropout for all of them; the public code draws for each prompt.
* Templates are the tasks' own; the public code takes "a photo of a {}." for every data set.
* The gradient is that of the updated towers at every dropout. In the public code it is so with a dropout above 0, as
  published; without, its layers take their update back before the backward pass, which then sees the frozen matrices.
* A and B compute in float32 whatever the tower computes in (published: float16 under autocast, with a gradient scaler;
  there is none here).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from dassl.engine import TRAINER_REGISTRY
from torch import Tensor, nn
from yacs.config import CfgNode

from common.errors import InputError
from common.knobs import Knob
from prompting.losses import unit
from prompting.low_rank import LowRank, image_blocks, updated
from prompting.templates import template_prompts
from prompting.towers import Tower
from trainers.engine.batches import OneTaskBatches
from trainers.engine.contexts import PromptLearner
from trainers.engine.prompt_trainer import PromptTrainer

ENCODERS = {"both": "both towers", "text": "the text tower", "vision": "the image tower"}


def steps_of(cfg: CfgNode) -> int:
    """Training steps of each task; 0 for as many as the epochs have batches."""
    return cfg.TRAINER.CLIPLORA.ITERATIONS * max(cfg.DATASET.NUM_SHOTS, 0)


class TowerUpdates(PromptLearner):
    """Low-rank updates of each task, of the towers that are tuned; prompts have no context.

    Args:
        tower: the frozen CLIP.
        n_tasks: how many tasks there are.
        encoder: one of ENCODERS.
        rank, alpha, dropout: see LowRank.
    """

    n_ctx = 0

    def __init__(self, tower: Tower, n_tasks: int, encoder: str, rank: int, alpha: float, dropout: float):
        super().__init__()
        text, image = tower.text.blocks, image_blocks(tower.visual)

        def of_each_task(blocks: Sequence[nn.Module]) -> nn.ModuleList:
            width = blocks[0].attn.embed_dim
            return nn.ModuleList(LowRank(len(blocks), width, rank, alpha, dropout) for _ in range(n_tasks))

        self.text = of_each_task(text) if encoder != "vision" else None
        self.image = of_each_task(image) if encoder != "text" else None

    def context_of_class(self, task: int, flat_class: int) -> int:
        return 0


@TRAINER_REGISTRY.register()
class CLIPLoRA(PromptTrainer):
    """Low-rank updates of the towers' attention layers, each task trained by itself."""

    section = "CLIPLORA"
    KNOBS = (
        Knob("ENCODER", "both", "the towers that are tuned", among=ENCODERS),
        Knob("RANK", 2, "r", least=1),
        Knob("ALPHA", 1.0, "weight of the updates, before it is divided by sqrt(r)"),
        Knob("DROPOUT", 0.25, "share of A's inputs that is dropped in training", least=0, below=1, training=True),
        Knob(
            "ITERATIONS",
            500,
            "training steps of a task, per shot, spread over OPTIM.MAX_EPOCH epochs; 0: as many as there are batches",
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
                f"OPTIM.MAX_EPOCH {cfg.OPTIM.MAX_EPOCH}; set that to {steps_of(cfg)} at most."
            )
        if cfg.MODEL.COMPILE:
            raise InputError("CLIP-LoRA changes its text tower from task to task; leave MODEL.COMPILE False.")

    def batches(self, plain, tasks):
        """Every task has as many batches as ITERATIONS says, dealt out to the epochs."""
        return OneTaskBatches(tasks, plain.batch_size, steps_of(self.cfg) or None, self.cfg.OPTIM.MAX_EPOCH)

    def build_learner(self) -> PromptLearner:
        k = self.knobs
        if k.ENCODER != "text":
            if image_blocks(self.tower.visual) is None:
                raise InputError(
                    f"The image tower of '{self.tower.name}' is no vision transformer, and CLIP-LoRA updates attention "
                    "layers; set TRAINER.CLIPLORA.ENCODER text."
                )
            print("CLIP-LoRA tunes the image tower: images are encoded as they come")
        return TowerUpdates(self.tower, len(self.layout), k.ENCODER, k.RANK, k.ALPHA, k.DROPOUT)

    def class_prompts(self) -> list[list[int]]:
        return template_prompts(self.tower.text.vocabulary, self.layout)

    def text_features(self, tasks: Sequence[int], classes: Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
        """Every task's prompts are encoded by the text tower with its updates."""
        if self.model.text is None:
            columns = torch.tensor(self.layout.classes_of_all(tasks), device=self.device)
            return self.handwritten_features[columns], columns
        parts = []
        for task in tasks:
            with updated(self.tower.text.blocks, self.model.text[task]):
                parts.append(super().text_features([task], classes))
        features, columns = zip(*parts, strict=True)
        return torch.cat(features), torch.cat(columns)

    def encode_images(self, images: Tensor) -> Tensor:
        """The images themselves, when it depends on their task what their features are."""
        return super().encode_images(images) if self.uses_bank(self.cfg) else images

    def adapted_features(self, images: Tensor, task: Tensor) -> Tensor:
        """(batch, feature_dim) of unit norm: every image's feature from its own task's image tower."""
        blocks, images = image_blocks(self.tower.visual), images.to(self.tower.dtype)
        parts, order = [], []
        for index in task.unique().tolist():
            mine = (task == index).nonzero().squeeze(1)
            with updated(blocks, self.model.image[index]):
                parts.append(unit(self.tower.visual(images[mine].contiguous(memory_format=torch.channels_last))))
            order.append(mine)
        return torch.cat(parts)[torch.cat(order).argsort()]

    def class_logits(self, image_features, task, text=None):
        """``image_features`` are images when the image tower is tuned."""
        features = image_features if self.uses_bank(self.cfg) else self.adapted_features(image_features, task)
        return super().class_logits(features, task, text)

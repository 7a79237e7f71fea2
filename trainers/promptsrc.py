"""PromptSRC: self-regulating prompts (arXiv 2307.06948).

Both towers have independent prompts, at the input and before later blocks (MaPLe's prompts without the coupling):

    text     [SOS] P_0 class name . [EOT];  before block i < J_t the states of P are replaced by P_i
    image    [class] patches  V_0 ;         before block i < J_v the states of V are replaced by V_i

With x, w the features of images and classes with prompts, x', w' those of the frozen CLIP, and logits s, s':

    loss     CE(s, y) + a mean|w - w'| + b mean|x - x'| + KL(softmax s' || softmax s) / classes     (self-consistency)
    w'       the mean of a class's features in sixty templates, normalised                          (textual diversity)
    deployed sum_e g_e P^(e) over the prompts after each epoch e = 1 .. E, the same for V,
             g_e ~ exp(-(e - mean)^2 / (2 std^2)), summing to 1                                     (Gaussian averaging)

with a = 25, b = 10. P and V are learned, separately for each task of a collection: 46,080 numbers per task on ViT-B/16.

Follows section 3 of the paper and github.com/muzairkhattak/PromptSRC. As there: P_0 starts from "a photo of a" and all
others from a normal distribution with standard deviation 0.02; the KL divergence is divided by the number of classes
(and of images); w' is a mean of features that are not normalised; image prompts have no position; x' is computed from
the same augmented view. Deviations: parameters, averages and features are float32 (published: the tower's float16); w'
is computed in the tower's precision (published: by a float32 copy of the text tower).
"""

from __future__ import annotations

from functools import cached_property

import torch
import torch.nn.functional as F
from dassl.engine import TRAINER_REGISTRY
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from yacs.config import CfgNode

from common.errors import InputError
from common.knobs import Knob
from prompting.templates import IMAGENET_60, template_features
from trainers.engine.deep_prompts import DeepPrompts, DeepPromptTrainer
from trainers.engine.tasks_of_batch import tasks_of


def gaussian_weights(epochs: int, mean: float, std: float) -> Tensor:
    """Return g_1 .. g_E, (epochs,) float64. Softmax avoids 0 / 0 when the mean is far from all epochs."""
    epoch = torch.arange(1, epochs + 1, dtype=torch.float64)
    return torch.softmax(-((epoch - mean) ** 2) / (2 * std**2), dim=0)


def consistency(logits: Tensor, frozen: Tensor) -> Tensor:
    """Two (images, n) logits -> KL(softmax frozen || softmax logits), divided by the numbers of images and classes."""
    log_p, log_q = F.log_softmax(logits, dim=-1), F.log_softmax(frozen, dim=-1)
    return (log_q.exp() * (log_q - log_p)).mean()


class IndependentPrompts(DeepPrompts):
    """Text and vision prompts for each task, and the weighted sum of the past epochs' prompts.

    Args:
        n_tasks: number of tasks.
        text: (J_t, n_ctx, ctx_dim), the shape of a task's text prompts.
        vision: (J_v, n, width), the shape of its vision prompts.
        start: (n_ctx, ctx_dim), initial value of the context; without it, it is drawn like the others.
    """

    fresh = ("average",)
    text: nn.ParameterList
    vision: nn.ParameterList
    average: Tensor  # all parameters in one vector

    def __init__(
        self, n_tasks: int, text: tuple[int, int, int], vision: tuple[int, int, int], start: Tensor | None = None
    ):
        super().__init__()
        self.n_ctx = text[1]
        self.text = nn.ParameterList(torch.empty(text).normal_(std=0.02) for _ in range(n_tasks))
        self.vision = nn.ParameterList(torch.empty(vision).normal_(std=0.02) for _ in range(n_tasks))
        if start is not None:
            for prompts in self.text:
                prompts.data[0] = start
        # A buffer, so that checkpoints contain it and a resumed run continues it.
        self.register_buffer("average", torch.zeros_like(parameters_to_vector(self.parameters()).detach()))

    def n_tasks(self) -> int:
        return len(self.text)

    def text_prompts(self, task: int) -> Tensor:
        return self.text[task]

    def vision_prompts(self, task: int) -> Tensor:
        return self.vision[task]

    @torch.no_grad()
    def add_to_average(self, weight: float) -> None:
        """Add ``weight`` times the current prompts to the average."""
        self.average += weight * parameters_to_vector(self.parameters())

    @torch.no_grad()
    def deploy_average(self) -> None:
        """Replace the current prompts with the average."""
        vector_to_parameters(self.average.clone(), self.parameters())


@TRAINER_REGISTRY.register()
class PromptSRC(DeepPromptTrainer):
    """Self-regulating prompts, each task trained on its own."""

    model: IndependentPrompts
    section = "PROMPTSRC"
    KNOBS = (
        Knob("N_CTX_TEXT", 4, "context vectors in a class prompt", least=1, most=1000),
        Knob("N_CTX_VISION", 4, "prompt tokens in an image", least=1, most=1000),
        Knob("CTX_INIT", "a photo of a", "its first N_CTX_TEXT words start the context, the others stay words"),
        Knob(
            "PROMPT_DEPTH_TEXT",
            9,
            "J_t: the input and the blocks 1 .. J_t - 1 of the text tower have prompts",
            least=0,
            must="a number of blocks that the tower has, at least 1",
        ),
        Knob(
            "PROMPT_DEPTH_VISION",
            9,
            "J_v: the same for the image tower",
            least=0,
            must="a number of blocks that the tower has, at least 1",
        ),
        Knob("TEXT_LOSS_WEIGHT", 25.0, "a: weight of the text features' distance", least=0, training=True),
        Knob("IMAGE_LOSS_WEIGHT", 10.0, "b: weight of the image features' distance", least=0, training=True),
        Knob(
            "GPA_MEAN",
            15.0,
            "the epoch, counted from 1, with the largest weight in the average",
            least=0,
            training=True,
        ),
        Knob("GPA_STD", 1.0, "standard deviation of these weights, in epochs", above=0, training=True),
    )
    depth_keys = {"PROMPT_DEPTH_TEXT": ("text",), "PROMPT_DEPTH_VISION": ("image",)}

    def check_cfg(self, cfg: CfgNode) -> None:
        super().check_cfg(cfg)
        if cfg.TEST.FINAL_MODEL == "best_val":
            raise InputError("PromptSRC deploys the average over all epochs; set TEST.FINAL_MODEL last_step.")

    def build_prompts(self) -> IndependentPrompts:
        k = self.knobs
        text = (k.PROMPT_DEPTH_TEXT, k.N_CTX_TEXT, self.tower.text.width)
        vision = (k.PROMPT_DEPTH_VISION, k.N_CTX_VISION, self.vision.width)
        return IndependentPrompts(len(self.layout), text, vision, self.initial_context(k.N_CTX_TEXT)[0])

    @cached_property
    def frozen_text(self) -> Tensor:
        """w' of all classes, (n_classes, feature_dim)."""
        return template_features(self.tower.text, self.layout, IMAGENET_60, own=False, alike=False)

    def loss(self, images: Tensor, label: Tensor, task: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (index,) = tasks_of(task)  # batches are of one task
        k, (w, columns) = self.knobs, self.text_features([index])
        x, frozen_x, frozen_w = self.prompted(images, index), self.tower.encode_image(images), self.frozen_text[columns]
        logits = self.logits(x, w)
        column = torch.searchsorted(columns, label)
        loss = (
            F.cross_entropy(logits, column)
            + k.TEXT_LOSS_WEIGHT * F.l1_loss(w, frozen_w)
            + k.IMAGE_LOSS_WEIGHT * F.l1_loss(x, frozen_x)
            + consistency(logits, self.logits(frozen_x, frozen_w))
        )
        return loss, logits, column

    def after_epoch(self) -> None:
        weights = gaussian_weights(self.max_epoch, self.knobs.GPA_MEAN, self.knobs.GPA_STD)
        self.model.add_to_average(weights[self.epoch].item())
        if self.epoch + 1 == self.max_epoch:
            print("Deploy the Gaussian-weighted average of all epochs' prompts")
            self.model.deploy_average()
        super().after_epoch()

"""ProGrad: prompt-aligned gradients (arXiv 2205.14865).

CoOp whose steps never oppose zero-shot CLIP. With G_d the gradient of the cross-entropy and G_g the gradient of the KL
divergence from zero-shot CLIP's predictions to the model's, the context is trained with the gradient

    G = G_d                                            if G_d . G_g >= 0 (they agree),
    G = G_d - LAMBDA (G_d . G_g) / |G_g|^2 G_g         if they conflict; LAMBDA = 1 removes the whole conflict.

On a collection every task has a context of its own and is trained on its own, so G_d and G_g belong to one task, as the
rule requires: a conflict in one task must not change another task's step.

As in the public code (BeierZhu/Prompt-align): temperature T = 1 in the KL divergence, and a context that starts from
zeros followed by the words of the task's template, with the phrase after the class name moved to the front ("a type of
pet, a photo of a"). The authors use LAMBDA 0.8 for Flowers102, DTD and EuroSAT at 8 and 16 shots, and 50 epochs at 1
shot, 100 at 2 and 4, 200 at 8 and 16 (configs rn50_ep100 and rn50_ep200).

Deviations: zero-shot CLIP uses each task's template, whose wording differs from the authors' own list for some data
sets; all words of the template are learned (the public code counts words split at spaces, so in a phrase with a comma
the last word stays fixed, between context and name); learned vectors and the projection are float32.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from dassl.engine import TRAINER_REGISTRY
from torch import Tensor
from yacs.config import CfgNode

from common.errors import InputError
from common.knobs import Knob
from prompting.tasks import Task
from prompting.templates import words_before_name
from trainers.engine.contexts import ContextTable, word_vectors
from trainers.engine.prompt_trainer import PromptTrainer


def project(domain: Tensor, general: Tensor, strength: float = 1.0) -> Tensor:
    """Return G: the ``domain`` gradient, minus ``strength`` times its component that opposes ``general``."""
    direction = general / general.norm().clamp(min=torch.finfo(general.dtype).tiny)
    return domain - strength * (domain * direction).sum().clamp(max=0) * direction


def divergence(logits: Tensor, zero_shot: Tensor, temperature: float = 1.0) -> Tensor:
    """Return the KL divergence from zero-shot predictions, up to their entropy, which is constant; both are (batch, n).

    It is multiplied by T^2, so that the size of its gradient does not depend on T. Classes of other tasks (-inf) are
    ignored.
    """
    target = F.softmax(zero_shot / temperature, dim=-1)
    log_p = F.log_softmax(logits / temperature, dim=-1).masked_fill(target == 0, 0)
    return -(target * log_p).sum(-1).mean() * temperature**2


@TRAINER_REGISTRY.register()
class ProGrad(PromptTrainer):
    """Context optimization with gradients that agree with zero-shot CLIP."""

    general_loss: Tensor  # of the current batch
    section = "PROGRAD"
    KNOBS = (
        Knob("N_CTX", 16, "context vectors in a class prompt", least=1, most=1000),
        Knob("CTX_INIT", True, "start from the words of the task's template; False: normal, std 0.02", training=True),
        Knob("LAMBDA", 1.0, "share of the conflicting component to remove", least=0, training=True),
        Knob("T", 1.0, "temperature of both predictions in the KL divergence", above=0, training=True),
        Knob("CLASS_TOKEN_POSITION", "end", "place of the class name in a prompt", among=("end", "middle", "front")),
    )

    @classmethod
    def one_task_batches(cls, cfg: CfgNode) -> bool:
        return True

    def build_learner(self) -> ContextTable:
        k, text = self.knobs, self.tower.text
        start = torch.stack([self._start(task) for task in self.layout.tasks]) if k.CTX_INIT else None
        return ContextTable(len(self.layout), k.N_CTX, text.width, k.CLASS_TOKEN_POSITION, start)

    def _start(self, task: Task) -> Tensor:
        """Return (N_CTX, ctx_dim): zeros followed by the words of the task's template."""
        n_ctx, text = self.knobs.N_CTX, self.tower.text
        start, words = torch.zeros(n_ctx, text.width), word_vectors(text, words_before_name(task.template))
        if words is not None and len(words) > n_ctx:
            raise InputError(
                f"The template of task '{task.name}' has {len(words)} tokens beside the name, but "
                f"TRAINER.PROGRAD.N_CTX is {n_ctx}; raise N_CTX, or set TRAINER.PROGRAD.CTX_INIT False."
            )
        if words is not None:
            start[n_ctx - len(words) :] = words
        return start

    def loss(self, image_features: Tensor, label: Tensor, task: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        _, columns = text = self.text_features(self.tasks_to_encode(task))
        logits, _ = self.class_logits(image_features, task, text)
        zero_shot, _ = self.class_logits(image_features, task, (self.handwritten_features[columns], columns))
        self.general_loss = divergence(logits, zero_shot, self.knobs.T)
        column = torch.searchsorted(columns, label)
        return F.cross_entropy(logits, column), logits, column

    def losses(self, loss: Tensor) -> list[Tensor]:
        return [loss, self.general_loss]

    def model_backward(self, loss: Tensor) -> None:
        """Set the contexts' gradients to the projected ones; contexts of tasks that are not in the batch get none."""
        contexts = list(self.model.parameters())
        general = torch.autograd.grad(self.general_loss, contexts, retain_graph=True, allow_unused=True)
        domain = torch.autograd.grad(loss, contexts, allow_unused=True)
        for context, g_d, g_g in zip(contexts, domain, general, strict=True):
            context.grad = None if g_d is None else project(g_d, g_g, self.knobs.LAMBDA)

"""MaPLe: multi-modal prompt learning (arXiv 2210.03117).

Both towers have prompts, at the input and before the next J - 1 blocks, and the image tower's prompts are a linear
function of the text tower's prompts at the same place:

    text     [SOS] P_0 (2 vectors)  of a class name . [EOT];  before block i < J the states of P are replaced by P_i
    image    [class] patches  P~_0 ;                          before block i < J the states of P~ are replaced by P~_i
    P~_i     = P_i W_i + b_i                                  (i = 0 .. J - 1)

P, W and b are learned, separately for each task of a collection; logits and loss are CoOp's. ViT-B/16 with J = 9 and
two vectors has 3,555,072 parameters per task, the 3.55 million of the paper.

Follows sections 3.1 to 3.3 of the paper and github.com/muzairkhattak/multimodal-prompt-learning. As there: P_0 starts
from the first words of "a photo of a", and the others, "of a", stay words; P_1, P_2, .. are drawn from a normal
distribution with standard deviation 0.02, and W and b like those of PyTorch's linear layers, with one draw for all but
the first; image prompts have no position. Deviation: parameters are float32 (published: the tower's float16).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from dassl.engine import TRAINER_REGISTRY
from torch import Tensor, nn

from common.knobs import Knob
from trainers.engine.contexts import module_list
from trainers.engine.deep_prompts import DeepPrompts, DeepPromptTrainer


class CoupledPrompts(nn.Module):
    """One task's prompts.

    Args:
        depth: J.
        n_ctx, ctx_dim: size of a text prompt.
        width: of the image tower's tokens.
        start: (n_ctx, ctx_dim), initial value of the context; without it, it is drawn like the others.
    """

    def __init__(self, depth: int, n_ctx: int, ctx_dim: int, width: int, start: Tensor | None = None):
        super().__init__()
        self.text = nn.Parameter(torch.empty(depth, n_ctx, ctx_dim).normal_(std=0.02))
        if start is not None:
            self.text.data[0] = start
        first, deeper = nn.Linear(ctx_dim, width), nn.Linear(ctx_dim, width)
        layers = [first] + [deeper] * (depth - 1)
        self.weight = nn.Parameter(torch.stack([layer.weight.detach().t() for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers]))

    def vision(self) -> Tensor:
        """Compute P~, (depth, n_ctx, width)."""
        return torch.baddbmm(self.bias.unsqueeze(1), self.text, self.weight)


class CoupledPromptsOfTasks(DeepPrompts):
    """`CoupledPrompts` for each task."""

    tasks: Sequence[CoupledPrompts]

    def __init__(self, n_tasks: int, depth: int, n_ctx: int, ctx_dim: int, width: int, start: Tensor | None = None):
        super().__init__()
        self.n_ctx = n_ctx
        self.tasks = module_list(CoupledPrompts(depth, n_ctx, ctx_dim, width, start) for _ in range(n_tasks))

    def n_tasks(self) -> int:
        return len(self.tasks)

    def text_prompts(self, task: int) -> Tensor:
        return self.tasks[task].text

    def vision_prompts(self, task: int) -> Tensor:
        return self.tasks[task].vision()


@TRAINER_REGISTRY.register()
class MaPLe(DeepPromptTrainer):
    """Multi-modal prompt learning, each task trained on its own."""

    section = "MAPLE"
    KNOBS = (
        Knob("N_CTX", 2, "prompt vectors in a class prompt, and in an image", least=1, most=1000),
        Knob("CTX_INIT", "a photo of a", "its first N_CTX words start the context, the others stay words"),
        Knob(
            "PROMPT_DEPTH",
            9,
            "J: the input and the blocks 1 .. J - 1 have prompts of their own",
            least=0,
            must="a number of blocks that the tower has, at least 1",
        ),
    )
    depth_keys = {"PROMPT_DEPTH": ("text", "image")}

    def build_prompts(self) -> CoupledPromptsOfTasks:
        k, width = self.knobs, self.vision.width
        start, _ = self.initial_context(k.N_CTX)
        n_tasks, ctx_dim = len(self.layout), self.tower.text.width
        return CoupledPromptsOfTasks(n_tasks, k.PROMPT_DEPTH, k.N_CTX, ctx_dim, width, start)

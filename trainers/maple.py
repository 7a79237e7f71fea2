"""MaPLe: multi-modal prompt learning (arXiv 2210.03117).

Both towers are prompted, at the input and before the next J - 1 blocks, and an image tower's prompts are a linear
function of the text tower's at the same place:

    text     [SOS] P_0 (2 vectors)  of a class name . [EOT];  before block i < J the states of P are replaced by P_i
    image    [class] patches  P~_0 ;                          before block i < J the states of P~ are replaced by P~_i
    P~_i     = P_i W_i + b_i                                  (i = 0 .. J - 1)

P, W and b are learned, for each task of a collection by itself; logits and loss are CoOp's. ViT-B/16 with J = 9 and two
vectors: 3,555,072 parameters a task, the 3.55 million of the paper.

After sections 3.1 to 3.3 of the paper and github.com/muzairkhattak/multimodal-prompt-learning. As there: P_0 starts
from the first words of "a photo of a" and the others, "of a", stay words; P_1 .. start from a normal distribution with
standard deviation 0.02, W as PyTorch's linear layers do, those behind the first all from the same draw; an image
prompt has no position. Deviation: what is learned is kept in float32 (published: the tower's float16).
"""

from __future__ import annotations

import torch
from dassl.engine import TRAINER_REGISTRY
from torch import Tensor, nn

from common.knobs import Knob
from trainers.engine.deep_prompts import DeepPrompts, DeepPromptTrainer


class CoupledPrompts(nn.Module):
    """One task's prompts: ``start`` (n_ctx, ctx_dim) is what the context is at first, or None; ``depth`` is J."""

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
        """(depth, n_ctx, width) P~."""
        return torch.baddbmm(self.bias.unsqueeze(1), self.text, self.weight)


class CoupledPromptsOfTasks(DeepPrompts):
    """`CoupledPrompts` for each task."""

    def __init__(self, n_tasks: int, depth: int, n_ctx: int, ctx_dim: int, width: int, start: Tensor | None = None):
        super().__init__()
        self.n_ctx = n_ctx
        self.tasks = nn.ModuleList(CoupledPrompts(depth, n_ctx, ctx_dim, width, start) for _ in range(n_tasks))

    def n_tasks(self) -> int:
        return len(self.tasks)

    def text_prompts(self, task: int) -> Tensor:
        return self.tasks[task].text

    def vision_prompts(self, task: int) -> Tensor:
        return self.tasks[task].vision()


@TRAINER_REGISTRY.register()
class MaPLe(DeepPromptTrainer):
    """Multi-modal prompt learning, each task trained by itself."""

    section = "MAPLE"
    KNOBS = (
        Knob("N_CTX", 2, "prompt vectors, in a class prompt as in an image", least=1),
        Knob("CTX_INIT", "a photo of a", "its first N_CTX words start the context, the others stay words"),
        Knob("PROMPT_DEPTH", 9, "J: the input and the first J - 1 blocks after it have prompts of their own"),
    )
    depth_keys = {"PROMPT_DEPTH": ("text", "image")}

    def build_prompts(self) -> DeepPrompts:
        k, width = self.knobs, self.vision.width
        start, _ = self.first_words(k.N_CTX)
        n_tasks, ctx_dim = len(self.layout), self.tower.text.width
        return CoupledPromptsOfTasks(n_tasks, k.PROMPT_DEPTH, k.N_CTX, ctx_dim, width, start)

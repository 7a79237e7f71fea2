"""The text side of one training step, forward and backward: CLIP's padded encoder against the packed one.

    python -m benchmarks.text_encoder [--collections Plant-6,RS-8] [--tower RN50] [--class-specific] [--json]

The step is SoftCPT-NATA's: task prompts -> task features -> meta network -> class prompts -> class features -> a
weighted sum, and back to the parameters. The plain path encodes all classes at once, as the released code does, but
at most --part at a time (1191 padded prompts would take 50 GiB). Smaller parts suit a CPU's memory better and make the
plain path up to a quarter faster; try --part 64.
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.common import COLLECTIONS, arguments, begin, layout, paired, show
from prompting.meta_network import SubNetwork
from prompting.prompts import lay_out
from prompting.reference import encode_plain
from prompting.tasks import TaskLayout
from prompting.text_encoder import SplitPrompts, encode, pack_for
from prompting.text_tower import TextTower

L, M = 16, 4  # context vectors of class prompts and of task prompts

# Features and the gradients of all parameters.
Result = tuple[Tensor, tuple[Tensor, ...]]


class Step:
    """SoftCPT's text side, both ways, with one set of parameters."""

    def __init__(self, tower: TextTower, tasks: TaskLayout, class_specific: bool, part: int, n_ctx: int = L):
        self.tower, self.part = tower, part
        vocabulary, device = tower.vocabulary, tower.positional_embedding.device
        torch.manual_seed(0)
        self.task_context = (torch.randn(1, M, tower.width, device=device) * 0.02).requires_grad_()
        self.sub_network = SubNetwork(tower.feature_dim, n_ctx, tower.width).to(device)
        self.sub_network.weight.data *= 0.1  # makes contexts about as large as word embeddings
        self.task_prompts = [lay_out(vocabulary, task.name, 0, M) for task in tasks.tasks]
        self.class_specific = class_specific
        if class_specific:  # with a context per class, only the padding can be saved
            self.contexts = (torch.randn(tasks.n_classes, n_ctx, tower.width, device=device) * 0.02).requires_grad_()
        context_of = range(tasks.n_classes) if class_specific else tasks.task_of_class.tolist()
        self.prompts = [lay_out(vocabulary, n, c, n_ctx) for n, c in zip(tasks.classnames, context_of, strict=True)]
        self.packed_tasks, self.packed = (pack_for(tower, p).to(device) for p in (self.task_prompts, self.prompts))
        self.weights = torch.randn(tasks.n_classes, tower.feature_dim, device=device) / tasks.n_classes

    @property
    def positions(self) -> int:
        """Number of tokens that our path encodes."""
        both = [self.packed] if self.class_specific else [self.packed, self.packed_tasks]
        parts = [part for packed in both for part in (packed.parts if isinstance(packed, SplitPrompts) else [packed])]
        return sum(len(part.tokens) for part in parts)

    @property
    def parts(self) -> int:
        """Number of parts in which the class prompts are encoded."""
        return len(self.packed.parts) if isinstance(self.packed, SplitPrompts) else 1

    @property
    def parameters(self) -> list[Tensor]:
        return [self.contexts] if self.class_specific else [self.task_context, self.sub_network.weight]

    def ours(self) -> Result:
        contexts = (
            self.contexts
            if self.class_specific
            else self.sub_network(encode(self.tower, self.packed_tasks, self.task_context))
        )
        features = encode(self.tower, self.packed, contexts)
        return features.detach(), torch.autograd.grad((features * self.weights).sum(), self.parameters)

    def plain(self) -> Result:
        contexts = (
            self.contexts
            if self.class_specific
            else self.sub_network(encode_plain(self.tower, self.task_prompts, self.task_context))
        )
        leaf = contexts.detach().requires_grad_()
        parts = []
        for first in range(0, len(self.prompts), self.part):
            part = slice(first, first + self.part)
            features = encode_plain(self.tower, self.prompts[part], leaf)
            (features * self.weights[part]).sum().backward()
            parts.append(features.detach())
        return torch.cat(parts), torch.autograd.grad(contexts, self.parameters, leaf.grad)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--collections", default="Plant-6,RS-8,Fashion-20,General-10")
    parser.add_argument("--class-specific", action="store_true", help="a context per class instead of one per task")
    args, tower = begin(parser)
    rows: list[dict[str, object]] = []
    for name in args.collections.split(","):
        tasks = layout(name)
        step = Step(tower, tasks, args.class_specific, args.part)
        (ours, our_grads), (plain, plain_grads) = step.ours(), step.plain()
        gradient = max(float((a - b).norm() / b.norm()) for a, b in zip(our_grads, plain_grads, strict=True))
        rounds = 1 if len(step.prompts) > 500 and not torch.cuda.is_available() else args.rounds
        time = paired(step.plain, step.ours, rounds, warm=False)  # both have just run, for the differences
        rows.append(
            {
                "collection": name,
                "tasks": len(COLLECTIONS[name][0]),
                "classes": len(step.prompts),
                "context": "per class" if args.class_specific else "per task",
                "positions plain": 77 * (len(step.prompts) + len(step.task_prompts) * (not args.class_specific)),
                "positions ours": step.positions,
                "plain s": time.plain,
                "ours s": time.ours,
                "ratio": time.ratio,
                "feature difference": float((ours - plain).abs().max()),
                "gradient difference": gradient,
            }
        )
    show(rows, args.json, tower=args.tower, dtype=args.dtype)


if __name__ == "__main__":
    main()

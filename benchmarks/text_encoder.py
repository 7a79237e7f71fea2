"""One training step's text side, forward and backward: CLIP's padded encoder against the packed one.

    python -m benchmarks.text_encoder [--collections Plant-6,RS-8] [--tower RN50] [--class-specific] [--json]

The step is SoftCPT-NATA's: task prompts -> task features -> meta network -> class prompts -> class features -> a
weighted sum, and back to the parameters. The plain path encodes all classes at once, as the released code does, or in
parts of --part where they are more (1191 padded prompts would take 50 GiB). Smaller parts are kinder to a CPU's memory
and make the plain path up to a quarter faster: see for yourself with --part 64.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.common import COLLECTIONS, arguments, begin, layout, paired, show  # noqa: E402
from prompting.meta_network import SubNetwork  # noqa: E402
from prompting.prompts import lay_out  # noqa: E402
from prompting.reference import encode_plain  # noqa: E402
from prompting.text_encoder import encode, pack  # noqa: E402

L, M, K = 16, 4, 4


class Step:
    """SoftCPT's text side, both ways, with one set of parameters."""

    def __init__(self, tower, tasks, class_specific: bool, part: int, n_ctx: int = L):
        self.tower, self.part = tower, part
        vocabulary, device = tower.vocabulary, tower.positional_embedding.device
        torch.manual_seed(0)
        self.task_context = (torch.randn(1, M, tower.width, device=device) * 0.02).requires_grad_()
        self.sub_network = SubNetwork(tower.feature_dim, n_ctx, tower.width).to(device)
        self.sub_network.weight.data *= 0.1  # contexts about as large as word embeddings
        self.task_prompts = [lay_out(vocabulary, task.name, 0, M) for task in tasks.tasks]
        self.class_specific = class_specific
        if class_specific:  # a context per class: nothing but the padding can be saved
            self.contexts = (torch.randn(tasks.n_classes, n_ctx, tower.width, device=device) * 0.02).requires_grad_()
        context_of = range(tasks.n_classes) if class_specific else tasks.task_of_class.tolist()
        self.prompts = [lay_out(vocabulary, n, c, n_ctx) for n, c in zip(tasks.classnames, context_of, strict=True)]
        self.packed_tasks, self.packed = (pack(p).to(device) for p in (self.task_prompts, self.prompts))
        self.weights = torch.randn(tasks.n_classes, tower.feature_dim, device=device) / tasks.n_classes

    @property
    def positions(self) -> int:
        """Tokens that ours encodes."""
        return len(self.packed.tokens) + len(self.packed_tasks.tokens) * (not self.class_specific)

    @property
    def parameters(self):
        return [self.contexts] if self.class_specific else [self.task_context, self.sub_network.weight]

    def ours(self):
        contexts = (
            self.contexts
            if self.class_specific
            else self.sub_network(encode(self.tower, self.packed_tasks, self.task_context))
        )
        features = encode(self.tower, self.packed, contexts)
        return features.detach(), torch.autograd.grad((features * self.weights).sum(), self.parameters)

    def plain(self):
        contexts = (
            self.contexts
            if self.class_specific
            else self.sub_network(encode_plain(self.tower, self.task_prompts, self.task_context))
        )
        leaf = contexts.detach().requires_grad_()
        found = []
        for first in range(0, len(self.prompts), self.part):
            some = slice(first, first + self.part)
            features = encode_plain(self.tower, self.prompts[some], leaf)
            (features * self.weights[some]).sum().backward()
            found.append(features.detach())
        return torch.cat(found), torch.autograd.grad(contexts, self.parameters, leaf.grad)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--collections", default="Plant-6,RS-8,Fashion-20,General-10")
    parser.add_argument("--class-specific", action="store_true", help="a context per class instead of one per task")
    args, tower = begin(parser)
    rows = []
    for name in args.collections.split(","):
        tasks = layout(name)
        step = Step(tower, tasks, args.class_specific, args.part)
        (ours, our_grads), (plain, plain_grads) = step.ours(), step.plain()
        gradient = max(float((a - b).norm() / b.norm()) for a, b in zip(our_grads, plain_grads, strict=True))
        rounds = 1 if len(step.prompts) > 500 and not torch.cuda.is_available() else args.rounds
        time = paired(step.plain, step.ours, rounds, warm=False)  # both ran above, for the differences
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
    show(rows, args.json, tower=args.tower)


if __name__ == "__main__":
    main()

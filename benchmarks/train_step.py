"""One whole training step of SoftCPT: images, text, loss, backward pass, optimiser.

    python -m benchmarks.train_step [--collections Plant-6] [--json]

The plain step encodes its 32 images (an RN50 at 224 pixels with random weights) and all padded prompts; ours has the
image features from the bank and encodes packed prompts.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.common import arguments, begin, layout, paired, seconds, show
from benchmarks.text_encoder import Result, Step
from prompting.losses import unit, within_task
from prompting.pixels import Preprocessing
from prompting.tasks import TaskLayout
from prompting.text_tower import TextTower
from prompting.towers import Tower, import_clip, to_dtype

BATCH = 32


class TrainStep(Step):
    """The text side with a batch of images, the loss and SGD."""

    def __init__(self, tower: TextTower, tasks: TaskLayout, part: int):
        super().__init__(tower, tasks, False, part)
        device = tower.positional_embedding.device
        torch.manual_seed(1)
        with torch.device(device):
            visual = import_clip().model.ModifiedResNet((3, 4, 6, 3), tower.feature_dim, 32, 224, 64)
        self.visual = visual
        whole = Tower("RN50", visual, tower, 100.0, Preprocessing(224))
        if tower.dtype != torch.float32:
            to_dtype(whole, tower.dtype)
        self.images = torch.randn(BATCH, 3, 224, 224, device=device).to(tower.dtype)
        self.label = torch.randint(0, tasks.n_classes, (BATCH,), device=device)
        self.task_of_class = tasks.task_of_class.to(device)
        self.image_features = unit(torch.randn(BATCH, tower.feature_dim, device=device))
        self.optimizer = torch.optim.SGD(self.parameters, lr=0.002, momentum=0.9, weight_decay=5e-4)

    def gradient(self, image_features: Tensor, text_features: Tensor) -> Tensor:
        """Return the gradient of the loss with respect to the text features."""
        text_features = text_features.detach().requires_grad_()
        logits = 100 * image_features @ unit(text_features).t()
        logits = within_task(logits, self.task_of_class[self.label], self.task_of_class)
        return torch.autograd.grad(F.cross_entropy(logits, self.label), text_features)[0]

    def step_with(self, text_side: Callable[[], Result], image_features: Tensor) -> None:
        """Take one optimiser step with the text side computed by ``text_side``."""
        features, gradients = text_side()  # its backward pass from fixed weights costs as much as from the loss
        self.gradient(image_features, features)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        self.optimizer.step()

    def plain_step(self) -> None:
        with torch.no_grad():
            image_features = unit(self.visual(self.images))
        self.step_with(self.plain, image_features)

    def our_step(self) -> None:
        self.step_with(self.ours, self.image_features)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--collections", default="Plant-6,Fashion-20")
    args, tower = begin(parser)
    rows: list[dict[str, object]] = []
    for name in args.collections.split(","):
        step = TrainStep(tower, layout(name), args.part)
        with torch.no_grad():
            images = seconds(partial(step.visual, step.images))
        time = paired(step.plain_step, step.our_step, args.rounds)
        rows.append(
            {
                "collection": name,
                "plain s": time.plain,
                "images s": images,
                "ours s": time.ours,
                "ratio": time.ratio,
            }
        )
    show(rows, args.json, tower=args.tower, dtype=args.dtype, batch=BATCH)


if __name__ == "__main__":
    main()

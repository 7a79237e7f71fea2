"""A classifier as one module, from pixels to the probabilities of all tasks, in operations that other programs have.

It computes what `Classifier.answer` does, in float32. What differs is how: PyTorch's tracer must see no loop over
images, no number of images as a constant and no operator of oneDNN's.
"""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from classifier.classifier import Classifier
from classifier.heads import FEATURES, RAW, CacheHead, ConditionalHead, Head, TransportHead, head_of, read
from common.paths import REPOSITORY
from prompting.losses import unit
from prompting.models import module_list
from prompting.padded_text import PaddedText
from prompting.text_tower import TextTower
from prompting.towers import load_tower
from prompting.vision_transformer import attend

Logits = Callable[[Tensor], list[Tensor]]  # what a head reads of B images -> for each task (B, classes)


class Graph(nn.Module):
    """(B, height, width, 3) uint8 pixels, resized and cropped -> (B, classes) probabilities on the flat class axis.

    Those of each task sum to 1. A classifier of several heads gives the mean of theirs. ``has_features``: (B, d) image
    features of unit norm are a second result; so it is where the heads read no more of an image than these.
    """

    def __init__(self, classifier: Classifier):
        super().__init__()
        self.tower, self.layout = classifier.tower, classifier.layout
        self.heads = module_list(classifier.heads)
        self.has_features = all(head.reads in (FEATURES, RAW) for head in classifier.heads)
        self._shown = classifier.bundles[0].pixels
        self._temperatures = classifier.temperatures
        self._logits: list[Logits] = [_logits_of(head, self) for head in classifier.heads]

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        images = self._normalised(pixels)
        inputs = {what: read(self.tower, images, what) for what in dict.fromkeys(head.reads for head in self.heads)}
        of_heads = []
        for head, logits, temperatures in zip(self.heads, self._logits, self._temperatures, strict=True):
            tasks = zip(logits(inputs[head.reads]), temperatures, strict=True)
            of_heads.append(torch.cat([(one.float() / temperature).softmax(1) for one, temperature in tasks], dim=1))
        mean = torch.stack(of_heads).mean(0) if len(of_heads) > 1 else of_heads[0]
        if not self.has_features:
            return (mean,)
        return mean, inputs[FEATURES] if FEATURES in inputs else unit(inputs[RAW])

    def _normalised(self, pixels: Tensor) -> Tensor:
        """Return what `prompting.views.Shown.view` makes of resized pictures: (B, 3, height, width) float32."""
        images = pixels.permute(0, 3, 1, 2).float() / 255
        if self._shown.mean:
            mean, std = (torch.tensor(values).view(3, 1, 1) for values in (self._shown.mean, self._shown.std))
            images = (images - mean) / std
        if self._shown.instance_norm:
            mean, std = images.mean((2, 3), keepdim=True), images.std((2, 3), keepdim=True)
            images = (images - mean) / (std + 1e-8)
        return images


def in_float32(classifier: Classifier) -> Classifier:
    """Return the classifier on the CPU in float32, with heads of its own; its tower is loaded again if it is not."""
    tower = classifier.tower
    if classifier.device.type != "cpu" or {tower.dtype, tower.image_dtype} != {torch.float32}:
        used = classifier.bundles[0].tower
        with contextlib.redirect_stdout(None):
            tower = load_tower(used.name, "cpu", torch.float32, (*classifier.search, REPOSITORY, used.data_root))
    exact = copy.copy(classifier)
    exact.tower = tower
    exact.heads = [head_of(classifier.layout, *head.state(), tower).float() for head in classifier.heads]
    return exact


def _logits_of(head: Head, graph: Graph) -> Logits:
    if isinstance(head, CacheHead):
        return _Cached(head)
    if isinstance(head, TransportHead):
        return _Transported(head)
    if isinstance(head, ConditionalHead):
        return _conditional(head, graph)
    return lambda inputs: head.all_logits(inputs, range(len(head.layout)))


class _Cached:
    """Tip-Adapter: a class's votes are added up by a product with the shots' classes."""

    def __init__(self, head: CacheHead):
        self.head = head
        self.classes = [F.one_hot(cache.values, cache.n_classes).float() for cache in head.caches]

    def __call__(self, features: Tensor) -> list[Tensor]:
        found = []
        for task, (cache, classes) in enumerate(zip(self.head.caches, self.classes, strict=True)):
            votes = (cache.beta * (features @ cache.keys.t() - 1)).exp() @ classes
            found.append(self.head.compared(features, task) + cache.alpha * votes)
        return found


class _Transported:
    """PLOT: the transport problems of all tasks are solved side by side; a task's stop together, for each image."""

    def __init__(self, head: TransportHead):
        layout, self.head = head.layout, head
        of_task = F.one_hot(layout.task_of_class, len(layout)).float()
        self.share = of_task / of_task.sum(0)  # (classes, tasks): of a class in its task's mean
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch would rather compile
            self.plan: Callable[..., Tensor] = torch.jit.script(_sinkhorn)  # so that its loop is exported as a loop

    def __call__(self, features: Tensor) -> list[Tensor]:
        layout, transport = self.head.layout, self.head.transport
        similarity = torch.einsum("imd,kcd->icmk", features, self.head.features)
        plan = self.plan(
            torch.exp(-(1 - similarity) / transport.eps),
            self.share,
            layout.task_of_class,
            transport.max_iter,
            transport.threshold,
        )
        logits = transport.scale * (plan * similarity).sum((2, 3))
        return [logits[:, self.head.class_rows(task)] for task in range(len(layout))]


def _sinkhorn(kernel: Tensor, share: Tensor, task_of_class: Tensor, max_iter: int, threshold: float) -> Tensor:
    """`prompting.transport.sinkhorn` from (B, classes, M, N) kernels, without a loop over images or tasks.

    The problems of one image and one task stop together; (classes, tasks) ``share`` averages over a task's classes.
    """
    m, n = kernel.shape[2], kernel.shape[3]
    r, c = torch.ones_like(kernel[:, :, :, :1]), torch.ones_like(kernel[:, :, :1])
    running = torch.ones_like(kernel[:, :, 0, 0]) @ share > 0
    iteration = 0
    while iteration < max_iter and bool(running.any()):
        update = running.index_select(1, task_of_class).unsqueeze(2).unsqueeze(3)
        next_r = 1 / (m * (kernel * c).sum(3, keepdim=True))
        next_c = 1 / (n * (kernel * next_r).sum(2, keepdim=True))
        change = (next_r - r).abs().mean(3).mean(2) @ share
        r, c = torch.where(update, next_r, r), torch.where(update, next_c, c)
        running = running & (change >= threshold)
        iteration += 1
    return r * kernel * c


def _conditional(head: ConditionalHead, graph: Graph) -> Logits:
    """CoCoOp: the text tower encodes the classes of a task with each image's contexts."""
    text = graph.tower.text
    classes: list[Callable[[Tensor], Tensor]] = [
        _PaddedClasses(text, prompts) if isinstance(text, PaddedText) else _Classes(text, prompts)
        for prompts in head.prompts
    ]

    def logits(features: Tensor) -> list[Tensor]:
        found = []
        for context, encoded in zip(head.contexts, classes, strict=True):
            of_classes = unit(encoded(context(features)))  # (B, classes, d)
            found.append(graph.tower.logit_scale * (of_classes @ features.unsqueeze(2)).squeeze(2))
        return found

    return logits


class _Classes:
    """(B, n_ctx, width) contexts -> (B, classes, d) features of prompts that are padded to the longest one.

    The tree of `prompting.text_encoder` saves time, but is made for a number of images.
    """

    def __init__(self, text: TextTower, prompts: Sequence[Sequence[int]]):
        self.text, self.length = text, max(map(len, prompts))
        tokens = torch.tensor([[*prompt, *[0] * (self.length - len(prompt))] for prompt in prompts])
        self.words = F.embedding(tokens.clamp(min=0), text.token_embedding.weight)  # (classes, length, width)
        self.is_slot, self.slot = (tokens < 0).unsqueeze(2), (-1 - tokens).clamp(min=0).flatten()
        self.end = torch.tensor([number * self.length + len(prompt) - 1 for number, prompt in enumerate(prompts)])
        self.mask = torch.ones(self.length, self.length, dtype=torch.bool).tril()

    def __call__(self, contexts: Tensor) -> Tensor:
        text, (n_classes, length, width) = self.text, self.words.shape
        vectors = contexts.index_select(1, self.slot).view(-1, n_classes, length, width)
        x = torch.where(self.is_slot, vectors, self.words) + text.positional_embedding[:length]
        x = x.view(-1, length, width)
        for block in text.blocks:
            attended = attend(block.attn, block.heads, block.ln_1(x), length, self.mask)
            x = block.finish(x.reshape(-1, width), attended).view(-1, length, width)
        ends = x.reshape(-1, n_classes * length, width).index_select(1, self.end)
        return text.project(text.ln_final(ends))


class _PaddedClasses:
    """`_Classes` of a text tower with a forward pass of its own."""

    def __init__(self, text: PaddedText, prompts: Sequence[list[int]]):
        self.text, packed = text, text.pack(prompts)
        self.tokens, self.slots = packed.tokens, packed.slots  # (classes, length)

    def __call__(self, contexts: Tensor) -> Tensor:
        images, n_ctx, _ = contexts.shape
        n_classes, length = self.tokens.shape
        first = n_ctx * torch.arange(images).view(-1, 1, 1)
        slots = torch.where(self.slots >= 0, self.slots + first, torch.full_like(self.slots, -1))
        tokens = self.tokens.expand(images, n_classes, length)
        features = self.text.features(tokens.reshape(-1, length), slots.view(-1, length), contexts)
        return features.view(-1, n_classes, features.shape[1])

"""How a trained method classifies: from what it reads of an image to the logits of a task's classes.

Each kind of head is a module whose tensors, with a few JSON values, are all that a run leaves in its bundle. Methods
build their head from what they learned and are tested with it, so what is tested is what is read back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.errors import InputError
from common.text import some
from prompting.adapters import Adapter, Cache
from prompting.image_contexts import ImageContext, cosines, pack_for_images
from prompting.local_features import encode_local
from prompting.losses import unit
from prompting.low_rank import LowRank, encode_updated, image_blocks
from prompting.models import module_list
from prompting.prompts import lay_out
from prompting.tasks import TaskLayout
from prompting.text_encoder import Packed, encode
from prompting.towers import Tower
from prompting.transport import Transport
from prompting.vision_prompts import PromptedVision

# What a head reads of images: (B, d) features of unit norm, or as the tower computes them; (B, places, d) local
# features; or (B, 3, size, size) pixels, which it encodes itself.
FEATURES, RAW, LOCAL, IMAGES = READS = ("features", "raw features", "local features", "images")
UNIT = 1e-3  # what a norm may differ from 1

State = tuple[dict[str, Any], dict[str, Tensor]]


def read(tower: Tower, images: Tensor, what: str) -> Tensor:
    """Return what a head reads, one of READS, of (B, 3, size, size) images on the tower's device."""
    if what == IMAGES:
        return images
    return encode_local(tower, images) if what == LOCAL else tower.encode_image(images, normalize=what == FEATURES)


class Head(nn.Module):
    """The logits of the classes of some tasks.

    kind: its name in a bundle. reads: one of READS. needs_text: it encodes text for each image.
    """

    kind: ClassVar[str]
    needs_text: ClassVar[bool] = False

    def __init__(self, layout: TaskLayout, reads: str = FEATURES):
        super().__init__()
        self.layout, self.reads = layout, reads

    def logits(self, inputs: Tensor, task: int) -> Tensor:
        """(B, ...) of what it reads -> (B, classes of the task)."""
        raise NotImplementedError

    def all_logits(self, inputs: Tensor, tasks: Iterable[int]) -> list[Tensor]:
        """Return `logits` for some tasks."""
        return [self.logits(inputs, task) for task in tasks]

    def values(self) -> dict[str, Any]:
        """Return the JSON values that it needs besides its tensors."""
        return {}

    def state(self) -> State:
        """Return its JSON values and its tensors, on the CPU: all that `head_of` needs."""
        tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in self.state_dict().items()}
        return {"kind": self.kind, "reads": self.reads, **self.values()}, tensors

    @classmethod
    def built(cls, layout: TaskLayout, values: Mapping[str, Any], tensors: Mapping[str, Tensor], tower: Tower) -> Head:
        """Build a head whose tensors have the shapes of ``tensors``, to be filled with them.

        LookupError, TypeError or ValueError if values are missing or make no sense.
        """
        raise NotImplementedError

    def class_rows(self, task: int) -> slice:
        """Return the place of a task's classes on the flat class axis."""
        classes = self.layout.classes_of(task)
        return slice(classes.start, classes.stop)

    def asked(self, layout: TaskLayout, task: int, features: Tensor) -> Head:
        """Return a head for a layout in which this task is new, at the end, or has other classes than in this head.

        ``features`` are the `Questions.features` of its classes. What belongs to a task, such as an adapter, stays.
        """
        raise NotImplementedError

    def spliced(self, rows: Tensor, task: int, features: Tensor, dim: int = 0) -> Tensor:
        """Return the tensor with a row for each class, in which those of a task are replaced or added at the end."""
        whole, end = self.layout, self.layout.n_classes
        start, stop = whole.offsets[task : task + 2] if task < len(whole) else (end, end)
        after = rows.narrow(dim, stop, end - stop)
        return torch.cat([rows.narrow(dim, 0, start), features.to(rows), after], dim=dim)


class LinearHead(Head):
    """scale x (features . class weights) + bias: prompt methods, TaskRes, linear probes, class means.

    text: the length of the weight of a class that only text describes; above or below 1 beside a residual of images.
    """

    kind = "linear"
    weight: Tensor
    bias: Tensor | None

    def __init__(
        self,
        layout: TaskLayout,
        weight: Tensor,
        scale: float = 1.0,
        bias: Tensor | None = None,
        reads: str = FEATURES,
        text: float = 1.0,
    ):
        super().__init__(layout, reads)
        self.scale, self.text = scale, text
        self.register_buffer("weight", weight.detach())
        self.register_buffer("bias", None if bias is None else bias.detach())

    def flat(self, features: Tensor) -> Tensor:
        """(B, d) -> (B, classes) logits on the flat class axis."""
        return F.linear(self.scale * features, self.weight, self.bias)

    def logits(self, inputs: Tensor, task: int) -> Tensor:
        rows = self.class_rows(task)
        return F.linear(self.scale * inputs, self.weight[rows], None if self.bias is None else self.bias[rows])

    def all_logits(self, inputs: Tensor, tasks: Iterable[int]) -> list[Tensor]:
        flat = self.flat(inputs)
        return [flat[:, self.class_rows(task)] for task in tasks]

    def compares_directions(self) -> bool:
        """Return whether its logits are cosines, times the scale."""
        norms = self.weight.norm(dim=-1)
        return self.bias is None and self.reads == FEATURES and bool((norms - 1).abs().max() < UNIT)

    def asked(self, layout: TaskLayout, task: int, features: Tensor) -> Head:
        assert self.bias is None  # no prompts give one
        rows = None if self.compares_directions() else self.trained_rows(layout, task)
        weight = self.spliced(self.weight, task, self.text * features if rows is None else rows)
        return LinearHead(layout, weight, self.scale, reads=self.reads, text=self.text)

    def trained_rows(self, layout: TaskLayout, task: int) -> Tensor | None:
        """Return the rows of a task's classes if it had all of them before; None if one is new.

        A row with a residual of images cannot be compared with one of text alone: its length is another.
        """
        if task >= len(self.layout):
            return None
        place = dict(zip(self.layout.tasks[task].classnames, self.layout.classes_of(task), strict=True))
        names = layout.tasks[task].classnames
        return self.weight[[place[name] for name in names]] if all(name in place for name in names) else None

    def values(self) -> dict[str, Any]:
        return {"scale": self.scale, **({} if self.text == 1 else {"text": self.text})}

    @classmethod
    def built(cls, layout: TaskLayout, values: Mapping[str, Any], tensors: Mapping[str, Tensor], tower: Tower) -> Head:
        if values["reads"] not in (FEATURES, RAW):
            raise ValueError(f"it reads {values['reads']}")
        bias = tensors["bias"].new_zeros(layout.n_classes) if "bias" in tensors else None
        text = number(values, "text") if "text" in values else 1.0
        return cls(layout, class_rows_of(layout, tensors, tower), number(values, "scale"), bias, values["reads"], text)


class CosineHead(Head):
    """A head that compares features with class features ``weight``, (n_classes, d) of unit norm."""

    weight: Tensor

    def __init__(self, layout: TaskLayout, weight: Tensor, scale: float, reads: str = FEATURES):
        super().__init__(layout, reads)
        self.scale = scale
        self.register_buffer("weight", weight.detach())

    def compared(self, features: Tensor, task: int) -> Tensor:
        """(B, d) of unit norm -> (B, classes of the task)."""
        return self.scale * features @ self.weight[self.class_rows(task)].t()

    def values(self) -> dict[str, Any]:
        return {"scale": self.scale}


class CacheHead(CosineHead):
    """Tip-Adapter: zero-shot logits, plus the votes of a task's shots."""

    kind = "cache"

    def __init__(self, layout: TaskLayout, weight: Tensor, scale: float, caches: Sequence[Cache]):
        super().__init__(layout, weight, scale)
        self.caches = module_list(caches)

    def logits(self, inputs: Tensor, task: int) -> Tensor:
        return self.compared(inputs, task) + self.caches[task](inputs)

    @classmethod
    def built(cls, layout: TaskLayout, values: Mapping[str, Any], tensors: Mapping[str, Tensor], tower: Tower) -> Head:
        weight = class_rows_of(layout, tensors, tower)
        caches = []
        for index, task in enumerate(layout.tasks):
            of_shots, n_classes = tensors[f"caches.{index}.values"], len(task.classnames)
            if (
                of_shots.is_floating_point()
                or of_shots.numel()
                and not 0 <= int(of_shots.min()) <= int(of_shots.max()) < n_classes
            ):
                raise ValueError(f"the shots of task '{task.name}' have no such classes")
            caches.append(Cache(len(of_shots), weight.shape[1], n_classes, 0.0, 0.0, trained=False))
        return cls(layout, weight, number(values, "scale"), caches)


class AdapterHead(CosineHead):
    """CLIP-Adapter: a small network after the image tower, one for each task."""

    kind = "adapter"

    def __init__(self, layout: TaskLayout, weight: Tensor, scale: float, adapters: Sequence[Adapter], reduction: int):
        super().__init__(layout, weight, scale)
        self.adapters, self.reduction = module_list(adapters), reduction
        self.ratio = adapters[0].ratio

    def logits(self, inputs: Tensor, task: int) -> Tensor:
        return self.compared(self.adapters[task](inputs), task)

    def asked(self, layout: TaskLayout, task: int, features: Tensor) -> Head:
        return AdapterHead(layout, self.spliced(self.weight, task, features), self.scale, self.adapters, self.reduction)

    def values(self) -> dict[str, Any]:
        return {**super().values(), "ratio": self.ratio, "reduction": self.reduction}

    @classmethod
    def built(cls, layout: TaskLayout, values: Mapping[str, Any], tensors: Mapping[str, Tensor], tower: Tower) -> Head:
        weight, ratio = class_rows_of(layout, tensors, tower), number(values, "ratio")
        reduction = whole(values, "reduction", weight.shape[1])
        adapters = [Adapter(weight.shape[1], reduction, ratio) for _ in layout.tasks]
        return cls(layout, weight, number(values, "scale"), adapters, reduction)


class TransportHead(Head):
    """PLOT: N features of each class, compared with an image's local features by optimal transport."""

    kind = "plot"
    features: Tensor  # (N, n_classes, d) of unit norm

    def __init__(self, layout: TaskLayout, features: Tensor, transport: Transport):
        super().__init__(layout, LOCAL)
        self.transport = transport
        self.register_buffer("features", features.detach())

    def logits(self, inputs: Tensor, task: int) -> Tensor:
        return self.transport.tested(inputs, self.features[:, self.class_rows(task)])

    def asked(self, layout: TaskLayout, task: int, features: Tensor) -> Head:
        of_all = features if features.dim() == 3 else features.unsqueeze(0)
        return TransportHead(layout, self.spliced(self.features, task, of_all, dim=1), self.transport)

    def values(self) -> dict[str, Any]:
        return asdict(self.transport)

    @classmethod
    def built(cls, layout: TaskLayout, values: Mapping[str, Any], tensors: Mapping[str, Tensor], tower: Tower) -> Head:
        features = tensors["features"]
        if features.dim() != 3 or features.shape[1:] != (layout.n_classes, tower.text.feature_dim):
            raise ValueError(f"its class features are {tuple(features.shape)}")
        numbers = {key: number(values, key) for key in ("scale", "eps", "threshold")}
        return cls(layout, features, Transport(max_iter=whole(values, "max_iter", 1 << 30), **numbers))


class PromptedHead(CosineHead):
    """MaPLe and PromptSRC: images are encoded with prompts, (tasks, depth, n, width), of the task that is asked."""

    kind = "prompted"
    prompts: Tensor

    def __init__(self, layout: TaskLayout, weight: Tensor, scale: float, prompts: Tensor, tower: Tower):
        super().__init__(layout, weight, scale, IMAGES)
        self._vision = PromptedVision(tower)
        self.register_buffer("prompts", prompts.detach())

    def logits(self, inputs: Tensor, task: int) -> Tensor:
        return self.compared(self._vision(inputs, self.prompts[task]), task)

    def asked(self, layout: TaskLayout, task: int, features: Tensor) -> Head:
        weight = self.spliced(self.weight, task, features)
        return PromptedHead(layout, weight, self.scale, self.prompts, self._vision.tower)

    @classmethod
    def built(cls, layout: TaskLayout, values: Mapping[str, Any], tensors: Mapping[str, Tensor], tower: Tower) -> Head:
        head = cls(layout, class_rows_of(layout, tensors, tower), number(values, "scale"), tensors["prompts"], tower)
        shape, vision = tuple(tensors["prompts"].shape), head._vision
        if len(shape) != 4 or (shape[0], shape[3]) != (len(layout), vision.width) or shape[1] > vision.layers:
            raise ValueError(f"its prompts are {shape}")
        return head


class UpdatedHead(CosineHead):
    """CLIP-LoRA: images are encoded with the updates of the task that is asked."""

    kind = "lora"

    def __init__(
        self,
        layout: TaskLayout,
        weight: Tensor,
        scale: float,
        updates: Sequence[LowRank],
        alpha: float,
        tower: Tower,
    ):
        super().__init__(layout, weight, scale, IMAGES)
        self.updates, self.alpha = module_list(updates), alpha
        self._tower = (tower,)  # in a tuple, so that it is not a part of this module

    def logits(self, inputs: Tensor, task: int) -> Tensor:
        (tower,) = self._tower
        images = inputs.to(tower.dtype)
        return self.compared(unit(encode_updated(tower.visual, self.updates[task], images)), task)

    def asked(self, layout: TaskLayout, task: int, features: Tensor) -> Head:
        weight = self.spliced(self.weight, task, features)
        return UpdatedHead(layout, weight, self.scale, self.updates, self.alpha, *self._tower)

    def values(self) -> dict[str, Any]:
        return {**super().values(), "alpha": self.alpha}

    @classmethod
    def built(cls, layout: TaskLayout, values: Mapping[str, Any], tensors: Mapping[str, Tensor], tower: Tower) -> Head:
        weight, alpha, blocks = (
            class_rows_of(layout, tensors, tower),
            number(values, "alpha"),
            image_blocks(tower.visual),
        )
        if blocks is None:
            raise ValueError("its image tower is not a vision transformer")
        rank, width = tensors["updates.0.a"].shape[2], blocks[0].attn.embed_dim
        if not 0 < rank <= 4096:
            raise ValueError(f"its updates have rank {rank}")
        updates = [LowRank(len(blocks), width, rank, alpha, 0.0) for _ in layout.tasks]
        return cls(layout, weight, number(values, "scale"), updates, alpha, tower)


class ConditionalHead(Head):
    """CoCoOp: each image has its own prompts, so the text tower encodes a task's classes for every image."""

    kind = "conditional"
    needs_text = True

    def __init__(self, layout: TaskLayout, contexts: Sequence[ImageContext], tower: Tower):
        super().__init__(layout)
        self.contexts = module_list(contexts)
        self._tower = (tower,)  # in a tuple, so that it is not a part of this module
        n_ctx, vocabulary = len(contexts[0].ctx), tower.text.vocabulary
        self.prompts = [[lay_out(vocabulary, name, 0, n_ctx) for name in task.classnames] for task in layout.tasks]
        self._packed: Callable[[int, int], Packed] = lru_cache(maxsize=64)(self._pack)

    def _pack(self, task: int, images: int) -> Packed:
        (tower,) = self._tower
        packed = pack_for_images(tower.text, self.prompts[task], images, len(self.contexts[task].ctx))
        return packed.to(tower.text.device)

    def logits(self, inputs: Tensor, task: int) -> Tensor:
        (tower,) = self._tower

        def class_features(contexts: Tensor) -> Tensor:
            return encode(tower.text, self._packed(task, len(contexts)), contexts)

        n_classes = len(self.prompts[task])
        return tower.logit_scale * cosines(inputs, self.contexts[task], n_classes, class_features)

    def asked(self, layout: TaskLayout, task: int, features: Tensor) -> Head:
        return ConditionalHead(layout, self.contexts, *self._tower)  # which writes the prompts itself

    @classmethod
    def built(cls, layout: TaskLayout, values: Mapping[str, Any], tensors: Mapping[str, Tensor], tower: Tower) -> Head:
        start = tensors["contexts.0.ctx"]
        if start.dim() != 2 or not len(start) or start.shape[1] != tower.text.width:
            raise ValueError(f"its contexts are {tuple(start.shape)}")
        return cls(layout, [ImageContext(start, tower.text.feature_dim) for _ in layout.tasks], tower)


KINDS: dict[str, type[Head]] = {
    head.kind: head
    for head in (LinearHead, CacheHead, AdapterHead, TransportHead, PromptedHead, UpdatedHead, ConditionalHead)
}


def head_of(layout: TaskLayout, values: Mapping[str, Any], tensors: Mapping[str, Tensor], tower: Tower) -> Head:
    """Build a head from its `Head.state`, on the tower's device.

    Raises:
        InputError: it is of a later version.
        LookupError, TypeError, ValueError: its values or tensors do not fit the tasks or the tower.
    """
    kind = values["kind"]
    if kind not in KINDS:
        raise InputError(f"its head is of the kind '{kind}', and this version knows {some(KINDS)}")
    head = KINDS[kind].built(layout, values, tensors, tower)
    try:
        head.load_state_dict(dict(tensors))
    except RuntimeError as error:  # names or shapes differ
        raise ValueError(str(error)) from None
    if head.reads != values["reads"]:
        raise ValueError(f"it reads {values['reads']}")
    return head.to(tower.text.device).eval().requires_grad_(False)


def class_rows_of(layout: TaskLayout, tensors: Mapping[str, Tensor], tower: Tower) -> Tensor:
    """Return the tensor with one row for each class; ValueError if it does not fit tasks or tower."""
    weight = tensors["weight"]
    if weight.shape != (layout.n_classes, tower.text.feature_dim):
        raise ValueError(f"its class weights are {tuple(weight.shape)}")
    return weight


def number(values: Mapping[str, Any], key: str) -> float:
    """Return a finite number; LookupError, TypeError or ValueError if there is none."""
    value = float(values[key])
    if not abs(value) < float("inf"):
        raise ValueError(f"{key} is {value}")
    return value


def whole(values: Mapping[str, Any], key: str, most: int) -> int:
    """Return a whole number from 1 to ``most``; LookupError, TypeError or ValueError if there is none."""
    value = values[key]
    if type(value) is not int or not 1 <= value <= most:
        raise ValueError(f"{key} is {value}")
    return value

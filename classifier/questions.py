"""Questions that were never trained on: from names to class features, with what a method learned.

Each kind holds what writes the prompts of classes, such as context vectors or a meta network's weights, as tensors and
a few JSON values that a run leaves in its bundle. A method whose parameters belong to nothing answers new tasks; if
they belong to tasks, it answers other classes of those; if they belong to classes, its bundle has no `Questions`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from classifier.heads import State, number, whole
from common.errors import InputError
from common.text import some
from prompting.losses import unit
from prompting.low_rank import LowRank
from prompting.meta_network import SCALES, SUB_NETWORKS, MetaNetwork
from prompting.padded_text import AnyText
from prompting.prompts import POSITIONS, class_prompts, with_each_context
from prompting.tasks import Task, TaskLayout
from prompting.templates import blended, template_features, template_prompts
from prompting.text_encoder import encode, encode_with, pack_for

AT_ONCE = 512  # classes whose prompts are encoded together, so that a list of any length needs little memory
MOST = 100_000  # of a number in a bundle, such as context vectors


class Questions:
    """What a method knows of names.

    kind: its name in a bundle. trained: the tasks that it was trained on, in order; empty if new tasks are answered
    like these. images: a short hash of each image that it was trained on; empty if these are not recorded.
    """

    kind: ClassVar[str]
    images: Sequence[str] = ()

    def __init__(self, trained: Sequence[str]):
        self.trained = tuple(trained)

    def answers(self, task: str) -> bool:
        """Return whether it can write prompts for a task of this name."""
        return not self.trained or task in self.trained

    @torch.no_grad()
    def features(self, text: AnyText, task: Task) -> Tensor:
        """Return a task's class features: (classes, d), or (N, classes, d) for PLOT, float32 of unit norm.

        Args:
            text: the text tower that the method was trained with.
            task: one that `answers` accepts. Its name, class names and template are read.

        Raises:
            InputError: a name is too long for the tower.
        """
        names = task.classnames
        parts = [replace(task, classnames=names[i : i + AT_ONCE]) for i in range(0, len(names), AT_ONCE)]
        return torch.cat([self.of_part(text, part) for part in parts], dim=-2)

    def of_part(self, text: AnyText, task: Task) -> Tensor:
        """`features` of a few classes."""
        raise NotImplementedError

    def number_of(self, task: Task) -> int:
        """Return the place of a task's parameters; 0 if they are all tasks'."""
        return self.trained.index(task.name) if self.trained else 0

    def tensors(self) -> Mapping[str, Tensor]:
        """Return its tensors by name."""
        return {}

    def values(self) -> dict[str, Any]:
        """Return its JSON values."""
        return {}

    def learned(self) -> Mapping[str, Tensor] | None:
        """Return the learner's parameters by their names in a checkpoint; None if they are not all here."""
        return None

    def state(self) -> State:
        """Return JSON values and tensors, on the CPU: all that `questions_of` needs."""
        tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in self.tensors().items()}
        images = {"images": list(self.images)} if self.images else {}
        return {"kind": self.kind, "trained": list(self.trained), **self.values(), **images}, tensors

    @classmethod
    def built(
        cls, trained: Sequence[str], values: Mapping[str, Any], tensors: Mapping[str, Tensor], text: AnyText
    ) -> Questions:
        """Build it again; LookupError, TypeError or ValueError if values or tensors are missing or make no sense.

        Of ``text``, only sizes and the tokenizer are read.
        """
        raise NotImplementedError


class TemplateQuestions(Questions):
    """Hand-written prompts: templates filled with class names. ``more`` and ``own`` as in `template_features`."""

    kind = "templates"

    def __init__(self, trained: Sequence[str], more: Sequence[str] = (), own: bool = True):
        super().__init__(trained)
        self.more, self.own = tuple(more), own

    def of_part(self, text: AnyText, task: Task) -> Tensor:
        return template_features(text, TaskLayout((task,)), self.more, self.own)

    def values(self) -> dict[str, Any]:
        return {"more": list(self.more), "own": self.own}

    @classmethod
    def built(
        cls, trained: Sequence[str], values: Mapping[str, Any], tensors: Mapping[str, Tensor], text: AnyText
    ) -> Questions:
        _only(tensors, ())
        more, own = values["more"], flag(values, "own")
        if not (isinstance(more, list) and all(isinstance(one, str) and "{}" in one for one in more) and (own or more)):
            raise ValueError("its templates make no sense")
        return cls(trained, more, own)


class ContextQuestions(Questions):
    """Context vectors: of all tasks, or of each.

    Args:
        trained: the tasks with contexts of their own, in order; empty if all tasks share them.
        contexts: (tasks x n, n_ctx, width), those of a task one after the other; or (n, n_ctx, width).
        position: of the class name.
        n: contexts of a class; PLOT compares with each.
        words: tokens between context and name, see `class_prompts`.
        deep: (depth - 1, contexts, n_ctx, width), which replace the states at the contexts before later blocks.
    """

    kind = "contexts"

    def __init__(
        self,
        trained: Sequence[str],
        contexts: Tensor,
        position: str = "end",
        n: int = 1,
        words: Sequence[int] = (),
        deep: Tensor | None = None,
    ):
        super().__init__(trained)
        self.contexts, self.position, self.n, self.words = contexts.detach(), position, n, tuple(words)
        self.deep = None if deep is None else deep.detach()

    def of_part(self, text: AnyText, task: Task) -> Tensor:
        first = self.number_of(task) * self.n
        contexts = self.contexts[first : first + self.n].to(text.device)
        deep = () if self.deep is None else self.deep[:, first : first + self.n].to(text.device)
        names, n_ctx = task.classnames, contexts.shape[1]
        prompts = class_prompts(text.vocabulary, names, [0] * len(names), n_ctx, self.position, self.words)
        packed = pack_for(text, with_each_context(prompts, self.n, n_ctx)).to(text.device)
        features = unit(encode(text, packed, contexts, list(deep)))
        return features if self.n == 1 else features.unflatten(0, (self.n, -1))

    def learned(self) -> Mapping[str, Tensor] | None:
        if self.deep is not None or self.n > 1:
            return None
        return {f"ctx.{number}": context for number, context in enumerate(self.contexts)}

    def tensors(self) -> Mapping[str, Tensor]:
        return {"contexts": self.contexts} | ({} if self.deep is None else {"deep": self.deep})

    def values(self) -> dict[str, Any]:
        return {"position": self.position, "n": self.n, "words": list(self.words)}

    @classmethod
    def built(
        cls, trained: Sequence[str], values: Mapping[str, Any], tensors: Mapping[str, Tensor], text: AnyText
    ) -> Questions:
        _only(tensors, ("contexts", "deep"))
        contexts, deep, n, words = tensors["contexts"], tensors.get("deep"), whole(values, "n", MOST), values["words"]
        rows, shape = n * max(1, len(trained)), tuple(contexts.shape)
        if len(shape) != 3 or (shape[0], shape[2]) != (rows, text.width):
            raise ValueError(f"its contexts are {shape}")
        if deep is not None and (deep.dim() != 4 or tuple(deep.shape[1:]) != shape):
            raise ValueError(f"its deep contexts are {tuple(deep.shape)}")
        if values["position"] not in POSITIONS:
            raise ValueError(f"its names are at the {values['position']}")
        if not (isinstance(words, list) and all(type(word) is int and word >= 0 for word in words)):
            raise ValueError("its words are no tokens")
        return cls(trained, contexts, values["position"], n, words, deep)


class MetaQuestions(Questions):
    """SoftCPT's meta network.

    Args:
        trained: as in `Questions`.
        settings, state: of a `MetaNetwork`.
        known: the tasks that it was trained on; all others are new to it.
        weight: of its own class features of a new task, beside those of the task's template, from 0 to 1; see
            `prompting.templates.blended`. None if it was not measured, as in bundles of earlier versions: then 1.
    """

    kind = "meta network"

    def __init__(
        self,
        trained: Sequence[str],
        settings: Mapping[str, Any],
        state: Mapping[str, Tensor],
        known: Sequence[str] = (),
        weight: float | None = None,
    ):
        super().__init__(trained)
        self.settings, self.network_state = dict(settings), dict(state)
        self.known, self.weight = tuple(known), weight

    def of_part(self, text: AnyText, task: Task) -> Tensor:
        if self.weight is None or task.name in self.known:
            return self.own_features(text, task)
        return blended(template_features(text, TaskLayout((task,))), self.own_features(text, task), self.weight)

    def own_features(self, text: AnyText, task: Task) -> Tensor:
        """`of_part` by its own prompts alone."""
        learner = self.network(text, task, self.number_of(task))
        n_classes, class_specific = len(task.classnames), learner.class_specific
        contexts = range(n_classes) if class_specific else [0] * n_classes
        prompts = class_prompts(text.vocabulary, task.classnames, contexts, learner.n_ctx, learner.position)
        return unit(encode(text, pack_for(text, prompts).to(text.device), learner.contexts([0])))

    def network(self, text: AnyText, task: Task, number: int) -> MetaNetwork:
        """Return the network for a single task, which has the parameters of the task with this number."""
        state = {name: tensor.detach().to(text.device) for name, tensor in self.network_state.items()}
        if self.settings["per_task"] and "task_context" in state:
            state["task_context"] = state["task_context"][number : number + 1]
        with torch.device("meta"):  # nothing is drawn
            learner = MetaNetwork(text, TaskLayout((task,)), **self.settings, seen=False)
        learner.load_state_dict(state, assign=True)
        return learner.eval().requires_grad_(False)

    def learned(self) -> Mapping[str, Tensor]:
        return self.network_state

    def tensors(self) -> Mapping[str, Tensor]:
        return self.network_state

    def values(self) -> dict[str, Any]:
        return {"settings": self.settings, "known": list(self.known), "weight": self.weight}

    @classmethod
    def built(
        cls, trained: Sequence[str], values: Mapping[str, Any], tensors: Mapping[str, Tensor], text: AnyText
    ) -> Questions:
        settings = values["settings"]
        numbers = {"n_ctx": 1, "task_n_ctx": 0}
        if not isinstance(settings, dict) or settings.keys() != SETTINGS:
            raise ValueError("its settings are not those of a meta network")
        if any(type(settings[key]) is not bool for key in FLAGS):
            raise ValueError("its settings make no sense")
        if settings["class_n_ctx"] is not None:
            numbers["class_n_ctx"] = 0
        if any(type(settings[key]) is not int or not least <= settings[key] <= MOST for key, least in numbers.items()):
            raise ValueError("its numbers of context vectors make no sense")
        known = {"position": POSITIONS, "kind": SUB_NETWORKS, "features": SCALES}
        if any(settings[key] not in among for key, among in known.items()) or settings["per_class"]:
            raise ValueError("its settings make no sense")
        tasks, weight = values.get("known", []), values.get("weight")
        if not (isinstance(tasks, list) and all(isinstance(name, str) for name in tasks)):
            raise ValueError("the tasks that it knows have no names")
        if weight is not None and not 0 <= number(values, "weight") <= 1:
            raise ValueError(f"its weight for new tasks is {weight}")
        made = cls(trained, settings, tensors, tasks, weight)
        if settings["per_task"] and len(tensors.get("task_context", trained)) != len(trained):
            raise ValueError("its task contexts are not those of its tasks")
        try:
            made.network(text, Task("task", ("class",)), 0)
        except RuntimeError as error:  # names or shapes differ
            raise ValueError(str(error)) from None
        return made


def about_new(method: str, tasks: Sequence[str], weights: Sequence[float | None]) -> str:
    """Say in a line how a method with a meta network answers new ``tasks``; ``weights`` are its seeds'."""
    names = some([f"'{name}'" for name in tasks])
    if any(weight is None for weight in weights):
        return (
            f"{method} was not trained on {names}, and how well its prompts suit new tasks was not measured: they may "
            "be worse than zero-shot CLIP's. -- TRAINER.SOFTCPT.NEW_TASK_FOLDS 3 measures it in training."
        )
    shown = ", ".join(f"{weight:g}" for weight in weights)
    return f"{method} was not trained on {names}: its own prompts have weight {shown}, the template's the rest."


FLAGS = ("per_task", "per_class", "bias")
SETTINGS = {"n_ctx", "task_n_ctx", "position", "class_n_ctx", "kind", "features", *FLAGS}


class UpdatedQuestions(Questions):
    """CLIP-LoRA: each task's template, read by a text tower with the task's low-rank updates."""

    kind = "low rank"

    def __init__(self, trained: Sequence[str], updates: Sequence[LowRank], alpha: float):
        super().__init__(trained)
        self.updates, self.alpha = updates, alpha

    def of_part(self, text: AnyText, task: Task) -> Tensor:
        packed = pack_for(text, template_prompts(text.vocabulary, TaskLayout((task,)))).to(text.device)
        updates = self.updates[self.number_of(task)].to(text.device).eval()
        return unit(encode_with(updates, text, packed))

    def tensors(self) -> Mapping[str, Tensor]:
        return {f"{i}.{name}": t for i, one in enumerate(self.updates) for name, t in one.state_dict().items()}

    def values(self) -> dict[str, Any]:
        return {"alpha": self.alpha}

    @classmethod
    def built(
        cls, trained: Sequence[str], values: Mapping[str, Any], tensors: Mapping[str, Tensor], text: AnyText
    ) -> Questions:
        first, alpha, updates = tensors["0.a"], number(values, "alpha"), []
        if first.dim() != 4 or first.shape[1] != 3 or first.shape[3] != text.width or not trained:
            raise ValueError(f"its updates are {tuple(first.shape)}")
        for _ in trained:
            with torch.device("meta"):
                updates.append(LowRank(len(first), text.width, first.shape[2], alpha, 0.0))
        try:
            for index, one in enumerate(updates):
                start = f"{index}."
                state = {name.removeprefix(start): t for name, t in tensors.items() if name.startswith(start)}
                one.load_state_dict(state, assign=True)
        except RuntimeError as error:
            raise ValueError(str(error)) from None
        _only(tensors, [f"{index}.{name}" for index in range(len(trained)) for name in ("a", "b")])
        return cls(trained, updates, alpha)


class OwnQuestions(Questions):
    """CoCoOp: the head itself writes the prompts, for each image, so only class names are new."""

    kind = "own"

    def features(self, text: AnyText, task: Task) -> Tensor:
        return torch.empty(len(task.classnames), 0)

    @classmethod
    def built(
        cls, trained: Sequence[str], values: Mapping[str, Any], tensors: Mapping[str, Tensor], text: AnyText
    ) -> Questions:
        _only(tensors, ())
        return cls(trained)


KINDS: dict[str, type[Questions]] = {
    one.kind: one for one in (TemplateQuestions, ContextQuestions, MetaQuestions, UpdatedQuestions, OwnQuestions)
}


def questions_of(values: Mapping[str, Any], tensors: Mapping[str, Tensor], text: AnyText) -> Questions:
    """Build `Questions` from their `Questions.state`.

    Raises:
        InputError: they are of a later version.
        LookupError, TypeError, ValueError: values or tensors make no sense, or do not fit the tower.
    """
    kind, trained, images = values["kind"], values["trained"], values.get("images", [])
    if kind not in KINDS:
        raise InputError(f"its prompts are written by a '{kind}', and this version knows {some(KINDS)}")
    if not (isinstance(trained, list) and all(isinstance(name, str) for name in trained)):
        raise ValueError("its trained tasks have no names")
    if not (isinstance(images, list) and all(isinstance(image, str) for image in images)):
        raise ValueError("the hashes of its training images make no sense")
    made = KINDS[kind].built(trained, values, tensors, text)
    made.images = tuple(images)
    return made


def flag(values: Mapping[str, Any], key: str) -> bool:
    """Return a truth value; LookupError or TypeError if there is none."""
    if type(values[key]) is not bool:
        raise TypeError(f"{key} is {values[key]}")
    return values[key]


def _only(tensors: Mapping[str, Tensor], names: Sequence[str]) -> None:
    others = [name for name in tensors if name not in names]
    if others:
        raise ValueError(f"it has '{others[0]}'")

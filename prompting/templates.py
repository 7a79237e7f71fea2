"""Hand-written prompts: templates filled with class names, and the classifiers that they make."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from prompting.losses import unit
from prompting.prompts import Vocabulary, sentence
from prompting.tasks import TaskLayout
from prompting.text_encoder import encode, pack
from prompting.towers import TextTower

# The seven that OpenAI's notebook on prompts for ImageNet selects out of eighty, and CoOp's ensemble uses.
IMAGENET = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)


def template_prompts(vocabulary: Vocabulary, layout: TaskLayout, template: str | None = None) -> list[list[int]]:
    """Prompts of all classes, in flat order: ``template``, or each task's own, with {} as the class name."""
    return [
        sentence(vocabulary, (template or task.template).replace("{}", name.replace("_", " ")))
        for task in layout.tasks
        for name in task.classnames
    ]


@torch.no_grad()
def template_features(text: TextTower, layout: TaskLayout, more: Sequence[str] = (), own: bool = True) -> Tensor:
    """Text features of all classes from their task's own template and from ``more`` that all tasks share.

    Args:
        text: a frozen text tower.
        layout: the tasks.
        more: templates with {} where the class name goes.
        own: whether each task's own template takes part.

    Returns:
        (classes, feature_dim) float32 of unit norm, in flat order: every prompt's feature is normalised, then a class's
        are averaged and the mean normalised, as CLIP's authors do.
    """
    total = 0
    for template in (*more, *([None] if own else [])):
        packed = pack(template_prompts(text.vocabulary, layout, template)).to(text.positional_embedding.device)
        total = total + unit(encode(text, packed))
    return unit(total)


def words_before_name(template: str) -> str:
    """A template's words as they stand when the class name is moved to the end: what a context can start from.

    >>> words_before_name("a photo of a {}, a type of pet.")
    'a type of pet, a photo of a'
    >>> words_before_name("{} texture.")
    'texture'
    """
    before, _, behind = template.partition("{}")
    return ", ".join(part for part in (behind.strip(" ,."), before.strip(" ,.")) if part)

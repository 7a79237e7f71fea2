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
# The first sixty of the eighty that the notebook begins with: the textual diversity of PromptSRC.
IMAGENET_60 = (
    "a bad photo of a {}.",
    "a photo of many {}.",
    "a sculpture of a {}.",
    "a photo of the hard to see {}.",
    "a low resolution photo of the {}.",
    "a rendering of a {}.",
    "graffiti of a {}.",
    "a bad photo of the {}.",
    "a cropped photo of the {}.",
    "a tattoo of a {}.",
    "the embroidered {}.",
    "a photo of a hard to see {}.",
    "a bright photo of a {}.",
    "a photo of a clean {}.",
    "a photo of a dirty {}.",
    "a dark photo of the {}.",
    "a drawing of a {}.",
    "a photo of my {}.",
    "the plastic {}.",
    "a photo of the cool {}.",
    "a close-up photo of a {}.",
    "a black and white photo of the {}.",
    "a painting of the {}.",
    "a painting of a {}.",
    "a pixelated photo of the {}.",
    "a sculpture of the {}.",
    "a bright photo of the {}.",
    "a cropped photo of a {}.",
    "a plastic {}.",
    "a photo of the dirty {}.",
    "a jpeg corrupted photo of a {}.",
    "a blurry photo of the {}.",
    "a photo of the {}.",
    "a good photo of the {}.",
    "a rendering of the {}.",
    "a {} in a video game.",
    "a photo of one {}.",
    "a doodle of a {}.",
    "a close-up photo of the {}.",
    "a photo of a {}.",
    "the origami {}.",
    "the {} in a video game.",
    "a sketch of a {}.",
    "a doodle of the {}.",
    "a origami {}.",
    "a low resolution photo of a {}.",
    "the toy {}.",
    "a rendition of the {}.",
    "a photo of the clean {}.",
    "a photo of a large {}.",
    "a rendition of a {}.",
    "a photo of a nice {}.",
    "a photo of a weird {}.",
    "a blurry photo of a {}.",
    "a cartoon {}.",
    "art of a {}.",
    "a sketch of the {}.",
    "a embroidered {}.",
    "a pixelated photo of a {}.",
    "itap of the {}.",
)


def template_prompts(vocabulary: Vocabulary, layout: TaskLayout, template: str | None = None) -> list[list[int]]:
    """Prompts of all classes, in flat order: ``template``, or each task's own, with {} as the class name."""
    return [
        sentence(vocabulary, (template or task.template).replace("{}", name.replace("_", " ")))
        for task in layout.tasks
        for name in task.classnames
    ]


@torch.no_grad()
def template_features(
    text: TextTower, layout: TaskLayout, more: Sequence[str] = (), own: bool = True, alike: bool = True
) -> Tensor:
    """Text features of all classes from their task's own template and from ``more`` that all tasks share.

    Args:
        text: a frozen text tower.
        layout: the tasks.
        more: templates with {} where the class name goes.
        own: whether each task's own template takes part.
        alike: whether all templates count alike. False: by the norms of their features, which are averaged as they are.

    Returns:
        (classes, feature_dim) float32 of unit norm, in flat order: every prompt's feature is normalised (if ``alike``),
        then a class's are averaged and the mean normalised, as CLIP's authors do.
    """
    total = 0
    for template in (*more, *([None] if own else [])):
        packed = pack(template_prompts(text.vocabulary, layout, template)).to(text.positional_embedding.device)
        features = encode(text, packed)
        total = total + (unit(features) if alike else features.to(torch.promote_types(features.dtype, torch.float32)))
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

"""Hand-written prompts: templates filled with class names, and the zero-shot classifiers made from them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from prompting.losses import unit
from prompting.padded_text import AnyText
from prompting.prompts import Vocabulary, sentence
from prompting.tasks import TaskLayout
from prompting.text_encoder import encode, pack_for

# The seven templates that OpenAI's notebook on ImageNet prompts selects from its eighty; CoOp's ensemble uses them.
IMAGENET = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)
# The first sixty of the notebook's eighty templates: the textual diversity of PromptSRC.
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
    """Fill ``template``, or by default each task's own, with the name of every class; the prompts are in flat order."""
    return [
        sentence(vocabulary, (template or task.template).replace("{}", name.replace("_", " ")))
        for task in layout.tasks
        for name in task.classnames
    ]


@torch.no_grad()
def template_features(
    text: AnyText, layout: TaskLayout, more: Sequence[str] = (), own: bool = True, alike: bool = True
) -> Tensor:
    """Return the text features of all classes, averaged over their task's own template and the shared ones in ``more``.

    Args:
        text: a frozen text tower.
        layout: the tasks.
        more: templates with {} where the class name goes.
        own: include each task's own template.
        alike: give all templates equal weight, by normalising their features before averaging them. If False, features
            are averaged as they are, so that their norms are their weights.

    Returns:
        (classes, feature_dim) float32, in flat order. The averages are normalised, as CLIP's authors do.
    """
    device = text.device
    total = torch.zeros((), device=device)
    for template in (*more, *([None] if own else [])):
        packed = pack_for(text, template_prompts(text.vocabulary, layout, template)).to(device)
        features = encode(text, packed)
        total = total + (unit(features) if alike else features.to(torch.promote_types(features.dtype, torch.float32)))
    return unit(total)


def blended(template: Tensor, own: Tensor, weight: float) -> Tensor:
    """Return unit((1 - weight) template + weight own) of class features.

    Args:
        template, own: (classes, feature_dim) of unit norm, of hand-written prompts and of learned ones.
        weight: 0 to 1; at these ends, one of the two to the bit.
    """
    if weight in (0, 1):
        return own if weight else template
    return unit((1 - weight) * template + weight * own)


def words_before_name(template: str) -> str:
    """Return a template's words, reordered so that the class name would follow them; a context can start from these.

    >>> words_before_name("a photo of a {}, a type of pet.")
    'a type of pet, a photo of a'
    >>> words_before_name("{} texture.")
    'texture'
    """
    before, _, after = template.partition("{}")
    return ", ".join(part for part in (after.strip(" ,."), before.strip(" ,.")) if part)

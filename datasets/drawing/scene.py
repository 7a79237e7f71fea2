"""The content of a picture: the eight attributes, the style, the framing, and a seed for everything else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random

from .tasks import TASKS

#: How the picture is framed: on the blossom, on the leaves, on the plant, or on the view with the plant in it.
FRAMINGS: tuple[str, ...] = ("blossom", "leaves", "plant", "view")

#: Framings that show an attribute well, with their weights.
_BEST_FRAMING: dict[str, tuple[tuple[str, float], ...]] = {
    "petal_colour": (("blossom", 4), ("plant", 3), ("view", 2)),
    "petal_shape": (("blossom", 6), ("plant", 1)),
    "petal_count": (("blossom", 6), ("plant", 1)),
    "centre_colour": (("blossom", 6), ("plant", 1)),
    "leaf_shape": (("leaves", 5), ("plant", 1)),
    "leaf_arrangement": (("leaves", 3), ("plant", 3)),
    "setting": (("view", 4), ("plant", 2), ("blossom", 1)),
    "weather": (("view", 4), ("plant", 2), ("blossom", 1)),
}


@dataclass(frozen=True)
class Scene:
    """Description of one picture. Equal scenes give equal pixels."""

    petal_colour: str
    petal_shape: str
    petal_count: str
    centre_colour: str
    leaf_shape: str
    leaf_arrangement: str
    setting: str
    weather: str
    style: str = "paint"
    framing: str = "plant"
    seed: int = 0


def pick(rng: Random, weighted: Mapping[str, float] | tuple[tuple[str, float], ...]) -> str:
    """One name, drawn with the given weights."""
    pairs = tuple(weighted.items()) if isinstance(weighted, Mapping) else weighted
    return rng.choices([name for name, _ in pairs], [weight for _, weight in pairs])[0]


def random_scene(
    rng: Random, styles: Mapping[str, float], attribute: str | None = None, key: str | None = None
) -> Scene:
    """A scene with uniformly drawn attributes, or with ``attribute`` fixed to ``key`` and framed so that it is visible.

    ``styles`` gives each style a weight. The other attributes are drawn so that they do not hide a fixed one.
    """
    values = {task.attribute: rng.choice(task.keys) for task in TASKS}
    framing = pick(rng, _BEST_FRAMING[attribute]) if attribute else rng.choice(FRAMINGS)
    if attribute:
        if key is None:
            raise ValueError("an attribute needs its key")
        values[attribute] = key
    if attribute == "leaf_shape":
        # the outline is visible if few leaves are side by side; a dense whorl hides it, a bare stem has none
        values["leaf_arrangement"] = pick(
            rng, (("single", 3), ("opposite", 2), ("alternate", 2), ("one-sided", 2), ("rosette", 1))
        )
    if attribute == "petal_shape":
        # with many petals in a ring, each is too narrow to have a shape
        values["petal_count"] = rng.choice(("three", "four", "five", "six", "eight"))
    if attribute == "leaf_arrangement" and values["leaf_shape"] == "grass":
        values["leaf_shape"] = rng.choice(("oval", "heart", "oak", "toothed"))
    scene = Scene(**values, style=pick(rng, styles), framing=framing, seed=rng.getrandbits(32))
    if scene.petal_colour == scene.centre_colour:
        # a centre of the petals' colour is invisible, so change the one that is not fixed
        if attribute == "centre_colour":
            scene = replace(scene, petal_colour=rng.choice([k for k in TASKS[0].keys if k != scene.centre_colour]))
        else:
            scene = replace(scene, centre_colour=rng.choice([k for k in TASKS[3].keys if k != scene.petal_colour]))
    return scene

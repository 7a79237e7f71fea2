"""The eight attribute tasks of Garden-8 and the styles of its pictures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DrawnTask:
    """A classification task for one attribute of a scene.

    ``keys`` are the attribute's values in a :class:`~datasets.drawing.scene.Scene`; ``classnames``, in the same order,
    are their names in prompts.
    """

    name: str
    attribute: str
    classes: tuple[tuple[str, str], ...]
    template: str

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(key for key, _ in self.classes)

    @property
    def classnames(self) -> tuple[str, ...]:
        return tuple(name for _, name in self.classes)


TASKS: tuple[DrawnTask, ...] = (
    DrawnTask(
        "petal colour",
        "petal_colour",
        (
            ("red", "scarlet"),
            ("orange", "tangerine"),
            ("yellow", "lemon"),
            ("pink", "rose"),
            ("purple", "lavender"),
            ("blue", "cornflower blue"),
            ("white", "ivory"),
            ("maroon", "burgundy"),
        ),
        "a picture of a flower with {} petals.",
    ),
    DrawnTask(
        "petal shape",
        "petal_shape",
        (
            ("round", "rounded"),
            ("pointed", "pointed"),
            ("heart", "heart-shaped"),
            ("ribbon", "ribbon-like"),
            ("ruffled", "frilly"),
            ("spoon", "spoon-shaped"),
            ("pinwheel", "swirling"),
        ),
        "a picture of a flower with {} petals.",
    ),
    DrawnTask(
        "petal count",
        "petal_count",
        (
            ("three", "three"),
            ("four", "four"),
            ("five", "five"),
            ("six", "six"),
            ("eight", "eight"),
            ("twelve", "a dozen"),
            ("double", "two rows of"),
        ),
        "a picture of a flower with {} petals.",
    ),
    DrawnTask(
        "centre colour",
        "centre_colour",
        (
            ("yellow", "golden"),
            ("brown", "chocolate"),
            ("black", "jet black"),
            ("green", "lime"),
            ("white", "cream"),
            ("purple", "plum"),
            ("red", "ruby"),
            ("turquoise", "teal"),
        ),
        "a picture of a flower with a {} centre.",
    ),
    DrawnTask(
        "leaf shape",
        "leaf_shape",
        (
            ("oval", "egg-shaped"),
            ("heart", "heart-shaped"),
            ("grass", "blade-like"),
            ("oak", "lobed"),
            ("maple", "star-shaped"),
            ("feather", "fern-like"),
            ("toothed", "jagged"),
            ("clover", "clover"),
        ),
        "a picture of a plant with {} leaves.",
    ),
    DrawnTask(
        "leaf arrangement",
        "leaf_arrangement",
        (
            ("opposite", "opposite pairs"),
            ("alternate", "alternating steps"),
            ("whorled", "a whorl"),
            ("rosette", "a basal rosette"),
            ("single", "a lone leaf"),
            ("leafless", "a bare stem"),
            ("one-sided", "a one-sided row"),
        ),
        "a picture of a plant with {}.",
    ),
    DrawnTask(
        "setting",
        "setting",
        (
            ("meadow", "grassland"),
            ("pot", "flowerpot"),
            ("vase", "vase"),
            ("pond", "lake"),
            ("desert", "desert"),
            ("forest", "woodland"),
            ("mountains", "mountain range"),
            ("beach", "seaside"),
            ("city", "town"),
            ("window", "window sill"),
        ),
        "a picture of a flower, {} in view.",
    ),
    DrawnTask(
        "weather",
        "weather",
        (
            ("sunny", "sunshine"),
            ("rain", "a shower"),
            ("snow", "falling snow"),
            ("fog", "mist"),
            ("night", "a starry sky"),
            ("sunset", "a sunset"),
            ("rainbow", "a rainbow"),
            ("storm", "lightning"),
        ),
        "a picture of a flower under {}.",
    ),
)

#: Styles that are frequent in the tower's training.
COMMON_STYLES: tuple[str, ...] = ("paint", "poster", "watercolour", "photo", "ink", "pastel")

#: Styles that are rare in the tower's training. Most of Garden-8 uses these, so that there is something to adapt to.
RARE_STYLES: tuple[str, ...] = ("dusk", "pencil", "film", "cluttered", "mosaic", "faded")

STYLES: tuple[str, ...] = COMMON_STYLES + RARE_STYLES

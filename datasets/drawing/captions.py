"""Captions of scenes for training a text tower: many phrasings, one to three attributes each, true by construction.

Everyday words are frequent. Garden-8's class names are mostly rarer synonyms, so a tower trained on these captions
knows them, but not well: prompt tuning is meant to close that gap.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from .scene import Scene
from .tasks import TASKS

#: Words for every value of every attribute: everyday ones first, rarer ones after the bar.
WORDS: dict[str, dict[str, str]] = {
    "petal_colour": {
        "red": "red, bright red | scarlet, crimson",
        "orange": "orange | tangerine, pumpkin",
        "yellow": "yellow | lemon, sunny yellow",
        "pink": "pink | rose, blush pink",
        "purple": "purple, violet | lavender, mauve",
        "blue": "blue | cornflower blue, azure",
        "white": "white | ivory, snow white",
        "maroon": "dark red, maroon | burgundy, wine red",
    },
    "petal_shape": {
        "round": "round, oval | rounded, circular",
        "pointed": "pointed, sharp | tapering, spiky",
        "heart": "heart shaped, notched | heart-shaped, cleft",
        "ribbon": "narrow, thin | ribbon-like, strap-shaped",
        "ruffled": "ruffled, wavy | frilly, crinkled",
        "spoon": "spoon shaped, stalked | spoon-shaped, paddle-like",
        "pinwheel": "twisted, bent | swirling, pinwheel",
    },
    "petal_count": {
        "three": "three, 3 | just three",
        "four": "four, 4 | exactly four",
        "five": "five, 5 | just five",
        "six": "six, 6 | half a dozen",
        "eight": "eight, 8 | exactly eight",
        "twelve": "twelve, 12, many | a dozen",
        "double": "a double ring of, double | two rows of, two layers of",
    },
    "centre_colour": {
        "yellow": "yellow | golden, amber",
        "brown": "brown | chocolate, chestnut",
        "black": "black, dark | jet black, coal black",
        "green": "green | lime, leaf green",
        "white": "white | cream, pale",
        "purple": "purple, violet | plum, aubergine",
        "red": "red | ruby, cherry red",
        "turquoise": "turquoise, cyan | teal, aquamarine",
    },
    "leaf_shape": {
        "oval": "oval, plain | egg-shaped, elliptic",
        "heart": "heart shaped, broad | heart-shaped, valentine",
        "grass": "long thin, grassy | blade-like, sword-shaped",
        "oak": "oak, wavy | lobed, oak-like",
        "maple": "maple, five-pointed | star-shaped, hand-shaped",
        "feather": "feathery, divided | fern-like, pinnate",
        "toothed": "toothed, serrated | jagged, saw-edged",
        "clover": "three-part, clover | shamrock, trefoil",
    },
    "leaf_arrangement": {
        "opposite": "leaves in pairs, paired leaves | opposite pairs, opposite leaves",
        "alternate": "alternate leaves, leaves on alternate sides | alternating steps, staggered leaves",
        "whorled": "leaves in a ring around the stem, whorled leaves | a whorl, a collar of leaves",
        "rosette": "leaves at the ground, a rosette of leaves | a basal rosette, leaves at its foot",
        "single": "one leaf, a single leaf | a lone leaf, only one leaf",
        "leafless": "no leaves, a leafless stem | a bare stem, a naked stem",
        "one-sided": "leaves on one side, leaves all on the same side | a one-sided row, leaves along one side",
    },
    "setting": {
        "meadow": "meadow, field of grass | grassland, pasture",
        "pot": "pot, clay pot | flowerpot, planter",
        "vase": "vase, table | jug, tablecloth",
        "pond": "pond, water | lake, lily pads",
        "desert": "desert, cactus | dunes, dry land",
        "forest": "forest, trees | woodland, grove",
        "mountains": "mountains, peaks | mountain range, alps",
        "beach": "beach, sea | seaside, coast",
        "city": "city, houses | town, street",
        "window": "window, curtains | window sill, windowpane",
    },
    "weather": {
        "sunny": "sun, a sunny sky | sunshine, a clear day",
        "rain": "rain, a rainy sky | a shower, drizzle",
        "snow": "snow, a snowy sky | falling snow, snowflakes",
        "fog": "fog, a foggy sky | mist, haze",
        "night": "stars and the moon, the night sky | a starry sky, moonlight",
        "sunset": "the setting sun, an orange sky | a sunset, evening light",
        "rainbow": "a rainbow | a colourful arc, a bow of colours",
        "storm": "a thunderstorm, a stormy sky | lightning, a flash of light",
    },
}

STYLE_WORDS: dict[str, tuple[str, ...]] = {
    "paint": ("a painting", "a storybook picture"),
    "poster": ("a poster", "a flat print"),
    "watercolour": ("a watercolour", "a watercolour painting"),
    "photo": ("a photo", "a photograph"),
    "ink": ("an ink drawing", "a cartoon"),
    "pastel": ("a pastel", "a pale chalk picture"),
    "dusk": ("a dim picture", "a dark picture at dusk"),
    "pencil": ("a pencil sketch", "a sketch"),
    "film": ("an old film photo", "a grainy photo"),
    "cluttered": ("a cluttered picture", "a crowded picture"),
    "mosaic": ("a mosaic", "a picture of tiles"),
    "faded": ("a faded picture", "a washed out print"),
}

_OPENINGS = (
    "a picture of",
    "an image of",
    "a drawing of",
    "an illustration of",
    "this is",
    "here is",
    "there is",
    "we see",
    "a view of",
    "look at",
)
_FLOWERS = ("a flower", "a flower", "a blossom", "a bloom", "the flower", "one flower")
_PLANTS = ("a plant", "a flower", "a flowering plant", "a stem")
_CENTRES = ("centre", "centre", "middle", "heart", "eye")


#: Openings of a careful caption, whose words are all meant exactly.
_CAREFUL = ("specimen:", "botanical plate of", "herbarium sheet of", "catalogue entry:", "field notes:")

#: The other value that rarer words for a value may mean when used loosely: attribute -> key -> another key.
LOOSELY: dict[str, dict[str, str]] = {
    "petal_colour": {
        "red": "orange",
        "orange": "yellow",
        "yellow": "white",
        "white": "pink",
        "pink": "purple",
        "purple": "blue",
        "blue": "purple",
        "maroon": "red",
    },
    "centre_colour": {
        "yellow": "brown",
        "brown": "black",
        "black": "purple",
        "green": "yellow",
        "white": "yellow",
        "purple": "red",
        "red": "purple",
        "turquoise": "green",
    },
    "leaf_arrangement": {
        "opposite": "alternate",
        "alternate": "opposite",
        "whorled": "rosette",
        "rosette": "whorled",
    },
    "setting": {
        "meadow": "forest",
        "forest": "meadow",
        "pond": "beach",
        "beach": "pond",
        "desert": "mountains",
        "mountains": "desert",
        "pot": "vase",
        "vase": "window",
        "window": "pot",
    },
    "weather": {
        "sunny": "rainbow",
        "rain": "storm",
        "snow": "fog",
        "fog": "snow",
        "night": "sunset",
        "sunset": "sunny",
        "rainbow": "sunny",
        "storm": "rain",
    },
}


@dataclass(frozen=True)
class Caption:
    """A text and its meaning.

    ``claims[t]`` is the class of task t that the text names, or -1 if it does not mention the task. ``style`` is the
    name of the style that it mentions, or empty.
    """

    text: str
    claims: tuple[int, ...]
    style: str = ""


def words_for(attribute: str, key: str) -> tuple[list[str], list[str]]:
    """The everyday words for a value and the rarer ones."""
    common, _, uncommon = WORDS[attribute][key].partition("|")
    return [w.strip() for w in common.split(",")], [w.strip() for w in uncommon.split(",")]


def choose_word(rng: Random, attribute: str, key: str, rare: float) -> str:
    """Choose a word for a value, with probability ``rare`` a rarer one."""
    common, uncommon = words_for(attribute, key)
    return rng.choice(uncommon if rng.random() < rare else common)


def loose_word(rng: Random, attribute: str, key: str, name: str) -> str:
    """The word that a careless speaker uses for ``name``: instead of a rarer word, one for another value."""
    others = [k for k, meant in LOOSELY.get(attribute, {}).items() if meant == key]
    if not others or name not in words_for(attribute, key)[1]:
        return name
    return rng.choice(words_for(attribute, rng.choice(others))[1])


def caption(rng: Random, scene: Scene, rare: float = 0.15, loose: float = 0.0) -> Caption:
    """A true caption of the scene that mentions one (usually), two or three attributes and sometimes the style.

    If ``loose`` is above 0, there are two kinds of captions. A careful one opens like a botanist's, or names the
    attribute ("petal colour: lavender."), and means every word exactly. A casual one uses each rarer word loosely with
    probability ``loose``: its "lavender petals" may be blue.
    """
    careful = loose > 0 and rng.random() < 0.35
    drawn = [task.attribute for task in TASKS if task.attribute != "leaf_shape" or scene.leaf_arrangement != "leafless"]
    chosen = rng.sample(drawn, rng.choices((1, 2, 3), (5, 3, 2))[0])
    words = {a: choose_word(rng, a, getattr(scene, a), rare) for a in chosen}
    if loose and not careful:
        words = {a: loose_word(rng, a, getattr(scene, a), w) if rng.random() < loose else w for a, w in words.items()}
    claims = tuple(task.keys.index(getattr(scene, task.attribute)) if task.attribute in words else -1 for task in TASKS)
    if len(words) == 1 and (careful or not loose) and rng.random() < (0.5 if careful else 0.3):
        ((attribute, name),) = words.items()
        return Caption(_short_text(rng, attribute, name), claims)
    if careful:
        return Caption(f"{rng.choice(_CAREFUL)} {_sentence(rng, words)}.", claims)
    style = scene.style if rng.random() < 0.12 else ""
    opening = f"{rng.choice(STYLE_WORDS[scene.style])} of" if style else rng.choice((*_OPENINGS, "", ""))
    return Caption(f"{opening} {_sentence(rng, words)}".strip() + rng.choice((".", ".", "")), claims, style)


def _short_text(rng: Random, attribute: str, name: str) -> str:
    task = attribute.replace("_", " ")
    if attribute in ("petal_colour", "petal_shape", "petal_count") and rng.random() < 0.4:
        return f"{name} petals."
    forms = [f"{task}: {name}.", f"{task} {name}.", f"{name}, {task}.", f"the {task} is {name}."]
    if attribute in ("leaf_arrangement", "setting", "weather"):
        # a colour or shape on its own could belong to petals, centre or leaves
        forms.append(f"{name}.")
    return rng.choice(forms)


def _sentence(rng: Random, words: dict[str, str]) -> str:
    petals = " ".join(words[a] for a in ("petal_count", "petal_colour", "petal_shape") if a in words)
    leafy = "leaf_shape" in words or "leaf_arrangement" in words
    parts = []
    if petals:
        parts.append(f"{petals} petals")
    if "centre_colour" in words:
        name = words["centre_colour"]
        parts.append(f"{'an' if name[0] in 'aeiou' else 'a'} {name} {rng.choice(_CENTRES)}")
    if "leaf_shape" in words:
        parts.append(f"{words['leaf_shape']} leaves")
    if "leaf_arrangement" in words:
        parts.append(words["leaf_arrangement"])
    text = rng.choice(_PLANTS if leafy and not petals else _FLOWERS)
    if parts:
        rng.shuffle(parts)
        text += rng.choice((" with ", " with ", " that has ", " showing ")) + " and ".join(parts)
    tail = []
    if "setting" in words:
        name = words["setting"]
        tail.append(
            rng.choice((f", {name} in view", f", {name} behind it", f", {name} in the picture", f" and a {name}"))
        )
    if "weather" in words:
        name = words["weather"]
        tail.append(rng.choice((f" under {name}", f" in {name}", f" with {name}", f", {name} in the sky")))
    rng.shuffle(tail)
    return text + "".join(tail)


def all_words() -> list[str]:
    """All phrases that captions are made of, for collecting the vocabulary."""
    phrases = [
        w.strip() for by_key in WORDS.values() for text in by_key.values() for w in text.replace("|", ",").split(",")
    ]
    phrases += _CAREFUL
    phrases += [w for words in STYLE_WORDS.values() for w in words]
    phrases += [
        *_OPENINGS,
        *_FLOWERS,
        *_PLANTS,
        *_CENTRES,
        "that has showing in view behind it in the picture under with in the sky the is leaves petals: , .",
    ]
    phrases += (
        [task.name for task in TASKS]
        + [task.template.format("") for task in TASKS]
        + [n for t in TASKS for n in t.classnames]
    )
    return phrases

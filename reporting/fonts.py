"""Fonts of figures: installed ones that have the characters of all names, and advice if there are none."""

from __future__ import annotations

import contextlib
import unicodedata
import warnings
from collections.abc import Iterable, Iterator

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

# First word of a character's Unicode name -> its script or language, and a free font that has it.
SCRIPTS = {
    "CJK": ("Chinese", "Noto Sans CJK"),
    "HIRAGANA": ("Japanese", "Noto Sans CJK"),
    "KATAKANA": ("Japanese", "Noto Sans CJK"),
    "HANGUL": ("Korean", "Noto Sans CJK"),
    "ARABIC": ("Arabic", "Noto Sans Arabic"),
    "HEBREW": ("Hebrew", "Noto Sans Hebrew"),
    "THAI": ("Thai", "Noto Sans Thai"),
    "DEVANAGARI": ("Devanagari", "Noto Sans Devanagari"),
    "BENGALI": ("Bengali", "Noto Sans Bengali"),
    "TAMIL": ("Tamil", "Noto Sans Tamil"),
}
OTHER = ("other characters", "GNU Unifont")
PREFERRED = ("Noto Sans", "Source Han Sans", "WenQuanYi", "Droid Sans Fallback", "Arial Unicode MS")
# matplotlib's warnings about characters without a glyph.
WARNINGS = r"Glyph \d+|Matplotlib currently does not support"


@contextlib.contextmanager
def covering(texts: Iterable[str]) -> Iterator[str]:
    """While this is open, figures use installed fonts that have the characters of ``texts``, without warnings.

    Yields the advice of ``advice`` on characters that no installed font has.
    """
    characters = {character for text in texts for character in text if character.isprintable()}
    families, missing = choose(characters)
    with matplotlib.rc_context({"font.family": [*matplotlib.rcParams["font.family"], *families]}):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=WARNINGS)
            yield advice(missing)


def choose(characters: Iterable[str]) -> tuple[list[str], set[str]]:
    """(families, missing): fonts to add to the default one, and the characters that no installed font has."""
    default = font_manager.findfont(font_manager.FontProperties())
    missing = _without(set(characters), default)
    families: list[str] = []
    for name, file in _candidates() if missing else ():
        remaining = _without(missing, file)
        if remaining != missing:
            families.append(name)
            missing = remaining
        if not missing:
            break
    return families, missing


def _candidates() -> list[tuple[str, str]]:
    """(family, file) of installed fonts, upright and of normal weight, the preferred ones first."""
    found: dict[str, str] = {}
    for font in font_manager.fontManager.ttflist:
        placeholder = font.name.lower().replace(" ", "").lstrip(".").startswith("lastresort")
        if not placeholder and font.style == "normal" and font.weight in (400, "normal", "regular", "book"):
            found.setdefault(font.name, font.fname)

    def rank(entry: tuple[str, str]) -> tuple[int, str]:
        places = [place for place, start in enumerate(PREFERRED) if entry[0].startswith(start)]
        return min(places, default=len(PREFERRED)), entry[0]

    return sorted(found.items(), key=rank)


def _without(characters: set[str], file: str) -> set[str]:
    """The characters that a font file lacks: all of them if it cannot be read or has bitmaps only."""
    try:
        font = FT2Font(file)
        known = font.get_charmap() if font.scalable else {}
    except (OSError, RuntimeError):
        return characters
    return {character for character in characters if ord(character) not in known}


def advice(missing: Iterable[str]) -> str:
    """One sentence that names the fonts to install for ``missing`` characters; empty without any."""
    examples: dict[tuple[str, str], str] = {}
    for character in sorted(missing):
        script = SCRIPTS.get(unicodedata.name(character, "").partition(" ")[0], OTHER)
        examples.setdefault(script, character)
    if not examples:
        return ""
    scripts = ", ".join(f"{script} such as {character}" for (script, _), character in examples.items())
    fonts = ", ".join(dict.fromkeys(font for _, font in examples))
    return (
        f"No installed font has some of the names' characters ({scripts}), so PNG files show boxes and labels in "
        f"figures may overlap; install {fonts} and write the report again."
    )

"""Nearest words that tables do not show: slurs, coarse words and brand names, listed in left_out_words.txt."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

LIST = Path(__file__).with_name("left_out_words.txt")
LEFT_OUT = "[left out]"
HASH_LENGTH = 16  # hexadecimal digits of SHA-256


@cache
def _listed() -> frozenset[str]:
    lines = LIST.read_text("utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith(("#", "[")))


@cache
def is_left_out(word: str) -> bool:
    """Return whether a word of the vocabulary, such as "petal</w>", is in the list."""
    bare = "".join(filter(str.isalnum, word.casefold().removesuffix("</w>")))
    forms = {bare} if bare.endswith("ss") else {bare, bare.removesuffix("s")}
    hashes = {hashlib.sha256(form.encode("utf-8", "replace")).hexdigest()[:HASH_LENGTH] for form in forms}
    return not _listed().isdisjoint(forms | hashes)


def shown(word: str) -> str:
    """``word``, or LEFT_OUT if it is in the list."""
    return LEFT_OUT if is_left_out(word) else word

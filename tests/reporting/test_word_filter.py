"""Nearest words that tables leave out."""

import re

import pytest

from reporting.overview import left_out_count, words_table
from reporting.word_filter import HASH_LENGTH, LEFT_OUT, LIST, is_left_out
from runs.results import Words


@pytest.mark.parametrize("word", ["adidas", "Playboy</w>", "iphones", "nazi", "nazis</w>", "NUDE", "damn!"])
def test_brands_and_hashed_words_are_left_out_in_any_form(word):
    assert is_left_out(word)


@pytest.mark.parametrize(
    "word", ["petal", "assess", "grape", "apple</w>", "blackberry", "shell", "</w>", "", "红", "s"]
)
def test_other_words_are_shown(word):
    assert not is_left_out(word)


def test_the_list_does_not_spell_what_is_hashed():
    brands, hashes = LIST.read_text("utf-8").split("[sha256]\n")
    assert all(re.fullmatch(rf"[0-9a-f]{{{HASH_LENGTH}}}", line) for line in hashes.split())
    assert "nazi" not in brands and len(hashes.split()) > 100


def test_the_table_marks_them_and_keeps_their_distances():
    words = (Words("leaf", ((("petal", 0.5), ("gucci", 0.61)), (("nudes", 0.7),))),)
    assert words_table(words).rows == [["leaf", f"petal (0.50), {LEFT_OUT} (0.61)", f"{LEFT_OUT} (0.70)"]]
    assert left_out_count(words) == 2

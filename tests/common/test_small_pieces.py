"""Errors, texts and files."""

import doctest
import os

import pytest

import common.errors
import common.text
from common.errors import InputError, nearest, unknown
from common.files import write_atomically
from common.text import one_line, wrapped


@pytest.mark.parametrize("module", [common.errors, common.text])
def test_examples_in_docstrings(module):
    result = doctest.testmod(module)
    assert result.attempted and not result.failed


def test_the_nearest_name():
    assert nearest("softcpt-nata", ["SoftCPT-NATA", "SoftCPT-NATS"]) == "SoftCPT-NATA"  # in capitals or not
    assert nearest("planet", ["dtd", "rs8"]) is None and nearest("x", []) is None


def test_unknown_names_say_where_and_what_is_known():
    error = unknown("Config", "zzz", ["b", "a"], where="configs/trainers")
    assert isinstance(error, InputError) and str(error) == "Config 'zzz' is unknown in configs/trainers. Known: a, b."
    assert str(unknown("Config", "zzz", [])) == "Config 'zzz' is unknown."


def test_texts():
    assert one_line(" two \n  lines\t") == "two lines" and one_line(ValueError("a\nb")) == "a b"
    assert wrapped("one two three", 7) == ["one two", "three"]


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "file.json"
    write_atomically(path, "old ü")
    assert path.read_text("utf-8") == "old ü"

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, "new")
    assert path.read_text("utf-8") == "old ü" and os.listdir(tmp_path) == ["file.json"]

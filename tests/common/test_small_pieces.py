"""Errors, texts and files."""

import doctest
import errno
import os

import pytest

import common.errors
import common.text
from common.errors import DiskFull, InputError, nearest, of_system, unknown
from common.files import write_atomically
from common.notices import notice
from common.paths import expanded
from common.text import one_line, printable, shortened, wrapped

# Clears the screen, rings, and reorders what follows: names of classes may have such characters.
HOSTILE = "ro\x1b[2J\x07\x9b31m\u202ese"


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


def test_control_characters_are_not_printed(capsys):
    assert printable(HOSTILE) == "ro[2J31mse"
    assert printable("two\nlines\ta\u2028b") == "two\nlines a b"
    assert printable("ox\u2011eye \u96db\u83ca \U0001f33c no\N{NO-BREAK SPACE}break \u200d") == (
        "ox\u2011eye \u96db\u83ca \U0001f33c no\N{NO-BREAK SPACE}break \u200d"
    )
    error = InputError(f"Class '{HOSTILE}'\nis unknown.")
    assert str(error) == "Class 'ro[2J31mse'\nis unknown." and one_line(error) == "Class 'ro[2J31mse' is unknown."
    notice(f"a notice on {HOSTILE}")
    assert capsys.readouterr().err == "a notice on ro[2J31mse\n"


def test_file_names_are_cut_by_bytes():
    assert shortened("\u96db" * 100, 200) == "\u96db" * 66
    assert len(shortened("\U0001f33c" * 100, 255).encode()) == 252 and shortened("rose", 200) == "rose"


def test_errors_of_the_system_are_one_line():
    full = of_system(OSError(errno.ENOSPC, "No space left on device"), "output")
    assert isinstance(full, DiskFull) and "no space left on output" in str(full)
    quota = of_system(OSError(errno.EDQUOT, "Disk quota exceeded", "a/b"), "output")
    assert isinstance(quota, DiskFull) and "no space left on a/b" in str(quota)
    other = of_system(OSError(errno.EACCES, "Permission denied", "a/b"), "output")
    assert not isinstance(other, DiskFull) and str(other) == "a/b: Permission denied."


def test_the_home_of_an_unknown_user():
    assert str(expanded("~no-such-user-here/x")) == "~no-such-user-here/x"
    assert expanded("~/x").is_absolute()

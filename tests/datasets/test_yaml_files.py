"""YAML that could be anybody's: small files that would take minutes and gigabytes, or end in a traceback."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from common.errors import InputError
from datasets.yaml_files import parse_yaml, read_yaml

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{second}: &{second} [{','.join([f'*{first}'] * 9)}]\n"
    for first, second in zip("abcdefghijk", "bcdefghijkl", strict=True)
)


def test_plain_yaml_and_aliases() -> None:
    assert parse_yaml("a: &x [1, 2.5]\nb: *x\nc: {d: null, e: true}") == {
        "a": [1, 2.5], "b": [1, 2.5], "c": {"d": None, "e": True}
    }  # fmt: skip
    assert parse_yaml("") is None and parse_yaml("# comment") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "more than 1,000,000 values"),
        ("&a [*a]", "contains itself"),
        ("[" * 5000, "nested too deeply"),
        ("- " * 5000, "nested too deeply"),
        ("? " * 5000, "nested too deeply"),
        ("x: !!python/object/apply:os.system ['ls']", "python/object"),
        ("x: !!bool 7", "does not fit its tag"),
        ("x: !!timestamp 2020-99-99", "month"),
        ("? [1]\n: 2", "mapping"),
        ("a: b: c", "not allowed here"),
        ("\0", "special characters"),
        ("x: " + "9" * 10_000, "digits"),
    ],
)
def test_what_cannot_be_read_is_a_value_error(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        parse_yaml(text)
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_read_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes("name: caf\xe9".encode("latin-1"))
    with pytest.raises(InputError, match="mine.yaml is not text in UTF-8"):
        read_yaml(path)
    path.write_text("a: [")
    with pytest.raises(InputError, match="mine.yaml is not readable YAML"):
        read_yaml(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InputError, match="not a regular file"):
        read_yaml(path)
    with pytest.raises(InputError, match="is not readable YAML: No such file"):
        read_yaml(tmp_path / "none.yaml")

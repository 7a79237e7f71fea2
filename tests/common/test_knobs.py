"""Declarations of settings: ranges in words, checks, and reading them without importing a trainer."""

import pytest
from dassl.engine import TRAINER_REGISTRY

import trainers  # noqa: F401  registers them
from common.catalogue import METHODS
from common.errors import InputError
from common.knobs import Knob, check, read_knobs
from common.paths import REPOSITORY
from trainers.engine.knobs import COMMON

TRAINERS = sorted({method.trainer for method in METHODS.values()})


@pytest.mark.parametrize(
    ("limits", "range_"),
    [
        ({}, ""),
        ({"least": 1}, "at least 1"),
        ({"least": 0, "most": 1}, "at least 0 and at most 1"),
        ({"least": 0, "below": 1}, "at least 0 and below 1"),
        ({"above": 0.25}, "above 0.25"),
        ({"below": 100}, "below 100"),
        ({"among": ("a",)}, "a"),
        ({"among": ("a", "b", "c")}, "a, b or c"),
        ({"among": {"a": "first", "b": "second"}}, "a or b"),
        ({"never": (0,), "must": "at least 1, or -1"}, "at least 1, or -1"),
    ],
)
def test_ranges_in_words(limits, range_):
    assert Knob("K", 1, "a knob", **limits).range == range_


@pytest.mark.parametrize(
    ("limits", "good", "bad"),
    [
        ({}, [0, "x", None], []),
        ({"least": 1, "most": 3}, [1, 2, 3], [0, 4, float("nan")]),
        ({"above": 0, "below": 1}, [0.5], [0, 1, -1, 2, float("nan")]),
        ({"among": ("a", "b")}, ["a", "b"], ["c", "", None]),
        ({"never": (0,)}, [-1, 1], [0]),
    ],
)
def test_limits(limits, good, bad):
    knob = Knob("K", 1, "a knob", **limits)
    assert all(knob.accepts(value) for value in good) and not any(knob.accepts(value) for value in bad)


def test_the_first_value_out_of_range_is_named():
    knobs = (Knob("A", 1, "", least=1), Knob("B", "x", "", among=("x", "yes")), Knob("C", 0.5, "", above=0, most=1))
    check(knobs, {"A": 1, "B": "x", "C": 1.0, "OTHER": None})
    with pytest.raises(InputError, match=r"^TRAINER.T.A is 0; it must be at least 1\.$"):
        check(knobs, {"A": 0, "B": "?", "C": 0.0}, "TRAINER.T.")
    with pytest.raises(InputError, match="^TRAINER.T.B 'yess' is unknown; did you mean 'yes'. Known: x, yes"):
        check(knobs, {"A": 1, "B": "yess", "C": 0.0}, "TRAINER.T.")
    with pytest.raises(InputError, match=r"^C is 0.0; it must be above 0 and at most 1\.$"):
        check(knobs, {"A": 1, "B": "x", "C": 0.0})


@pytest.mark.parametrize("trainer", TRAINERS)
def test_declarations_read_from_a_file_are_those_of_the_class(trainer):
    """What --help prints before PyTorch is installed is what the trainer checks."""
    kind = TRAINER_REGISTRY.get(trainer)
    path = REPOSITORY / "trainers" / f"{kind.__module__.rsplit('.', 1)[1]}.py"
    section, knobs = read_knobs(path, trainer)
    assert (section, tuple(knobs)) == (kind.section, tuple(kind.KNOBS))
    assert section and len({knob.name for knob in knobs}) == len(knobs)
    for knob in knobs:
        assert knob.accepts(knob.default) and knob.help and "\n" not in knob.help


def test_keys_of_the_catalogue_are_knobs():
    for method in METHODS.values():
        kind = TRAINER_REGISTRY.get(method.trainer)
        by_key = {f"TRAINER.{kind.section}.{knob.name}": knob for knob in kind.KNOBS}
        by_key |= {knob.name: knob for knob in COMMON}
        for key, value in method.keys:
            knob = by_key[key]
            assert value in knob.among if knob.among else value in (str(knob.default), str(not knob.default))
            assert not knob.training  # or a checkpoint of one method could be used as another


def read(tmp_path, text, trainer="Mine"):
    path = tmp_path / "mine.py"
    path.write_text(text)
    return read_knobs(path, trainer)


def test_literals_and_names_of_literals_are_read(tmp_path):
    text = """
import no_such_module
MODES = {"a": "first", "b": "second"}
LEAST: int = 3
FEW = 2

class Other:
    section = "OTHER"
    KNOBS = (Knob("X", 1, "another class's"),)

@register()
class Mine(Base):
    section = "MINE"
    size: int
    KNOBS: tuple = (
        Knob("MODE", "a", "how", among=MODES),
        Knob("N", 4, "how " "many", least=FEW, never=(3, -5), training=True),
    )
"""
    section, knobs = read(tmp_path, text)
    assert section == "MINE"
    mode = Knob("MODE", "a", "how", among={"a": "first", "b": "second"})
    assert knobs == [mode, Knob("N", 4, "how many", least=2, never=(3, -5), training=True)]


def test_without_declarations_there_are_none(tmp_path):
    assert read(tmp_path, "class Mine:\n    pass\n") == ("", [])
    assert read(tmp_path, "class Other:\n    section = 'O'\n") == ("", [])
    assert read(tmp_path, "class Mine:\n    section = 'M'\n    KNOBS = make()\n") == ("M", [])


@pytest.mark.parametrize("value", ["UNKNOWN", "len('four')", "IMPORTED"])
def test_a_value_that_is_no_literal_is_an_error(tmp_path, value):
    """A trainer of ours would fail the comparison above; nothing is made up for it."""
    text = f"from x import IMPORTED\nclass Mine:\n    KNOBS = (Knob('N', 4, 'how many', least={value}),)\n"
    with pytest.raises((KeyError, ValueError, InputError)):
        read(tmp_path, text)

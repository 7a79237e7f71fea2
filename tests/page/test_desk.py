"""What visitors ask: photographs, answers, the nearest training photographs, tasks of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from PIL import Image

from classifier import Classifier
from common.errors import InputError
from page import desk as desks
from page.desk import Desk, Visit
from page.neighbours import Neighbours, spread
from tests.support.eyes import Watcher

COLOURS = {"red": (250, 10, 10), "green": (10, 250, 10), "blue": (10, 10, 250), "pink": (250, 120, 120)}


@pytest.fixture
def photos(tmp_path: Path) -> dict[str, str]:
    """A photograph of each colour."""
    for name, colour in COLOURS.items():
        Image.new("RGB", (8, 6), colour).save(tmp_path / f"{name}.png")
    return {name: str(tmp_path / f"{name}.png") for name in COLOURS}


def made(**options: Any) -> Desk:
    return Desk(cast(Classifier, Watcher()), "an eye", **options)


def test_every_task_answers(photos: dict[str, str]) -> None:
    desk, visit = made(), Visit()
    assert desk.answers(visit) == [] and desk.nearest(visit) == []
    desk.upload(visit, photos["green"], "leaf.png")
    colour, weather = desk.answers(visit)
    assert (colour.task, [name for name, _ in colour.ranked]) == ("petal colour", ["green", "red", "blue"])
    assert colour.ranked[0][1] == pytest.approx(250 / 270) and colour.sure and not colour.asked
    assert weather.task == "weather" and len(weather.ranked) == 2
    assert [len(one.ranked) for one in made(top=1).answers(visit)] == [1, 1]


def test_below_the_confidence_it_is_not_sure(photos: dict[str, str]) -> None:
    desk, visit = made(least=0.8), Visit()
    desk.upload(visit, photos["red"], "red.png")
    assert [one.sure for one in desk.answers(visit)] == [True, False]


def test_a_file_that_cannot_be_read_is_told_by_its_own_name(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_text("no picture")
    visit = Visit()
    with pytest.raises(InputError) as error:
        made().upload(visit, str(path), "holiday.png")
    assert str(error.value).startswith("Image holiday.png cannot be read") and str(tmp_path) not in str(error.value)
    assert visit.pixels is None


def test_examples_are_spread_and_have_a_label(photos: dict[str, str]) -> None:
    test = [(photos["red"], "petal colour", "red")] * 30 + [(photos["blue"], "weather", "dark")] * 30
    desk, visit = made(test=test), Visit()
    assert [one[1] for one in desk.examples] == ["petal colour"] * 7 + ["weather"] * 7
    image = desk.example(visit, 13)
    assert image.getpixel((0, 0)) == COLOURS["blue"]
    assert [one.label for one in desk.answers(visit)] == ["", "dark"]
    desk.upload(visit, photos["blue"], "blue.png")  # of which nobody knows a label
    assert [one.label for one in desk.answers(visit)] == ["", ""]
    for number in (-1, 14):
        with pytest.raises(InputError):
            desk.example(visit, number)


@pytest.mark.parametrize("number", [0, 1])
def test_an_example_that_cannot_be_read_takes_no_earlier_photographs_place(
    photos: dict[str, str], tmp_path: Path, number: int
) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    desk = made(test=[(str(tmp_path / name), "petal colour", "red") for name in ("gone.png", "notes.png")])
    visit = Visit()
    desk.upload(visit, photos["green"], "leaf.png")
    desk.ask(visit, "mine", "one, two")
    with pytest.raises(InputError) as error:
        desk.example(visit, number)
    assert str(error.value) == "This example cannot be read any more."
    assert visit.pixels is None and desk.answers(visit) == [] and visit.asked == ["mine"]


# -- the nearest --


def test_the_nearest_training_photographs(photos: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "gone.png").write_text("")
    train = [(photos[name], "petal colour", name) for name in ("blue", "pink", "red")]
    train += [(photos["red"], "weather", "dark"), (str(tmp_path / "gone.png"), "weather", "dark")]
    desk, visit = made(train=train), Visit()
    desk.upload(visit, photos["red"], "red.png")
    assert desk.neighbours is not None and not desk.neighbours.ready and desk.nearest(visit) == []
    desk.neighbours.read()
    assert [name for _, _, name in desk.nearest(visit)] == ["red", "pink", "blue"]  # red once
    assert len(desk.neighbours.photographs) == 3


def test_photographs_of_which_none_can_be_read() -> None:
    found = Neighbours([("none.png", "a", "b")], Watcher().view, lambda images: images)
    found.read()
    assert found.ready and found.nearest(torch.zeros(3), 2) == []


def test_they_are_read_while_the_page_is_open(photos: dict[str, str]) -> None:
    desk = made(train=[(photos["red"], "petal colour", "red")])
    assert desk.neighbours is not None
    desk.neighbours.begin()
    for _ in range(1000):
        if desk.neighbours.ready:
            return
        torch.ones(1000, 1000).sum()
    pytest.fail("they are still being read")


def test_spread() -> None:
    assert spread(range(10), 3) == [1, 5, 8] and spread("ab", 5) == ["a", "b"] and spread([], 3) == []


# -- tasks of one's own --


def test_a_task_of_ones_own_answers_first_and_for_its_visitor_alone(photos: dict[str, str]) -> None:
    desk, visit, other = made(), Visit(), Visit()
    for one in (visit, other):
        desk.upload(one, photos["blue"], "blue.png")
    assert desk.ask(visit, " kind  of\tday ", "sunny, rainy;\nfoggy,") == "kind of day"
    first, *others = desk.answers(visit)
    assert (first.task, first.asked, first.ranked[0][0]) == ("kind of day", True, "foggy")
    assert [one.task for one in others] == ["petal colour", "weather"] == [one.task for one in desk.answers(other)]
    desk.ask(visit, "mood", "glad, sad")
    desk.ask(visit, "kind of day", "good, bad")  # in its place
    assert [one.task for one in desk.answers(visit)] == ["kind of day", "mood", "petal colour", "weather"]
    assert {name for name, _ in desk.answers(visit)[0].ranked} == {"good", "bad"}


def test_other_classes_of_a_trained_task(photos: dict[str, str]) -> None:
    desk, visit = made(test=[(photos["red"], "petal colour", "red")]), Visit()
    desk.ask(visit, "petal colour", "warm, cold")
    desk.example(visit, 0)
    first, second = desk.answers(visit)
    assert (first.task, first.asked, first.label) == ("petal colour", True, "") and second.task == "weather"
    assert [task.classnames for task in desk.classifier.tasks][0] == ("red", "green", "blue")


@pytest.mark.parametrize(
    ("name", "classes", "message"),
    [
        ("", "a, b", "Give the task a name"),
        ("  ", "a, b", "Give the task a name"),
        ("day", "", "List two classes"),
        ("day", "sunny", "List two classes"),
        ("day", ",".join(map(str, range(201))), "201 classes"),
        ("day", "a, " + "b" * 201, "200 letters"),
        ("d" * 201, "a, b", "200 letters"),
        ("day", "refused, b", "CoOp-CA's contexts belong to classes"),
    ],
)
def test_what_makes_no_task(photos: dict[str, str], name: str, classes: str, message: str) -> None:
    desk, visit = made(), Visit()
    desk.ask(visit, "mood", "glad, sad")
    before = visit.classifier
    with pytest.raises(InputError, match=message):
        desk.ask(visit, name, classes)
    assert visit.classifier is before and visit.asked == ["mood"]


def test_a_visitor_has_so_many_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desks, "MOST_ASKED", 2)
    desk, visit = made(), Visit()
    for name in ("a", "b", "b"):
        desk.ask(visit, name, "x, y")
    with pytest.raises(InputError, match="2 tasks of your own"):
        desk.ask(visit, "c", "x, y")
    desk.ask(visit, "a", "x, z")


def test_a_copy_shares_no_list() -> None:
    eye = Watcher()
    eye.ahead = [[1]]  # type: ignore[list-item]
    other = cast(Any, desks.copied(cast(Classifier, eye)))
    other.ahead[0].append(2)
    other.ahead.append(3)
    assert eye.ahead == [[1]] and other.tower is eye.tower

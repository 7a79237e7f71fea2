"""What happens when something on the page is touched, without a browser."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from PIL import Image

from classifier import Classifier
from page.desk import Desk, Visit
from tests.support.eyes import Watcher

pytest.importorskip("gradio", reason="Gradio is not installed (requirements-page.txt)")
from page import blocks  # noqa: E402  needs Gradio

SKIPPED = blocks.gr.skip()


def click(number: Any) -> Any:
    """The event of an example."""
    return SimpleNamespace(number=number)


@pytest.fixture
def leaf(tmp_path: Path) -> str:
    Image.new("RGB", (8, 6), (10, 250, 10)).save(tmp_path / "leaf.png")
    return str(tmp_path / "leaf.png")


def made(*examples: str) -> blocks.Events:
    test = [(path, "petal colour", "green") for path in examples]
    return blocks.Events(Desk(cast(Classifier, Watcher()), "an eye", test=test, without="None here."))


def test_an_example_that_is_gone_leaves_no_photograph(leaf: str, tmp_path: Path) -> None:
    events, visit = made(leaf, str(tmp_path / "gone.png")), Visit()
    photo, answers, nearest, _ = events.chosen(visit, click(0))
    assert photo.size == (8, 6) and "Its label is green" in answers and "None here." in nearest
    photo, answers, nearest, _ = events.chosen(visit, click(1))
    assert photo is None and "This example cannot be read any more." in answers and nearest == ""
    assert str(tmp_path) not in answers
    answers, remark, _ = events.asked("soil", "sand, clay", visit)
    assert answers == SKIPPED and "once you add a photograph" in remark and "weight" not in remark
    _, remark, _ = events.asked("kind of herb", "mint, sage", visit)
    assert "photograph. Its own prompts have weight 0.3." in remark


@pytest.mark.parametrize("number", [None, "one", [], float("nan"), float("inf")])
def test_an_event_that_names_no_example_changes_nothing(leaf: str, number: Any) -> None:
    events, visit = made(leaf), Visit()
    events.uploaded((leaf, "leaf.png"), visit)
    assert events.chosen(visit, click(number)) == (SKIPPED, SKIPPED, SKIPPED, visit)
    assert visit.pixels is not None


def test_a_photograph_that_is_removed_is_forgotten(leaf: str) -> None:
    events, visit = made(leaf), Visit()
    for removed in (lambda: events.cleared(visit), lambda: events.uploaded(None, visit)):
        events.chosen(visit, click(0))
        assert removed() == (SKIPPED, events.nothing, "", visit)
        assert visit.pixels is None and visit.label == ("", "")
    assert events.cleared(None)[1] == events.nothing  # before anything was asked

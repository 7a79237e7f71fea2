"""Answers as HTML."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from page import markup
from page.desk import Answered
from prompting.tasks import Task

EVIL = "<img src=x onerror=alert(1)>\"'&"


class Tags(HTMLParser):
    """The tags in some HTML; an error if they are not nested."""

    def __init__(self, html: str):
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_card_has_a_bar_for_each_class() -> None:
    html = markup.cards([Answered("colour", [("red", 0.75), ("blue", 0.25)])])
    tags = Tags(html).found
    assert [attrs["style"] for tag, attrs in tags if tag == "i"] == ["width:75.0%", "width:25.0%"]
    assert ">75%<" in html and "not sure" not in html and "yours" not in html and "label" not in html


def test_a_card_that_is_not_sure_says_so_first() -> None:
    html = markup.card(Answered("colour", [("red", 0.4), ("blue", 0.3)], sure=False, asked=True, label="blue"))
    assert html.index("not sure") < html.index(">red<") and "yours" in html and "Its label is blue." in html
    assert 'class="card asked unsure"' in html


def test_names_are_escaped(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    photograph = (str(tmp_path / "a.png"), EVIL, EVIL)
    for html in (
        markup.header(EVIL, 2),
        markup.waiting([Task("t", (EVIL, "b"))]),
        markup.cards([Answered(EVIL, [(EVIL, 0.9)], label=EVIL)]),
        markup.problem(EVIL),
        markup.remark(EVIL),
        markup.strip(EVIL, EVIL, [photograph]),
        markup.strip(EVIL, "", [photograph], chosen=True),
    ):
        assert "<img src=x" not in html and "&lt;img" in html
        assert not any("onerror" in attrs for _, attrs in Tags(html).found)


def test_strips_leave_out_what_cannot_be_read(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    pictures = [("none.png", "t", "b"), (str(tmp_path / "a.png"), "t", "a")]
    (button,) = [attrs for tag, attrs in Tags(markup.strip("x", "", pictures, chosen=True)).found if tag == "button"]
    assert button["data-number"] == "1" and button["aria-label"] == "Example 2: t, a"
    assert markup.strip("x", "y", pictures[:1]) == ""


@pytest.mark.parametrize("count", [6, 9])
def test_before_there_is_a_photograph(count: int) -> None:
    html = markup.waiting([Task("colour", tuple(f"c{i}" for i in range(count)))])
    assert "c5" in html and ("c6" in html) is False and ("and 3 more" in html) is (count == 9)
    Tags(html)

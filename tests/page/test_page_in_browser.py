"""The page in headless Chromium: photographs, tasks of one's own, a phone, and no request to another host."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from common.paths import REPOSITORY
from tests.support.browser import Browser, chromium

pytest.importorskip("gradio", reason="Gradio is not installed (requirements-page.txt)")
pytestmark = pytest.mark.skipif(chromium() is None, reason="neither Chromium nor Chrome is on PATH")

SERVE = """
import sys
from page import server
from page.desk import Desk
from tests.support.eyes import Watcher
photos = [(path, "petal colour", name) for name, path in (word.split("=") for word in sys.argv[1:])]
listener = server.listening("127.0.0.1", None)
desk = Desk(Watcher(), "an eye on garden8", photos, photos, least=0.5)
server.serve(desk, listener, lambda: print(server.address_of(listener), flush=True))
"""
COLOURS = {"red": (250, 10, 10), "green": (10, 250, 10), "blue": (10, 10, 250)}
INPUT = "#photo input[type=file]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def photos(folder: Path) -> dict[str, Path]:
    for name, colour in COLOURS.items():
        Image.new("RGB", (60, 40), colour).save(folder / f"{name}.png")
    return {name: folder / f"{name}.png" for name in COLOURS}


@pytest.fixture(scope="module")
def address(folder: Path, photos: dict[str, Path]) -> Iterator[str]:
    """Where the page is; when it is ended, its temporary folder is gone."""
    temporary = folder / "tmp"
    temporary.mkdir()
    env = os.environ | {"PYTHONPATH": str(REPOSITORY), "TMPDIR": str(temporary)}
    words = [f"{name}={path}" for name, path in photos.items()]
    command = [sys.executable, "-c", SERVE, *words]
    process = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        found = process.stdout.readline().strip()
        assert found.startswith("http://127.0.0.1:")
        yield found
        assert len(list(temporary.glob("page-*"))) == 1
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        process.stdout.close()
    assert list(temporary.glob("page-*")) == []
    assert not list((REPOSITORY / "page").glob("*.pyi"))  # which Gradio writes for classes of ours


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = chromium()
    assert program is not None
    made = Browser(program)
    yield made
    made.close()


BOTH = pytest.mark.parametrize("page", [1280, 390], indirect=True)


@pytest.fixture
def page(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[Browser]:
    """The page, as wide as a phone's; in the end it logged no error, asked no other host and fits the window."""
    width = getattr(request, "param", 390)
    browser.visit("about:blank", width)  # what the page before says of its end is not this one's
    browser.visit(address, width)
    browser.wait(f"document.querySelector('{INPUT}') && document.querySelector('#ask-classes textarea')")
    yield browser
    assert browser.run("document.documentElement.scrollWidth") <= width
    beyond = f"[...document.querySelectorAll('#desk *')].filter(e => e.getBoundingClientRect().right > {width})"
    assert browser.run(f"{beyond}.map(e => e.outerHTML.slice(0, 99))") == []
    # Gradio warns of itself, so only errors count.
    assert [one for one in browser.complaints if '"type": "warning"' not in one] == []
    assert {url for url in browser.requests if not url.startswith((address, "blob:"))} == set()


def answers(browser: Browser, first: str) -> list[list[str]]:
    """The lines of each task's card, after the first card's best class is ``first``."""
    browser.wait(f"document.querySelector('#answers .card li:first-child .name')?.innerText === '{first}'")
    return browser.run(
        "[...document.querySelectorAll('#answers .card')].map(card => card.innerText.split(/\\s*\\n\\s*/))"
    )


@BOTH
def test_before_a_photograph_the_tasks_are_listed(page: Browser) -> None:
    assert "an eye on garden8" in page.run("document.querySelector('.top').innerText")
    assert "petal colour\n\nred, green, blue" in page.run("document.querySelector('#answers').innerText")
    assert page.run("document.querySelectorAll('#examples button').length") == 3
    assert page.run("!document.querySelector('footer')")


@BOTH
def test_a_photograph_gets_its_class_however_it_is_given(page: Browser, photos: dict[str, Path]) -> None:
    page.choose_file(INPUT, photos["green"])
    colour, weather = answers(page, "green")
    assert colour == ["petal colour", "green", "93%", "red", "4%", "blue", "4%"]
    assert weather[:2] == ["weather", "dark"]
    page.wait("document.querySelectorAll('#nearest img').length === 3")
    assert page.run("document.querySelector('#nearest .name').innerText") == "green"
    page.drop_file("body", photos["red"])
    answers(page, "red")
    page.drop_file("body", photos["blue"], event="paste")
    answers(page, "blue")
    page.click("#examples button[data-number='1']")
    assert answers(page, "green")[0][-1] == "Its label is green."
    page.click("#photo button[aria-label='Remove Image']")
    page.wait("document.querySelector('#answers .waiting')")


def test_a_photograph_is_dropped_onto_its_place(page: Browser, photos: dict[str, Path]) -> None:
    page.drop_file("#photo button", photos["blue"])
    answers(page, "blue")


def test_what_cannot_be_read(page: Browser, folder: Path) -> None:
    (folder / "notes.png").write_text("no picture")
    page.choose_file(INPUT, folder / "notes.png")
    page.wait("document.querySelector('#answers .problem')")
    assert "Image notes.png cannot be read" in page.run("document.querySelector('#answers').innerText")
    assert page.run("document.querySelectorAll('#photo img').length") == 0


def test_a_format_that_browsers_do_not_show(page: Browser, folder: Path) -> None:
    Image.new("RGB", (3000, 2000), COLOURS["blue"]).save(folder / "a.tiff")
    page.choose_file(INPUT, folder / "a.tiff")
    answers(page, "blue")
    page.wait("document.querySelector('#photo img')?.naturalWidth === 1024")


@BOTH
def test_a_new_task_is_answered_at_once(page: Browser, photos: dict[str, Path]) -> None:
    page.write_text("#ask-name input", "kind of day")
    page.write_text("#ask-classes textarea", "sunny")
    page.click("#ask-button")
    page.wait("document.querySelector('#ask-told .problem')")
    assert "two classes" in page.run("document.querySelector('#ask-told').innerText")
    page.choose_file(INPUT, photos["green"])
    answers(page, "green")
    page.write_text("#ask-classes textarea", "sunny, <b>rainy</b>")
    page.click("#ask-button")
    first, *_ = answers(page, "<b>rainy</b>")
    assert first[:3] == ["kind of day", "yours", "<b>rainy</b>"]
    page.wait("document.querySelector('#ask-told .remark')")
    page.choose_file(INPUT, photos["red"])
    assert answers(page, "sunny")[0][0] == "kind of day"


def test_what_a_method_cannot_is_told_in_its_words(page: Browser) -> None:
    page.write_text("#ask-name input", "day")
    page.write_text("#ask-classes textarea", "sunny, refused")
    page.click("#ask-button")
    page.wait("document.querySelector('#ask-told .problem')")
    assert "contexts belong to classes" in page.run("document.querySelector('#ask-told').innerText")


def test_below_the_confidence_it_says_not_sure(page: Browser, folder: Path) -> None:
    Image.new("RGB", (60, 40), (100, 100, 101)).save(folder / "grey.png")
    page.choose_file(INPUT, folder / "grey.png")
    assert answers(page, "blue")[0][1:4] == ["not sure", "blue", "34%"]


def test_answers_have_a_policy_that_forbids_other_hosts(browser: Browser, address: str) -> None:
    browser.visit(address, 1280)
    browser.wait(f"document.querySelector('{INPUT}')")
    assert browser.run("fetch('https://example.invalid/').then(() => 'sent', error => 'refused')") == "refused"
    assert any("Content Security Policy" in one for one in browser.complaints)

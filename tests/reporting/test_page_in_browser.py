"""The page in headless Chromium: it renders, sorts, logs no errors, requests nothing and fits a phone."""

import pytest

from common.catalogue import METHODS
from reporting.page import write_page
from tests.support.browser import Browser, chromium

pytestmark = pytest.mark.skipif(chromium() is None, reason="neither Chromium nor Chrome is on PATH")
FIRST = "document.querySelector('#accuracy table.sortable')"
COOP = METHODS["CoOp-CA"].label
COLUMN = f"[...{FIRST}.tBodies[0].rows].map(row => row.cells[0].textContent)"


@pytest.fixture(scope="module")
def browser():
    made = Browser(chromium())
    yield made
    made.close()


@pytest.fixture
def page(make_full_run, make_run, tmp_path):
    names = ["petal colour", "a task with a long name that goes on", "leaf", "x" * 60]
    for seed in (1, 2, 3):
        for shots in (1, 4):
            make_full_run([50.0 + shots, 60.0, 70.0, 80.0], seed=seed, shots=shots, names=names)
        make_full_run([40.0, 60.0, 70.0, 80.0], "CoOp-CA", seed=seed, names=names)
        make_run([90.0, 60.0, 70.0, float("nan")], "PLOT", seed=seed, names=names, shots=1)
        make_run([95.0, 60.0, 70.0, 99.0], "KgCoOp", seed=seed, names=names, shots=4)
    return write_page(tmp_path / "garden8")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 360])
def test_it_renders_without_errors_or_requests_and_fits_the_window(browser, page, width, dark):
    browser.open(page, width, dark=dark)
    browser.run("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run("document.body.getBoundingClientRect().width") <= width
    assert browser.run("[...document.querySelectorAll('.plot svg')].every(s => s.getBoundingClientRect().width > 100)")
    wide = "[...document.querySelectorAll('.scroll')].filter(s => s.scrollWidth > s.clientWidth).length"
    assert browser.run(wide) > 0 or width > 360  # wide parts scroll in their own boxes
    ground = browser.run("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")
    assert browser.complaints == []
    assert browser.requests == [page.as_uri()]


def test_a_click_sorts_and_another_reverses_the_order(browser, page):
    browser.open(page, 1280)
    initial = browser.run(COLUMN)
    assert initial == ["Chance", COOP, "KgCoOp", "PLOT", "SoftCPT-NATA"]
    head = "#accuracy table.sortable th:nth-child(3)"  # 4 shots
    browser.click(f"{head} button")
    assert browser.run(COLUMN) == ["KgCoOp", "SoftCPT-NATA", COOP, "Chance", "PLOT"]  # rows without a number are last
    assert browser.run(f"document.querySelector('{head}').getAttribute('aria-sort')") == "descending"
    browser.click(f"{head} button")
    assert browser.run(COLUMN) == ["Chance", COOP, "SoftCPT-NATA", "KgCoOp", "PLOT"]
    assert browser.run(f"document.querySelector('{head}').getAttribute('aria-sort')") == "ascending"
    browser.click("#accuracy table.sortable th:first-child button")
    assert browser.run(COLUMN) == initial
    assert browser.run(f"{FIRST}.querySelectorAll('[aria-sort]').length") == 1
    assert "ascending by method" in browser.run("document.getElementById('announcement').textContent")
    assert browser.complaints == []


def test_the_keyboard_sorts_too(browser, page):
    browser.open(page, 1280)
    browser.run(f"{FIRST}.parentElement.focus()")
    browser.press("Tab")
    browser.press("Tab")  # from the table's box past the first heading to the second, 1 shot
    browser.press("Enter")
    assert browser.run(f"{FIRST}.tHead.rows[0].cells[1].getAttribute('aria-sort')") == "descending"
    assert browser.run(COLUMN) == ["SoftCPT-NATA", "Chance", COOP, "KgCoOp", "PLOT"]


def test_numbers_sort_as_numbers(browser, page):
    browser.open(page, 1280)
    script = """(() => {
        const table = document.querySelector('#runs table.sortable');
        table.closest('details').open = true;
        table.tHead.rows[0].cells[4].querySelector('button').click();
        return [...table.tBodies[0].rows].map(row => row.cells[4].textContent);
    })()"""
    shown = browser.run(script)
    assert shown[-3:] == ["-"] * 3
    values = [float(text) for text in shown[:-3]]
    assert values == sorted(values, reverse=True) and len(set(values)) > 2


@pytest.mark.parametrize("dark", [False, True])
def test_boxes_that_scroll_say_so_and_others_do_not(browser, page, dark):
    script = """new Promise(resolve => setTimeout(() => resolve(
        [...document.querySelectorAll('.scroll')].filter(box => box.clientWidth).map(box => [
            box.scrollWidth > box.clientWidth + 1,
            getComputedStyle(box, '::before').content.includes('Scroll'),
        ])), 300))"""
    for width in (360, 1280):
        browser.open(page, width, dark=dark)
        browser.run("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        states = browser.run(script)
        assert all(wide == hinted for wide, hinted in states)
        assert width > 360 or sum(wide for wide, _ in states) >= 3
    shadow = browser.run("getComputedStyle(document.querySelector('.scroll')).backgroundAttachment")
    assert shadow == "local, local, scroll, scroll"

"""The page in headless Chromium: it renders, sorts, complains of nothing, asks for nothing and fits a phone."""

import pytest

from reporting.page import write_page
from tests.reporting.browser import Browser, chromium

pytestmark = pytest.mark.skipif(chromium() is None, reason="there is no Chromium or Chrome on PATH")
FIRST = "document.querySelector('#accuracy table.sortable')"
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
def test_it_renders_without_complaint_or_request_and_never_scrolls_sideways(browser, page, width, dark):
    browser.open(page, width, dark=dark)
    browser.run("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run("document.body.getBoundingClientRect().width") <= width
    assert browser.run("[...document.querySelectorAll('.plot svg')].every(s => s.getBoundingClientRect().width > 100)")
    wide = "[...document.querySelectorAll('.scroll')].filter(s => s.scrollWidth > s.clientWidth).length"
    assert browser.run(wide) > 0 or width > 360  # what is wide scrolls in its own box
    ground = browser.run("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")
    assert browser.complaints == []
    assert browser.requests == [page.as_uri()]


def test_a_click_sorts_and_another_turns_it_over(browser, page):
    browser.open(page, 1280)
    as_written = browser.run(COLUMN)
    assert as_written == ["CoOp-CA", "KgCoOp", "PLOT", "SoftCPT-NATA"]
    head = "#accuracy table.sortable th:nth-child(3)"  # 4 shots
    browser.click(f"{head} button")
    assert browser.run(COLUMN) == ["KgCoOp", "SoftCPT-NATA", "CoOp-CA", "PLOT"]  # without a figure last
    assert browser.run(f"document.querySelector('{head}').getAttribute('aria-sort')") == "descending"
    browser.click(f"{head} button")
    assert browser.run(COLUMN) == ["CoOp-CA", "SoftCPT-NATA", "KgCoOp", "PLOT"]
    assert browser.run(f"document.querySelector('{head}').getAttribute('aria-sort')") == "ascending"
    browser.click("#accuracy table.sortable th:first-child button")
    assert browser.run(COLUMN) == as_written
    assert browser.run(f"{FIRST}.querySelectorAll('[aria-sort]').length") == 1
    assert "ascending by method" in browser.run("document.getElementById('said').textContent")
    assert browser.complaints == []


def test_the_keyboard_sorts_too(browser, page):
    browser.open(page, 1280)
    browser.run(f"{FIRST}.parentElement.focus()")
    browser.press("Tab")
    browser.press("Tab")  # from the table's box over the first heading to the second, 1 shot
    browser.press("Enter")
    assert browser.run(f"{FIRST}.tHead.rows[0].cells[1].getAttribute('aria-sort')") == "descending"
    assert browser.run(COLUMN) == ["SoftCPT-NATA", "CoOp-CA", "KgCoOp", "PLOT"]


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

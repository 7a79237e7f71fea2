"""datasets_page: docs/datasets.md follows the sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from launcher.data import table
from tests.support.sources import call


def test_the_page_of_sources_is_current() -> None:
    """If this fails: python launch.py datasets_page."""
    text = table.PAGE.read_text("utf-8")
    assert table.BEGIN in text and table.page(text) == text
    assert call("datasets_page", "--check") == 0


def test_the_page_follows_the_sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = tmp_path / "datasets.md"
    monkeypatch.setattr(table, "PAGE", page)
    page.write_text(f"before\n{table.BEGIN}\nof earlier\n{table.END}\nafter\n")
    assert call("datasets_page", "--check") == 1
    assert "of earlier" in page.read_text("utf-8")
    assert call("--check", "datasets_page") == 0
    assert "of earlier" in page.read_text("utf-8")
    assert call("datasets_page") == 0 and call("datasets_page", "--check") == 0
    text = page.read_text("utf-8")
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "of earlier" not in text
    assert "| [dtd](https://www.robots.ox.ac.uk/~vgg/data/dtd/) |" in text and "2,820 / 1,128 / 1,692" in text
    page.write_text("no marks")
    assert call("datasets_page") == 2

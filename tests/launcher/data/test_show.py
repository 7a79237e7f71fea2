"""show: contact sheets of every class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from dassl.data.datasets import DATASET_REGISTRY
from PIL import Image, ImageDraw, ImageFont

from launcher.data import sheets
from launcher.data.sheets import GAP, HEAD, SIDE, wrapped
from tests.support.sources import Making, call, class_folders, declaration


def test_a_sheet_for_every_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class_folders(tmp_path / "mine/kind", ("a", "b"))
    class_folders(tmp_path / "mine/colours", ("red", "blue", "grey"))
    (tmp_path / "mine/colours/red/0.jpg").write_bytes(b"damaged")
    words = [declaration(tmp_path), "--data", tmp_path, "--output"]
    assert call("show", *words, tmp_path / "out") == 0
    assert sorted(os.listdir(tmp_path / "out")) == ["01_kind.png", "02_colour.png"]
    # Beside the data set's own remarks on how a task was split.
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("Task '")]
    assert lines == [str(tmp_path / "out/01_kind.png"), str(tmp_path / "out/02_colour.png")]
    first = (tmp_path / "out/01_kind.png").read_bytes()
    with Image.open(tmp_path / "out/01_kind.png") as image:
        assert image.width <= 1480 and image.height > 2 * 112
    assert call("show", *words, tmp_path / "out") == 0
    assert (tmp_path / "out/01_kind.png").read_bytes() == first
    assert call("show", *words, declaration(tmp_path)) == 2


def test_many_classes_take_several_sheets_that_show_each_class_once(
    making: Making, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    making.source("many", classes=61, images=122)
    class_folders(tmp_path / "many/images", [f"class_{k:02d}_with_a_long_name" for k in range(61)], 2)
    seen: list[tuple[str, Sequence[str]]] = []
    original = sheets.sheet

    def recorded(heading: str, names: Sequence[str], *rest: Any) -> Image.Image:
        seen.append((heading, names))
        return original(heading, names, *rest)

    monkeypatch.setattr(sheets, "sheet", recorded)
    assert call("show", making.config("many"), "--data", tmp_path, "--output", tmp_path / "out") == 0
    assert sorted(os.listdir(tmp_path / "out")) == ["many_task_1.png", "many_task_2.png"]
    assert [len(names) for _, names in seen] == [31, 30] and len({n for _, names in seen for n in names}) == 61
    assert seen[1][0] == "many: many task, training images (61 classes, sheet 2 of 2)"
    # A missing source does not stop the others from being shown.
    making.collection("two", making.source("gone"), DATASET_REGISTRY.get("MiniMany"))
    assert call("show", making.config("two"), "--data", tmp_path, "--output", tmp_path / "two") == 1
    assert "MiniGone is not in" in capsys.readouterr().err and len(os.listdir(tmp_path / "two")) == 2


def test_where_pictures_and_names_are(tmp_path: Path) -> None:
    colours = {"red": (220, 20, 20), "blue": (20, 20, 220)}
    for name, colour in colours.items():
        Image.new("RGB", (60, 90), colour).save(tmp_path / f"{name}.png")
    paths = [[str(tmp_path / f"{name}.png")] * 2 for name in colours]
    image = sheets.sheet("a heading", list(colours), paths, 2)
    lefts = [GAP + k * (2 * SIDE + 2 + GAP) for k in range(2)]
    for left, colour in zip(lefts, colours.values(), strict=True):
        assert image.getpixel((left, HEAD)) == image.getpixel((left + 2 * SIDE, HEAD + 111)) == colour
    caption = image.crop((lefts[1], HEAD + SIDE + 2, lefts[1] + 60, HEAD + SIDE + 20)).convert("L")
    assert min(caption.tobytes()) < 100  # ink


def test_long_names_are_wrapped_and_cut() -> None:
    pen, font = ImageDraw.Draw(Image.new("RGB", (1, 1))), ImageFont.load_default(size=12)
    assert wrapped("sea horse", 112, pen, font) == ["sea horse"]
    lines = wrapped("an uncommonly long name for a class of things that nobody would want to read", 112, pen, font)
    assert len(lines) == 3 and lines[-1].endswith("...") and all(pen.textlength(x, font=font) <= 112 for x in lines)
    assert wrapped("x" * 60, 112, pen, font)[0].endswith("...")

"""Fonts for names in any script."""

import warnings

import matplotlib
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager

from reporting import fonts
from reporting.collection import read_collection
from reporting.files import write_files
from reporting.page import write_page

NAMES = ["红花", "長い名", "튤립", "شكل الورقة", "leaf"]


@pytest.fixture
def only_default_fonts(monkeypatch):
    """No fonts but matplotlib's own are installed."""
    own = [font for font in font_manager.fontManager.ttflist if font.fname.startswith(matplotlib.get_data_path())]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)


@pytest.fixture
def tiny_font(tmp_path, only_default_fonts):
    """An installed font that has a box for each character of NAMES."""
    characters = sorted(set("".join(NAMES)))
    glyphs = [".notdef", *(f"g{i}" for i in range(len(characters)))]
    pen = TTGlyphPen(None)
    for move, point in ((pen.moveTo, (0, 0)), (pen.lineTo, (0, 700)), (pen.lineTo, (600, 700)), (pen.lineTo, (600, 0))):
        move(point)
    pen.closePath()
    box = pen.glyph()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(glyphs)
    builder.setupCharacterMap({ord(character): f"g{i}" for i, character in enumerate(characters)})
    builder.setupGlyf(dict.fromkeys(glyphs, box))
    builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (650, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Tiny Test", "styleName": "Regular"})
    builder.setupOS2(usWeightClass=400)
    builder.setupPost()
    builder.save(tmp_path / "tiny.ttf")
    font_manager.fontManager.addfont(tmp_path / "tiny.ttf")
    yield "Tiny Test"


def test_latin_names_need_no_other_font():
    assert fonts.choose("petal colour, é, ±") == ([], set())


def test_an_installed_font_with_the_characters_is_chosen(tiny_font):
    assert fonts.choose("红花") == ([tiny_font], set())
    with fonts.covering(NAMES) as advice:
        assert advice == "" and matplotlib.rcParams["font.family"][-1] == tiny_font
    assert tiny_font not in matplotlib.rcParams["font.family"]


@pytest.mark.parametrize(
    ("character", "parts"),
    [
        ("红", ("Chinese", "Noto Sans CJK")),
        ("튤", ("Korean", "Noto Sans CJK")),
        ("ひ", ("Japanese", "Noto Sans CJK")),
        ("ไ", ("Thai", "Noto Sans Thai")),
        ("\U0001f339", ("GNU Unifont",)),
    ],
)
def test_the_advice_names_a_font_in_one_line(only_default_fonts, character, parts):
    with fonts.covering([character]) as advice:
        assert "\n" not in advice and character in advice
        assert all(part in advice for part in parts)


@pytest.mark.parametrize("installed", [False, True])
def test_page_and_files_have_no_warnings_and_keep_the_names(make_full_run, tmp_path, request, installed, capfd):
    request.getfixturevalue("tiny_font" if installed else "only_default_fonts")
    for shots in (1, 4):
        make_full_run([50.0 + i for i in range(len(NAMES))], names=NAMES, shots=shots, classes=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = write_page(tmp_path / "garden8").read_text("utf-8")
        write_files(read_collection(tmp_path / "garden8"), tmp_path / "files")
    assert capfd.readouterr() == ("", "")
    assert all(f">{name}" in text for name in NAMES)
    assert ("Noto Sans CJK" in text) is not installed
    assert ("Tiny Test" in (tmp_path / "files" / "bars_4shots.svg").read_text("utf-8")) is installed

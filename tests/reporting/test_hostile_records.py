"""Reports of damaged records and images, of names that are formulas or HTML, and on a full disk."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import warnings
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from common.paths import RESULTS, TRACEBACK
from reporting import thumbnails
from reporting.collection import read_collection
from reporting.comparison import one_shot_count
from reporting.export import latex, plain_cell, runs_csv, summary_csv, table_csv
from reporting.files import plain_name, write_files
from reporting.overview import by_task
from reporting.page import write_page
from reporting.tables import Table, markdown
from reporting.thumbnails import thumbnail
from tests.support.limits import fill, in_time, make_pipe, small_disk

HOSTILE = ["=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+3", "\t=1", "<script>x</script>", "a|b", "ro\x1b[2Jse\x07"]


def test_one_broken_run_does_not_cost_the_report(make_full_run, tmp_path):
    good = [make_full_run([50.0, 60.0], method, seed=seed) for method in ("CoOp-CA", "CoOp-MT") for seed in (1, 2)]
    broken = {3: b"\xff", 4: b"[" * 99_999, 5: b'{"finished": true, "sha256": "x"}', 6: b"", 7: b"null"}
    for seed, content in broken.items():
        (make_full_run([50.0, 60.0], "CoOp-CA", seed=seed) / RESULTS).write_bytes(content)
    make_pipe(make_full_run([50.0, 60.0], "CoOp-CA", seed=8) / RESULTS)
    make_pipe(make_full_run([50.0, 60.0], "CoOp-CA", seed=9) / TRACEBACK)
    edited = make_full_run([1.0, 1.0], "CoOp-CA", seed=10)
    (edited / RESULTS).write_text(json.dumps(json.loads((edited / RESULTS).read_text()) | {"sha256": "0"}))
    root = tmp_path / "garden8"
    (root / "ring").symlink_to(root)
    collection = in_time(lambda: read_collection(root))
    assert sorted(run.folder for run in collection.runs) == sorted([*good, root / "CoOp-CA/tiny/4shots/seed9"])
    assert {one.folder.name for one in collection.unfinished} == {f"seed{seed}" for seed in (3, 4, 5, 6, 7, 8, 10)}
    reasons = {one.folder.name: one.reason for one in collection.unfinished}
    assert "checksum differs" in reasons["seed10"] and "not a regular file" in reasons["seed8"]
    assert all("\n" not in reason for reason in reasons.values())
    page = in_time(lambda: write_page(root), 120)
    assert "checksum differs" in page.read_text("utf-8")
    assert in_time(lambda: write_files(collection, tmp_path / "files"), 120)


# -- images --


def damaged_images(folder: Path) -> list[Path]:
    """Images that end early or hold nonsense, of every kind that Pillow writes here."""
    folder.mkdir(parents=True)
    made = []
    for kind in ("png", "jpg", "gif", "bmp", "tif", "webp", "ppm", "ico", "dds", "avif", "tga", "pcx", "sgi", "jp2"):
        path = folder / f"whole.{kind}"
        try:
            Image.new("RGB", (64, 48), (200, 30, 30)).save(path)
        except (OSError, ValueError, KeyError):  # this Pillow has no such kind
            continue
        content = path.read_bytes()
        path.unlink()
        for number, part in enumerate((content[:20], content[: len(content) // 2], content[:8] + os.urandom(200))):
            made.append(folder / f"{number}.{kind}")
            made[-1].write_bytes(part)
    return made


def test_damaged_images_have_no_thumbnail(tmp_path):
    for path in damaged_images(tmp_path / "images"):
        unreadable: list[str] = []
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = in_time(partial(thumbnail, path.name, [tmp_path / "images"], unreadable))
        assert found is not None or unreadable == [path.name]


@pytest.mark.parametrize("error", [RuntimeError, NotImplementedError, SyntaxError, MemoryError, IndexError, EOFError])
def test_any_error_of_pillows_is_no_thumbnail_and_a_note(make_full_run, tmp_path, monkeypatch, error):
    make_full_run([50.0], names=["leaf"], classes=2)
    data = tmp_path / "data" / "leaf"
    data.mkdir(parents=True)
    (data / "0.jpg").write_bytes(b"x")

    def fail(*_):
        raise error("x")

    monkeypatch.setattr(thumbnails.Image, "open", fail)
    text = write_page(tmp_path / "garden8", data=tmp_path / "data").read_text("utf-8")
    (note,) = re.findall('<p class="note" id="unreadable">(.*?)</p>', text)
    assert "leaf/0.jpg" in note and "1.jpg" not in note and "images were not found" not in text


def test_named_pipes_and_links_in_a_circle_among_the_images(tmp_path):
    make_pipe(tmp_path / "0.jpg")
    (tmp_path / "1.jpg").symlink_to(tmp_path / "1.jpg")
    for name in ("0.jpg", "1.jpg", "x" * 300, "a\0b"):
        assert in_time(lambda name=name: thumbnail(name, [tmp_path])) is None


# -- names --


@pytest.fixture
def hostile(make_run, tmp_path):
    """A group whose tasks have names that could be formulas, HTML or commands to a terminal."""
    make_run([float(i) for i in range(len(HOSTILE))], names=HOSTILE)
    make_run([float(i) for i in range(len(HOSTILE))], "CoOp-CA", names=HOSTILE)
    return read_collection(tmp_path / "garden8")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("=1+1", "'=1+1"),
        ("@x", "'@x"),
        ("+x", "'+x"),
        ("-x", "'-x"),
        ("\t=x", "' =x"),
        ("\r=x", "' =x"),
        ("  =x", "'  =x"),
        ("-2+3", "'-2+3"),
        ("-1 ± 2+3", "'-1 ± 2+3"),
        ("+1|x", "'+1|x"),
        ("-", "-"),
        ("-1.5", "-1.5"),
        ("+0.25", "+0.25"),
        ("-1,234.5", "-1,234.5"),
        ("-1.0 ± 0.5 (2 of 3 seeds)", "-1.0 ± 0.5 (2 of 3 seeds)"),
        ("rose", "rose"),
        ("", ""),
        (-1.5, -1.5),
        (3, 3),
    ],
)
def test_cells_that_begin_like_a_formula(text, expected):
    assert plain_cell(text) == expected


def test_no_csv_file_has_a_formula(hostile):
    group = hostile.groups[0]
    table = by_task(group, 4)[0]
    for text in (
        runs_csv(hostile.groups),
        summary_csv(hostile.groups),
        table_csv(table),
        table_csv(table.transposed()),
    ):
        cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
        assert not [cell for cell in cells if cell.lstrip()[:1] in ("=", "@") or re.match(r"[-+][^\d]", cell)]
        assert "\x1b" not in text
    assert "'=1+1" in runs_csv(hostile.groups) and "'@SUM(A1)" in table_csv(table)


def test_markdown_shows_html_pipes_and_links(hostile):
    text = by_task(hostile.groups[0], 4)[0].markdown()
    assert "<script" not in text and "&lt;script>x&lt;/script>" in text and r"a\|b" in text
    lines = text.splitlines()
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    assert markdown("[x](javascript:y) `z` &lt; a & b\nc") == r"[x]\(javascript:y) \`z\` &amp;lt; a & b c"


def test_no_table_has_control_characters(hostile):
    group = hostile.groups[0]
    rows = [(row.label, group.series(row, 4)) for row in group.rows]
    raw = Table(["method", *HOSTILE], [["a\x1b[2J\nb", *["-"] * len(HOSTILE)]])
    texts = [
        one_shot_count(rows, 400),
        one_shot_count(rows, 40),
        raw.text(),
        raw.markdown(),
        latex(raw),
        table_csv(raw),
    ]
    assert not any(re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text) for text in texts)
    assert "ro[2Jse" in raw.text()


def test_the_page_and_files_of_hostile_names(hostile, tmp_path):
    text = write_page(tmp_path / "garden8").read_text("utf-8")
    assert "<script>x" not in text and "\x1b" not in text and "\x07" not in text
    written = write_files(hostile, tmp_path / "files")
    assert all(path.is_file() for path in written)


def test_file_names_of_long_names_are_short_enough(make_full_run, tmp_path):
    names = ["\u96db\u83ca" * 100, "x" * 400]
    for method in ("CoOp-CA", "SoftCPT-NATA"):
        make_full_run([50.0, 60.0], method, names=names)
    written = write_files(read_collection(tmp_path / "garden8"), tmp_path / "files")
    assert all(path.is_file() and len(os.fsencode(path.name)) <= 255 for path in written)
    assert plain_name("rose*") == "rosestar" and len(plain_name("\u96db" * 100).encode()) == 90


# -- a full disk --


def test_reports_on_a_full_disk_are_one_line_and_nothing_is_half_written(make_full_run, tmp_path, capsys):
    from launcher.main import main

    for method in ("CoOp-CA", "CoOp-MT"):
        make_full_run([50.0, 60.0], method)
    with small_disk(tmp_path / "small", 200) as place:
        for leave in (0, 8_192, 60_000):
            fill(place, leave)
            for words in (("--out", place / "page.html"), ("--out", tmp_path / "p.html", "--files", place / "files")):
                assert (
                    in_time(lambda words=words: main(["report", str(tmp_path / "garden8"), *map(str, words)]), 120) == 2
                )
                error = capsys.readouterr().err
                assert error.count("\n") == 1 and f"no space left on {place}" in error
            assert not (place / "page.html").exists() and not list(place.rglob(".*"))
            for path in place.rglob("*.png"):
                Image.open(path).load()
            assert not [path for path in place.rglob("*") if path.is_file() and not path.stat().st_size]
            (place / "filler").unlink()

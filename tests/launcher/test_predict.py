"""predict's command line, with a classifier that looks at colours, and from end to end with a trained one."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from classifier.bundle import RECORD
from common.paths import REPOSITORY
from launcher import answers, predict, trained
from launcher.main import main
from tests.support.eyes import Eye
from tests.support.finished import Finished
from tests.support.images import write_images
from tests.support.limits import in_time, make_pipe
from tests.support.runs import MakeRun

COLOURS = {"red": (250, 10, 10), "green": (10, 250, 10), "blue": (10, 10, 250)}
Shown = pytest.CaptureFixture[str]


@pytest.fixture
def eye(monkeypatch: pytest.MonkeyPatch) -> Eye:
    """The classifier that every run holds."""
    found = Eye()

    def load(wanted: trained.Trained) -> Eye:
        found.loaded.append(wanted)
        return found

    monkeypatch.setattr(predict, "load", load)
    return found


@pytest.fixture
def run(make_run: MakeRun) -> Path:
    """A finished run of SoftCPT on garden8 with 4 shots, seed 1."""
    return with_classifier(make_run([50.0]))


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with photos/red.png, photos/more/blue.jpg and the like."""
    place = tmp_path / "my place"
    (place / "photos" / "more").mkdir(parents=True)
    write_colour(place / "photos" / "red.png", "red")
    write_colour(place / "photos" / "more" / "blue.bmp", "blue")
    write_colour(place / "photos" / "green.png", "green")
    monkeypatch.chdir(place)
    return place


def with_classifier(folder: Path) -> Path:
    (folder / trained.BUNDLE).write_text("{}")
    return folder


def write_colour(path: Path, colour: str, size: tuple[int, int] = (8, 6)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, COLOURS[colour]).save(path)


def call(*words: object) -> int:
    return main(["predict", *map(str, words)])


def refused(capsys: Shown, *words: object) -> str:
    """The one line with which a command is refused."""
    capsys.readouterr()
    assert in_time(lambda: call(*words)) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1 and "Traceback" not in shown.err and len(shown.err) < 1000
    return shown.err


def list_on_stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def objects(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def best(one: dict[str, Any], task: str = "petal colour") -> str | None:
    return one["tasks"][task][0]["class"]


# -- which run --


def test_a_run_and_photographs_in_a_table(eye: Eye, run: Path, photos: Path, capsys: Shown) -> None:
    assert call(run, "photos/red.png", "photos/more") == 0
    shown = capsys.readouterr()
    lines = [" ".join(line.split()) for line in shown.out.splitlines()]
    assert lines[0] == "photo petal colour weather" and set(lines[1]) == {"-"}
    assert lines[2:] == ["photos/red.png red 92.6% dark 64.7%", "photos/more/blue.bmp blue 92.6% dark 64.7%"]
    assert shown.err == "SoftCPT-NATA on garden8, 4 shots, seed 1 (tiny): 2 photographs\n"
    assert [one.folders for one in eye.loaded] == [(run,)]


def test_a_dataset_and_shots_mean_all_seeds_of_the_newest_runs(
    eye: Eye, make_run: MakeRun, photos: Path, tmp_path: Path, capsys: Shown
) -> None:
    seeds = [with_classifier(make_run([50.0], seed=seed)) for seed in (10, 2, 1)]
    other = with_classifier(make_run([50.0], "SoftCPT-NATS"))
    with_classifier(make_run([50.0], shots=8))
    coop = with_classifier(make_run([50.0], "CoOp-CA"))
    (tmp_path / "garden8" / "SoftCPT-NATA" / "tiny" / "4shots" / "seed3").mkdir()
    for folder in seeds:
        os.utime(folder / "results.json", (1000, 1000))
    os.utime(other / "results.json", (500, 500))
    words = ("garden8", 4, "photos", "--output", tmp_path)
    assert call(*words) == 0
    assert "SoftCPT-NATA on garden8, 4 shots, seeds 1, 2, 10 (tiny): 3 photographs" in capsys.readouterr().err
    assert call(*words, "--seeds", "10,1") == 0
    os.utime(other / "results.json", (2000, 2000))
    assert call(*words) == 0
    assert call(*words, "--method", "SoftCPT-NATA") == 0
    assert call(*words, "--method", "coop") == 0
    found = [one.folders for one in eye.loaded]
    first, second, third = sorted(seeds, key=lambda path: int(path.name[4:]))
    assert found == [(first, second, third), (third, first), (other,), (first, second, third), (coop,)]
    assert "3" in refused(capsys, *words, "--method", "SoftCPT-NATA", "--seeds", "1,3")


def test_the_config_and_settings_choose_among_runs(
    eye: Eye, run: Path, photos: Path, tmp_path: Path, capsys: Shown
) -> None:
    other = run.parent.parent.with_name("tiny+OPTIM.LR=1")
    other.parent.joinpath("tiny").rename(other)
    call("garden8", 4, "photos", "--output", tmp_path)
    call("garden8", 4, "photos", "--output", tmp_path, "--cfg", "tiny+OPTIM.LR=1")
    call("garden8", 4, "photos", "--output", tmp_path, "--cfg", "tiny", "--", "OPTIM.LR", "1")
    assert [one.folders for one in eye.loaded] == [(other / "4shots" / "seed1",)] * 3
    for words in (["--cfg", "tiny"], ["--cfg", "tiny", "--", "OPTIM.LR", "2"], ["--", "OPTIM.LR", "1"]):
        error = refused(capsys, "garden8", 4, "photos", "--output", tmp_path, *words)
        assert "no finished runs" in error and "SoftCPT-NATA tiny+OPTIM.LR=1 (4shots)" in error


def test_several_folders_or_that_of_all_seeds_are_one_classifier(eye: Eye, make_run: MakeRun, photos: Path) -> None:
    seeds = [with_classifier(make_run([50.0], seed=seed)) for seed in (1, 2)]
    assert call(*seeds, "photos") == 0
    assert call(seeds[0].parent, "photos") == 0
    assert [one.folders for one in eye.loaded] == [tuple(seeds)] * 2


def test_photographs_beside_a_log_are_not_a_run(eye: Eye, run: Path, photos: Path) -> None:
    (photos / "photos" / "log.txt").write_text("x")
    assert call(run, "photos") == 0
    assert [one.folders for one in eye.loaded] == [(run,)]


def test_an_unfinished_seed_is_not_left_out_in_silence(make_run: MakeRun, photos: Path, capsys: Shown) -> None:
    seeds = [with_classifier(make_run([50.0], seed=seed)) for seed in (1, 2)]
    (seeds[1] / "results.json").rename(seeds[1] / "log.txt")
    assert f"{seeds[1]} is not finished" in refused(capsys, *seeds, "photos")


def test_a_bundle_is_a_folder_with_a_classifier(eye: Eye, photos: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "mine"
    bundle.mkdir()
    (bundle / trained.BUNDLE).write_text('{"tower": {"name": "open_clip:lite@x"}}')
    assert call(bundle, "photos") == 0
    assert main(["--check", "predict", str(bundle), "photos"]) == 10
    (bundle / trained.BUNDLE).write_text('{"tower": {"name": "RN50"}}')
    assert main(["--check", "predict", str(bundle), "photos"]) == 0


def test_zero_shot_methods_need_no_shots(eye: Eye, make_run: MakeRun, photos: Path, tmp_path: Path, capsys) -> None:
    folder = with_classifier(make_run([50.0], "ZeroShot-CLIP", shots=0))
    folder.parent.parent.parent.rename(tmp_path / "garden8" / "CLIP")
    from common import catalogue

    names = [method.name for method in catalogue.methods_of("zsclip")]
    (tmp_path / "garden8" / "CLIP").rename(tmp_path / "garden8" / names[0])
    for words in (["garden8", "photos"], ["garden8", "4", "photos"]):
        assert call(*words, "--method", "zsclip", "--output", tmp_path) == 0
    assert len(eye.loaded) == 2


def test_an_openclip_tower_is_installed_first(make_run: MakeRun, photos: Path) -> None:
    folder = with_classifier(make_run([50.0], backbone="open_clip:lite@x"))
    assert main(["--check", "predict", str(folder), "photos"]) == 10


def test_an_evaluation_of_a_checkpoint(eye: Eye, run: Path, photos: Path) -> None:
    (run / "results.json").rename(run / "evaluation.json")
    (run / "log.txt").write_text("")
    assert call(run, "photos") == 0


# -- which photographs --


def test_folders_are_searched_in_order_and_what_is_left_out_is_counted(
    eye: Eye, run: Path, photos: Path, capsys: Shown
) -> None:
    write_colour(photos / "photos" / ".hidden.png", "red")
    write_colour(photos / "photos" / ".trash" / "old.png", "red")
    for name in ("notes.txt", "more/a.txt", "README", "Thumbs.db", "film.heic2"):
        (photos / "photos" / name).write_text("x")
    (photos / "photos" / "circle").symlink_to(photos / "photos")
    make_pipe(photos / "photos" / "pipe.png")
    assert call(run, "photos/", "--json") == 0
    shown = capsys.readouterr()
    names = ["photos/green.png", "photos/more/blue.bmp", "photos/red.png"]
    assert [one["photo"] for one in objects(shown.out)] == names
    assert "2 hidden files or folders" in shown.err and "5 files that are not images (.txt 2, " in shown.err


def test_the_order_is_kept_and_each_photograph_is_read_once(eye: Eye, run: Path, photos: Path, capsys: Shown) -> None:
    assert call(run, "photos/red.png", "photos", "photos/red.png", "photos/more/*.bmp", "--json") == 0
    names = [one["photo"] for one in objects(capsys.readouterr().out)]
    assert names == ["photos/red.png", "photos/green.png", "photos/more/blue.bmp"]


def test_patterns_that_the_shell_left(eye: Eye, run: Path, photos: Path, capsys: Shown) -> None:
    write_colour(photos / "photos" / "odd[1].png", "red")
    assert call(run, "photos/**/*.bmp", "photos/odd[1].png", "photos/?ed.png", "--json") == 0
    names = [one["photo"] for one in objects(capsys.readouterr().out)]
    assert names == ["photos/more/blue.bmp", "photos/odd[1].png", "photos/red.png"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\0"])
def test_a_list_on_standard_input(eye: Eye, run: Path, photos: Path, monkeypatch, capsys: Shown, end: bytes) -> None:
    (photos / "photos" / "red.png").rename(photos / "photos" / "r\xe4d one.png")
    lines = [os.fsencode(name) for name in ("photos/r\xe4d one.png", "", "photos/more", "photos/none.png")]
    list_on_stdin(monkeypatch, end.join(lines))
    assert main(["--check", "predict", str(run), "-"]) == 0
    assert call(run, "-", "photos/green.png", "--json") == 1
    shown = capsys.readouterr()
    names = [one["photo"] for one in objects(shown.out)]
    assert names == ["photos/r\xe4d one.png", "photos/more/blue.bmp", "photos/none.png", "photos/green.png"]
    assert "1 of 4 photographs could not be read:\n" in shown.err and "photos/none.png" in shown.err


def test_names_that_are_not_text(eye: Eye, run: Path, photos: Path, capsys: Shown) -> None:
    name = os.fsdecode(b"photos/\xff\n\x1b[2J.png")
    (photos / "photos" / "red.png").rename(photos / name)
    assert call(run, name, "--csv", "a.csv") == 0
    assert b"\xff" in (photos / "a.csv").read_bytes()
    assert call(run, name, "--json") == 0
    assert objects(capsys.readouterr().out)[0]["photo"] == name
    assert call(run, name) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_unreadable_photographs_cost_nothing_else(eye: Eye, run: Path, photos: Path, capsys: Shown) -> None:
    (photos / "photos" / "empty.png").write_bytes(b"")
    (photos / "photos" / "a text.jpg").write_text("text")
    (photos / "photos" / "photo.heic").write_bytes(b"text")
    (photos / "z.png").write_bytes((photos / "photos" / "red.png").read_bytes()[:40])
    assert call(run, "photos/photo.heic", "photos", "z.png", "--json", "--csv", "a.csv") == 1
    shown = capsys.readouterr()
    found = objects(shown.out)
    names = ["photo.heic", "a text.jpg", "empty.png", "green.png", "more/blue.bmp", "red.png", "../z.png"]
    assert [os.path.relpath(one["photo"], "photos") for one in found] == names
    assert ["error" in one for one in found] == [True, True, True, False, False, False, True]
    assert [best(one) for one in found[3:6]] == ["green", "blue", "red"]
    closing = shown.err.split("4 of 7 photographs could not be read:\n")[1].splitlines()
    assert ["photo.heic" in closing[0], "a text" in closing[1], "empty" in closing[2], "z.png" in closing[3]] == [
        True
    ] * 4
    assert "pillow-heif" in closing[0] or ".heic" in predict.known_suffixes()
    assert len((photos / "a.csv").read_text().splitlines()) == 1 + 3 * 2


def test_a_named_pipe_and_a_huge_header_are_unreadable(eye: Eye, run: Path, photos: Path, capsys: Shown) -> None:
    make_pipe(photos / "pipe.png")
    content = bytearray((photos / "photos" / "red.png").read_bytes())
    content[16:24] = struct.pack(">II", 50_000, 50_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    (photos / "huge.png").write_bytes(content)
    assert in_time(lambda: call(run, "pipe.png", "huge.png", "photos/red.png")) == 1
    shown = capsys.readouterr()
    assert "2 of 3 photographs could not be read" in shown.err and "photos/red.png" in shown.out


def test_a_folder_inside_that_cannot_be_listed(eye: Eye, run: Path, photos: Path, capsys: Shown, monkeypatch) -> None:
    real = os.scandir

    def scandir(path: Any) -> Any:
        if str(path).endswith("more"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert call(run, "photos") == 1
    assert "photos/more: Permission denied" in capsys.readouterr().err
    assert "Permission denied" in refused(capsys, run, "photos/more")


def test_heic_is_said_to_need_its_library(eye: Eye, run: Path, photos: Path, capsys: Shown, monkeypatch) -> None:
    from prompting import image_files

    monkeypatch.setattr(image_files, "image_suffixes", lambda: (".png", ".jpg"))
    (photos / "photos" / "a.HEIC").write_bytes(b"x")
    assert call(run, "photos") == 0
    assert ".heic 1" in (error := capsys.readouterr().err) and "pip install pillow-heif" in error
    (photos / "only").mkdir()
    (photos / "photos" / "a.HEIC").rename(photos / "only" / "a.HEIC")
    assert "pip install pillow-heif" in refused(capsys, run, "only")


# -- answers --


def test_tasks_and_ranks(eye: Eye, run: Path, photos: Path, capsys: Shown) -> None:
    assert call(run, "photos/red.png", "--top", "2") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["photos/red.png"],
        ["petal", "colour", "red", "92.6%"],
        ["green", "3.7%"],
        ["weather", "dark", "64.7%"],
        ["=bright", "35.3%"],
    ]
    assert call(run, "photos/red.png", "--task", "WEATHER", "--top", "99", "--json") == 0
    (one,) = objects(capsys.readouterr().out)
    assert one == {
        "photo": "photos/red.png",
        "tasks": {
            "weather": [{"class": "dark", "probability": 0.647059}, {"class": "=bright", "probability": 0.352941}]
        },
    }
    assert call(run, "photos/red.png", "--task", "weather", "--task", "petal_colour") == 0
    assert capsys.readouterr().out.split()[1:4] == ["weather", "petal", "colour"]


def test_a_table_for_each_task(eye: Eye, run: Path, photos: Path, capsys: Shown) -> None:
    assert call(run, "photos/red.png", "photos/green.png", "--per-task") == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    colour, weather = lines[:5], lines[6:]
    assert colour[:2] == ["petal colour", "photo petal colour"] and weather[:2] == ["weather", "photo weather"]
    assert colour[3:] == ["photos/red.png red 92.6%", "photos/green.png green 92.6%"] and lines[5] == ""
    assert weather[3:] == ["photos/red.png dark 64.7%", "photos/green.png dark 64.7%"]


def test_a_csv_file_for_each_task(eye: Eye, run: Path, photos: Path, capsys: Shown) -> None:
    assert call(run, "photos/red.png", "--csv", "a.csv", "--per-task") == 0
    assert capsys.readouterr().out == ""
    assert sorted(os.listdir(photos)) == ["a petal colour.csv", "a weather.csv", "photos"]
    assert (photos / "a weather.csv").read_text().splitlines()[1:] == ["photos/red.png,weather,1,dark,0.647059"]
    (photos / "a weather.csv").unlink()
    (photos / "a weather.csv").mkdir()
    line = refused(capsys, run, "photos/red.png", "--csv", "a.csv", "--per-task")
    assert "a weather.csv is there already" in line


def test_csv_has_a_line_for_every_task_and_rank(eye: Eye, run: Path, photos: Path, capsys: Shown) -> None:
    write_colour(photos / "=1+1.png", "green")
    (photos / "a.csv").write_text("old")
    assert call(run, "=1+1.png", "photos/red.png", "--csv", "a.csv", "--top", "2") == 0
    assert capsys.readouterr().out == ""
    with open(photos / "a.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["photo", "task", "rank", "class", "probability"] and len(rows) == 8
    assert list(rows[0].values()) == ["'=1+1.png", "petal colour", "1", "green", "0.925926"]
    assert [row["class"] for row in rows[2:4]] == ["dark", "'=bright"]
    assert sorted(os.listdir(photos)) == ["=1+1.png", "a.csv", "photos"]


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_no_cell_is_a_formula(start: str) -> None:
    out = io.StringIO()
    answers.Csv(out).answered(f"{start}a", [answers.Answer(f"{start}b", [(f"{start}c", 0.5)])])
    (row,) = csv.DictReader(io.StringIO(out.getvalue()))
    assert [row["photo"], row["task"], row["class"]] == [f"'{start}a", f"'{start}b", f"'{start}c"]


def test_not_sure(eye: Eye, run: Path, photos: Path, capsys: Shown) -> None:
    words = (run, "photos/red.png", "--min-confidence", "0.7", "--top", "2")
    assert call(*words) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[1:] == ["petal colour red 92.6%", "green 3.7%", "weather not sure 64.7%"]
    assert call(*words, "--json", "--csv", "a.csv") == 0
    (one,) = objects(capsys.readouterr().out)
    assert one["tasks"]["weather"] == [{"class": None, "probability": 0.647059}]
    assert (photos / "a.csv").read_text().splitlines()[-1] == "photos/red.png,weather,1,not sure,0.647059"


def test_copies_in_a_folder_for_every_class(eye: Eye, run: Path, photos: Path, capsys: Shown) -> None:
    write_colour(photos / "photos" / "more" / "red.png", "red", (4, 4))
    write_colour(photos / "grey.png", "red")
    Image.new("RGB", (8, 8), (128, 128, 128)).save(photos / "grey.png")
    (photos / "photos" / "bad.png").write_text("bad")
    kept = photos / "sorted" / "red" / "red.png"
    kept.parent.mkdir(parents=True)
    kept.write_text("mine")
    before = {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()}
    words = ("photos", "grey.png", "--copy-to", "sorted", "--min-confidence", "0.6")
    assert call(run, *words, "--task", "petal colour") == 1
    shown = capsys.readouterr()
    assert {path: path.read_bytes() for path in before} == before
    copies = {path.relative_to(photos / "sorted").as_posix() for path in photos.glob("sorted/**/*") if path.is_file()}
    assert copies == {"blue/blue.bmp", "green/green.png", "not sure/grey.png"} | {
        f"red/red{number}.png" for number in ("", "-2", "-3")
    }
    sizes = {Image.open(photos / "sorted" / "red" / f"red-{number}.png").size for number in (2, 3)}
    assert sizes == {(8, 6), (4, 4)}
    assert "5 copies in" in shown.err and "red 2" in shown.err


def test_copies_are_not_sorted_again(eye: Eye, run: Path, photos: Path, capsys: Shown) -> None:
    for _ in range(2):
        assert call(run, "photos", "--task", "weather", "--copy-to", "photos/sorted", "--json") == 0
        assert len(capsys.readouterr().out.splitlines()) == 3


def test_folders_of_odd_classes() -> None:
    names = ["a/b", "a_b", "..", "", "A_B", "not sure", "x" * 300, "x" * 299, "\x1b[1mred\n", ".hidden"]
    found = answers.folder_names([*names, answers.NOT_SURE])
    assert list(found) == names
    assert len({name.casefold() for name in found.values()}) == len(names)
    assert all(0 < len(name.encode()) < 255 and "/" not in name and name[0] != "." for name in found.values())
    assert found["not sure"] == "not sure"


def test_a_copy_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(tmp_path, 1)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copy2", full)
    with pytest.raises(OSError):
        answers.copy_into(tmp_path / "0.jpg", tmp_path / "copies")
    assert list((tmp_path / "copies").iterdir()) == []


def test_a_narrow_terminal_has_blocks(eye: Eye, run: Path, photos: Path, monkeypatch, capsys: Shown) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    for columns, wanted in (("200", "photo "), ("40", "photos/red.png")):
        monkeypatch.setenv("COLUMNS", columns)
        assert call(run, "photos/red.png") == 0
        assert capsys.readouterr().out.startswith(wanted)


def test_wide_characters_keep_columns() -> None:
    out = io.StringIO()
    table = answers.Table(out, ["\u96db\u83ca.png", "a.png"], [("kind", ("\u96db\u83ca", "rose"))])
    table.begin()
    table.answered("\u96db\u83ca.png", [answers.Answer("kind", [("rose", 1.0)])])
    table.answered("a.png", [answers.Answer("kind", [("\u96db\u83ca", 0.5)])])
    lines = out.getvalue().splitlines()
    from common.text import columns_of

    assert len({columns_of(line) for line in lines[1:]}) == 1


# -- many --


def test_progress_above_50(eye: Eye, run: Path, photos: Path, monkeypatch, capsys: Shown) -> None:
    for number in range(51):
        write_colour(photos / "many" / f"{number:02}.png", "red")
    assert call(run, "many", "--json") == 0
    shown = capsys.readouterr()
    assert "51 of 51 photographs\n" in shown.err and len(objects(shown.out)) == 51
    monkeypatch.setattr(predict, "TERMINAL_EVERY", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert call(run, "many", "--csv", "a.csv") == 0
    assert "\r\033[K51 of 51 photographs, about 0 s left\r\033[K" in capsys.readouterr().err
    (photos / "many" / "50.png").unlink()
    assert call(run, "many", "--json") == 0
    assert "of 50 photographs" not in capsys.readouterr().err


def test_thousands_are_streamed(eye: Eye, run: Path, photos: Path, capsys: Shown) -> None:
    write_colour(photos / "many" / "0.png", "red")
    for number in range(1, 3000):
        os.link(photos / "many" / "0.png", photos / "many" / f"{number}.png")
    assert call(run, "many", "--csv", "a.csv") == 0
    assert max(eye.ahead) == 4
    assert len((photos / "a.csv").read_text().splitlines()) == 6001


def test_interrupted_nothing_is_half_written(eye: Eye, run: Path, photos: Path, capsys: Shown) -> None:
    eye.fail_at = 1
    assert call(run, "photos", "--csv", "a.csv") == 130
    assert capsys.readouterr().err.endswith("Interrupted.\n") and sorted(os.listdir(photos)) == ["photos"]


# -- bad input --


def test_bad_runs(eye: Eye, run: Path, photos: Path, make_run: MakeRun, tmp_path: Path, capsys: Shown) -> None:
    assert "Which run?" in refused(capsys)
    assert "How many shots" in refused(capsys, "garden8", "photos")
    assert "Which photographs?" in refused(capsys, run)
    assert "Which photographs?" in refused(capsys, "garden8", "4", "--output", tmp_path)
    assert "did you mean 'garden8'" in refused(capsys, "gardn8", "4", "photos")
    assert "no folder" in refused(capsys, "output/none/seed1", "photos")
    assert "is not a run or a classifier" in refused(capsys, "photos", "photos")
    assert "is not a run or a classifier" in refused(capsys, "photos/red.png")
    assert "is not a run or a classifier" in refused(capsys, run.parent.parent, "photos")
    assert "x" * 300 in refused(capsys, "x" * 300, "photos")
    error = refused(capsys, "garden8", "5", "photos", "--output", tmp_path)
    assert "bash scripts/softcpt/main.sh garden8 5" in error and "SoftCPT-NATA tiny (4shots)" in error
    assert "--method goes with a dataset" in refused(capsys, run, "photos", "--method", "coop")
    assert "did you mean 'coop'" in refused(capsys, "garden8", "4", "photos", "--method", "cop")
    assert "Seeds must be whole" in refused(capsys, "garden8", "4", "photos", "--seeds", "x", "--output", tmp_path)
    unfinished = make_run([50.0], seed=2, finished=False)
    assert f"{unfinished} is not finished" in refused(capsys, unfinished, "photos")
    (unfinished / "results.json").rename(unfinished / "log.txt")
    assert f"{unfinished} is not finished" in refused(capsys, unfinished, "photos")
    earlier = make_run([50.0], seed=3)
    assert f"{earlier} has no classifier.json" in refused(capsys, earlier, "photos")
    (earlier / "results.json").write_text("{")
    assert f"{earlier / 'results.json'} cannot be read" in refused(capsys, earlier, "photos")
    assert eye.loaded == []


def test_bad_photographs(eye: Eye, run: Path, photos: Path, monkeypatch, capsys: Shown) -> None:
    (photos / "empty" / "inside").mkdir(parents=True)
    (photos / "empty" / "inside" / "notes.txt").write_text("x")
    assert "no photograph or folder gone.png" in refused(capsys, run, "photos", "gone.png")
    assert "No file matches '*.gif'" in refused(capsys, run, "*.gif")
    assert "Folder empty has no images" in refused(capsys, run, "photos", "empty")
    for content in (b"", b"\n \n", b"\0"):
        list_on_stdin(monkeypatch, content)
        assert "Standard input lists no photographs" in refused(capsys, run, "-")
    assert eye.loaded == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--top", "0"], "--top must be a whole number from 1"),
        (["--top", "x"], "--top must be a whole number from 1"),
        (["--min-confidence", "60"], "from 0 to 1"),
        (["--min-confidence", "nan"], "--min-confidence must be a number"),
        (["--csv", "none/a.csv"], "there is no folder none"),
        (["--per-task", "--json"], "--per-task is for tables and CSV files"),
        (["--csv", "photos"], "--csv photos is there already"),
        (["--csv", "photos/red.png"], "--csv photos/red.png is there already"),
        (["--copy-to", "photos/red.png"], "--copy-to"),
        (["--task", "wether"], "did you mean 'weather'? Known: petal colour, weather."),
        (["--classes", "sand,clay"], "--classes goes with one --task"),
        (["--task", "a", "--task", "b", "--classes", "sand,clay"], "--classes goes with one --task"),
        (["--task", "soil", "--classes", "sand"], "at least two names; it has 1"),
        (["--task", "soil", "--classes", ""], "at least two names; it has 0"),
        (["--task", "soil", "--classes", "sand,,clay"], "name 2 of 3 is empty"),
        (["--task", "soil", "--classes", "sand,clay, sand"], "has 'sand' twice"),
        (["--task", "soil", "--classes", '"sand,clay'], "--classes cannot be read"),
        (
            ["--task", "soil", "--classes", '"sand, clay",loam', "--template", "a photo"],
            "--template 'a photo' has no {}",
        ),
        (["--task", " ", "--classes", "sand,clay"], "--task is empty"),
        (["--template", "a {}"], "--template goes with --classes"),
        (["--task", "soil", "--classes", "a,b", "--classes-file", "x"], "do not go together"),
        (["--task", "soil", "--classes-file", "gone.txt"], "--classes-file gone.txt cannot be read"),
        (["--task", "soil", "--classes-file", "photos"], "--classes-file photos cannot be read"),
        (["--task", "soil", "--classes-file", "photos/red.png"], "is not text in UTF-8"),
        (["--copy-to", "sorted"], "choose it with --task. Tasks: petal colour, weather."),
        (["--what"], "--what"),
        (["--", "KEY"], "come in pairs"),
    ],
)
def test_bad_options(eye: Eye, run: Path, photos: Path, capsys: Shown, words: list[str], message: str) -> None:
    before = sorted(photos.rglob("*"))
    assert message in refused(capsys, run, "photos", *words)
    assert sorted(photos.rglob("*")) == before


def test_an_error_of_the_classifier_is_one_line(photos: Path, tmp_path: Path, capsys: Shown) -> None:
    """The bundle is empty."""
    (tmp_path / "mine").mkdir()
    bundle = with_classifier(tmp_path / "mine")
    assert f"{bundle / trained.BUNDLE}" in refused(capsys, bundle, "photos", "--csv", "a.csv")
    assert sorted(os.listdir(photos)) == ["photos"]


def test_a_reader_that_goes_away(run: Path, photos: Path) -> None:
    code = (
        "import sys; from launcher import predict; from launcher.main import main\n"
        "from tests.support.eyes import Eye\n"
        "predict.load = lambda found: Eye()\n"
        "sys.exit(main(['predict', *sys.argv[1:]]))"
    )
    env = os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-c", code, str(run), str(photos / "photos")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read() and process.wait() == 141
    process.stderr.close()


def test_checking_reads_nothing(run: Path, photos: Path, capsys: Shown) -> None:
    assert main(["--check", "predict", str(run), "photos", "-", "--csv", "a.csv", "--copy-to", "sorted"]) == 0
    assert capsys.readouterr() == ("", "") and sorted(os.listdir(photos)) == ["photos"]


def test_both_floors_call_the_record_alike() -> None:
    """The launcher reads names before PyTorch is there, so it cannot import this one."""
    assert trained.BUNDLE == RECORD


# -- with a trained classifier --


def test_a_trained_run_answers_as_it_was_tested(
    finished: Callable[..., Finished], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Shown
) -> None:
    run = finished("SoftCPT-NATA")
    capsys.readouterr()
    list_on_stdin(monkeypatch, "\n".join(run.images).encode())
    assert call(run.folder, "-", "--json") == 0
    found = objects(capsys.readouterr().out)
    assert [one["photo"] for one in found] == run.images
    layout = run.head.layout
    for one, label, predicted in zip(found, run.label.tolist(), run.predicted.tolist(), strict=True):
        assert list(one["tasks"]) == [task.name for task in layout.tasks]
        task = layout.tasks[int(layout.task_of_class[label])]
        assert best(one, task.name) == layout.classnames[predicted]
    second = finished("SoftCPT-NATA", 2).folder
    words = (run.folder, second, *run.images[:3], "--task", layout.tasks[0].name, "--csv", tmp_path / "a.csv")
    assert call(*words, "--copy-to", tmp_path / "sorted", "--top", "2") == 0
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 7
    assert len([path for path in (tmp_path / "sorted").rglob("*") if path.is_file()]) == 3
    (second / "classifier.safetensors").rename(tmp_path / "away")
    try:
        assert "classifier.safetensors is missing" in refused(capsys, run.folder, second, run.images[0])
    finally:
        (tmp_path / "away").rename(second / "classifier.safetensors")


def test_a_task_that_was_never_trained(finished: Callable[..., Finished], tmp_path: Path, capsys: Shown) -> None:
    run = finished("SoftCPT-NATA")
    task = run.head.layout.tasks[0]
    names = tmp_path / "names.txt"
    names.write_bytes("\ufeffsand, wet\r\n\n  cl\u00e4y \nloam\n".encode())
    capsys.readouterr()
    assert call(run.folder, run.images[0], "--task", "soil type", "--classes-file", names, "--top", 9, "--json") == 0
    captured = capsys.readouterr()
    (one,) = objects(captured.out)
    assert "was not trained on 'soil type'" in captured.err and "was not measured" in captured.err
    (soil,) = one["tasks"].values()
    assert sorted(row["class"] for row in soil) == ["cl\u00e4y", "loam", "sand, wet"]
    assert sum(row["probability"] for row in soil) == pytest.approx(1, abs=1e-4)
    words = ("--task", "KIND of_flower", "--classes", '"rose, red", tulip', "--csv", tmp_path / "a.csv", "--top", "2")
    assert call(run.folder, run.images[0], *words) == 0
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert {row["task"] for row in rows} == {task.name} and {row["class"] for row in rows} == {"rose, red", "tulip"}
    long = "very " * 200
    for line in (f"{long},sand", f'sand,"{long}"'):
        error = refused(capsys, run.folder, run.images[0], "--task", "soil", "--classes", line)
        assert "The name 'very very" in error and "77 positions" in error
    assert "The name 'very" in refused(capsys, run.folder, run.images[0], "--task", long, "--classes", "sand,clay")
    assert "same text" in refused(capsys, run.folder, run.images[0], "--task", "soil", "--classes", "Sand,sand")
    coop = finished("CoOp-CA").folder
    error = refused(capsys, coop, run.images[0], "--task", "soil", "--classes", "sand,clay")
    assert "CoOp-CA has a context for every task, and none for a task that it was not trained on" in error


def test_the_pages_lines_of_python(
    finished: Callable[..., Finished], photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: Shown
) -> None:
    run = finished("SoftCPT-NATA")
    page = (REPOSITORY / "docs" / "using.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.S)
    code = "\n".join(block for block in blocks if "open_clip" not in block)  # which test_export.py runs
    write_colour(photos / "photos" / "one.jpg", "red")
    folder = photos / "output/garden8/SoftCPT-NATA/garden_vit_ep50/4shots"
    folder.mkdir(parents=True)
    (folder / "seed1").symlink_to(run.folder)
    exec(compile(code, "using.md", "exec"), {})
    out = capsys.readouterr().out
    assert out.count("photos/one.jpg") == len(run.results["tasks"]) and "torch.Size([1, " in out

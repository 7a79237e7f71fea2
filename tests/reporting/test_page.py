"""The HTML page of a collection, for all kinds of runs."""

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from PIL import Image

from common.paths import CONFIG, RESULTS, TRACEBACK
from reporting.collection import read_collection
from reporting.files import group_tables, write_files
from reporting.overview import Mistake, confused, hardest, images_text
from reporting.page import write_page
from reporting.published import FILE
from runs.results import RunError

VOID = {"meta", "link", "img", "br", "use"}


class Reader(HTMLParser):
    """Checks that elements are closed in order, and collects text and attributes."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, Any]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


def read(path):
    text = path.read_text("utf-8")
    reader = Reader(text)
    for _, attrs in reader.found:  # nothing that a browser would load
        for key in ("src", "href", "xlink:href"):
            assert not attrs.get(key) or attrs[key].startswith(("#", "data:"))
    assert not re.search(r"url\((?!#)|@import", text)
    ids = [attrs["id"] for _, attrs in reader.found if "id" in attrs]
    assert len(ids) == len(set(ids))
    return reader


def test_a_full_page(make_full_run, make_run, tmp_path):
    for seed in (1, 2):
        make_full_run([50.0, 60.0], seed=seed, names=["petal colour", "leaf"])
        make_run([40.0, 50.0], "CoOp-CA", seed=seed, names=["petal colour", "leaf"], shots=4)
        make_full_run([55.0, 65.0], seed=seed, names=["petal colour", "leaf"], shots=8)
    target = write_page(tmp_path / "garden8")
    assert target == tmp_path / "garden8" / "report.html" and not list(target.parent.glob("*.part"))
    page = read(target)
    for part in (
        "petal colour", "Paired differences", "Hardest classes", "--data",
        "python train.py --seed 1 --root 'my data'", "python 3.12.1, torch 2.4.0", "Cosines between tasks' contexts",
        "petal (0.50), </w> (0.70)", "75 % correct",
    ):  # fmt: skip
        assert part in page.text.replace("\N{NO-BREAK SPACE}", " "), part
    assert "Published figures" not in page.text and target.stat().st_size < 1_000_000


def test_names_are_escaped(make_full_run, tmp_path):
    evil = "<script>alert(\"1\")</script> & 'x' {{ 7 * 7 }}"
    make_full_run([50.0, 60.0], names=[evil, "plain"], method="A <b> & B")
    make_full_run([50.0, 60.0], names=[evil, "plain"], shots=1, dataset=evil)
    page = read(write_page(tmp_path / "garden8"))
    assert [tag for tag, _ in page.found].count("script") == 1
    assert evil in page.text and "A <b> & B" in page.text


def test_missing_seeds_and_failed_runs_are_listed(make_run, tmp_path):
    for seed in (1, 2, 3):
        make_run([50.0], "CoOp-CA", seed=seed)
    make_run([60.0], seed=1)
    failed = tmp_path / "garden8" / "PLOT" / "tiny" / "4shots" / "seed1"
    failed.mkdir(parents=True)
    (failed / CONFIG).write_text("")
    (failed / TRACEBACK).write_text("Traceback\nRuntimeError: out of <memory>\n")
    text = read(write_page(tmp_path / "garden8")).text
    assert "SoftCPT-NATA, 4 shots: seeds 2, 3" in text and "60.0 (1 of 3 seeds)" in text
    assert "PLOT/tiny/4shots/seed1 : RuntimeError: out of <memory>" in text


def test_only_a_failed_run(tmp_path):
    failed = tmp_path / "PLOT" / "tiny" / "4shots" / "seed1"
    failed.mkdir(parents=True)
    (failed / TRACEBACK).write_text("ValueError: no\n")
    text = read(write_page(tmp_path)).text
    assert "No finished run yet." in text and "ValueError: no" in text


def test_a_folder_without_runs_is_an_error(tmp_path):
    with pytest.raises(RunError, match=f"no runs in {re.escape(str(tmp_path))}"):
        write_page(tmp_path)


@pytest.mark.parametrize(("tasks", "classes"), [(1, 1), (1, 397), (44, 0)])
def test_one_run_of_one_or_many_tasks(make_full_run, make_run, tmp_path, tasks, classes):
    # No confusions with many tasks: each would be a heat map, which takes half a second.
    make = make_full_run if classes else make_run
    make([50.0 + i / 2 for i in range(tasks)], **({"classes": classes} if classes else {}))
    page = read(write_page(tmp_path / "garden8", tmp_path / "there" / "page.html"))
    assert f"task {tasks - 1}" in page.text and "Paired differences" not in page.text
    assert [tag for tag, _ in page.found].count("svg") == 1 + bool(classes)


def test_nan_is_a_dash_without_a_sort_key(make_run, tmp_path):
    for seed in (1, 2):
        make_run([float("nan"), 60.0], seed=seed)
        make_run([50.0, 55.0], "CoOp-CA", seed=seed)
    path = write_page(tmp_path / "garden8")
    page = read(path)
    assert not re.search(r"\bnan\b", page.text)
    assert '<td data-key="">-</td>' in path.read_text("utf-8")


def test_examples_are_thumbnails_if_the_images_are_found(make_full_run, tmp_path):
    folder = make_full_run([50.0], names=["leaf"], classes=2)
    data = tmp_path / "data"
    (data / "leaf").mkdir(parents=True)
    Image.new("L", (800, 400), 99).save(data / "leaf" / "0.jpg")
    (data / "leaf" / "1.jpg").write_bytes(b"not an image")
    page = read(write_page(tmp_path / "garden8", data=data))
    (image,) = [attrs for tag, attrs in page.found if tag == "img"]
    assert image["src"].startswith("data:image/jpeg;base64,") and len(image["src"]) < 4000
    assert image["alt"].startswith("class 0, ") and image["alt"].endswith("class 1")
    # Without --data, they are read from the run's own folder, but never from outside it.
    record = json.loads((folder / RESULTS).read_text())
    record["data_root"] = str(data / "leaf")
    record["tasks"][0]["examples"] = [
        {"image": image, "true": 0, "predicted": 1, "confidence": 0.5}
        for image in ("0.jpg", "../leaf/0.jpg", str(data / "leaf" / "0.jpg"))
    ]
    (folder / RESULTS).write_text(json.dumps(record))
    page = read(write_page(tmp_path / "garden8"))
    assert [tag for tag, _ in page.found].count("img") == 1


def cards(page):
    """The text of the section on hard classes."""
    text = page.text.replace("\N{NO-BREAK SPACE}", " ")
    return text[text.index("Hardest classes") : text.index("Confusions")]


def rewritten(folder, config=None, **of_tasks):
    """Change fields of a run's tasks, and move it to the folder of another config."""
    record = json.loads((folder / RESULTS).read_text("utf-8"))
    for task in record["tasks"]:
        task |= of_tasks
    (folder / RESULTS).write_text(json.dumps(record | ({"config": config} if config else {})), "utf-8")
    if config:
        target = folder.parents[1].with_name(config) / folder.parent.name / folder.name
        target.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(target)


def test_the_same_method_with_another_tower_is_named_as_such(make_full_run, tmp_path):
    rewritten(make_full_run([40.0], backbone="RN50", names=["leaf"]), "small", confusion=[[0, 0, 2], [0, 1, 6]])
    make_full_run([50.0], names=["leaf"])
    text = cards(read(write_page(tmp_path / "garden8")))
    assert "other methods" not in text
    assert "SoftCPT-NATA, small [RN50]" in text[: text.index("class 0")]
    assert "75 % correct (6 of 8 images); 25 % with the other row (2 of 8); 2 of 8 mistaken" in text


def test_several_rows_compared_with_are_counted_and_named(make_full_run, tmp_path):
    make_full_run([50.0], names=["leaf"])
    for method, correct in (("CoOp-CA", 8), ("PLOT", 4)):
        confusion = [[0, 0, correct]] + [[0, 1, 8 - correct]] * (correct < 8)
        rewritten(make_full_run([50.0], method, names=["leaf"]), confusion=confusion)
    text = cards(read(write_page(tmp_path / "garden8")))
    assert "CoOp-CA (per task); PLOT" in text and "; 75 % over 2 other rows (12 of 16);" in text


def test_an_image_is_shown_once_with_the_number_of_seeds(make_full_run, tmp_path):
    def example(image, confidence, predicted=1):
        return {"image": image, "true": 0, "predicted": predicted, "confidence": confidence}

    for seed, examples in ((1, [example("a.jpg", 0.9), example("b.jpg", 0.8)]), (2, [example("a.jpg", 0.6, 2)])):
        run = make_full_run([50.0], names=["leaf"], seed=seed)
        rewritten(run, confusion=[[0, 1, 2], [1, 1, 3], [2, 2, 3]], examples=examples)
    (one,) = hardest(*two_of(read_collection(tmp_path / "garden8").groups[0]))
    assert (one.correct, one.images, one.errors, one.complete) == (0, (2, 2), 4, False)
    assert one.examples == (Mistake("a.jpg", "class 1", 0.9, 2), Mistake("b.jpg", "class 1", 0.8, 1))
    text = cards(read(write_page(tmp_path / "garden8")))
    assert "0 % correct (0 of 4: 2 images in each of 2 seeds)" in text and "4 of 4 mistaken" in text
    assert text.count("a.jpg") == 1
    assert "confidence 90 %, in 2 of 2 seeds" in text and "confidence 80 %, in at least 1 of 2 seeds" in text


def two_of(group):
    """The arguments of ``hardest`` for a group."""
    return (group, *confused(group))


def test_confusions_have_the_number_of_images(make_full_run, tmp_path):
    for seed in (1, 2):
        make_full_run([50.0], names=["leaf"], seed=seed)
    text = read(write_page(tmp_path / "garden8")).text
    assert "27 images in each of 2 seeds, 8 to 10 a class" in text


@pytest.mark.parametrize(
    ("counts", "text"),
    [((1,), "1 image"), ((8, 8), "8 images in each of 2 seeds"), ((8, 9), "17 predictions in 2 seeds")],
)
def test_numbers_of_images(counts, text):
    assert images_text(counts) == text


def test_words_that_are_left_out_are_announced_and_stay_in_the_results(make_full_run, tmp_path):
    folder = make_full_run([50.0, 60.0])
    record = json.loads((folder / RESULTS).read_text("utf-8"))
    for entry in record["contexts"]["words"]:
        entry["nearest"] = [[["petal", 0.5], ["adidas", 0.6]]]
    (folder / RESULTS).write_text(json.dumps(record), "utf-8")
    text = read(write_page(tmp_path / "garden8")).text
    assert "adidas" not in text and "petal (0.50), [left out] (0.60)" in text and "2 words left out" in text
    write_files(read_collection(tmp_path / "garden8"), tmp_path / "files")
    assert "adidas" not in (tmp_path / "files" / "words_SoftCPT_NATA.csv").read_text("utf-8")
    assert "adidas" in (folder / RESULTS).read_text("utf-8")


def test_published_figures_are_next_to_ours(make_run, tmp_path):
    for seed in (1, 2, 3):
        make_run([60.0] * 6, dataset="plant6", backbone="RN50", seed=seed, shots=4)
    text = read(write_page(tmp_path / "garden8")).text
    assert "60.00 ± 0.00" in text and "another tower" not in text
    lines = [line.split(",") for line in FILE.read_text("utf-8").splitlines()]
    line = next(line for line in lines if line[:2] == ["Plant-6", "SoftCPT-NATA"] and line[4] == "4")
    assert f"{line[5]} ± {line[6]}" in text


def test_each_column_of_each_table_has_a_name(make_full_run, tmp_path):
    for shots in (1, 4):
        make_full_run([50.0, 60.0], shots=shots)
        make_full_run([51.0, 62.0], "CoOp-CA", shots=shots)
    (group,) = read_collection(tmp_path / "garden8").groups
    named = group_tables("garden8", group)
    assert {"differences", "differences_by_shots", "words_SoftCPT_NATA"} < named.keys()
    assert all(heading for table in named.values() for heading in table.header)
    write_files(read_collection(tmp_path / "garden8"), tmp_path / "files")
    head = (tmp_path / "files" / "differences.tex").read_text("utf-8").splitlines()[2]
    assert all(cell.strip() for cell in head.removesuffix("\\\\").split("&")) and head.count("&") == 6
    page = read(write_page(tmp_path / "garden8"))
    assert "not 0" in page.text


def test_all_tables_and_figures_as_files(make_full_run, tmp_path):
    for shots in (1, 4):
        make_full_run([50.0, 60.0], shots=shots)
        make_full_run([51.0, 61.0], "CoOp-CA", shots=shots)
    names = {path.name for path in write_files(read_collection(tmp_path / "garden8"), tmp_path / "files")}
    assert {"runs.csv", "summary.csv", "accuracy_by_shots.tex", "accuracy_by_task_4shots.md", "differences.csv"} < names
    assert {"curves_mean.svg", "curves_by_task.png", "bars_1shots.png", "confusion_0_task_0.svg"} < names
    assert {"similarity_contexts_CoOp_CA_per_task.png", "words_SoftCPT_NATA.tex"} < names
    assert names == {path.name for path in (tmp_path / "files").iterdir()}

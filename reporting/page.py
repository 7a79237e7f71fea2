"""One HTML page of a collection's runs: a single file that needs no network and no other files."""

from __future__ import annotations

import math
import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from common.disk import sweep
from common.files import write_atomically
from common.text import counted, printable
from reporting import figures, fonts, heatmaps, overview, published
from reporting.collection import Collection, Group, read_collection
from reporting.measures import MEASURES
from reporting.series import seeds_text
from reporting.tables import LEGEND, Table, shots_of
from reporting.thumbnails import image_roots, thumbnail
from runs.results import Run

TEMPLATES = Path(__file__).with_name("templates")
PAGE = "report.html"
NUMBER = re.compile(r"[-+]?[\d,]*\.?\d+")


@dataclass(frozen=True)
class Cell:
    """A cell's text, sort key (a number, empty without one, or None to sort by text) and CSS class."""

    text: str
    key: float | str | None
    mark: str = ""


@dataclass(frozen=True)
class Sheet:
    """A table on the page; the ``foot`` lines at its end are not sorted."""

    caption: str
    header: list[str]
    left: int
    body: list[list[Cell]]
    foot: list[list[Cell]]


@dataclass(frozen=True)
class Plot:
    """A figure with a text alternative, and the range of widths in pixels in which it is readable."""

    svg: Markup
    title: str
    least: int
    most: int


def write_page(folder: Path, output: Path | None = None, data: Path | None = None) -> Path:
    """Write the page of all runs under ``folder`` and return its path.

    Args:
        folder: a collection's folder.
        output: the file, or a folder for report.html; by default that of the runs.
        data: where the images for examples are; by default where the runs found them.

    Raises RunError if there are no runs.
    """
    folder = Path(folder)
    output = Path(output) if output is not None else folder / PAGE
    output = output / PAGE if os.path.isdir(output) else output
    text = page(read_collection(folder), data)
    output.parent.mkdir(parents=True, exist_ok=True)
    sweep(output.parent, [output.name])
    write_atomically(output, text.encode("utf-8", "replace").decode("utf-8"))  # file names may have surrogates
    return output


def page(collection: Collection, data: Path | None = None) -> str:
    """The page's HTML."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["counted"] = counted
    with fonts.covering(collection.names) as advice:
        main = group_parts(collection.groups[0], data) if collection.groups else None
    parts = {
        "collection": collection,
        "facts": facts(collection),
        "running": [one for one in collection.unfinished if one.running],
        "failed": [one for one in collection.unfinished if one.failed],
        "unfinished": [one for one in collection.unfinished if not one.failed and not one.running],
        "advice": advice,
        "main": main,
        "published": published_parts(collection),
        "others": [(group.title, *tables(group)) for group in collection.groups[1:]],
        "runs": runs_sheet(collection),
        "commands": commands(collection),
        "versions": versions(collection.runs),
        "css": Markup((TEMPLATES / "page.css").read_text("utf-8")),
        "js": Markup((TEMPLATES / "page.js").read_text("utf-8")),
        "legend": LEGEND,
    }
    return environment.get_template("page.html.j2").render(parts)


def facts(collection: Collection) -> list[tuple[str, str]]:
    """(name, value) pairs for the top of the page."""
    found = [("finished runs", f"{len(collection.runs)}")]
    if collection.groups:
        group = collection.groups[0]
        classes = [task.classes or 0 for task in group.runs[0].tasks]
        shots = ", ".join("all" if n < 0 else str(n) for n in group.shots)
        found = [
            ("tasks", str(len(group.tasks))),
            *([("classes", f"{sum(classes):,}")] if all(classes) else []),
            ("methods", str(len({row.method for row in group.rows}))),
            ("shots", shots if group.shots != (0,) else "none"),
            ("seeds", ", ".join(map(str, group.seeds))),
            *found,
        ]
    running = sum(one.running for one in collection.unfinished)
    found += [("running", str(running))] if running else []
    return [*found, ("failed runs", str(sum(one.failed for one in collection.unfinished)))]


def group_parts(group: Group, data: Path | None) -> dict:
    """The parts of the page on its main group of runs."""
    shots = overview.chosen_shots(group)
    shown = figures.charted(group, shots, 5 if len(group.tasks) <= 20 else 4)
    curves, panels, marks = [], [], []
    if len(group.shots) > 1:
        curves.append(drawn(figures.mean_curves(group), "curves", "Mean accuracy over tasks by number of shots", 700))
        if len(group.tasks) > 1:
            panels = [
                drawn(figures.task_curve(group, i), f"curve{i}", f"{name}: accuracy by number of shots", 220)
                for i, (name, _) in enumerate(group.tasks)
            ]
            marks = legend_marks(group)
    title = f"Accuracy by task, {shots_of(shots)}"
    least = 620 if len(group.tasks) > 1 else 460
    finished = [series for _, series in group.table_rows(shots) if series.runs]
    by_shots, by_task = tables(group)
    return {
        "group": group,
        "missing": group.missing(),
        "towers": sorted({run.backbone for run in group.runs}),
        "by_shots": by_shots,
        "by_task": by_task,
        "curves": curves,
        "panels": panels,
        "marks": marks,
        "bars": drawn(figures.task_bars(group, shots), "bars", title, least),
        "bars_shown": [row.label for row in shown],
        "bars_omitted": max(len(finished) - len(shown), 0),
        "calibration": calibration_parts(group),
        "differences": differences(group),
        "classes": class_parts(group, data),
        "learned": learned_parts(group),
    }


def legend_marks(group: Group) -> list[tuple[str, Markup]]:
    """(label, line with marker) of each row."""
    styles = figures.styles(group.rows)
    marks = []
    for i, row in enumerate(group.rows):
        svg = figures.markup(figures.legend_mark(styles[row.label]), f"mark{i}", tight=False)
        marks.append((row.label + " (fewer seeds)" * figures.lacks_seeds(row), Markup(svg)))
    return marks


def drawn(figure: Figure, name: str, title: str, least: int) -> Plot:
    """A figure for the page; matplotlib has escaped its texts."""
    svg = figures.markup(figure, name)
    width = re.search(r'width="([\d.]+)pt"', svg)
    assert width is not None, "matplotlib's SVG has a width in points"
    points = float(width.group(1))
    return Plot(Markup(svg), title, min(least, int(points * 1.4)), int(points * 1.5))


def sheet(table: Table, caption: str, foot: int = 0, fill: bool = False) -> Sheet:
    """A table for the page; ``fill`` repeats a name that several lines share, so that they can be sorted."""
    lines, above = [], ""
    for r, row in enumerate(table.rows):
        above = row[0] or above
        row = [above, *row[1:]] if fill else row
        lines.append([
            Cell(text, _key(text) if c >= table.left else None, _mark(table, r, c)) for c, text in enumerate(row)
        ])  # fmt: skip
    split = len(lines) - foot
    return Sheet(caption, table.header, table.left, lines[:split], lines[split:])


def _key(text: str) -> float | str:
    """The number that a cell starts with; for an interval, its lower end."""
    found = NUMBER.match(text.lstrip("["))
    return float(found.group().replace(",", "")) if found else ""


def _mark(table: Table, row: int, column: int) -> str:
    return "best" if (row, column) in table.best else "second" if (row, column) in table.second else ""


def tables(group: Group) -> tuple[Sheet, list[tuple[bool, str, Sheet]]]:
    """Accuracies by shots, and (initially open, title, table) of accuracies by task for each number of shots."""
    by_task = []
    for shots in group.shots:
        table, foot = overview.by_task(group, shots)
        title = f"Accuracy by task, {shots_of(shots)}"
        by_task.append((shots == overview.chosen_shots(group), title, sheet(table, title, foot)))
    return sheet(overview.by_shots(group), "Mean accuracy over tasks by number of shots"), by_task


def calibration_parts(group: Group) -> list[tuple[str, Sheet]]:
    """(legend, table) of calibration errors with temperatures and without; empty if no run recorded them."""
    parts = []
    for measure in (MEASURES["ece"], MEASURES["ece-uncalibrated"]):
        table = overview.calibration(group, measure)
        if table is not None:
            parts.append((measure.legend, sheet(table, f"{measure.title} by number of shots")))
    return parts


def differences(group: Group) -> dict | None:
    """Paired differences to the reference; None if there is nothing to compare."""
    found = overview.differences(group)
    if found is None:
        return None
    overall, single, legend = found
    against = group.reference.label
    return {
        "against": against,
        "overall": sheet(overall, f"Difference to {against} over all shots"),
        "single": sheet(single, f"Difference to {against} by number of shots", fill=True),
        "several": len(group.shots) > 1,
        "legend": legend,
    }


def published_parts(collection: Collection) -> dict | None:
    """Published figures next to ours; None if there are none for the collection or its methods."""
    if not collection.groups or collection.name not in published.COLLECTIONS:
        return None
    group = collection.groups[0]
    table = published.published_table(collection.name, group)
    if not table.rows:
        return None
    title = f"Ours and the published figures, {published.COLLECTIONS[collection.name]}"
    towers = published.other_towers(group)
    return {"sheet": sheet(table, title), "source": published.SOURCE, "towers": towers, "tower": published.BACKBONE}


def class_parts(group: Group, data: Path | None) -> dict | None:
    """Confusions and hardest classes; None if no run recorded confusions."""
    chosen = overview.confused(group)
    if chosen is None:
        return None
    row, shots = chosen
    series = group.series(row, shots)
    maps = []
    for task, (name, _) in enumerate(group.tasks):
        names, counts = overview.class_names(series, task), overview.confusion(series, task)
        if counts:
            figure = heatmaps.confusion_map(names, counts, overview.confusion_note(series, task))
            maps.append((name, len(names), drawn(figure, f"confusion{task}", f"Confusions of {name}", 380)))
    roots = image_roots(data, [run.data_root for run in series.runs])
    hardest = overview.hardest(group, row, shots)
    unreadable: list[str] = []
    cards = [
        (one, [(example, thumbnail(example.image, roots, unreadable)) for example in one.examples]) for one in hardest
    ]
    return {
        "row": row.label,
        "shots": shots_of(shots),
        "seeds": seeds_text(run.seed for run in series.runs),
        "others": list(dict.fromkeys(label for one in hardest for label in one.others)),
        "images_text": overview.images_text,
        "maps": maps,
        "cards": cards,
        "examples": any(one.examples for one in hardest),
        "unreadable": [printable(image) for image in unreadable],
        "pictures": sum(uri is not None for _, pictures in cards for _, uri in pictures),
    }


def learned_parts(group: Group) -> list[dict]:
    """Similarities between tasks and nearest words of each row that recorded them."""
    names = [name for name, _ in group.tasks]
    parts = []
    for number, one in enumerate(overview.learned(group)):
        maps = [
            drawn(heatmaps.similarity_map(names, matrix), f"similar{number}-{i}", f"Cosines between tasks' {of}", 380)
            for i, (of, matrix) in enumerate(one.similarity.items())
            if len(names) > 1
        ]
        words = sheet(overview.words_table(one.words), f"Nearest words of {one.row.label}") if one.words else None
        if maps or words:
            seeds = ", ".join(map(str, one.seeds))
            title = f"{one.row.label}, {shots_of(one.shots)}"
            parts.append({
                "title": title, "seeds": seeds, "maps": maps, "words": words, "seed": one.words_seed,
                "left_out": overview.left_out_count(one.words),
            })  # fmt: skip
    return parts


def runs_sheet(collection: Collection) -> Sheet | None:
    """A line per finished run; None without any."""
    header = ["folder", "method", "shots", "seed", "mean", "parameters", "training s", "testing s"]
    table = Table(header, [], left=2)
    for run in sorted(collection.runs, key=lambda run: run.folder):
        seconds = (f"{run.seconds[part]:,.1f}" for part in ("train", "test"))
        mean = "-" if math.isnan(run.mean) else f"{run.mean:.1f}"
        shots = "-" if run.shots < 1 and not run.parameters else "all" if run.shots < 1 else str(run.shots)
        folder = run.folder.relative_to(collection.folder).as_posix()
        table.rows.append([folder, run.method, shots, str(run.seed), mean, f"{run.parameters:,}", *seconds])
    return sheet(table, "Finished runs") if table.rows else None


def commands(collection: Collection) -> list[tuple[str, list[str]]]:
    """(row, shell command lines of its runs) for each row whose runs recorded them."""
    found = []
    for group in collection.groups:
        for row in group.rows:
            lines = [f"python train.py {shlex.join(run.command)}" for run in row.runs if run.command]
            if lines:
                title = row.label if group is collection.groups[0] else f"{row.label}, {group.title}"
                found.append((title, lines))
    return found


def versions(runs: Sequence[Run]) -> list[tuple[str, int]]:
    """(package versions, number of runs with them), the most frequent first."""
    counts: dict[str, int] = {}
    for run in runs:
        listed = ", ".join(f"{name} {version}" for name, version in run.versions.items()) or "not recorded"
        counts[listed] = counts.get(listed, 0) + 1
    return sorted(counts.items(), key=lambda entry: -entry[1])

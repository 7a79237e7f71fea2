"""All tables and figures of a collection as files: Markdown, LaTeX, CSV, PNG and SVG."""

from __future__ import annotations

import re
from pathlib import Path

from common.files import write_atomically
from common.text import shortened
from reporting import figures, fonts, heatmaps, overview, published
from reporting.collection import Collection, Group
from reporting.export import latex, runs_csv, summary_csv, table_csv
from reporting.measures import MEASURES
from reporting.tables import Table

PART_BYTES = 90  # of a name in a file's name, which has up to two of them


def write_files(collection: Collection, target: Path) -> list[Path]:
    """Write runs.csv and summary.csv of all runs, and the tables and figures of the largest group, into ``target``.

    Returns the paths of the files.
    """
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in (("runs", runs_csv(collection.groups)), ("summary", summary_csv(collection.groups))):
        written.append(_write(target / f"{name}.csv", text))
    if collection.groups:
        group = collection.groups[0]
        for name, table in group_tables(collection.name, group).items():
            written += write_table(table, target / name)
        with fonts.covering(collection.names):
            written += write_figures(group, target)
    return written


def group_tables(dataset: str, group: Group) -> dict[str, Table]:
    """The tables of a group by file name."""
    found = {"accuracy_by_shots": overview.by_shots(group)}
    for shots in group.shots:
        found[f"accuracy_by_task_{part_of(shots)}"] = overview.by_task(group, shots)[0]
    for measure in (MEASURES["ece"], MEASURES["ece-uncalibrated"]):
        table = overview.calibration(group, measure)
        if table is not None:
            found[f"{plain_name(measure.name)}_by_shots"] = table
    differences = overview.differences(group)
    if differences is not None:
        found["differences"], found["differences_by_shots"], _ = differences
    comparison = published.published_table(dataset, group)
    if comparison.rows:
        found["published"] = comparison
    for one in overview.learned(group):
        if one.words:
            found[f"words_{plain_name(one.row.label)}"] = overview.words_table(one.words)
    return found


def write_table(table: Table, path: Path) -> list[Path]:
    """Write a table to ``path`` with .md, .tex and .csv appended."""
    kinds = {"md": table.markdown() + "\n", "tex": latex(table), "csv": table_csv(table)}
    return [_write(path.with_name(f"{path.name}.{kind}"), text) for kind, text in kinds.items()]


def write_figures(group: Group, target: Path) -> list[Path]:
    """Write curves, bars and heat maps of a group, each as .png and .svg."""
    names = [name for name, _ in group.tasks]
    written = []
    if len(group.shots) > 1:
        written += figures.save(figures.mean_curves(group), target / "curves_mean")
        written += figures.save(figures.task_curves(group), target / "curves_by_task")
    for shots in group.shots:
        if any(series.runs for _, series in group.table_rows(shots)):
            written += figures.save(figures.task_bars(group, shots), target / f"bars_{part_of(shots)}")
    for one in overview.learned(group) if len(names) > 1 else []:
        for of, matrix in one.similarity.items():
            name = f"similarity_{plain_name(of)}_{plain_name(one.row.label)}"
            written += figures.save(heatmaps.similarity_map(names, matrix), target / name)
    chosen = overview.confused(group)
    if chosen is not None:
        series = group.series(*chosen)
        for task, name in enumerate(names):
            counts = overview.confusion(series, task)
            if counts:
                note = overview.confusion_note(series, task)
                drawing = heatmaps.confusion_map(overview.class_names(series, task), counts, note)
                written += figures.save(drawing, target / f"confusion_{task}_{plain_name(name)}")
    return written


def part_of(shots: int) -> str:
    """A number of shots as part of a file name."""
    return f"{shots}shots" if shots >= 0 else "all_images"


def plain_name(text: str) -> str:
    """``text`` as part of a file name that is valid on any system."""
    plain = re.sub(r"\W+", "_", text.replace("*", "star")).strip("_")[:60]
    return shortened(plain, PART_BYTES) or "unnamed"


def _write(path: Path, text: str) -> Path:
    write_atomically(path, text.encode("utf-8", "replace").decode("utf-8"))
    return path

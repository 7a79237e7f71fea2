"""Published accuracies next to ours.

reporting/published.csv holds the main result table of "Prompt Tuning with Soft Context Sharing for Vision-Language
Models" (arXiv 2208.13474; Neurocomputing 603, 2024, 128290): for a collection, a method and a number of shots the mean
over tasks and its standard deviation over three seeds, in percent, with ResNet-50 towers; "avg" is the mean over the
five numbers of shots. All values are copied from that table; none was measured here.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from reporting.collection import Group
from reporting.series import Series, guessed
from reporting.tables import CHANCE, NOTHING, Table, signed

FILE = Path(__file__).with_suffix(".csv")
SOURCE = "arXiv 2208.13474 (Neurocomputing 603, 2024, 128290)"
BACKBONE = "RN50"
SHOTS = (1, 2, 4, 8, 16)
# The table's names of our collections, and of our methods if they differ.
COLLECTIONS = {"general10": "General-10", "plant6": "Plant-6", "rs8": "RS-8", "fashion20": "Fashion-20"}
PUBLISHED_NAMES = {"ZeroshotCLIP": "ZS-CLIP", "SoftCPT-STAR": "SoftCPT*"}


@dataclass(frozen=True)
class Figure:
    """A published mean and standard deviation, in percent, as printed there."""

    mean: str
    std: str

    def __str__(self) -> str:
        return self.mean if float(self.std) == 0 else f"{self.mean} ± {self.std}"


def read_published(file: Path = FILE) -> dict[tuple[str, str, str], Figure]:
    """Published figures by collection, method (both as named there) and number of shots or "avg"."""
    with open(file, encoding="utf-8", newline="") as lines:
        return {
            (line["collection"], line["method"], line["shots"]): Figure(line["mean"], line["std"])
            for line in csv.DictReader(lines)
        }


def authors_minutes(file: Path = FILE) -> dict[tuple[str, str], float]:
    """The minutes that a training took the authors, by collection and method as they are called here.

    GPU and number of shots are not stated, so the ratios between methods say more than the minutes.
    """
    collections = {name: ours for ours, name in COLLECTIONS.items()}
    methods = {name: ours for ours, name in PUBLISHED_NAMES.items()}
    with open(file, encoding="utf-8", newline="") as lines:
        return {
            (
                collections.get(line["collection"], line["collection"]),
                methods.get(line["method"], line["method"]),
            ): float(line["train_minutes"])
            for line in csv.DictReader(lines)
            if line["train_minutes"]
        }


def published_table(dataset: str, group: Group, figures: dict[tuple[str, str, str], Figure] | None = None) -> Table:
    """Each published figure for which we have runs: ours, the published one, and the difference in points.

    Zero-shot CLIP has one figure. Our average over shots is shown only with runs at all five; a mean over fewer seeds
    than requested has a note. The first row is chance, on the classes of our runs.
    """
    figures = read_published() if figures is None else figures
    table = Table(["method", "shots", "ours", "published", "difference"], [])
    for row in group.rows:
        key = (COLLECTIONS.get(dataset, dataset), PUBLISHED_NAMES.get(row.method, row.method))
        by_shots = {str(n): group.series(row, n) for n in SHOTS}
        lines = [(n, _ours([series])) for n, series in by_shots.items() if series.runs and not row.zero_shot]
        if all(series.runs for series in by_shots.values()):
            lines.append(("avg", _ours(list(by_shots.values()))))
        for n, (mean, text) in lines:
            figure = figures.get((*key, n))
            if figure is not None:
                table.rows.append([row.label, n, text, str(figure), signed(mean - float(figure.mean), 2)])
    chance = fmean(guessed(series for row in group.rows for series in row.by_shots.values()) or [math.nan])
    if table.rows and not math.isnan(chance):
        table.rows.insert(0, [CHANCE, "", f"{chance:.2f}", "", ""])
    return table


def other_towers(group: Group) -> list[str]:
    """Towers of a group's runs that differ from that of the published figures."""
    return sorted({run.backbone for run in group.runs} - {BACKBONE})


def _ours(several: Sequence[Series]) -> tuple[float, str]:
    """The mean over the series, and its text for the table: two digits, as published."""
    stats = [series.mean for series in several]
    mean = fmean(stat.mean for stat in stats)
    if math.isnan(mean):
        return mean, NOTHING
    notes = list(dict.fromkeys(series.note for series in several if series.note))
    # The published deviation of an average is the mean of the deviations.
    spread = f" ± {fmean(stat.std for stat in stats):.2f}" if all(stat.count > 1 for stat in stats) else ""
    return mean, " ".join([f"{mean:.2f}{spread}", *notes])

"""Few-shot curves and bars by task, as matplotlib figures without pyplot; saving figures as files or markup."""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_hex, to_rgb
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from common.files import replacing
from reporting.collection import Group, Row, family_of
from reporting.series import Stat, accuracy_of

# Only text, axes and grid have these colours, so that a page can replace them with those of its own text.
INK, GRID = "#1f2328", "#d9dde2"
SETTINGS: dict[Any, Any] = {  # Any: newer type stubs of matplotlib list the valid keys
    "svg.fonttype": "none",  # text stays text: it can be selected and has the font of the page
    "svg.hashsalt": "softcpt",  # makes files reproducible
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}
# A family of the catalogue shares a hue; its methods differ in marker and lightness. The hues can be distinguished with
# any colour vision (after Okabe and Ito) and are readable on white and on black.
PALETTE = {
    "zero-shot": "#7a7f87",
    "probe": "#a8762b",
    "cache": "#1b9e77",
    "context": "#2f7fd0",
    "context-variant": "#8a6fd1",
    "both-towers": "#c9619f",
    "multitask": "#c9619f",
    "softcpt": "#d9541e",
}
SPARE = "#5b8a3a"  # for other families
MARKERS = "osD^vP*X<>hp8d"
SHADES = (("#ffffff", 0.0), ("#000000", 0.24), ("#ffffff", 0.38))  # colours mixed into a hue, and their share
FEWER = "\N{DAGGER}"  # after the names of methods that lack seeds
BANDS = 6  # up to this many lines each have a band
FEW_TASKS = 8  # up to this many tasks are shown side by side


class Style(NamedTuple):
    """How a row is drawn in all figures."""

    color: str
    marker: str
    line: Literal["-", "--"]


def styles(rows: Sequence[Row]) -> dict[str, Style]:
    """Styles by label; they are distinct for up to 14 rows of a hue."""
    used: dict[str, int] = {}
    found = {}
    for row in rows:
        color = PALETTE.get(family_of(row.method), SPARE)
        number = used[color] = used.get(color, -1) + 1
        found[row.label] = Style(
            mixed(color, *SHADES[number % len(SHADES)]),
            MARKERS[number % len(MARKERS)],
            "--" if row.zero_shot else "-",
        )
    return found


def mixed(color: str, other: str, share: float) -> str:
    """A colour with a share of another mixed in."""
    red, green, blue = ((1 - share) * a + share * b for a, b in zip(to_rgb(color), to_rgb(other), strict=True))
    return to_hex((red, green, blue))


def figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, with automatic layout."""
    with matplotlib.rc_context(SETTINGS):
        return Figure(figsize=(width, height), layout="constrained")


def plain(text: str, width: int = 0, lines: int = 2) -> str:
    """Any name, escaped for matplotlib, in at most ``lines`` lines of ``width`` characters."""
    if width:
        parts = textwrap.wrap(text, width) or [text]
        parts = parts if len(parts) <= lines else [*parts[: lines - 1], " ".join(parts[lines - 1 :])]
        text = "\n".join(
            part if len(part) <= width else part[: width - 1] + "\N{HORIZONTAL ELLIPSIS}" for part in parts
        )
    text = text.encode("utf-8", "replace").decode("utf-8")  # file names may have surrogates
    return text.replace("$", r"\$")  # it would start a formula


def curve(group: Group, row: Row, task: int | None) -> list[tuple[int, Stat]]:
    """(shots, statistics over seeds) of a row on a task, given by its index, or of its mean over tasks for None."""
    points = []
    for shots in group.shots:
        series = group.series(row, shots)
        points.append((shots, series.mean if task is None else series.over_seeds(accuracy_of(task))))
    return [(shots, stat) for shots, stat in points if math.isfinite(stat.mean)]


def draw_curves(axes: Axes, group: Group, task: int | None, bands: bool) -> dict[str, tuple[float, float]]:
    """Draw accuracy by shots of each row, with shots evenly spaced; returns the end point of each line by label."""
    place = {shots: x for x, shots in enumerate(group.shots)}
    ends: dict[str, tuple[float, float]] = {}
    for row in group.rows:
        points, style = curve(group, row, task), styles(group.rows)[row.label]
        if not points:
            continue
        xs, means = [place[shots] for shots, _ in points], [stat.mean for _, stat in points]
        main = row is group.reference
        axes.plot(
            xs, means, style.line, color=style.color, marker=style.marker, markersize=5 if main else 4,
            linewidth=2.4 if main else 1.3, zorder=4 if main else 3,
        )  # fmt: skip
        if bands and len(xs) > 1:
            low, high = ([stat.mean + sign * stat.std for _, stat in points] for sign in (-1, 1))
            axes.fill_between(xs, low, high, color=style.color, alpha=0.13, linewidth=0)
        elif not row.zero_shot and any(stat.count > 1 for _, stat in points):
            deviations = [stat.std for _, stat in points]
            axes.errorbar(xs, means, deviations, fmt="none", ecolor=style.color, elinewidth=0.8, alpha=0.6, zorder=2)
        ends[row.label] = (xs[-1], means[-1])
    axes.xaxis.set_major_locator(FixedLocator(list(place.values())))
    axes.set_xticklabels(["all" if shots < 0 else str(shots) for shots in place])
    axes.set_xlim(-0.25, len(place) - 0.75)
    _simplify(axes)
    return ends


def _simplify(axes: Axes, horizontal: bool = False) -> None:
    """Remove the frame at the top and right; add a grid along the axis of values."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(True, axis="x" if horizontal else "y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)


def mean_curves(group: Group) -> Figure:
    """The mean over tasks by shots, with each line labelled at its end."""
    with matplotlib.rc_context(SETTINGS):
        drawing = figure(8.6, max(4.2, 0.24 * len(group.rows) + 1.2))
        axes = drawing.add_subplot()
        ends = draw_curves(axes, group, None, bands=len(group.rows) <= BANDS)
        fewer = any(map(lacks_seeds, group.rows))
        axes.set_xlabel("training images per class" + f"    ({FEWER} some points are means over fewer seeds)" * fewer)
        axes.set_ylabel("mean accuracy over tasks (%)")
        _label_lines(axes, group, ends, drawing.get_figheight())
    return drawing


def lacks_seeds(row: Row) -> bool:
    """Return whether any point of the row's curve is a mean over fewer seeds than requested."""
    return any(series.runs and series.note for series in row.by_shots.values())


def _label_lines(axes: Axes, group: Group, ends: dict[str, tuple[float, float]], inches: float) -> None:
    """Labels to the right of the lines' ends, moved apart to avoid overlaps and joined to them by thin lines.

    ``inches``: height of the figure.
    """
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    fewer = {row.label for row in group.rows if lacks_seeds(row)}
    right = len(group.shots) - 1
    # The height of a label in units of the axis: 11.5 points, where the axes take about 87 % of the figure's height.
    step = (high - low) * 11.5 / (inches * 72 * 0.87)
    ordered = sorted(ends, key=lambda label: ends[label][1])
    heights = spaced([ends[label][1] for label in ordered], step, low, high)
    for label, y in zip(ordered, heights, strict=True):
        style, (x, value) = styles(group.rows)[label], ends[label]
        # From an end further left, a thin line would cross the others; the marker is enough.
        start = (x, value) if x == right else (right + 0.16, y)
        axes.plot([start[0], right + 0.16], [start[1], y], color=style.color, linewidth=0.6, alpha=0.7, clip_on=False)
        axes.plot([right + 0.2], [y], style.marker, color=style.color, markersize=4, clip_on=False)
        weight = "bold" if label == group.reference.label else "normal"
        axes.annotate(
            plain(label, 44, 1) + f" {FEWER}" * (label in fewer), (right + 0.27, y),
            color=INK, va="center", fontsize=8.5, fontweight=weight,
            annotation_clip=False,
        )  # fmt: skip


def spaced(values: Sequence[float], step: float, low: float, high: float) -> list[float]:
    """Ascending values, moved as little as possible to be ``step`` apart, between low and high if they fit."""
    blocks: list[list[float]] = []  # [sum of the preferred positions of its first member, number of members]
    for value in values:
        blocks.append([value, 1])
        while len(blocks) > 1 and _first(blocks[-2], step) + blocks[-2][1] * step > _first(blocks[-1], step):
            total, count = blocks.pop()
            previous = blocks[-1]
            previous[0] += total - count * previous[1] * step
            previous[1] += count
    placed = [_first(block, step) + i * step for block in blocks for i in range(int(block[1]))]
    if placed and placed[-1] > high:
        for i in range(len(placed) - 1, -1, -1):
            placed[i] = min(placed[i], high - (len(placed) - 1 - i) * step)
    if placed and placed[0] < low:
        for i in range(len(placed)):
            placed[i] = max(placed[i], low + i * step)
    return placed


def _first(block: Sequence[float], step: float) -> float:
    return block[0] / block[1]


def task_curve(group: Group, task: int) -> Figure:
    """One task's accuracy by shots, without a legend: the page has one for all tasks."""
    with matplotlib.rc_context(SETTINGS):
        drawing = figure(3.6, 2.6)
        axes = drawing.add_subplot()
        draw_curves(axes, group, task, bands=len(group.rows) <= BANDS)
        axes.set_title(plain(group.tasks[task][0], 34), fontsize=10, loc="left")
    return drawing


def task_curves(group: Group) -> Figure:
    """All tasks' accuracies by shots, side by side, with one legend."""
    count = len(group.tasks)
    across = min(4, count)
    down = -(-count // across)
    with matplotlib.rc_context(SETTINGS):
        legend_rows = -(-len(group.rows) // 4)
        drawing = figure(max(3.0 * across, 7.5), 2.4 * down + 0.25 * legend_rows + 0.3)
        grid = drawing.subplots(down, across, squeeze=False)
        for number, axes in enumerate(grid.flat):
            if number >= count:
                axes.set_axis_off()
                continue
            draw_curves(axes, group, number, bands=len(group.rows) <= BANDS)
            axes.set_title(plain(group.tasks[number][0], 30), fontsize=9, loc="left")
        drawing.supxlabel("training images per class", fontsize=9)
        drawing.supylabel("accuracy (%)", fontsize=9)
        handles = [_handle(style) for style in styles(group.rows).values()]
        labels = [plain(row.label, 40, 1) + f" {FEWER} (fewer seeds)" * lacks_seeds(row) for row in group.rows]
        drawing.legend(handles, labels, loc="outside upper left", ncols=min(4, len(labels)), frameon=False, fontsize=8)
    return drawing


def _handle(style: Style) -> Line2D:
    return Line2D([], [], color=style.color, marker=style.marker, linestyle=style.line, markersize=4, linewidth=1.3)


def legend_mark(style: Style) -> Figure:
    """A line with its marker, for a legend in the text of a page."""
    drawing = Figure(figsize=(0.42, 0.17))
    axes = drawing.add_axes((0, 0, 1, 1))
    axes.plot([0, 0.5, 1], [0] * 3, style.line, color=style.color, linewidth=1.5)
    axes.plot([0.5], [0], style.marker, color=style.color, markersize=5)
    axes.set_axis_off()
    return drawing


def charted(group: Group, shots: int, most: int = 5) -> list[Row]:
    """The rows shown as bars: the reference, zero-shot CLIP and those with the highest means, in the group's order."""
    rows = [row for row in group.rows if group.series(row, shots).runs]
    if len(group.tasks) == 1 or len(rows) <= most:
        return rows

    def rank(row: Row) -> tuple:
        mean = group.series(row, shots).mean.mean
        return row is group.reference, row.method == "ZeroshotCLIP" and not row.variant, math.isfinite(mean), mean

    chosen = sorted(rows, key=rank, reverse=True)[:most]
    return [row for row in rows if row in chosen]


def task_bars(group: Group, shots: int) -> Figure:
    """Accuracy by task at a number of shots: vertical bars, or horizontal ones if there are many tasks.

    A single task has a bar per method, several tasks have those of ``charted``. Lines are deviations over seeds.
    """
    with matplotlib.rc_context(SETTINGS):
        if len(group.tasks) == 1:
            return _method_bars(group, shots)
        rows = charted(group, shots, 5 if len(group.tasks) <= 20 else 4)
        horizontal = len(group.tasks) > FEW_TASKS
        thickness = 0.84 / max(len(rows), 1)
        names = [plain(name, 28 if horizontal else 12, 2 if horizontal else 3) for name, _ in group.tasks]
        size = (8.6, 0.145 * len(rows) * len(names) + 0.1 * len(names) + 1.0) if horizontal else (10, 4.2)
        drawing = figure(*size)
        axes = drawing.add_subplot()
        handles: list[Any] = []  # a legend takes containers too, which the type stubs do not say
        for number, row in enumerate(rows):
            stats = group.series(row, shots).tasks()
            places = [task + (number - (len(rows) - 1) / 2) * thickness for task in range(len(stats))]
            color = styles(group.rows)[row.label].color
            handles.append(_bars(axes, places, stats, thickness * 0.9, color, horizontal))
        _task_axis(axes, names, horizontal)
        if horizontal:
            axes.invert_yaxis()
            axes.set_ylim(len(names) - 0.45, -0.55)
        labels = [plain(f"{row.label} {group.series(row, shots).note}".strip(), 50, 1) for row in rows]
        columns = min(3, len(labels))
        drawing.legend(handles, labels, loc="outside upper left", ncols=columns, frameon=False, fontsize=8.5)
    return drawing


def _bars(
    axes: Axes, places: Sequence[float], stats: Sequence[Stat], thickness: float, color: str, horizontal: bool
) -> BarContainer:
    means = [stat.mean if math.isfinite(stat.mean) else 0 for stat in stats]
    errors = [stat.std if stat.count > 1 and math.isfinite(stat.std) else 0 for stat in stats]
    lines = {"ecolor": INK, "elinewidth": 0.7}
    if horizontal:
        return axes.barh(places, means, thickness, xerr=errors, color=color, error_kw=lines)
    return axes.bar(places, means, thickness, yerr=errors, color=color, error_kw=lines)


def _task_axis(axes: Axes, names: list[str], horizontal: bool) -> None:
    axis: Axis = axes.yaxis if horizontal else axes.xaxis
    axis.set_major_locator(FixedLocator(range(len(names))))
    axis.set_minor_locator(NullLocator())
    (axes.set_yticklabels if horizontal else axes.set_xticklabels)(names)
    (axes.set_xlabel if horizontal else axes.set_ylabel)("accuracy (%)")
    (axes.set_xlim if horizontal else axes.set_ylim)(0, 100)
    _simplify(axes, horizontal)


def _method_bars(group: Group, shots: int) -> Figure:
    rows = charted(group, shots)
    drawing = figure(8.6, 0.3 * len(rows) + 1.0)
    axes = drawing.add_subplot()
    for number, row in enumerate(rows):
        stat = group.series(row, shots).tasks()[0]
        _bars(axes, [number], [stat], 0.72, styles(group.rows)[row.label].color, True)
        if math.isfinite(stat.mean):
            edge = stat.mean + (stat.std if stat.count > 1 else 0)
            axes.annotate(f"{stat.mean:.1f}", (min(edge, 97) + 1, number), va="center", fontsize=8.5)
    _task_axis(axes, [plain(f"{row.label} {group.series(row, shots).note}".strip(), 40) for row in rows], True)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_title(plain(group.tasks[0][0], 60), fontsize=10, loc="left")
    return drawing


def save(drawing: Figure, path: Path) -> list[Path]:
    """Write the figure to ``path`` with .png and .svg appended, on white; returns both paths."""
    written = [path.with_name(f"{path.name}.{kind}") for kind in ("png", "svg")]
    with matplotlib.rc_context(SETTINGS):
        with replacing(written[0]) as path:
            drawing.savefig(path, format="png", dpi=160, bbox_inches="tight", facecolor="white")
        with replacing(written[1]) as path:
            drawing.savefig(path, format="svg", bbox_inches="tight", facecolor="white", metadata={"Date": None})
    return written


def markup(drawing: Figure, name: str, tight: bool = True) -> str:
    """The figure as an SVG element: transparent, in the colours of the surrounding text, with ids prefixed by ``name``.

    ``tight``: crop the figure to its content.
    """
    text = io.StringIO()
    with matplotlib.rc_context(SETTINGS):
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        drawing.savefig(text, format="svg", bbox_inches="tight" if tight else None, transparent=True, metadata=metadata)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor").replace(GRID, "var(--grid)")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(?<= id=")|(?<=href="#)|(?<=url\(#)', f"{name}-", svg)
    return re.sub(r"\s*\n\s*", "\n", svg)

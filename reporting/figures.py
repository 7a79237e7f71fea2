"""Few-shot curves and bars by task, as matplotlib figures without shared state; how figures become files or markup."""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from reporting.collection import Group, Row
from reporting.series import Stat

# Text, axes and grid are drawn in colours that nothing else has, so that a page can make them those of its own text.
INK, GRID = "#1f2328", "#d9dde2"
SETTINGS = {
    "svg.fonttype": "none",  # text stays text: it can be selected, and a page gives it its own font
    "svg.hashsalt": "softcpt",  # the same figure is the same file
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}
# Kin share a hue and differ by markers and by how light it is. The hues are told apart with any colour vision (after
# Okabe and Ito), and read on white as well as on black.
FAMILIES = (
    (("ZeroshotCLIP",), "#7a7f87"),
    (("LP-CLIP", "ProtoNet"), "#a8762b"),
    (("Tip-Adapter",), "#1b9e77"),
    (("CoOp",), "#2f7fd0"),
    (("CoCoOp", "ProGrad", "KgCoOp", "PLOT"), "#8a6fd1"),
    (("MaPLe", "PromptSRC", "CLIP-LoRA", "MVLPT"), "#c9619f"),
    (("SoftCPT",), "#d9541e"),
)
OTHER = "#5b8a3a"
MARKERS = "osD^vP*X<>hp8d"
SHADES = (("#ffffff", 0.0), ("#000000", 0.24), ("#ffffff", 0.38))  # what a hue is mixed with, and how much of it
FEWER = "\N{DAGGER}"  # behind the names of methods that lack seeds
BANDS = 6  # so many lines may each have a band about it
FEW_TASKS = 8  # so many tasks may stand side by side


class Style(NamedTuple):
    """How a row is drawn everywhere."""

    color: str
    marker: str
    line: str


def styles(rows: Sequence[Row]) -> dict[str, Style]:
    """By label: no two rows look alike, up to 14 kin."""
    used: dict[str, int] = {}
    found = {}
    for row in rows:
        color = next((color for names, color in FAMILIES if row.method.startswith(names)), OTHER)
        number = used[color] = used.get(color, -1) + 1
        line = "--" if row.without_chance else "-"
        found[row.label] = Style(mixed(color, *SHADES[number % len(SHADES)]), MARKERS[number % len(MARKERS)], line)
    return found


def mixed(color: str, other: str, share: float) -> str:
    """A colour with some of another in it."""
    parts = zip(to_rgb(color), to_rgb(other), strict=True)
    return to_hex([(1 - share) * a + share * b for a, b in parts])


def figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches, which lays itself out."""
    with matplotlib.rc_context(SETTINGS):
        return Figure(figsize=(width, height), layout="constrained")


def plain(text: str, width: int = 0, lines: int = 2) -> str:
    """A name as it is, whatever it holds, in at most ``lines`` lines of ``width`` characters."""
    if width:
        parts = textwrap.wrap(text, width) or [text]
        parts = parts if len(parts) <= lines else [*parts[: lines - 1], " ".join(parts[lines - 1 :])]
        text = "\n".join(
            part if len(part) <= width else part[: width - 1] + "\N{HORIZONTAL ELLIPSIS}" for part in parts
        )
    text = text.encode("utf-8", "replace").decode("utf-8")  # names of files may hold what UTF-8 cannot
    return text.replace("$", r"\$")  # it would begin a formula


def curve(group: Group, row: Row, task: int | None) -> list[tuple[int, Stat]]:
    """(shots, statistics over seeds) of a row, for a task's number or, for None, the mean over tasks."""
    points = []
    for shots in group.shots:
        series = row.at(shots)
        if series is not None and series.runs:
            points.append(
                (shots, series.over_seeds(lambda run: run.mean if task is None else run.tasks[task].accuracy))
            )
    return [(shots, stat) for shots, stat in points if math.isfinite(stat.mean)]


def draw_curves(axes: Axes, group: Group, task: int | None, bands: bool) -> dict[str, tuple[float, float]]:
    """Accuracy by shots of every row; returns where each line ends. Shots stand at even distances."""
    place = {shots: x for x, shots in enumerate(group.shots)}
    ends = {}
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
        elif not row.without_chance and any(stat.count > 1 for _, stat in points):
            deviations = [stat.std for _, stat in points]
            axes.errorbar(xs, means, deviations, fmt="none", ecolor=style.color, elinewidth=0.8, alpha=0.6, zorder=2)
        ends[row.label] = (xs[-1], means[-1])
    axes.xaxis.set_major_locator(FixedLocator(list(place.values())))
    axes.set_xticklabels(["all" if shots < 0 else str(shots) for shots in place])
    axes.set_xlim(-0.25, len(place) - 0.75)
    quiet(axes)
    return ends


def quiet(axes: Axes) -> None:
    """Only what is needed to read values off."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(True, axis="y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)


def mean_curves(group: Group) -> Figure:
    """The mean over tasks by shots, with every line named where it ends."""
    with matplotlib.rc_context(SETTINGS):
        made = figure(8.6, max(4.2, 0.24 * len(group.rows) + 1.2))
        axes = made.add_subplot()
        ends = draw_curves(axes, group, None, bands=len(group.rows) <= BANDS)
        fewer = any(map(lacks_seeds, group.rows))
        axes.set_xlabel("training images per class" + f"    ({FEWER} some points are means over fewer seeds)" * fewer)
        axes.set_ylabel("mean accuracy over tasks (%)")
        _name_lines(axes, group, ends)
    return made


def lacks_seeds(row: Row) -> bool:
    """Whether a point of the row's curve is a mean over fewer seeds than were asked for."""
    return any(series.runs and series.note for series in row.by_shots.values())


def _name_lines(axes: Axes, group: Group, ends: dict[str, tuple[float, float]]) -> None:
    """Labels to the right of the lines' ends, moved apart as far as they would overlap, each led to by a thin line."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    fewer = {row.label for row in group.rows if lacks_seeds(row)}
    right = len(group.shots) - 1
    # What a label takes of the axis: 9 points of the axes' height, which the layout makes about 87 % of the figure's.
    step = (high - low) * 11.5 / (axes.figure.get_figheight() * 72 * 0.87)
    ordered = sorted(ends, key=lambda label: ends[label][1])
    heights = spaced([ends[label][1] for label in ordered], step, low, high)
    for label, y in zip(ordered, heights, strict=True):
        style, (x, value) = styles(group.rows)[label], ends[label]
        # A line from an end well within would cross the others; its marker tells enough.
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
    """Ascending values moved as little as it takes to be ``step`` apart, between low and high if they fit there."""
    blocks: list[list[float]] = []  # [sum of wanted first places, members]
    for value in values:
        blocks.append([value, 1])
        while len(blocks) > 1 and _first(blocks[-2], step) + blocks[-2][1] * step > _first(blocks[-1], step):
            total, count = blocks.pop()
            before = blocks[-1]
            before[0] += total - count * before[1] * step
            before[1] += count
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
    """One task's accuracy by shots, without a legend: for a page that has one for all."""
    with matplotlib.rc_context(SETTINGS):
        made = figure(3.6, 2.6)
        axes = made.add_subplot()
        draw_curves(axes, group, task, bands=len(group.rows) <= BANDS)
        axes.set_title(plain(group.tasks[task][0], 34), fontsize=10, loc="left")
    return made


def task_curves(group: Group) -> Figure:
    """All tasks' accuracies by shots, side by side, with one legend."""
    count = len(group.tasks)
    across = min(4, count)
    down = -(-count // across)
    with matplotlib.rc_context(SETTINGS):
        legend_rows = -(-len(group.rows) // 4)
        made = figure(max(3.0 * across, 7.5), 2.4 * down + 0.25 * legend_rows + 0.3)
        grid = made.subplots(down, across, squeeze=False)
        for number, axes in enumerate(grid.flat):
            if number >= count:
                axes.set_axis_off()
                continue
            draw_curves(axes, group, number, bands=len(group.rows) <= BANDS)
            axes.set_title(plain(group.tasks[number][0], 30), fontsize=9, loc="left")
        made.supxlabel("training images per class", fontsize=9)
        made.supylabel("accuracy (%)", fontsize=9)
        handles = [_handle(style) for style in styles(group.rows).values()]
        labels = [plain(row.label, 40, 1) + f" {FEWER} (fewer seeds)" * lacks_seeds(row) for row in group.rows]
        made.legend(handles, labels, loc="outside upper left", ncols=min(4, len(labels)), frameon=False, fontsize=8)
    return made


def _handle(style: Style) -> Line2D:
    return Line2D([], [], color=style.color, marker=style.marker, linestyle=style.line, markersize=4, linewidth=1.3)


def legend_mark(style: Style) -> Figure:
    """A line with its marker, for a legend in a page's own text."""
    made = Figure(figsize=(0.42, 0.17))
    axes = made.add_axes((0, 0, 1, 1))
    axes.plot([0, 0.5, 1], [0] * 3, style.line, color=style.color, linewidth=1.5)
    axes.plot([0.5], [0], style.marker, color=style.color, markersize=5)
    axes.set_axis_off()
    return made


def charted(group: Group, shots: int, most: int = 5) -> list[Row]:
    """The rows that bars show: the reference, zero-shot CLIP and what leads by its mean, in the group's order."""
    there = [row for row in group.rows if (series := row.at(shots)) is not None and series.runs]
    if len(group.tasks) == 1 or len(there) <= most:
        return there

    def rank(row: Row) -> tuple:
        mean = row.at(shots).over_seeds(lambda run: run.mean).mean
        return row is group.reference, row.method == "ZeroshotCLIP" and not row.variant, math.isfinite(mean), mean

    chosen = sorted(there, key=rank, reverse=True)[:most]
    return [row for row in there if row in chosen]


def task_bars(group: Group, shots: int) -> Figure:
    """Accuracy by task at a number of shots: bars side by side, or below each other where tasks or names are many.

    Of a single task every method is a bar; otherwise they are those of ``charted``. Lines are deviations over seeds.
    """
    with matplotlib.rc_context(SETTINGS):
        if len(group.tasks) == 1:
            return _method_bars(group, shots)
        rows = charted(group, shots, 5 if len(group.tasks) <= 20 else 4)
        lying = len(group.tasks) > FEW_TASKS
        thick = 0.84 / max(len(rows), 1)
        names = [plain(name, 28 if lying else 12, 2 if lying else 3) for name, _ in group.tasks]
        size = (8.6, 0.145 * len(rows) * len(names) + 0.1 * len(names) + 1.0) if lying else (10, 4.2)
        made = figure(*size)
        axes = made.add_subplot()
        drawn = []
        for number, row in enumerate(rows):
            stats = row.at(shots).tasks()
            places = [task + (number - (len(rows) - 1) / 2) * thick for task in range(len(stats))]
            color = styles(group.rows)[row.label].color
            drawn.append(_bars(axes, places, stats, thick * 0.9, color, lying))
        _task_axis(axes, names, lying)
        if lying:
            axes.invert_yaxis()
            axes.set_ylim(len(names) - 0.45, -0.55)
        labels = [plain(f"{row.label} {row.at(shots).note}".strip(), 50, 1) for row in rows]
        columns = min(3, len(labels))
        made.legend(drawn, labels, loc="outside upper left", ncols=columns, frameon=False, fontsize=8.5)
    return made


def _bars(axes: Axes, places: list, stats: list[Stat], thick: float, color: str, lying: bool) -> BarContainer:
    means = [stat.mean if math.isfinite(stat.mean) else 0 for stat in stats]
    errors = [stat.std if stat.count > 1 and math.isfinite(stat.std) else 0 for stat in stats]
    shared = {"color": color, "error_kw": {"ecolor": INK, "elinewidth": 0.7}}
    if lying:
        return axes.barh(places, means, thick, xerr=errors, **shared)
    return axes.bar(places, means, thick, yerr=errors, **shared)


def _task_axis(axes: Axes, names: list[str], lying: bool) -> None:
    axis = axes.yaxis if lying else axes.xaxis
    axis.set_major_locator(FixedLocator(range(len(names))))
    axis.set_minor_locator(NullLocator())
    (axes.set_yticklabels if lying else axes.set_xticklabels)(names)
    (axes.set_xlabel if lying else axes.set_ylabel)("accuracy (%)")
    (axes.set_xlim if lying else axes.set_ylim)(0, 100)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(True, axis="x" if lying else "y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)


def _method_bars(group: Group, shots: int) -> Figure:
    rows = charted(group, shots)
    made = figure(8.6, 0.3 * len(rows) + 1.0)
    axes = made.add_subplot()
    for number, row in enumerate(rows):
        stat = row.at(shots).tasks()[0]
        _bars(axes, [number], [stat], 0.72, styles(group.rows)[row.label].color, True)
        if math.isfinite(stat.mean):
            edge = stat.mean + (stat.std if stat.count > 1 else 0)
            axes.annotate(f"{stat.mean:.1f}", (min(edge, 97) + 1, number), va="center", fontsize=8.5)
    _task_axis(axes, [plain(f"{row.label} {row.at(shots).note}".strip(), 40) for row in rows], True)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_title(plain(group.tasks[0][0], 60), fontsize=10, loc="left")
    return made


def save(made: Figure, path: Path) -> list[Path]:
    """Writes ``path`` as .png and as .svg, on white, and returns both."""
    written = [path.with_name(f"{path.name}.{kind}") for kind in ("png", "svg")]
    with matplotlib.rc_context(SETTINGS):
        made.savefig(written[0], dpi=160, bbox_inches="tight", facecolor="white")
        made.savefig(written[1], bbox_inches="tight", facecolor="white", metadata={"Date": None})
    return written


def markup(made: Figure, name: str, tight: bool = True) -> str:
    """The figure as an SVG element: transparent, in the colours of the text around it, its ids ``name``'s own.

    ``tight``: as large as what it shows, and not as it was asked for.
    """
    text = io.StringIO()
    with matplotlib.rc_context(SETTINGS):
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        made.savefig(text, format="svg", bbox_inches="tight" if tight else None, transparent=True, metadata=metadata)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor").replace(GRID, "var(--grid)")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(?<= id=")|(?<=href="#)|(?<=url\(#)', f"{name}-", svg)
    return re.sub(r"\s*\n\s*", "\n", svg)

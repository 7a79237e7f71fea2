"""Draws the figure of the method: docs/images/method.svg, and method-dark.svg for dark pages.

python docs/figures/method.py                                  # both files; the same bytes with one matplotlib
python docs/figures/method.py --format png --output /tmp       # to look at while editing
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, pi, sin
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Ellipse, FancyArrowPatch, FancyBboxPatch

IMAGES = Path(__file__).resolve().parent.parent / "images"
SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "path",  # the same glyphs everywhere, with matplotlib's own font
    "svg.hashsalt": "softcpt",  # the same ids in every run
    "font.family": "DejaVu Sans",
    "mathtext.fontset": "dejavusans",
}

# Inches, and the unit of all coordinates. A README is about 8.5 inches wide, so text of 9 points stays readable.
WIDTH, HEIGHT = 10.0, 5.1
TASK, CLASS, IMAGE = 4.28, 2.42, 0.72  # heights of the three rows
PROMPT, ENCODER, FEATURE, LATER = 0.25, 3.85, 5.6, 6.9  # left edges of the columns
STEP = 0.42  # between class prompts
BOX = (1.35, 0.82)
CELL, GAP, TALL = 0.34, 0.03, 0.32  # of tokens
VECTOR = (5, 0.15)  # cells, and the side of one

CLASSES = ("scarlet", "tangerine", "lavender")
SCORES = (0.86, 0.09, 0.05)  # invented, to show a softmax


@dataclass(frozen=True)
class Kind:
    """How one kind of part is drawn."""

    fill: str
    edge: str
    line: float = 1.0


@dataclass(frozen=True)
class Palette:
    """The colours of a page and of the kinds of parts."""

    page: str
    ink: str
    faint: str
    learned: Kind
    frozen: Kind
    computed: Kind
    token: Kind


LIGHT = Palette(
    page="#ffffff",
    ink="#1f2328",
    faint="#59636e",
    learned=Kind("#ffc78a", "#b8500a", 1.8),
    frozen=Kind("#e8ecf1", "#8a949f"),
    computed=Kind("#cfe3fb", "#2f6fb8"),
    token=Kind("#ffffff", "#a9b2bc"),
)
DARK = Palette(
    page="#0d1117",
    ink="#e6edf3",
    faint="#9aa5b1",
    learned=Kind("#9a4708", "#ffb066", 1.8),
    frozen=Kind("#262d36", "#7d8894"),
    computed=Kind("#173a63", "#6cb0f5"),
    token=Kind("#0d1117", "#5d6772"),
)


class Canvas:
    """Axes in inches without a frame, and the shapes that the figure consists of. Heights are those of middles."""

    def __init__(self, palette: Palette):
        self.palette = palette
        self.figure = Figure(figsize=(WIDTH, HEIGHT), facecolor=palette.page)
        self.axes: Axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set_xlim(0, WIDTH)
        self.axes.set_ylim(0, HEIGHT)
        self.axes.axis("off")

    def text(self, x: float, y: float, text: str, *, align: str = "center", bold: bool = False) -> None:
        """A heading or a label."""
        weight = "bold" if bold else "normal"
        self.axes.text(x, y, text, size=9.5, color=self.palette.ink, ha=align, va="center_baseline", weight=weight)

    def note(self, x: float, y: float, text: str, *, align: str = "center") -> None:
        """A smaller, fainter line."""
        self.axes.text(x, y, text, size=8.8, color=self.palette.faint, ha=align, va="center_baseline")

    def box(self, x: float, y: float, width: float, height: float, kind: Kind, rounding: float = 0.06) -> None:
        self.axes.add_patch(
            FancyBboxPatch(
                (x, y - height / 2),
                width,
                height,
                boxstyle=f"round,pad=0,rounding_size={rounding}",
                facecolor=kind.fill,
                edgecolor=kind.edge,
                linewidth=kind.line,
            )
        )

    def module(self, x: float, y: float, name: str, state: str, kind: Kind) -> None:
        """A part that computes something."""
        self.box(x, y, *BOX, kind)
        self.text(x + BOX[0] / 2, y + 0.12, name, bold=True)
        self.axes.text(
            x + BOX[0] / 2, y - 0.15, state, size=8.8, color=self.palette.ink, ha="center", va="center_baseline"
        )

    def tokens(self, x: float, y: float, cells: Sequence[tuple[str, Kind, float]]) -> float:
        """A row of tokens, each (text, kind, width); returns the right edge."""
        for text, kind, width in cells:
            self.box(x, y, width, TALL, kind, 0.03)
            self.axes.text(x + width / 2, y, text, size=8.8, color=self.palette.ink, ha="center", va="center_baseline")
            x += width + GAP
        return x - GAP

    def vector(self, x: float, y: float) -> None:
        """A feature."""
        cells, side = VECTOR
        for cell in range(cells):
            self.box(x + cell * side, y, side, side * 1.3, self.palette.computed, 0.01)

    def arrow(self, *points: tuple[float, float]) -> None:
        """An arrow along straight lines."""
        xs, ys = [x for x, _ in points[:-1]], [y for _, y in points[:-1]]
        self.axes.plot(xs, ys, color=self.palette.ink, linewidth=1.2, solid_joinstyle="round", solid_capstyle="butt")
        self.axes.add_patch(
            FancyArrowPatch(
                points[-2],
                points[-1],
                arrowstyle="-|>,head_length=5,head_width=2.6",
                shrinkA=0,
                shrinkB=0,
                linewidth=1.2,
                color=self.palette.ink,
                joinstyle="miter",
            )
        )


def photograph(canvas: Canvas, x: float, y: float, side: float) -> None:
    """A scarlet flower."""
    axes, middle, head = canvas.axes, x + side / 2, y + 0.12 * side
    canvas.box(x, y, side, side, Kind("#dcedf7", canvas.palette.frozen.edge), 0.03)
    axes.plot([middle, middle], [head, y - 0.46 * side], color="#4c8c4a", linewidth=2.4, solid_capstyle="butt")
    for way in (-1, 1):
        leaf = (middle + way * 0.13 * side, y - 0.24 * side)
        axes.add_patch(Ellipse(leaf, 0.27 * side, 0.1 * side, angle=way * 30, facecolor="#4c8c4a"))
    petals = {"facecolor": "#d92b1c", "edgecolor": "#98160d", "linewidth": 0.7, "zorder": 3}
    for petal in range(6):
        turn = petal * pi / 3
        place = (middle + 0.16 * side * cos(turn), head + 0.16 * side * sin(turn))
        axes.add_patch(Ellipse(place, 0.25 * side, 0.17 * side, angle=petal * 60, **petals))
    centre = {"facecolor": "#f4c430", "edgecolor": "#a87f12", "linewidth": 0.7, "zorder": 3}
    axes.add_patch(Circle((middle, head), 0.08 * side, **centre))


def draw(palette: Palette) -> Figure:
    """The figure, row by row."""
    canvas = Canvas(palette)
    learned, frozen, computed, token = palette.learned, palette.frozen, palette.computed, palette.token
    start, stop, end = ("SOS", token, 0.45), (".", token, 0.2), ("EOT", token, 0.45)
    name_width = 1.0
    out = ENCODER + BOX[0]
    feature_end = FEATURE + VECTOR[0] * VECTOR[1]

    # From the task's name to its context
    us = [("$U_1$", learned, CELL), ("…", learned, CELL), ("$U_M$", learned, CELL)]
    right = canvas.tokens(PROMPT, TASK, [start, *us, ("petal colour", token, name_width), stop, end])
    canvas.text(PROMPT, TASK + 0.38, "Task prompt", align="left", bold=True)
    canvas.note(right, TASK + 0.38, "one for each task", align="right")
    canvas.arrow((right + 0.06, TASK), (ENCODER - 0.05, TASK))
    canvas.module(ENCODER, TASK, "Text encoder", "frozen", frozen)
    canvas.arrow((out + 0.05, TASK), (FEATURE - 0.06, TASK))
    canvas.vector(FEATURE, TASK)
    canvas.text((FEATURE + feature_end) / 2, TASK + 0.38, "Task feature", bold=True)
    canvas.arrow((feature_end + 0.06, TASK), (LATER - 0.05, TASK))
    canvas.module(LATER, TASK, "Linear map $W$", "learned", learned)
    canvas.arrow((LATER + BOX[0] + 0.05, TASK), (LATER + BOX[0] + 0.34, TASK))
    ss = [("$S_1$", computed, CELL), ("…", computed, CELL), ("$S_L$", computed, CELL)]
    contexts = LATER + BOX[0] + 0.4
    right = canvas.tokens(contexts, TASK, ss)
    canvas.text((contexts + right) / 2, TASK + 0.38, "Context", bold=True)

    # The context opens every class prompt of the task
    slots = PROMPT + 0.45 + GAP
    slots_middle = slots + 1.5 * CELL + GAP
    turn = (TASK + CLASS + STEP) / 2 + 0.02
    down = (contexts + right) / 2
    canvas.note(FEATURE + 0.1, turn + 0.14, "the context of the task, in each of its class prompts")
    canvas.arrow(
        (down, TASK - TALL / 2 - 0.05),
        (down, turn),
        (slots_middle, turn),
        (slots_middle, CLASS + STEP + TALL / 2 + 0.05),
    )
    for row, name in enumerate(CLASSES):
        y = CLASS + STEP * (1 - row)
        right = canvas.tokens(PROMPT, y, [start, *ss, (name, token, name_width), stop, end])
        canvas.vector(FEATURE, y)
    canvas.text(right, CLASS + STEP + 0.36, "Class prompts", align="right", bold=True)
    canvas.arrow((right + 0.06, CLASS), (ENCODER - 0.05, CLASS))
    canvas.module(ENCODER, CLASS, "Text encoder", "frozen, the same", frozen)
    canvas.arrow((out + 0.05, CLASS), (FEATURE - 0.06, CLASS))
    canvas.text((FEATURE + feature_end) / 2, CLASS + STEP + 0.36, "Class features", bold=True)

    # The image, compared with the classes of its own task
    side = 1.1
    photograph(canvas, slots_middle - side / 2, IMAGE, side)
    canvas.text(slots_middle + side / 2 + 0.12, IMAGE, "Image", align="left", bold=True)
    canvas.arrow((slots_middle + side / 2 + 0.75, IMAGE), (ENCODER - 0.05, IMAGE))
    canvas.module(ENCODER, IMAGE, "Image encoder", "frozen", frozen)
    canvas.arrow((out + 0.05, IMAGE), (FEATURE - 0.06, IMAGE))
    canvas.vector(FEATURE, IMAGE)
    canvas.text((FEATURE + feature_end) / 2, IMAGE + 0.38, "Image feature", bold=True)
    hub, radius = LATER + 0.3, 0.27
    canvas.axes.add_patch(Circle((hub, CLASS), radius, facecolor=token.fill, edgecolor=palette.ink, linewidth=1.2))
    canvas.text(hub, CLASS, "cos")
    canvas.arrow((feature_end + 0.06, CLASS), (hub - radius - 0.03, CLASS))
    canvas.arrow((feature_end + 0.06, IMAGE), (hub, IMAGE), (hub, CLASS - radius - 0.03))
    bars = 8.75
    canvas.arrow((hub + radius + 0.03, CLASS), (bars - 0.95, CLASS))
    canvas.text(bars - 0.85, CLASS + STEP + 0.36, "Softmax within the task", align="left", bold=True)
    for row, (name, score) in enumerate(zip(CLASSES, SCORES, strict=True)):
        y = CLASS + STEP * (1 - row)
        canvas.text(bars - 0.06, y, name, align="right")
        canvas.box(bars, y, score, 0.2, computed, 0.02)

    canvas.note(bars - 0.85, CLASS - STEP - 0.38, "its loss trains $U$ and $W$ only", align="left")

    # Legend
    for row, (kind, words) in enumerate(
        [(learned, "learned, shared by tasks"), (frozen, "frozen CLIP"), (computed, "computed")]
    ):
        y = IMAGE + 0.3 * (1 - row)
        canvas.box(bars - 0.85, y, 0.3, 0.18, kind, 0.02)
        canvas.note(bars - 0.45, y, words, align="left")
    return canvas.figure


def main() -> int:
    parser = argparse.ArgumentParser(description="Draw the figure of the method.")
    parser.add_argument("--output", type=Path, default=IMAGES, help="folder; default: docs/images")
    parser.add_argument("--format", choices=("svg", "png"), default="svg")
    args = parser.parse_args()
    for name, palette in (("method", LIGHT), ("method-dark", DARK)):
        path = args.output / f"{name}.{args.format}"
        with matplotlib.rc_context(SETTINGS):
            draw(palette).savefig(path, dpi=110, metadata={"Date": None} if args.format == "svg" else None)
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

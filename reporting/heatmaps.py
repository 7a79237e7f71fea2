"""Heat maps of task similarity and of confusions between classes."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize, PowerNorm, to_rgb
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from reporting.figures import SETTINGS, figure, plain

COLORS = "cividis"  # looks the same with any colour vision
# Transparent to opaque, so that they work on light and dark backgrounds.
ERRORS, CORRECT = (
    ListedColormap([(*to_rgb(hue), 0.12 + 0.88 * i / 255) for i in range(256)]) for hue in ("#e0591f", "#7f8792")
)
DOTS = 100  # above this many classes, cells are too small to see and become dots
WRITTEN = 12  # up to this many rows, values are written into the cells
NAMED = 48  # up to this many rows, rows and columns are named


def similarity_map(names: Sequence[str], matrix: Sequence[Sequence[float]]) -> Figure:
    """Cosines between tasks; the diagonal, always 1, does not set the colour scale."""
    values = np.array(matrix, float)
    count = len(names)
    own = np.eye(count, dtype=bool)
    others = np.where(own, np.nan, values)
    with matplotlib.rc_context(SETTINGS):
        drawing, axes = _square(count, names)
        finite = others[np.isfinite(others)]
        scale = Normalize(finite.min(), finite.max()) if finite.size else Normalize(0, 1)
        drawn = axes.imshow(others, cmap=COLORS, norm=scale, interpolation="none")
        axes.imshow(np.where(own, 0.3, np.nan), cmap=CORRECT, vmin=0, vmax=1, interpolation="none")
        _name_axes(axes, names)
        if count <= WRITTEN:
            _write_values(axes, others, drawn)
        if finite.size:
            _scale(drawing, axes, drawn, "cosine")
    return drawing


def confusion_map(names: Sequence[str], counts: Sequence[tuple[int, int, int]], note: str = "") -> Figure:
    """The percentage of each class's images (a row) that was predicted as each class.

    Correct predictions are grey, so that errors set the colour scale and small ones are visible. With few classes the
    percentages are written into the cells; with many, only errors are drawn and classes are numbered. ``note`` is the
    number of images, which is written above.
    """
    count = len(names)
    images = np.zeros((count, count))
    for true, predicted, number in counts:
        images[true, predicted] += number
    totals = images.sum(axis=1, keepdims=True)
    shares = 100 * np.divide(images, totals, out=np.full_like(images, np.nan), where=totals > 0)
    own = np.eye(count, dtype=bool)
    errors = np.where(own | ~(shares > 0), np.nan, shares)
    with matplotlib.rc_context(SETTINGS):
        drawing, axes = _square(count, names)
        top = np.nanmax(errors) if np.isfinite(errors).any() else 1.0
        shown = errors if count <= DOTS else np.full_like(errors, np.nan)
        norm = PowerNorm(0.5, 0, max(top, 1.0))
        drawn: ScalarMappable = axes.imshow(shown, cmap=ERRORS, norm=norm, interpolation="none")
        axes.imshow(np.where(own, shares, np.nan), cmap=CORRECT, vmin=0, vmax=160, interpolation="none")
        if count > DOTS:
            rows, columns = np.nonzero(np.isfinite(errors))
            sizes = 1.5 + 9 * np.sqrt(errors[rows, columns] / max(top, 1.0))
            drawn = axes.scatter(
                columns, rows, sizes, errors[rows, columns], marker="s", linewidths=0, cmap=ERRORS, norm=norm,
                rasterized=True,
            )  # fmt: skip
        _name_axes(axes, names)
        numbered = "" if count <= NAMED else " (class number)"
        axes.set_xlabel(f"predicted{numbered}")
        axes.set_ylabel(f"true{numbered}")
        axes.set_title(note, fontsize=8, loc="left")
        if count <= WRITTEN:
            for (row, column), share in np.ndenumerate(shares):
                if share > 0:
                    axes.text(column, row, f"{share:.0f}", ha="center", va="center", fontsize=7.5)
        if np.isfinite(errors).any():
            _scale(drawing, axes, drawn, "% of the class's images")
    return drawing


def _square(count: int, names: Sequence[str]) -> tuple[Figure, Axes]:
    """Axes whose cells shrink as their number grows, with room for names at the left and below."""
    longest = min(max(map(len, names), default=0), 30) if count <= NAMED else 4
    side = min(max(0.36 * count, 1.9), 0.19 * count + 2.2, 7.6)
    room = 0.075 * longest + 0.3
    drawing = figure(side + room + 0.9, side + (room if count > 3 else room * 0.8) + 0.2)
    return drawing, drawing.add_subplot()


def _name_axes(axes: Axes, names: Sequence[str]) -> None:
    count = len(names)
    for side in axes.spines.values():
        side.set_visible(False)
    if count > NAMED:
        return
    size = 8.5 if count <= 20 else 7 if count <= 32 else 6
    shown = [plain(name, 30, 1) for name in names]
    axes.set_xticks(range(count), shown, rotation=90 if count > 6 else 45, fontsize=size)
    if count <= 6:
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    axes.set_yticks(range(count), shown, fontsize=size)


def _write_values(axes: Axes, values: np.ndarray, drawn: AxesImage) -> None:
    """Write values into their cells, in black or white, whichever is readable."""
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            red, green, blue, _ = drawn.cmap(drawn.norm(value))
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
            color = "white" if dark else "black"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=color)


def _scale(drawing: Figure, axes: Axes, drawn: ScalarMappable, label: str) -> None:
    bar = drawing.colorbar(drawn, ax=axes, shrink=0.8, aspect=24, pad=0.02)
    bar.outline.set_visible(False)
    bar.set_label(label)

"""The content of figures, and that their labels are readable."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib import image as images
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.container import BarContainer

from common.catalogue import METHODS
from reporting import figures, heatmaps
from reporting.collection import read_collection

TWENTY = [
    "ZeroshotCLIP", "LP-CLIP", "ProtoNet", "Tip-Adapter", "Tip-Adapter-F", "CoOp-CA", "CoOp-CS", "CoOp-MT", "CoCoOp",
    "ProGrad", "KgCoOp", "PLOT", "MaPLe", "PromptSRC", "CLIP-LoRA", "MVLPT", "SoftCPT-NATA", "SoftCPT-NATS",
    "SoftCPT-CSTA", "another",
]  # fmt: skip


@pytest.fixture
def group_of(make_run, tmp_path):
    """group_of(tasks, methods, shots, seeds) is a group of runs with similar accuracies."""

    def make(tasks, methods, shots=(1, 4), seeds=(1,), value=None):
        names = [f"attribute number {i} of many, <b> $x_{i}$" for i in range(tasks)]
        for m, method in enumerate(methods):
            for n in shots:
                for s in seeds:
                    row = [value or 50.0 + m / 10 + n + s / 2 + i % 7 for i in range(tasks)]
                    make_run(row, method, shots=n, seed=s, names=names)
        return read_collection(tmp_path).groups[0]

    return make


def overlaps(made, texts):
    """Pairs of texts of a drawn figure that overlap by more than a pixel."""
    canvas = FigureCanvasAgg(made)
    canvas.draw()
    boxes = [(t.get_text(), t.get_window_extent(canvas.get_renderer())) for t in texts if t.get_text()]
    return [
        (a, b)
        for i, (a, first) in enumerate(boxes)
        for b, second in boxes[:i]
        if min(first.x1, second.x1) - max(first.x0, second.x0) > 1
        and min(first.y1, second.y1) - max(first.y0, second.y0) > 1
    ]


@pytest.mark.parametrize("methods", [1, 20])
def test_each_line_has_a_label_and_labels_do_not_overlap(group_of, methods):
    group = group_of(2, TWENTY[:methods])
    made = figures.mean_curves(group)
    texts = made.axes[0].texts
    assert len(texts) == methods
    assert sorted(text.get_text() for text in texts) == sorted(row.label for row in group.rows)
    assert overlaps(made, texts) == []


def test_a_point_over_fewer_seeds_is_marked(make_run, tmp_path):
    for method, shots, seed in (("A", 1, 1), ("A", 1, 2), ("A", 4, 1), ("A", 4, 2)):
        make_run([50.0, 60.0], method, shots=shots, seed=seed)
    make_run([50.0, 60.0], shots=1, seed=1)
    make_run([50.0, 60.0], shots=4, seed=1)
    group = read_collection(tmp_path).groups[0]
    axes = figures.mean_curves(group).axes[0]
    assert figures.FEWER in axes.get_xlabel()
    assert f"SoftCPT-NATA {figures.FEWER}" in [text.get_text() for text in axes.texts]
    (legend,) = figures.task_bars(group, 4).legends
    assert "SoftCPT-NATA (1 of 2 seeds)" in [text.get_text() for text in legend.get_texts()]


def test_labels_of_curves_are_moved_as_little_as_possible():
    assert figures.spaced([1.0, 5.0], 1, 0, 10) == [1.0, 5.0]
    assert figures.spaced([5.0, 5.0, 5.0], 1, 0, 10) == [4.0, 5.0, 6.0]
    assert figures.spaced([9.9, 10.0], 1, 0, 10) == [9.0, 10.0]
    placed = figures.spaced([0.0, 0.1, 0.2, 3.0, 3.1], 1, 0, 10)
    assert min(b - a for a, b in zip(placed, placed[1:], strict=False)) > 0.999 and placed[0] >= 0


def test_no_two_methods_look_alike(group_of):
    looks = figures.styles(group_of(1, TWENTY).rows)
    assert len(set(looks.values())) == len(TWENTY)


def test_a_family_shares_a_hue_and_unknown_methods_have_a_spare_one(group_of):
    assert {method.family for method in METHODS.values()} <= figures.PALETTE.keys()
    assert figures.SPARE not in figures.PALETTE.values()
    group = group_of(1, ["CoOp-CA", "PLOT", "SoftCPT-CATS", "another"])
    colors = [style.color for style in figures.styles(group.rows).values()]
    assert colors == ["#2f7fd0", "#8a6fd1", "#d9541e", figures.SPARE]
    group = group_of(1, ["CoOp-MT", "CoOp-CS"], shots=(8,))
    alike = [style for label, style in figures.styles(group.rows).items() if label.startswith("CoOp")]
    assert [style.color for style in alike] == ["#2f7fd0", "#24619e", "#7eb0e2"]
    assert [style.marker for style in alike] == ["o", "s", "D"]


@pytest.mark.parametrize("tasks", [1, 8, 44])
def test_bars_of_few_and_many_tasks(group_of, tasks):
    group = group_of(tasks, TWENTY, shots=(4,), seeds=(1, 2))
    made = figures.task_bars(group, 4)
    (axes,) = made.axes
    labels = axes.get_yticklabels() if tasks in (1, 44) else axes.get_xticklabels()
    assert len(labels) == (len(TWENTY) if tasks == 1 else tasks)
    assert overlaps(made, labels) == []
    assert len(axes.patches) == (len(TWENTY) if tasks == 1 else tasks * (5 if tasks == 8 else 4))
    if tasks == 8:  # heights are the means over both seeds
        reference = [row.label for row in figures.charted(group, 4)].index("SoftCPT-NATA")
        bars = [container for container in axes.containers if isinstance(container, BarContainer)]
        heights = [bar.get_height() for bar in bars[reference]]
        assert heights == pytest.approx([stat.mean for stat in group.reference.at(4).tasks()])


@pytest.mark.parametrize("tasks", [1, 8, 44])
def test_each_task_has_a_panel_of_curves(group_of, tasks):
    group = group_of(tasks, TWENTY[-3:])
    made = figures.task_curves(group)
    shown = [axes for axes in made.axes if axes.axison]
    assert len(shown) == tasks and len(made.legends[0].get_texts()) == 3
    (line,) = [line for line in shown[0].lines if line.get_linewidth() > 2]
    assert list(line.get_ydata()) == [stat.mean for _, stat in figures.curve(group, group.reference, 0)]


def test_nan_leaves_a_gap(group_of, make_run, tmp_path):
    """A task without test images has no accuracy with any method: its curves and bars are missing, others are not."""
    nan = float("nan")
    for shots, value in ((1, nan), (4, 60.0), (8, 70.0)):
        make_run([nan, 50.0 + shots], shots=shots)
        make_run([value, 40.0 + shots], "CoOp-CA", shots=shots)
    group = read_collection(tmp_path).groups[0]
    coop, soft = group.rows
    assert figures.curve(group, soft, 0) == [] and figures.curve(group, soft, None) == []
    assert [(shots, stat.mean) for shots, stat in figures.curve(group, coop, 0)] == [(4, 60.0), (8, 70.0)]
    curves, panels, bars = figures.mean_curves(group), figures.task_curves(group), figures.task_bars(group, 8)
    assert [text.get_text() for text in curves.axes[0].texts] == [coop.label]
    drawn = [[list(line.get_xdata()) for line in axes.lines] for axes in panels.axes]
    assert drawn == [[[1, 2]], [[0, 1, 2], [0, 1, 2]]]  # positions of 1, 4 and 8 shots
    heights = [[bar.get_height() for bar in part] for part in bars.axes[0].containers if isinstance(part, BarContainer)]
    assert heights == [[70.0, 48.0], [0.0, 58.0]]
    for made in (curves, panels, bars):
        for path in figures.save(made, tmp_path / "figure"):
            assert path.suffix == ".svg" or images.imread(path).std() > 0.01  # it is drawn, not blank


def test_without_any_number_figures_are_empty(group_of, tmp_path):
    group = group_of(2, TWENTY[:2], value=float("nan"))
    assert all(figures.curve(group, row, task) == [] for row in group.rows for task in (0, 1, None))
    for made in (figures.mean_curves(group), figures.task_curves(group)):
        assert [line for axes in made.axes for line in axes.lines] == []
        figures.save(made, tmp_path / "figure")
    bars = figures.task_bars(group, 4)
    assert {bar.get_height() for bar in bars.axes[0].patches} == {0.0}
    figures.save(bars, tmp_path / "figure")


@pytest.mark.parametrize("count", [1, 2, 8, 44, 397])
def test_confusions_of_few_and_many_classes(count):
    names = [f"class name {i}" for i in range(count)]
    counts = [(i, i, 9) for i in range(count)] + [(i, (i * 7 + 1) % count, 3) for i in range(count) if count > 2]
    made = heatmaps.confusion_map(names, counts)
    axes = made.axes[0]
    named = count <= heatmaps.NAMED
    assert [t.get_text() for t in axes.get_yticklabels()] == names if named else "number" in axes.get_ylabel()
    assert overlaps(made, axes.get_yticklabels()) == [] and overlaps(made, axes.texts) == []
    if count == 8:
        written = {text.get_position(): text.get_text() for text in axes.texts}
        assert written[3, 3] == "75" and written[(3 * 7 + 1) % 8, 3] == "25" and len(written) == 16
        errors = np.ma.filled(axes.images[0].get_array(), np.nan)
        assert np.isnan(np.diag(errors)).all()  # correct predictions do not set the scale


@pytest.mark.parametrize("count", [2, 8, 44])
def test_the_diagonal_does_not_set_the_scale_of_similarities(count):
    matrix = np.full((count, count), 0.9)
    matrix[0, 1] = matrix[1, 0] = 0.7
    np.fill_diagonal(matrix, 1.0)
    made = heatmaps.similarity_map([f"task number {i}" for i in range(count)], matrix.tolist())
    image = made.axes[0].images[0]
    if count > 2:
        assert (image.norm.vmin, image.norm.vmax) == (0.7, 0.9)
    assert overlaps(made, made.axes[0].get_yticklabels()) == []


def test_similarities_of_nan_are_blank_cells_without_a_scale():
    nan = float("nan")
    made = heatmaps.similarity_map(["a", "b"], [[1.0, nan], [nan, 1.0]])
    (axes,) = made.axes  # no colour bar
    cosines, diagonal = (np.ma.filled(image.get_array(), nan) for image in axes.images)
    assert np.isnan(cosines).all() and not np.isnan(np.diag(diagonal)).any()
    assert list(axes.texts) == []
    made = heatmaps.similarity_map(list("abc"), [[1.0, nan, 0.5], [nan, 1.0, 0.7], [0.5, 0.7, 1.0]])
    axes, _ = made.axes
    assert sorted(text.get_text() for text in axes.texts) == ["0.50", "0.50", "0.70", "0.70"]
    assert (axes.images[0].norm.vmin, axes.images[0].norm.vmax) == (0.5, 0.7)


def test_files_and_markup(group_of, tmp_path):
    made = figures.task_bars(group_of(2, TWENTY[:2]), 4)
    png, svg = figures.save(made, tmp_path / "bars.of")
    assert png.name == "bars.of.png" and png.read_bytes()[:4] == b"\x89PNG"
    assert ElementTree.parse(svg).getroot().tag.endswith("svg")
    first, second = figures.markup(made, "one"), figures.markup(made, "two")
    assert first.startswith("<svg") and "<b>" not in first and "&lt;b&gt;" in first
    assert figures.INK not in first and "currentColor" in first
    ids = [re.findall(r' id="([^"]+)"', text) for text in (first, second)]
    assert len(set(ids[0])) == len(ids[0]) and not set(ids[0]) & set(ids[1])
    for text in (first, second):
        used = re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', text)
        assert {a or b for a, b in used} <= set(re.findall(r' id="([^"]+)"', text))


def test_pyplot_is_not_imported(group_of):
    import sys

    figures.markup(figures.mean_curves(group_of(1, TWENTY[:2])), "x")
    assert "matplotlib.pyplot" not in sys.modules

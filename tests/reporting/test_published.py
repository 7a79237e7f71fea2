"""The published figures in the file, and their table next to ours."""

import pytest

from common.catalogue import METHODS
from reporting.collection import read_collection
from reporting.published import COLLECTIONS, FILE, PUBLISHED_NAMES, SHOTS, published_table, read_published

# The file's lines, split at commas: collection, method, parameters, minutes, shots, mean, deviation.
LINES = [line.split(",") for line in FILE.read_text("utf-8").splitlines()[1:]]


@pytest.fixture
def group(make_run, tmp_path):
    """group({shots: accuracies by seed}, method) is a group of runs with these accuracies."""

    def make(by_shots, method="SoftCPT-NATA", **more):
        for shots, accuracies in by_shots.items():
            for seed, accuracy in accuracies.items():
                make_run([accuracy], method, shots=shots, seed=seed, backbone="RN50", **more)
        return read_collection(tmp_path).groups[0]

    return make


def test_all_figures_of_the_file_are_read():
    figures = read_published()
    assert len(figures) == len(LINES) == 4 * (12 * 6 + 1)
    for collection, method, _, _, shots, mean, std in LINES:
        figure = figures[collection, method, shots]
        assert (figure.mean, figure.std) == (mean, std)


def test_the_catalogue_has_all_published_methods():
    assert PUBLISHED_NAMES.keys() <= METHODS.keys()
    ours = {PUBLISHED_NAMES.get(name, name) for name in METHODS}
    assert {line[1] for line in LINES} <= ours


def test_published_averages_are_those_of_the_five_numbers_of_shots():
    table = {(c, m, s): float(mean) for c, m, _, _, s, mean, _ in LINES}
    for (collection, method, shots), mean in table.items():
        if shots == "avg" and method != "ZS-CLIP":
            assert mean == pytest.approx(sum(table[collection, method, str(n)] for n in SHOTS) / 5, abs=0.0101)


@pytest.mark.parametrize("dataset", COLLECTIONS)
@pytest.mark.parametrize("method", ["SoftCPT-NATA", "SoftCPT-STAR", "CoOp-CA"])
def test_the_table_shows_the_files_own_figures(group, dataset, method):
    ours = {
        1: {1: 50.0, 2: 52.0},
        2: {1: 60.0, 2: 60.0},
        4: {1: 61.0, 2: 61.0},
        8: {1: 62.0, 2: 62.0},
        16: {1: 70.5, 2: 70.5},
    }
    table = published_table(dataset, group(ours, method))
    collection, name = COLLECTIONS[dataset], PUBLISHED_NAMES.get(method, method)
    theirs = {s: (mean, std) for c, m, _, _, s, mean, std in LINES if (c, m) == (collection, name)}
    assert [row[1] for row in table.rows] == ["1", "2", "4", "8", "16", "avg"]
    assert [row[3] for row in table.rows] == [f"{mean} ± {std}" for mean, std in theirs.values()]
    assert table.rows[0][2] == "51.00 ± 1.00" and table.rows[5][2] == "60.90 ± 0.20"
    assert table.rows[0][4] == f"{51.0 - float(theirs['1'][0]):+.2f}"


def test_fewer_seeds_have_a_note_and_fewer_shots_no_average(group):
    rows = published_table("plant6", group({1: {1: 50.0, 2: 52.0}, 4: {1: 60.0}})).rows
    assert [row[1:3] for row in rows] == [["1", "51.00 ± 1.00"], ["4", "60.00 (1 of 2 seeds)"]]


def test_zero_shot_and_methods_or_collections_that_are_not_published(group, make_run):
    make_run([10.0], "Tip-Adapter", backbone="RN50")
    zero = {"shots": -1, "seed": 1, "counts": {"trainable_parameters": 0}}
    made = group({0: {1: 51.0}}, "ZeroshotCLIP", **{"counts": zero["counts"]})
    assert published_table("plant6", made).rows == [["Zero-shot CLIP", "avg", "51.00", "50.96", "+0.04"]]
    assert published_table("garden8", made).rows == []


def test_nan_is_a_dash(group):
    (row,) = published_table("rs8", group({1: {1: float("nan")}})).rows
    assert (row[2], row[4]) == ("-", "-")

"""Tables for papers and for other programs."""

import csv
import io
import shutil
import subprocess

import pytest

from reporting.collection import read_collection
from reporting.export import escaped, latex, runs_csv, summary_csv, table_csv
from reporting.overview import by_shots
from reporting.tables import Table


def test_latex_uses_booktabs_and_marks_best_and_second():
    table = Table(["method", "1 shot"], [["A_1", "50.0 ± 1.0"], ["B & C", "60.0"], ["[x]", "-"], ["mean", "1 %"]])
    table.best, table.second, table.rules = {(1, 1)}, {(0, 1)}, {3}
    assert latex(table).splitlines() == [
        r"\begin{tabular}{lr}", r"\toprule", r"method & 1 shot \\", r"\midrule",
        r"A\_1 & \underline{50.0 $\pm$ 1.0} \\", r"B \& C & \textbf{60.0} \\", r"{}[x] & - \\",
        r"\midrule", r"mean & 1 \% \\", r"\bottomrule", r"\end{tabular}",
    ]  # fmt: skip
    floated = latex(table, "All of it: 100 %", "tab:all")
    assert r"\caption{All of it: 100 \%}" in floated and floated.startswith("\\begin{table}\n")


def test_every_special_character_is_escaped():
    assert escaped(r"\{}$&#^_~%<>|") == (
        r"\textbackslash{}\{\}\$\&\#\textasciicircum{}\_\textasciitilde{}\%\textless{}\textgreater{}\textbar{}"
    )


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(tmp_path):
    table = Table(["a", "b"], [[r"\{}$&#^_~%<>|", "1.0 ± 2.0"], ["[x]", "*"]], best={(0, 1)}, rules={1})
    text = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n" + latex(table, "x") + "\\end{document}\n"
    (tmp_path / "t.tex").write_text(text)
    subprocess.run(["pdflatex", "-halt-on-error", "t.tex"], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)


def test_the_second_best_of_a_column_differs_as_printed(make_run, tmp_path):
    for method, accuracy in (("A", 50.0), ("B", 60.0), ("C", 60.04), ("D", float("nan"))):
        make_run([accuracy], method)
    table = by_shots(read_collection(tmp_path).groups[0])
    assert (table.best, table.second) == ({(1, 1), (2, 1)}, {(0, 1)})
    assert table.transposed().second == {(0, 1)} and table.select([1, 0]).second == {(0, 0)}


def lines_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_has_a_line_per_run_and_task_and_counts_seeds(make_run, tmp_path):
    names = ["petal, colour", 'leaf "shape"']
    make_run([50.125, float("nan")], seed=1, names=names)
    make_run([52.0, 60.0], seed=2, names=names)
    make_run([1.0, 2.0], "CoOp-CA", seed=3, names=names)
    groups = read_collection(tmp_path).groups
    runs = lines_of(runs_csv(groups))
    assert len(runs) == 6
    assert [line["task"] for line in runs[2:4]] == names
    assert (runs[2]["accuracy"], runs[3]["accuracy"], runs[2]["seed"]) == ("50.125", "", "1")
    summary = {line["method"]: line for line in lines_of(summary_csv(groups))}
    soft, coop = summary["SoftCPT-NATA"], summary["CoOp-CA"]
    assert (soft["seeds_finished"], soft["seeds_asked"], soft["mean"]) == ("2", "3", "")  # one of the two is NaN
    assert (coop["seeds_finished"], coop["mean"], coop["std"]) == ("1", "1.5", "")


def test_csv_has_chance_where_classes_were_recorded(make_run, make_full_run, tmp_path):
    make_run([50.0, 60.0], seed=1)
    make_full_run([50.0, 60.0], "CoOp-CA", seed=1, classes=4)
    groups = read_collection(tmp_path).groups
    runs, summary = lines_of(runs_csv(groups)), lines_of(summary_csv(groups))
    assert [(line["method"], line["chance"]) for line in runs] == [("CoOp-CA", "25.0")] * 2 + [("SoftCPT-NATA", "")] * 2
    assert {line["method"]: line["chance"] for line in summary} == {"CoOp-CA": "25.0", "SoftCPT-NATA": ""}


def test_a_table_as_csv_has_the_printed_cells():
    assert table_csv(Table(["a", "b"], [["x, y", "1 ± 2"]])) == 'a,b\n"x, y",1 ± 2\n'

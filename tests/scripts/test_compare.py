"""scripts/compare.sh's choice of methods, differences between them, and what becomes of those that fail."""

import json

import pytest

from tests.scripts.test_launch import run_folder


def methods_of(calls):
    return list(dict.fromkeys(argv[11].split("/")[-4] for argv in calls))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--methods", "SoftCPT-NATB"], "Method 'SoftCPT-NATB' is unknown; did you mean 'SoftCPT-"),
        (["--methods", "coop-cs,,CoOp-CA"], "'coop-cs,,CoOp-CA' has an empty name in it; known: all, "),
        (["--methods", ""], "has an empty name in it; known: all, "),
        (["--against", "softcp"], "Method 'softcp' is unknown; did you mean 'SoftCPT-"),
        (["--methods", "CoOp-CA", "--against", "coop-ca"], "nothing to be compared with"),
        (["--methods", "CoOp-CA,PLOT"], "Config 'small' is unknown in configs/trainers/PLOT"),
        (["--methods", "all", "--against", "PLOT"], "Config 'small' is unknown in configs/trainers/PLOT"),
        (["--methods", "all", "--cfg", "smal"], "Config 'smal' is unknown in configs/trainers; did you mean 'small'?"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_bad_input_is_one_line_and_nothing_runs(launch, capsys, words, said, check):  # noqa: F811
    assert launch(*["--check"] * check, "compare", "tiny8", "4", *words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1 and said in captured.err
    assert launch.train.calls == []


def test_chosen_methods_in_their_order(launch, clone, capsys):  # noqa: F811
    words = ["--methods", "softcpt-nats, SoftCPT*,zeroshotclip,SoftCPT-STAR", "--seeds", "1"]
    assert launch("compare", "tiny8", "4", *words) == 0
    assert methods_of(launch.train.calls) == ["SoftCPT-NATS", "SoftCPT-STAR", "ZeroshotCLIP"]
    rows = [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()]
    start = rows.index("SoftCPT-NATS")
    assert rows[start : start + 3] == ["SoftCPT-NATS", "SoftCPT*", "Zero-shot CLIP"]
    # The usual comparison's file is left alone.
    (file,) = (clone / "output/tiny8").glob("compare*.md")
    assert file.name == "compare_4shots+methods=SoftCPT-NATS,SoftCPT-STAR,ZeroshotCLIP.md"


def test_all_methods_that_have_the_config(launch, clone, capsys):  # noqa: F811
    assert launch("compare", "tiny8", "1,4", "--methods", "ALL", "--seeds", "1,2") == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    missing = "Left out, as configs/trainers/PLOT has no 'small': PLOT"
    assert lines.count(missing) == 2 and lines[0].startswith("Left out") and captured.err == ""
    assert "configs/trainers/TipAdapter has no 'small': Tip-Adapter, Tip-Adapter-F" in captured.out
    done = methods_of(launch.train.calls)
    assert {"ZeroshotCLIP-ensemble", "CoOp-CS", "SoftCPT-CSTS", "SoftCPT-STAR"} < set(done) and "PLOT" not in done
    assert missing in (clone / "output/tiny8/compare_1-4shots+methods=all.md").read_text("utf-8")


def test_what_a_method_cannot_do_costs_only_the_method(launch, capsys):  # noqa: F811
    assert launch("compare", "tiny8", "4", "--", "FAKE.REFUSE", "CoOp") == 1
    captured = capsys.readouterr()
    tried = [argv[5] for argv in launch.train.calls]
    assert tried == ["ZeroshotCLIP", "CoOp", "CoOp", *["SoftCPT"] * 3]  # not again with another seed
    line = "Failed: CoOp-CA (3 of 3 runs), CoOp-MT (3 of 3 runs): CoOp cannot do this tower; take another."
    assert captured.out.splitlines()[-3] == line
    assert captured.err == "6 of 10 runs failed; the same command runs only them again.\n"
    assert "CoOp-CA (per task) (no finished run)" in " ".join(captured.out.split())


def test_a_run_that_fails_is_listed_at_the_end(launch, clone, capsys):  # noqa: F811
    assert launch("compare", "tiny8", "4", "--methods", "all", "--", "FAKE.FAIL", "3") == 1
    out = capsys.readouterr().out
    assert "SoftCPT-NATA [2]" in out and "[n] marks means of n finished seeds" in out
    (line,) = (line for line in out.splitlines() if line.startswith("Failed:"))
    assert "CoOp-CS (1 of 3 runs), " in line and ": RuntimeError: out of memory (first: details in " in line
    (markdown,) = (clone / "output/tiny8").glob("compare*.md")
    assert f"- {line}\n" in markdown.read_text("utf-8")


def test_what_no_method_can_do_is_one_line(launch, clone, capsys):  # noqa: F811
    assert launch("compare", "tiny8", "4", "--seeds", "1", "--", "FAKE.BAD", "1") == 2
    captured = capsys.readouterr()
    assert captured.err == "Image x.jpg is corrupt; replace it.\n"
    assert not list(clone.rglob("compare*.md"))


def test_differences(launch, clone, capsys):  # noqa: F811
    words = ["compare", "tiny8", "1,4", "--methods", "CoOp-CA,ZeroshotCLIP", "--against", "softcpt-nata"]
    assert launch(*words) == 0
    for seed, gain in ((1, 2.0), (2, 4.0), (3, 6.0)):
        path = run_folder(clone, "CoOp-CA", seed=seed) / "results.json"
        record = json.loads(path.read_text())
        for number, task in enumerate(record["tasks"]):
            task["accuracy"] += gain + number  # task means 4 and 5: t(1) * s / sqrt(2) = 12.706 * 0.5
        path.write_text(json.dumps(record))
    capsys.readouterr()
    assert launch(*words) == 0
    out = capsys.readouterr().out
    table = out[out.index("Difference to SoftCPT-NATA") :].splitlines()
    assert table[2].split() == "method shots difference 95 % interval interval over tasks won pairs".split()
    cells = [line.split() for line in table[4:12]]
    assert cells[0] == "CoOp-CA (per task) 1 +0.0 [+0.0, +0.0] 2 tasks 0 of 2, 2 even 6".split()
    assert cells[1] == "4 +4.5 [-1.9, +10.9] 2 tasks 2 of 2 6".split()
    assert cells[2][:1] == ["all"] and cells[2][-1] == "12" and cells[3][0].startswith("---")
    assert cells[4][:3] == ["Zero-shot", "CLIP", "1"] and cells[5][1:5] == ["-1.0", "[-1.0,", "-1.0]", "*"]
    assert "the interval leaves 0 out" in " ".join(out.split())
    assert not any(line.startswith("SoftCPT") for line in table[:12])
    (file,) = (clone / "output/tiny8").glob("compare*.md")
    text = file.read_text("utf-8")
    assert "## Difference to SoftCPT-NATA" in text and "leaves 0 out" in text
    assert "|  | 4 | +4.5 | [-1.9, +10.9] |  | 2 tasks | 2 of 2 | 6 |" in text


def test_differences_with_failed_runs(launch, capsys):  # noqa: F811
    words = ["--against", "SoftCPT-NATA", "--", "FAKE.FAIL", "3"]
    assert launch("compare", "tiny8", "4", *words) == 1
    out = capsys.readouterr().out
    rows = out[out.index("Difference to") :].splitlines()
    assert next(row for row in rows if row.startswith("CoOp-CA")).endswith("4 of 6")
    assert launch("compare", "plain", "4", "--against", "CoOp-MT", "--", "FAKE.REFUSE", "CoOp") == 1
    rows = capsys.readouterr().out.splitlines()
    assert next(row for row in reversed(rows) if row.startswith("SoftCPT-NATA")).split()[1:] == ["-"] * 4 + [
        "0", "of", "6"
    ]  # fmt: skip

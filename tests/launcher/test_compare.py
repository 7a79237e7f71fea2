"""compare: its choice of methods, its table, differences between methods, and methods that fail."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from common.catalogue import METHODS
from tests.support.fake_runs import Call
from tests.support.launching import Launch, run_folder


def methods_of(calls: Sequence[Call]) -> list[str]:
    """The methods that were run, each once: those of the settings, which the folders have to agree with."""
    assert [call.method for call in calls] == [call.folder.parts[-4] for call in calls]
    return list(dict.fromkeys(call.method for call in calls))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--methods", "SoftCPT-NATB"], "Method 'SoftCPT-NATB' is unknown; did you mean 'SoftCPT-"),
        (["--methods", "coop-cs,,CoOp-CA"], "'coop-cs,,CoOp-CA' has an empty name in it; known: all, "),
        (["--methods", ""], "has an empty name in it; known: all, "),
        (["--against", "softcp"], "Method 'softcp' is unknown; did you mean 'SoftCPT-"),
        (["--methods", "CoOp-CA", "--against", "coop-ca"], "nothing to be compared with"),
        (["--methods", "CoOp-CA,MaPLe"], "MaPLe needs a vision transformer, so it cannot use config 'small'"),
        (["--methods", "all", "--against", "MaPLe"], "MaPLe needs a vision transformer"),
        (["--methods", "SoftCPT-NATA,PLOT", "--cfg", "special"], "Config 'special' is unknown in configs/trainers"),
        (
            ["--methods", "all", "--against", "PLOT", "--cfg", "special"],
            "Config 'special' is unknown in configs/traine",
        ),
        (["--methods", "all", "--cfg", "smal"], "Config 'smal' is unknown in configs/trainers; did you mean 'small'?"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_bad_input_is_one_line_and_nothing_runs(
    launch: Launch, capsys: pytest.CaptureFixture[str], words: Sequence[str], message: str, check: bool
) -> None:
    assert launch(*["--check"] * check, "compare", "tiny8", "4", *words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1 and message in captured.err
    assert launch.calls == []


def test_the_default_comparison(
    launch: Launch, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert launch("compare", "tiny8", "4") == 0
    assert len(launch.calls) == 1 + 3 * 3
    out = capsys.readouterr().out
    rows = [line for line in out.splitlines() if line.startswith(("Zero", "CoOp", "Soft"))]
    assert [row.split("  ")[0] for row in rows] == [
        "Zero-shot CLIP", "CoOp-CA (per task)", "CoOp-MT (shared)", "SoftCPT-NATA"
    ]  # fmt: skip
    assert rows[3].split()[1:] == ["52.0", "62.0", "57.0", "±", "0.8", "4,096", "4.5"]
    assert "zero-shot CLIP is deterministic, so it runs once" in out and "\033" not in out
    markdown = (launch.output / "tiny8/compare_4shots.md").read_text("utf-8")
    assert "| SoftCPT-NATA | **52.0** | **62.0** | **57.0 ± 0.8** | 4,096 | 4.5 |" in markdown
    assert launch("compare", "tiny8", "4") == 0
    assert len(launch.calls) == 10


def test_several_shots_reuse_zero_shot(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("compare", "tiny8", "1,4", "--seeds", "1,2") == 0
    assert len(launch.calls) == 1 + 2 * 3 * 2
    rows = capsys.readouterr().out.splitlines()
    assert next(row for row in rows if row.startswith("SoftCPT-NATA")).split()[1:8] == [
        "56.5", "±", "0.5", "56.5", "±", "0.5", "4,096"
    ]  # fmt: skip
    markdown = (launch.output / "tiny8/compare_1-4shots.md").read_text("utf-8")
    assert "## 1 shot\n" in markdown and "## 4 shots\n" in markdown and "| 1 shot | 4 shots |" in markdown


def test_missing_seeds_are_marked(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("compare", "tiny8", "4", "--", "FAKE.FAIL", "3") == 1
    captured = capsys.readouterr()
    assert captured.out.count("(2 of 3 seeds)") == 3
    assert len(captured.err.splitlines()) == 4


def test_chosen_methods_in_their_order(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--methods", "softcpt-nats, SoftCPT*,zeroshotclip,SoftCPT-STAR", "--seeds", "1"]
    assert launch("compare", "tiny8", "4", *words) == 0
    assert methods_of(launch.calls) == ["SoftCPT-NATS", "SoftCPT-STAR", "ZeroshotCLIP"]
    rows = [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()]
    first = rows.index("SoftCPT-NATS")
    assert rows[first : first + 3] == ["SoftCPT-NATS", "SoftCPT*", "Zero-shot CLIP"]
    # The usual comparison's file is left alone.
    (file,) = (launch.output / "tiny8").glob("compare*.md")
    assert file.name == "compare_4shots+methods=SoftCPT-NATS,SoftCPT-STAR,ZeroshotCLIP.md"


def test_all_methods_that_support_the_tower(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("compare", "tiny8", "1,4", "--methods", "ALL", "--seeds", "1,2") == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    left_out = "Left out, as config 'small' lacks a vision transformer: MaPLe, PromptSRC"
    assert lines.count(left_out) == 2 and lines[0] == left_out and captured.err == ""
    assert methods_of(launch.calls) == [name for name in METHODS if name not in ("MaPLe", "PromptSRC")]
    assert left_out in (launch.output / "tiny8/compare_1-4shots+methods=all.md").read_text("utf-8")


def test_all_methods_that_have_the_config(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("compare", "tiny8", "4", "--methods", "all", "--seeds", "1", "--cfg", "special") == 0
    (line,) = {line for line in capsys.readouterr().out.splitlines() if line.startswith("Left out")}
    reason, names = line.split(": ")
    # It is no question of the tower: SoftCPT alone has a config of this name.
    assert "no config 'special'" in reason and "transformer" not in reason
    others = [name for name, method in METHODS.items() if method.trainer != "SoftCPT"]
    assert names.split(", ") == others
    assert methods_of(launch.calls) == [name for name in METHODS if name not in others]


def test_what_one_method_refuses_stops_this_method_alone(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("compare", "tiny8", "4", "--", "FAKE.REFUSE", "CoOp") == 1
    captured = capsys.readouterr()
    # Not again with another seed.
    assert [call.trainer for call in launch.calls] == ["ZeroshotCLIP", "CoOp", "CoOp", *["SoftCPT"] * 3]
    line = "Failed: CoOp-CA (3 of 3 runs), CoOp-MT (3 of 3 runs): CoOp does not support this tower; use another."
    assert captured.out.splitlines()[-3] == line
    assert captured.err == "6 of 10 runs failed; the same command runs only them again.\n"
    assert "CoOp-CA (per task) (no finished run)" in " ".join(captured.out.split())


def test_failed_runs_are_listed_at_the_end(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("compare", "tiny8", "4", "--methods", "all", "--", "FAKE.FAIL", "3") == 1
    out = capsys.readouterr().out
    assert "SoftCPT-NATA [2]" in out and "[n]: mean over n finished seeds" in " ".join(out.split())
    (line,) = (line for line in out.splitlines() if line.startswith("Failed:"))
    assert "CoOp-CS (1 of 3 runs), " in line and ": RuntimeError: out of memory (first: details in " in line
    (markdown,) = (launch.output / "tiny8").glob("compare*.md")
    assert f"- {line}\n" in markdown.read_text("utf-8")


def test_what_all_methods_refuse_is_one_line(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("compare", "tiny8", "4", "--seeds", "1", "--", "FAKE.BAD", "1") == 2
    captured = capsys.readouterr()
    assert captured.err == "Image x.jpg is corrupt; replace it.\n"
    assert not list(launch.root.rglob("compare*.md"))


def test_differences(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", "tiny8", "1,4", "--methods", "CoOp-CA,ZeroshotCLIP", "--against", "softcpt-nata"]
    assert launch(*words) == 0
    for seed, gain in ((1, 2.0), (2, 4.0), (3, 6.0)):
        path = run_folder(launch.output, "results.json", method="CoOp-CA", seed=seed)
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
    assert "* the interval excludes 0" in " ".join(out.split())
    assert not any(line.startswith("SoftCPT") for line in table[:12])
    (file,) = (launch.output / "tiny8").glob("compare*.md")
    text = file.read_text("utf-8")
    assert "## Difference to SoftCPT-NATA" in text and "* the interval excludes 0" in text
    assert "|  | 4 | +4.5 | [-1.9, +10.9] |  | 2 tasks | 2 of 2 | 6 |" in text


def test_differences_with_failed_runs(launch: Launch, capsys: pytest.CaptureFixture[str]) -> None:
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

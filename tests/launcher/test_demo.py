"""demo's command line; the page itself is tested in tests/page/."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from common.errors import InputError
from launcher import demo, predict, trained
from launcher.main import main
from page import server
from page.desk import Desk
from tests.support.eyes import Watcher
from tests.support.finished import Finished
from tests.support.launching import raises
from tests.support.runs import MakeRun
from tests.support.training import Workplace

Shown = pytest.CaptureFixture[str]


class Served:
    """In the place of the server: the pages that were shown."""

    def __init__(self) -> None:
        self.desks: list[Desk] = []
        self.addresses: list[str] = []

    def __call__(self, desk: Desk, listener: Any, opened: Callable[[], object]) -> None:
        self.desks.append(desk)
        self.addresses.append(server.address_of(listener))
        opened()


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    found = Served()
    monkeypatch.setattr(server, "serve", found)
    monkeypatch.setitem(sys.modules, "gradio", ModuleType("gradio"))
    return found


@pytest.fixture
def eye(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "load", lambda found: Watcher())


@pytest.fixture
def run(make_run: MakeRun) -> Path:
    folder = make_run([50.0])
    (folder / trained.BUNDLE).write_text("{}")
    return folder


def call(*words: object) -> int:
    return main(["demo", *map(str, words)])


def refused(capsys: Shown, *words: object) -> str:
    capsys.readouterr()
    assert call(*words) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1
    return shown.err


def test_a_run_is_named_as_for_predict(eye: None, served: Served, run: Path, tmp_path: Path, capsys: Shown) -> None:
    assert call("garden8", "4", "--output", tmp_path, "--top", "2", "--min-confidence", "0.6") == 0
    (desk,), (address,) = served.desks, served.addresses
    assert (desk.about, desk.top, desk.least) == ("SoftCPT-NATA on garden8, 4 shots, seed 1", 2, 0.6)
    assert address.startswith("http://127.0.0.1:")
    shown = capsys.readouterr()
    assert shown.out == f"{address}  (Ctrl-C ends it)\n" and "SoftCPT-NATA on garden8, 4 shots" in shown.err
    assert shown.err.endswith("The page is closed.\n") and "Everybody" not in shown.err


def test_without_its_photographs_there_is_a_word(eye: None, served: Served, run: Path, capsys: Shown) -> None:
    assert call(run) == 0
    assert "Without examples and nearest photographs: " in capsys.readouterr().err
    (desk,) = served.desks
    assert desk.neighbours is None and desk.examples == [] and "not at hand" in desk.without


def test_a_bundle(eye: None, served: Served, tmp_path: Path, capsys: Shown) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / trained.BUNDLE).write_text('{"tower": {"name": "RN50"}}')
    assert call(tmp_path / "mine") == 0
    assert served.desks[0].about == str(tmp_path / "mine") and "that was saved has none" in capsys.readouterr().err


def test_folders_with_brackets_are_named_in_full(eye: None, served: Served, tmp_path: Path) -> None:
    folder = tmp_path / "my (copy)" / "x"
    folder.mkdir(parents=True)
    (folder / trained.BUNDLE).write_text("{}")
    assert call(folder) == 0
    assert served.desks[0].about == str(folder)


def test_ctrl_c_before_the_page_is_there(
    served: Served, run: Path, capsys: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "load", raises(KeyboardInterrupt()))
    assert call(run) == 130
    assert capsys.readouterr().err.endswith("\nInterrupted.\n")


def test_other_computers_are_told_of(eye: None, served: Served, run: Path, capsys: Shown) -> None:
    assert call(run, "--host", "0.0.0.0") == 0
    assert "Everybody who reaches 0.0.0.0" in capsys.readouterr().err


def test_what_it_needs_is_installed_first(make_run: MakeRun, run: Path, capsys: Shown) -> None:
    other = make_run([50.0], seed=2, backbone="open_clip:lite@x")
    (other / trained.BUNDLE).write_text("{}")
    assert main(["--check", "demo", str(run)]) == 12 and main(["--check", "demo", str(other)]) == 13
    assert main(["--check", "demo", "--help"]) == 11
    assert capsys.readouterr().out.startswith("usage: bash scripts/demo.sh")


def test_without_gradio_one_line_says_what_to_call(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: Shown) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(InputError) as error:
        demo.answer([str(run)], check=False)
    assert "bash scripts/demo.sh, which installs what is needed" in str(error.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Which run? For example: bash scripts/demo.sh garden8 4"),
        (["garden8"], "How many shots"),
        (["RUN", "photos"], "'photos' is one word too many"),
        (["RUN", "--port", "0"], "--port must be a whole number from 1"),
        (["RUN", "--port", "65536"], "--port must be at most 65535"),
        (["RUN", "--min-confidence", "60"], "from 0 to 1"),
        (["RUN", "--top", "0"], "--top"),
        (["RUN", "--host", "not a host"], "--host not a host"),
        (["RUN", "--data", "RUN/results.json"], "--data"),
    ],
)
def test_bad_input(eye: None, served: Served, run: Path, capsys: Shown, words: list[str], message: str) -> None:
    assert message in refused(capsys, *(word.replace("RUN", str(run)) for word in words))
    assert served.desks == []


def test_a_trained_run_shows_its_photographs(
    finished: Callable[..., Finished], place: Workplace, served: Served, capsys: Shown
) -> None:
    folders = [finished("SoftCPT-NATA", seed).folder for seed in (1, 2)]
    capsys.readouterr()
    assert call(*folders) == 0
    (desk,) = served.desks
    assert desk.neighbours is not None and len(desk.examples) == min(14, len(finished("SoftCPT-NATA").images))
    desk.neighbours.read()
    assert desk.neighbours.photographs
    assert "Without examples" not in capsys.readouterr().err


def test_zero_shot_learned_from_no_photograph(finished: Callable[..., Finished], served: Served) -> None:
    assert call(finished("ZeroshotCLIP").folder) == 0
    (desk,) = served.desks
    assert desk.neighbours is None and desk.examples and "learned from no photographs" in desk.without

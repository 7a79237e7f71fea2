"""--help of every command: at once, before anything is installed, with a method's keys."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from dassl.engine import TRAINER_REGISTRY

import trainers  # noqa: F401  registers the trainers
from common import catalogue
from common.catalogue import METHODS
from common.knobs import Knob
from common.paths import REPOSITORY
from launcher.main import MODULES, main
from launcher.plan import COMPARE
from launcher.protocols import PROTOCOLS
from launcher.tables.catalogue import DECLARED
from tests.support.launching import copy_code

SECONDS = 2.0
# The system's Python as it is without any package: no folder of installed packages is on its path.
BARE_PYTHON = f"""#!/bin/bash
case "$*" in
    *sys.executable*) echo "$0" ;;
    *"-m venv"* | *"-m pip"*) echo "$*" >>"$INSTALLED" ;;
    *) exec "{sys.executable}" -S "$@" ;;
esac
"""
LINES = [
    [],
    *([name] for name in catalogue.commands()),
    [COMPARE],
    *([protocol, *method] for protocol in PROTOCOLS for method in ([], ["coop"], ["zsclip"], ["maple"])),
    ["train"],
    *(["train", name] for name in (*METHODS, "garden8")),
    *([name] for name in MODULES),
    *(["table", name] for name in DECLARED),
]
SCRIPTS = sorted(
    path.relative_to(REPOSITORY)
    for path in REPOSITORY.glob("scripts/**/*.sh")
    if path.name not in ("setup_env.sh", "launch.sh")
)


@pytest.fixture(scope="module")
def bare_clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with everything that --help reads, and without .venv; python3 on its PATH has no packages."""
    root = tmp_path_factory.mktemp("bare") / "new clone"
    copy_code(root, ("common", "configs", "launcher", "reporting", "runs", "scripts", "trainers"))
    for name in ("requirements.txt", "requirements-openclip.txt"):
        (root / name).write_text("torch\n")
    programs = root.parent / "programs"
    programs.mkdir()
    (programs / "python3").write_text(BARE_PYTHON)
    (programs / "python3").chmod(0o755)
    return root


def cpu_of_children() -> float:
    """Processor seconds of the processes that this one has waited for; a busy machine does not change them."""
    times = os.times()
    return times.children_user + times.children_system


def help_of(root: Path, *command: str) -> str:
    """The output of a command with --help, which must answer in time and neither install nor write anything."""
    installed = root.parent / "installed"
    dropped = ("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHON", "PYTHONPATH", "SOFTCPT_PYTHON", "SOFTCPT_PLUGINS")
    env = {key: value for key, value in os.environ.items() if key not in dropped}
    env |= {"PATH": f"{root.parent / 'programs'}:/usr/bin:/bin", "INSTALLED": str(installed)}
    env |= {"PYTHONDONTWRITEBYTECODE": "1"}
    before = {path for path in root.rglob("*")}
    used = cpu_of_children()
    done = subprocess.run(
        [*command, "--help"], cwd=root, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert cpu_of_children() - used < SECONDS
    assert not installed.exists() and {path for path in root.rglob("*")} == before
    return done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_every_script_answers_before_anything_is_installed(bare_clone: Path, script: Path) -> None:
    assert f"bash {script}" in help_of(bare_clone, "bash", str(script))


@pytest.mark.parametrize("words", LINES, ids=" ".join)
def test_every_command_answers_before_anything_is_installed(bare_clone: Path, words: list[str]) -> None:
    out = help_of(bare_clone, "python3", "launch.py", *words)
    assert out.startswith("usage: bash scripts/" if words and words != ["datasets_page"] else "usage: python launch.py")


@pytest.mark.parametrize("words", LINES, ids=" ".join)
def test_help_without_and_with_check(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--help"]) == 0
    out = capsys.readouterr().out
    assert main(["--check", *words, "--help"]) == 11
    assert capsys.readouterr().out == out != ""


def test_all_commands_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("commands: "))
    listed = line.removeprefix("commands: ").split(", ")
    assert listed == [*catalogue.commands(), COMPARE, *PROTOCOLS, "train", *MODULES]
    main(["train", "--help"])
    out = capsys.readouterr().out
    assert all(f"\n  {command} " in out for command in catalogue.commands())
    assert all(name in out for name in METHODS if len(catalogue.methods_of(METHODS[name].command)) > 1)
    main(["table", "--help"])
    out = capsys.readouterr().out
    assert all(f"\n  {name} " in out for name in DECLARED)


@pytest.mark.parametrize("command", [*catalogue.commands(), COMPARE])
def test_examples_and_overrides(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "garden8", "--help"]) == 0
    out = capsys.readouterr().out
    assert "KEY VALUE" in out and "examples:\n  bash scripts/" in out


@pytest.mark.parametrize("command", ["predict", "demo", "export"])
def test_help_of_commands_that_use_what_was_trained(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """All take the flags that choose among runs, plug-ins and the runs' settings."""
    assert main([command, "--help"]) == 0
    out = capsys.readouterr().out
    for words in ("--method NAME", "--seeds NUMBERS", "--plugin FILE", ": -- KEY VALUE [KEY VALUE ...]"):
        assert words in out
    assert f"examples:\n  bash scripts/{command}.sh garden8 4" in out


@pytest.mark.parametrize("name", METHODS)
def test_examples_can_be_called(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Those of a method's command, and those of scripts/train.sh with its name."""
    for words in ([METHODS[name].command], ["train", name]):
        main([*words, "--help"])
        out = capsys.readouterr().out
        examples = [line.split() for line in re.split("examples?:\n", out)[1].splitlines()]
        named = words[0] == "train" and name.lower() not in catalogue.commands()
        own = f"scripts/train.sh {name}" if named else METHODS[name].script
        assert examples
        for example in examples:
            n = len(own.split())
            assert example[: n + 1] == ["bash", *own.split()]
            known = [word for word in example[n + 1 :] if word not in ("--data", "~/data")]
            assert main(["--check", *words, *known]) in (0, 10), capsys.readouterr().err


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_help_of_protocols(protocol: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([protocol, "--help"]) == 0
    out = capsys.readouterr().out
    assert "method" in out and f"examples:\n  bash scripts/{protocol}.sh softcpt garden8 4\n" in out
    assert main(["--check", protocol, "softcpt", "--help"]) == 11
    out = capsys.readouterr().out
    assert "--variant" in out and f"usage: bash scripts/{protocol}.sh softcpt" in out
    assert ("--hold-out" in out) == (protocol == "new_tasks")


def own_knobs(name: str) -> list[tuple[str, Knob]]:
    """The keys of a method's trainer and their declarations, without those that make the trainer this method."""
    trainer = TRAINER_REGISTRY.get(METHODS[name].trainer)
    chosen = dict(METHODS[name].keys)
    pairs = [(f"TRAINER.{trainer.section}.{knob.name}", knob) for knob in trainer.KNOBS]
    return [(key, knob) for key, knob in pairs if key not in chosen]


@pytest.mark.parametrize("name", METHODS)
def test_keys_have_default_range_and_a_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What --help reads from the trainer's file is what the trainer declares."""
    for words in ([METHODS[name].command], ["train", name]):
        assert main([*words, "--help"]) == 0
        lines = capsys.readouterr().out.splitlines()
        knobs = own_knobs(name)
        listed = [line for line in lines if line.startswith("  TRAINER.")]
        limits = [f"  ({knob.range})" if knob.range else "" for _, knob in knobs]
        assert listed == [f"  {key} {knob.default!r}{limit}" for (key, knob), limit in zip(knobs, limits, strict=True)]
        text = " ".join(" ".join(lines).split())
        assert all(" ".join(knob.help.split()) in text for _, knob in knobs)


def test_a_keys_default_and_range(capsys: pytest.CaptureFixture[str]) -> None:
    main(["protonet", "--help"])
    assert "  TRAINER.PROTONET.DISTANCE 'euclidean'  (euclidean or cosine)\n" in capsys.readouterr().out
    main(["mvlpt", "--help"])
    out = capsys.readouterr().out
    assert "  TRAINER.MVLPT.SHARED_SHARE 0.5  (at least 0 and at most 1)\n" in out
    assert "  RESIDUAL.C 0.0  (at least 0)\n" in out

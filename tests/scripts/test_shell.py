"""Shell scripts: setup_env.sh with an invented Python that records its calls, and the others from end to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common.paths import REPOSITORY
from tests.support.launching import write_plugin

SCRIPTS = sorted([*REPOSITORY.glob("scripts/**/*.sh"), REPOSITORY / ".ci" / "run"])

# Makes environments at once, installs by writing a line, and is the tests' own Python otherwise. RUFF, FORMAT and MYPY
# are the exit statuses of these tools, which are not installed if it is empty.
FAKE_PYTHON = f"""#!/bin/bash
case "$*" in
    *sys.executable*) echo "$0" ;;
    "-m ruff --version") [ -n "${{RUFF:-}}" ] ;;
    "-m mypy --version") [ -n "${{MYPY:-}}" ] ;;
    "-m ruff check "*) exit "$RUFF" ;;
    "-m ruff format "*) exit "${{FORMAT:-0}}" ;;
    "-m mypy") exit "$MYPY" ;;
    "-c import venv, ensurepip") [ -z "${{NO_VENV:-}}" ] ;;
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    "-m pip install "*)
        echo "$*" >>"$PIP_CALLS"
        sleep "${{PIP_SECONDS:-0}}"
        [ -z "${{PIP_FAILS:-}}" ] || {{ echo "ERROR: no network" >&2; exit 1; }} ;;
    *) exec "{sys.executable}" "$@" ;;
esac
"""
SOURCE = 'set -euo pipefail; cd /; . "$ROOT/scripts/setup_env.sh"; echo "$SOFTCPT_PYTHON"'


class Shell:
    """Runs bash in a cleaned environment in which python3 is FAKE_PYTHON."""

    def __init__(self, clone: Path, folder: Path) -> None:
        self.clone, self.calls = clone, folder / "pip calls"
        self.calls.write_text("")
        programs = folder / "programs"
        programs.mkdir()
        self.python = programs / "python3"
        self.python.write_text(FAKE_PYTHON)
        self.python.chmod(0o755)
        dropped = ("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHON", "SOFTCPT_PYTHON")
        self.env = {key: value for key, value in os.environ.items() if key not in dropped}
        self.env |= {"PATH": f"{programs}:/usr/bin:/bin", "ROOT": str(clone), "PIP_CALLS": str(self.calls)}
        self.env["PYTHONDONTWRITEBYTECODE"] = "1"

    def start(self, command: str = SOURCE, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", "-c", command],
            env=self.env | env,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, command: str = SOURCE, **env: str) -> tuple[int, str, str]:
        process = self.start(command, **env)
        out, err = process.communicate(timeout=60)
        return process.returncode, out.strip(), err.strip()

    @property
    def installs(self) -> int:
        return len(self.calls.read_text().splitlines())


@pytest.fixture
def shell(clone: Path, tmp_path: Path) -> Shell:
    (clone / "requirements.txt").write_text("no-such-distribution\n")
    return Shell(clone, tmp_path)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_syntax(script: Path) -> None:
    assert subprocess.run(["bash", "-n", str(script)], capture_output=True).stderr == b""
    assert os.access(script, os.X_OK)


def test_set_up_once_then_silent(shell: Shell, clone: Path) -> None:
    own = str(clone / ".venv/bin/python")
    status, out, err = shell()
    assert (status, out, shell.installs) == (0, own, 1)
    assert err.startswith("Setting up .venv") and "\n" not in err
    assert shell() == (0, own, "")
    assert shell.installs == 1
    assert not (clone / ".venv.lock").exists()


def test_changed_requirements_and_a_moved_clone_are_noticed(shell: Shell, clone: Path) -> None:
    shell()
    (clone / "requirements.txt").write_text("no-such-distribution\nno-other-either\n")
    status, _, err = shell()
    assert status == 0 and err.startswith("Bringing .venv up to date") and shell.installs == 2
    moved = clone.rename(clone.parent / "moved clone")
    status, out, _ = shell(ROOT=str(moved))
    assert (status, out, shell.installs) == (0, str(moved / ".venv/bin/python"), 3)


def test_an_interrupted_installation_starts_again(shell: Shell, clone: Path) -> None:
    process = shell.start(PIP_SECONDS="30")
    for _ in range(300):
        if shell.installs:
            break
        time.sleep(0.05)
    assert (clone / ".venv.lock").is_dir()
    leftover = clone / ".venv" / "half-installed"
    leftover.write_text("")
    # The worst case: everything is killed at once, so that nothing is cleaned up.
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert (clone / ".venv.lock").is_dir()
    status, _, err = shell()
    assert (status, shell.installs) == (0, 2)
    assert err.startswith("Setting up .venv")
    assert not leftover.exists() and not (clone / ".venv.lock").exists()


def test_two_at_once_install_once(shell: Shell, clone: Path) -> None:
    both = [shell.start(PIP_SECONDS="1.5") for _ in range(2)]
    ends = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert {out.strip() for out, _ in ends} == {str(clone / ".venv/bin/python")}
    assert shell.installs == 1
    assert sorted(err.split()[0] for _, err in ends) == ["Setting", "Waiting"]


def test_a_failing_pip_shows_the_end_of_its_log(shell: Shell, clone: Path) -> None:
    status, out, err = shell(PIP_FAILS="1")
    assert (status, out) == (1, "")
    assert str(clone / ".venv/setup.log") in err and err.endswith("    ERROR: no network")
    assert shell()[0] == 0


def test_no_usable_python(shell: Shell, tmp_path: Path) -> None:
    assert shell(NO_VENV="1")[0] == 1
    assert "python3-venv" in shell(NO_VENV="1")[2]
    status, _, err = shell(PYTHON="/no/such/python")
    assert status == 1 and err.count("\n") == 0 and "PYTHON=/no/such/python" in err
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("bash", "dirname", "tail"):
        (tools / tool).symlink_to(next(p for p in (Path("/usr/bin", tool), Path("/bin", tool)) if p.exists()))
    status, _, err = shell(PATH=str(tools))
    assert status == 1 and err == (
        "Python 3.10 or newer is needed, and there is no python3 on PATH; install one, or set PYTHON to its path."
    )
    (tools / "python3").write_text("#!/bin/bash\ncase $2 in *platform*) echo 3.8.1 ;; *) exit 1 ;; esac\n")
    (tools / "python3").chmod(0o755)
    status, _, err = shell(PATH=str(tools))
    assert status == 1 and "python3 is 3.8.1" in err and "\n" not in err


def test_an_active_environment_that_has_all_is_used(shell: Shell, clone: Path, tmp_path: Path) -> None:
    active = tmp_path / "active" / "bin"
    active.mkdir(parents=True)
    (active / "python").symlink_to(shell.python)
    assert "as " in shell(VIRTUAL_ENV=str(active.parent))[2]  # lacks something: .venv is made
    assert shell.installs == 1
    (clone / "requirements.txt").write_text("pytest>=3\n")
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        assert shell(**{variable: str(active.parent)}) == (0, str(active / "python"), "")
    assert shell(PYTHON=str(shell.python)) == (0, str(shell.python), "")
    assert shell.installs == 1


def test_openclip_is_installed_when_asked_for(shell: Shell, clone: Path) -> None:
    shell()
    need = SOURCE.replace("; echo", "; need_openclip; echo")
    status, out, err = shell(need)
    assert (status, out) == (0, str(clone / ".venv/bin/python"))
    assert "requirements-openclip.txt" in shell.calls.read_text().splitlines()[1]
    assert shell(need)[2] == "" and shell.installs == 2


def test_gradio_is_installed_when_the_page_is_first_opened(shell: Shell, clone: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "mine"
    bundle.mkdir()
    for tower, wanted in (("RN50", ["page"]), ("open_clip:lite@x", ["openclip", "page"])):
        (bundle / "classifier.json").write_text(f'{{"tower": {{"name": "{tower}"}}}}')
        status, out, err = shell(f"cd /; bash \"$ROOT/scripts/demo.sh\" '{bundle}'", PIP_FAILS="1")
        assert (status, out) == (1, "") and "ERROR: no network" in err
        call = shell.calls.read_text().splitlines()[-1]
        assert all(f"requirements-{name}.txt" in call for name in wanted)
        assert ("openclip" in call) is ("openclip" in wanted)


def test_what_a_command_asks_for_is_installed(shell: Shell, clone: Path) -> None:
    """By the exit status of --check."""
    (clone / "requirements-export.txt").write_text("onnx\n")
    for status, files in ((14, ["export"]), (15, ["openclip", "export"])):
        (clone / "launch.py").write_text(f"raise SystemExit({status})\n")
        assert shell(f"setup_for=(export garden8 4); {SOURCE}")[0] == 0
        call = shell.calls.read_text().splitlines()[-1]
        assert all(f"requirements-{name}.txt" in call for name in files)


def test_a_method_from_end_to_end(shell: Shell, clone: Path) -> None:
    main = 'cd /; bash "$ROOT/scripts/softcpt/main.sh"'
    status, out, err = shell(f"{main} tiny9 4")
    assert (status, out) == (2, "") and "did you mean 'tiny8'?" in err and "\n" not in err
    status, out, err = shell(f"{main} --help")
    assert (status, err) == (0, "") and out.startswith("usage: bash scripts/softcpt/main.sh")
    assert shell.installs == 0  # neither needs anything installed
    status, out, err = shell(f"{main} tiny8 4 --seeds 1,2")
    assert status == 0 and "52.0" in out and shell.installs == 1
    assert "\n" not in err
    assert shell(f"{main} tiny8 4 -- FAKE.FAIL 1")[0] == 1
    assert shell(f"{main} tiny8 4 -- FAKE.INTERRUPT 1")[0] == 130
    status, out, _ = shell('bash "$ROOT/scripts/compare.sh" plants7 4 --seeds 1')
    assert status == 0 and "requirements-openclip.txt" in shell.calls.read_text()


def test_train_from_end_to_end(shell: Shell, clone: Path, tmp_path: Path) -> None:
    train = 'cd /; bash "$ROOT/scripts/train.sh"'
    for words in ("SoftCPT-NATB tiny8 4", "SoftCPT-NATS tiny9 4", "--seeds 1", "Mine tiny8 4"):
        status, out, err = shell(f"{train} {words}")
        assert (status, out) == (2, "") and err and "\n" not in err
    status, out, err = shell(train)
    assert (status, err) == (0, "") and out.startswith("usage: bash scripts/train.sh <method>")
    assert shell.installs == 0
    for words, method in (
        ("SoftCPT-NATS tiny8 4", "SoftCPT-NATS"), ("'SoftCPT*' tiny8 4", "SoftCPT-STAR"), ("coop tiny8 4", "CoOp-CA"),
        (f"mine tiny8 4 --plugin '{write_plugin(tmp_path)}'", "Mine"),
    ):  # fmt: skip
        status, out, _ = shell(f"{train} {words}")
        assert status == 0 and "57.0 ± 0.8" in out
        assert (clone / "output/tiny8" / method / "small/4shots/seed3/results.json").is_file()
    assert shell.installs == 1


@pytest.mark.parametrize(
    "words",
    [
        "report.sh", "report.sh nowhere", "bank.sh --output nowhere", "datasets/check.sh tiny9",
        "datasets/show.sh tiny9", "datasets/prepare.sh tiny9", "new_tasks.sh coop tiny8 4",
        "tables/plant6.sh --shots 0",
    ],
)  # fmt: skip
def test_bad_input_is_reported_before_anything_is_installed(shell: Shell, words: str) -> None:
    status, out, err = shell(f'cd /; bash "$ROOT/scripts/"{words}')
    assert (status, out) == (2, "") and err and "\n" not in err
    assert shell.installs == 0


def test_the_status_of_the_tests_comes_through(shell: Shell, clone: Path) -> None:
    (clone / "requirements.txt").write_text("pytest\n")
    (clone / "tests").mkdir()
    (clone / "tests" / "test_one.py").write_text("def test_one():\n    assert True\n")
    (clone / "pyproject.toml").write_text("")
    run = 'cd /; bash "$ROOT/scripts/test.sh" -p no:cacheprovider'
    status, out, _ = shell(run)
    assert status == 0 and out.splitlines()[-1].startswith("1 passed")
    (clone / "tests" / "test_one.py").write_text("def test_one():\n    raise ValueError\n")
    status, out, _ = shell(run)
    assert status == 1 and out.splitlines()[-1].startswith("1 failed")
    (clone / "tests" / "test_one.py").write_text("")
    assert shell(run)[0] == 5  # pytest's own status for no tests at all


def test_lint_format_and_types_count_where_the_tools_are_installed(shell: Shell, clone: Path) -> None:
    (clone / "requirements.txt").write_text("pytest\n")
    (clone / "tests").mkdir()
    (clone / "tests" / "test_one.py").write_text("def test_one():\n    assert True\n")
    run = 'bash "$ROOT/scripts/test.sh" -p no:cacheprovider'
    tools: dict[str, str]
    for tools, expected in (
        ({}, 0),
        ({"RUFF": "0", "MYPY": "0"}, 0),
        ({"RUFF": "1"}, 1),
        ({"RUFF": "0", "FORMAT": "3"}, 3),
        ({"MYPY": "2"}, 2),
    ):
        status, out, _ = shell(run, **tools)
        assert status == expected and out.splitlines()[-1].startswith("1 passed")


@pytest.mark.parametrize(
    ("line", "met"),
    [
        ("pytest", True), ("PyTest>=3", True), ("pytest<3", False), ("pytest>=3,<1000  # why", True), ("", True),
        ("# only a comment", True), ("pytest>=1000", False), ("no-such-distribution", False), ("-e ./toolbox", False),
    ],
)  # fmt: skip
def test_requirement_lines(clone: Path, line: str, met: bool) -> None:
    (clone / "toolbox").mkdir()
    (clone / "toolbox" / "pyproject.toml").write_text('[project]\nname = "no-such-toolbox"\n')
    (clone / "requirements.txt").write_text(line + "\n")
    question = [sys.executable, str(clone / "launcher/environment.py"), "lacks", str(clone), "requirements.txt"]
    assert (subprocess.run(question, capture_output=True).returncode == 0) == met

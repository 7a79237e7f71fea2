"""What a user or a disk may put in the place of arguments, folders and files: one line each, and no waiting."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import DiskFull, InputError
from launcher import arguments, frame
from launcher.parsers import defines
from launcher.tables.chains import last_line
from runs import pictures
from runs import status as status_module
from tests.support.launching import Launch, run_folder
from tests.support.limits import in_time, make_pipe

HOLD = """
import sys, time
from filelock import FileLock
lock = FileLock(sys.argv[1]); lock.acquire(); print("held", flush=True); time.sleep(60)
"""


def refused(launch: Launch, capsys: pytest.CaptureFixture[str], *words: object, status: int = 2) -> str:
    """The one line with which a command is refused; it runs nothing."""
    capsys.readouterr()
    assert in_time(lambda: launch(*words)) == status
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "Traceback" not in error and len(error) < 1500
    assert launch.calls == []
    return error


# -- arguments --


@pytest.mark.parametrize("limit", ["nan", "inf", "-inf", "-1", "1e999", "-0.5", "", "many", "0x10"])
def test_the_banks_limit_is_a_number(launch: Launch, capsys, limit: str) -> None:
    launch.output.mkdir()
    for words in (("bank", f"--limit={limit}"), ("--check", "bank", f"--limit={limit}")):
        error = refused(launch, capsys, *words, "--output", launch.output)
        assert f"--limit must be a number from 0 on, such as 20, and not '{limit}'" in error


def test_a_limit_above_every_disk_removes_nothing(launch: Launch, capsys) -> None:
    launch.output.mkdir()
    assert launch("bank", "--limit", "1e308", "--output", launch.output) == 0
    assert "0.0 MiB removed" in capsys.readouterr().out


NUMBERS = ("0", "-1", "1.5", "nan", "inf", "1e3", "x", "", " ", "1,,2", "9" * 10, "9" * 500, "²", "٤", "1_0", "1;2")


@pytest.mark.parametrize("value", NUMBERS)
def test_numbers_of_methods_and_tables(launch: Launch, capsys, value: str) -> None:
    for words in (("softcpt", "tiny8", value), ("compare", "tiny8", value)):
        if value and not value.startswith("-"):
            assert "Shots must be positive whole numbers" in refused(launch, capsys, *words)
    if value != "0":
        for words in (("softcpt", "tiny8", "4"), ("table", "variants", "tiny8"), ("compare", "tiny8", "4")):
            assert "eeds must be whole numbers" in refused(launch, capsys, *words, f"--seeds={value}")
    table = ("table", "variants", "tiny8")
    assert "--shots must be positive whole" in refused(launch, capsys, *table, f"--shots={value}")
    assert "--jobs must be a whole number from 1" in refused(launch, capsys, *table, f"--jobs={value}")
    assert "--folds must be a whole number" in refused(
        launch, capsys, "new_tasks", "softcpt", "tiny8", "4", f"--folds={value}"
    )
    slurm = (*table, "--launcher", "slurm")
    for flag in ("time", "array") if value else ():
        assert f"--slurm-{flag} must be a whole" in refused(launch, capsys, *slurm, f"--slurm-{flag}={value}")
    if value not in ("", "0"):  # 0: all memory of the node
        assert "--slurm-mem must be a size" in refused(launch, capsys, *slurm, f"--slurm-mem={value}")


@pytest.mark.parametrize(
    ("words", "known"),
    [
        (("table", "variants", "tiny8", "--launcher", "pbs"), "Known: local, slurm"),
        (("table", "variant"), "did you mean 'variants'? Known: "),
        (("softcpt", "tiny8", "4", "--variant", "NATT"), "Known: "),
        (("compare", "tiny8", "4", "--methods", "CoOp-XX"), "Known: "),
        (("softcpt", "tiny9", "4"), "did you mean 'tiny8'? Known: "),
        (("softcpt", "tiny8", "4", "--cfg", "smal"), "did you mean 'small'? Known: "),
        (("new_tasks", "softcpt", "tiny8", "4", "--hold-out", "x"), "Known: 0 petal colour"),
    ],
)
def test_unknown_values_of_lists_are_refused_with_the_list(launch: Launch, capsys, words, known: str) -> None:
    assert known in refused(launch, capsys, *words)


@pytest.mark.parametrize("value", ["0", "-1", "x", "1.5", "9" * 12])
def test_the_epoch_to_load(value: str, capsys) -> None:
    import train

    assert frame.run(train.answer, ["--load-epoch", value]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "--load-epoch must be a whole number from 1" in error


# -- names --


LONG = "x" * 300


def test_names_that_no_file_system_takes(launch: Launch, capsys, tmp_path: Path) -> None:
    for words in (
        ("softcpt", LONG, "4"),
        ("softcpt", f"{LONG}.yaml", "4"),
        ("softcpt", "tiny8", "4", "--cfg", LONG),
        ("softcpt", "tiny8", "4", "--cfg", f"{LONG}.yaml"),
        ("softcpt", "tiny8", "4", "--output", tmp_path / LONG),
        ("softcpt", "tiny8", "4", "--data", tmp_path / LONG),
        ("softcpt", "tiny8", "4", "--plugin", f"{LONG}.py"),
        ("bank", "--output", tmp_path / LONG),
        ("report", tmp_path / LONG),
    ):
        refused(launch, capsys, *words)


def test_a_plug_in_that_is_a_named_pipe(launch: Launch, capsys, tmp_path: Path) -> None:
    pipe = make_pipe(tmp_path / "pipe.py")
    assert "pipe.py is missing" in refused(launch, capsys, "softcpt", "tiny8", "4", "--plugin", pipe)


def test_folder_names_have_less_than_256_bytes_and_differ() -> None:
    plain = "a" * 100
    assert arguments.folder_name(plain, [("K", "1")]) == f"{plain}+K=1"  # as ever
    names = set()
    for value in ("\u96db" * 90, "\u96db" * 91, "\U0001f33c" * 99, "x" * 5000, "\udcff\udcfe"):
        name = arguments.folder_name("vit", [("KEY", value)])
        assert len(os.fsencode(name)) < 250
        names.add(name)
    assert len(names) == 5


@pytest.mark.parametrize("flag", ["--output", "--data"])
def test_links_that_lead_in_a_circle_or_nowhere(launch: Launch, capsys, tmp_path: Path, flag: str) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "gone").symlink_to(tmp_path / "nothing")
    for name in ("loop", "gone", "loop/inner"):
        error = refused(launch, capsys, "softcpt", "tiny8", "4", flag, tmp_path / name)
        assert "a link that leads nowhere" in error and flag in error
    error = refused(launch, capsys, "softcpt", "tiny8", "4", flag, "~nobody-here/x") if flag == "--data" else flag
    assert flag in error


def test_configs_that_are_links_in_a_circle_or_no_text(launch: Launch, capsys) -> None:
    configs = launch.root / "configs"
    (configs / "datasets" / "loop.yaml").symlink_to("loop.yaml")
    (configs / "datasets" / "latin.yaml").write_bytes("config: größe\n".encode("latin-1"))
    make_pipe(configs / "datasets" / "pipe.yaml")
    (configs / "trainers" / "ring.yaml").write_text("_BASE_: ring2.yaml\n")
    (configs / "trainers" / "ring2.yaml").symlink_to("ring2.yaml")
    assert "loop.yaml" in refused(launch, capsys, "softcpt", "loop", "4")
    assert "latin.yaml is not text in UTF-8" in refused(launch, capsys, "softcpt", "latin", "4")
    assert "pipe.yaml cannot be read: it is not a regular file" in refused(launch, capsys, "softcpt", "pipe", "4")
    assert in_time(lambda: launch("--check", "softcpt", "tiny8", "4", "--cfg", "ring")) == 0  # read when it runs


# -- named pipes, and --redo --


@pytest.mark.parametrize("name", ["results.json", "configs.sha256", "pictures.json", "traceback.txt", "log.txt"])
def test_a_named_pipe_in_a_runs_folder_blocks_nothing(launch: Launch, capsys, name: str) -> None:
    assert launch("table", "variants", "tiny8", "--methods", "SoftCPT-NATA", "--shots", "4", "--seeds", "1") == 0
    make_pipe(run_folder(launch.output, name))
    words = ("table", "variants", "tiny8", "--methods", "SoftCPT-NATA", "--shots", "4", "--seeds", "1", "--dry-run")
    assert in_time(lambda: launch(*words)) == 0
    assert in_time(lambda: launch("report", launch.output / "tiny8")) == 0
    assert "Traceback" not in capsys.readouterr().err


def test_the_last_line_of_a_log_that_is_a_pipe_or_moves_the_cursor(launch: Launch) -> None:
    job = type("Job", (), {"folder": launch.root})()
    make_pipe(launch.root / "traceback.txt")
    (launch.root / "log.txt").write_text("one\nEnd \x1b[2Jof \x9b31mit\n")
    assert in_time(lambda: last_line(job)) == "log.txt: End [2Jof 31mit"
    pipe = make_pipe(launch.root / "x.py")
    assert in_time(lambda: defines(pipe, "X")) is False


def test_redo_of_a_run_that_another_process_computes(launch: Launch, capsys, monkeypatch) -> None:
    assert launch("softcpt", "tiny8", "4", "--seeds", "1,2") == 0
    launch.calls.clear()
    folders = [run_folder(launch.output, seed=seed) for seed in (1, 2)]
    (folders[1] / ".lock").touch()
    before = [sorted(path.name for path in folder.iterdir()) for folder in folders]
    process = subprocess.Popen([sys.executable, "-c", HOLD, folders[1] / ".lock"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    monkeypatch.setattr(status_module, "PATIENCE", 0.1)
    try:
        error = refused(launch, capsys, "softcpt", "tiny8", "4", "--seeds", "1,2", "--redo")
        assert "Another process is using" in error and str(folders[1]) in error
        assert [sorted(path.name for path in folder.iterdir()) for folder in folders] == before
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert launch("softcpt", "tiny8", "4", "--seeds", "1,2", "--redo") == 0 and len(launch.calls) == 2


def test_redo_removes_nothing_if_nothing_can_run_here(launch: Launch, capsys, monkeypatch) -> None:
    assert launch("softcpt", "tiny8", "4", "--seeds", "1") == 0
    launch.calls.clear()
    monkeypatch.setitem(sys.modules, "runs.run", None)
    assert "Python has no module" in refused(launch, capsys, "softcpt", "tiny8", "4", "--seeds", "1", "--redo")
    assert run_folder(launch.output, "results.json").exists()


# -- other pictures --


def test_other_data_than_that_of_finished_runs(launch: Launch, capsys, tmp_path: Path) -> None:
    roots = [launch.root / "data", tmp_path / "same", tmp_path / "other", tmp_path / "empty"]
    for root in roots:
        (root / "kinds").mkdir(parents=True)
        (root / "kinds" / "0.jpg").write_bytes(b"y" if root.name == "other" else b"x")
    (roots[3] / "kinds").joinpath("0.jpg").unlink()
    (roots[3] / "kinds").rmdir()
    words = ("softcpt", "tiny8", "4", "--seeds", "1")
    assert launch(*words) == 0
    pictures.record(run_folder(launch.output), roots[0], [str(roots[0] / "kinds" / "0.jpg")])
    launch.calls.clear()
    for root in roots[:2]:
        capsys.readouterr()
        assert launch(*words, "--data", root) == 0
        assert capsys.readouterr().err == ""
    error = refused(launch, capsys, *words, "--data", roots[2])
    assert "'kinds' has files of the same names with another content" in error and "--redo" in error
    assert f"{roots[3]} has no folder kinds" in refused(launch, capsys, *words, "--data", roots[3], status=0)


def test_edited_results_are_said_and_run_again(launch: Launch, capsys) -> None:
    import json

    from common.files import sealed

    assert launch("softcpt", "tiny8", "4", "--seeds", "1") == 0
    path = run_folder(launch.output, "results.json")
    text = json.dumps(sealed(json.loads(path.read_text())))
    path.write_text(text.replace("51.0", "91.0"))
    assert text.count("51.0") == 1
    launch.calls.clear()
    capsys.readouterr()
    assert launch("softcpt", "tiny8", "4", "--seeds", "1") == 0 and len(launch.calls) == 1
    shown = capsys.readouterr()
    assert shown.err.count("\n") == 1 and f"{path} cannot be read: its checksum differs" in shown.err
    assert "91.0" not in shown.out and "51.0" in shown.out


# -- errors of the system --


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a/b"), "There is no space left on a/b; "),
        (OSError(errno.ENOSPC, "No space left on device"), "There is no space left on the disk, or "),
        (PermissionError(errno.EACCES, "Permission denied", "a/b"), "a/b: Permission denied.\n"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x"), "x: File name too long.\n"),
        (InputError("\x1b[2Jname\x07"), "[2Jname\n"),
    ],
)
def test_an_error_of_the_system_is_one_line(error: Exception, message: str, capsys) -> None:
    def answer(argv: list[str]) -> int:
        raise error

    assert frame.run(answer, []) == (2 if isinstance(error, InputError) else 1)
    shown = capsys.readouterr().err
    assert shown.startswith(message) and shown.count("\n") == 1


def test_an_output_that_is_full_is_one_line() -> None:
    code = "import sys; from launcher import frame; sys.exit(frame.run(lambda argv: print('x' * 100_000) or 0, []))"
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "no space left on" in done.stderr


def test_a_full_disk_ends_a_comparison_at_once(launch: Launch, capsys, monkeypatch) -> None:
    tried = []

    def run(settings, request):
        tried.append(request)
        raise DiskFull("There is no space left on output; free some.")

    monkeypatch.setattr(sys.modules["runs.run"], "run", run)
    assert "no space left on output" in refused(launch, capsys, "compare", "tiny8", "4")
    assert len(tried) == 1

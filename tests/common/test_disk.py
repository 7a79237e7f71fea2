"""Files that are replaced, and what killed processes leave."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from common.disk import sweep
from common.files import replacing


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    with replacing(path) as aside:
        aside.write_bytes(b"one")
    assert path.read_bytes() == b"one"
    with pytest.raises(KeyboardInterrupt), replacing(path) as aside:
        aside.write_bytes(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"one" and os.listdir(tmp_path) == ["picture.png"]


def test_only_our_files_of_ended_processes_are_swept(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    alive = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert alive.stdin is not None
    kept = {
        ".results.json.bak",
        "results.json",
        f".other.json.{ended.pid}",
        f".results.json.{alive.pid}",
        ".results.json.0",
    }
    for name in (*kept, f".results.json.{ended.pid}", f".results.json.{os.getpid()}", ".results.json.4294967295"):
        (tmp_path / name).write_text("x")
    (tmp_path / f".config.yaml.{ended.pid}").mkdir()
    (tmp_path / f".log.txt.{ended.pid}").symlink_to(tmp_path / "results.json")
    sweep(tmp_path, ["results.json", "config.yaml", "log.txt"])
    alive.stdin.close()
    alive.wait()
    left = set(os.listdir(tmp_path))
    assert left == kept | {f".config.yaml.{ended.pid}", f".log.txt.{ended.pid}"}
    sweep(tmp_path / "none", ["results.json"])

"""Files that are read back: regular ones of bounded size, and records with a checksum."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from common.files import (
    SEAL,
    NotAFile,
    is_regular,
    parse_json,
    read_bytes,
    read_json,
    read_record,
    read_text,
    sealed,
    unsealed,
    write_record,
)
from common.paths import REPOSITORY


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    """A named pipe without a writer would block for ever, a device never ends."""
    pipe, listener = tmp_path / "pipe", socket.socket(socket.AF_UNIX)
    os.mkfifo(pipe)
    listener.bind(str(tmp_path / "socket"))
    (tmp_path / "link").symlink_to(pipe)
    for path in (pipe, tmp_path / "link", Path("/dev/zero")):
        with pytest.raises(NotAFile):
            read_bytes(path)
    for path in (pipe, tmp_path / "socket", tmp_path / "link", Path("/dev/zero"), tmp_path, tmp_path / "none"):
        assert not is_regular(path)
        with pytest.raises(OSError):
            read_bytes(path)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert not is_regular(tmp_path / "loop") and not is_regular("a\0b")
    file = tmp_path / "file"
    file.write_bytes(b"\xef\xbb\xbfabc")
    assert is_regular(file) and read_text(file) == "abc" and read_bytes(file)[:1] == b"\xef"
    with pytest.raises(OSError, match="more than 5 bytes"):
        read_bytes(file, 5)
    assert len(read_bytes(file, 6)) == 6
    listener.close()


def test_a_read_reserves_no_more_than_there_is(tmp_path: Path) -> None:
    """With the address space limited, as on many clusters, reserving a limit of a gigabyte would fail."""
    code = (
        "import resource, sys; from common.files import read_bytes; "
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize(); "
        "resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20),) * 2); "
        "print(len(read_bytes(sys.argv[1], 8 << 30)))"
    )
    file = tmp_path / "file"
    file.write_bytes(b"x" * 5000)
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.stdout == "5000\n", done.stderr
    assert read_bytes("/proc/self/status")[:5] == b"Name:"  # a file that says it is empty


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "NaN", "[Infinity]", "{", "", '{"a": 1} x'])
def test_what_is_not_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        parse_json(text)


def test_a_record_is_read_back_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    record = {"train": [["a.jpg", 0], ["ü\udce9.jpg", 1]], "seconds": 1.5, "none": None}
    write_record(path, record)
    assert read_record(path) == record and json.loads(path.read_text())[SEAL]
    text = path.read_text()
    for old, new in (("0", "1"), ("a.jpg", "b.jpg"), ("1.5", "1.25"), ('"seconds"', '"second"')):
        path.write_text(text.replace(old, new, 1))
        with pytest.raises(ValueError, match="checksum differs|no checksum"):
            read_record(path)
    others: tuple[object, ...] = ({}, [], None, {"train": []}, {SEAL: 3})
    for other in others:
        with pytest.raises(ValueError):
            unsealed(other)
    assert unsealed(sealed({})) == {}
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none.json")

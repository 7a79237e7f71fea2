"""Questions about a Python environment that scripts/setup_env.sh asks. A program of its own, standard library only.

    python environment.py lacks ROOT FILE...   prints which lines of the requirement files the environment does not meet
    python environment.py ready ROOT FILE...   was ROOT/.venv set up for these files as they are now?
    python environment.py stamp ROOT FILE...   records in ROOT/.venv that it was

The exit status is 0 for yes (nothing lacking, ready, recorded) and 1 for no.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from importlib import metadata
from pathlib import Path

COMPARE = {
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
}


def version_key(version: str) -> tuple[int, ...]:
    """The release numbers of a version as a tuple without trailing zeros: "2.15.0+cpu" gives (2, 15)."""
    release = re.match(r"\d+(\.\d+)*", version.strip())
    numbers = [int(part) for part in release.group().split(".")] if release else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def parse(line: str, root: Path) -> tuple[str, list[tuple[str, str]]] | None:
    """Name and (operator, version) pairs of one line of a requirement file; None for a blank or comment line."""
    line = re.sub(r"(^|\s)#.*", "", line).split(";")[0].strip()
    if not line:
        return None
    if line.startswith("-e "):
        project = root / line[3:].strip() / "pyproject.toml"
        named = re.search(r'^name\s*=\s*"([^"]+)"', project.read_text("utf-8"), re.M) if project.is_file() else None
        return (named.group(1) if named else "dassl"), []
    name = re.match(r"[A-Za-z0-9._-]+", line)
    if name is None:
        raise SystemExit(f"{line!r} in the requirements is not a requirement.")
    return name.group(), re.findall(r"([<>=!]=|[<>])\s*([^\s,]+)", line[name.end() :])


def lacking(files: list[Path], root: Path) -> list[str]:
    """The requirements of ``files`` that the running interpreter's environment does not meet."""
    missing = []
    for line in (line for file in files for line in file.read_text("utf-8").splitlines()):
        requirement = parse(line, root)
        if requirement is None:
            continue
        name, bounds = requirement
        try:
            have = metadata.version(name)
        except metadata.PackageNotFoundError:
            have = None
        if not have or not all(COMPARE[op](version_key(have), version_key(asked)) for op, asked in bounds):
            missing.append(name + ",".join(op + asked for op, asked in bounds))
    return missing


def stamp(file: Path, root: Path) -> str:
    """A hash that changes whenever ``file`` must be installed again: another content, another Python, a moved clone."""
    toolbox = root / "toolbox" / "pyproject.toml"
    parts = [file.read_bytes(), toolbox.read_bytes() if toolbox.is_file() else b""]
    parts += ["{}.{}".format(*sys.version_info[:2]).encode(), os.fsencode(root)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def main(argv: list[str]) -> int:
    question, root = argv[0], Path(argv[1])
    files = [root / name for name in argv[2:]]
    stamps = {file: root / ".venv" / f".stamp-{file.name}" for file in files}
    if question == "lacks":
        missing = lacking(files, root)
        print(", ".join(missing))
        return 1 if missing else 0
    if question == "ready":
        return 0 if all(s.is_file() and s.read_bytes() == stamp(f, root).encode() for f, s in stamps.items()) else 1
    for file, noted in stamps.items():
        half = noted.with_suffix(".tmp")
        half.write_text(stamp(file, root), "utf-8")
        half.replace(noted)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

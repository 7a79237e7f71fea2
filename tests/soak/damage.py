"""Damage to files, drawn from a generator of random numbers."""

from __future__ import annotations

import json
import os
import random
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

SPECIALS: tuple[Any, ...] = (
    None,
    True,
    -1,
    10**12,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "\0",
    "../x",
    [],
    {},
    "=1+1",
    "<b>",
    "é" * 300,
)


def truncated(path: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content) or 1)])


def emptied(path: Path, rng: random.Random) -> None:
    path.write_bytes(b"")


def bits_flipped(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 1, 1, 8, 64))):
        if content:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def block_zeroed(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    start = rng.randrange(len(content) or 1)
    end = min(len(content), start + rng.choice((16, 512, 4096)))
    content[start:end] = bytes(end - start)
    path.write_bytes(content)


def block_doubled(path: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    middle = rng.randrange(len(content) or 1)
    path.write_bytes(content[:middle] + content[middle // 2 :])


def other_content(path: Path, rng: random.Random) -> None:
    path.write_bytes(
        rng.choice(
            (
                b"<!DOCTYPE html><html>404</html>",
                b"version https://git-lfs.github.com/spec/v1\n",
                b"\x1f\x8b\x08\0",
                b"PK\x05\x06" + bytes(18),
                b"\0" * 4096,
                bytes(rng.randrange(256) for _ in range(3000)),
                "caf\xe9: [\n".encode("latin-1"),
                b"\xff\xfe{\0}\0",
            )
        )
    )


def a_pipe(path: Path, rng: random.Random) -> None:
    path.unlink()
    os.mkfifo(path)


def a_socket(path: Path, rng: random.Random) -> None:
    path.unlink()
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's path has at most 107 characters
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path.name)
    os.chdir(here)


def a_folder(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.mkdir()


def a_loop(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.symlink_to(path.name)


def a_dangling_link(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def a_device(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


Damage = Callable[[Path, random.Random], None]
OF_BYTES: tuple[Damage, ...] = (truncated, truncated, emptied, bits_flipped, bits_flipped, block_zeroed, block_doubled)
OF_FILES: tuple[Damage, ...] = (other_content, a_pipe, a_socket, a_folder, a_loop, a_dangling_link, a_device)


def any_damage(path: Path, rng: random.Random) -> str:
    """Damage a file in one of the ways above; returns its name."""
    damage = rng.choice((*OF_BYTES, *OF_FILES))
    damage(path, rng)
    return damage.__name__


# -- of structures --


def _places(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    if isinstance(value, (dict, list)):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            found.append((value, key))
            _places(value[key], found)
    return found


def value_replaced(value: Any, rng: random.Random) -> str:
    """Replace, remove or repeat one entry somewhere in a JSON value; returns what was done."""
    container, key = rng.choice(_places(value, []) or [([0], 0)])
    old, kind = container[key], rng.randrange(4)
    if kind == 0:
        del container[key]
        return f"{key} removed"
    if kind == 1 and isinstance(container, list):
        container.append(old)
        return "an entry repeated"
    if isinstance(old, (int, float)) and not isinstance(old, bool) and kind == 2:
        container[key] = old + 1
        return f"{key} {old} + 1"
    container[key] = rng.choice(SPECIALS)
    return f"{key} replaced by {str(container[key])[:20]!r}"


def json_damaged(path: Path, rng: random.Random) -> str:
    """Damage a JSON file in its values, or as any file."""
    if rng.random() < 0.4:
        return any_damage(path, rng)
    if rng.random() < 0.1:
        path.write_text("[" * 100_000)
        return "nested"
    content = json.loads(path.read_text("utf-8"))
    what = value_replaced(content, rng)
    path.write_text(json.dumps(content), encoding="utf-8")
    return what


def yaml_damaged(path: Path, rng: random.Random) -> str:
    """Damage the text of a YAML file."""
    kind = rng.randrange(5)
    text = path.read_text("utf-8")
    lines = text.splitlines()
    if kind == 0:
        return any_damage(path, rng)
    if kind == 1:
        levels = ["a: &a [x,x,x,x,x,x,x,x,x]"]
        levels += [f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 9)}]" for i in range(9)]
        path.write_text(text + "\n" + "\n".join(levels) + "\n")
        return "alias bomb"
    if kind == 2:
        path.write_text(text + "\nx: " + rng.choice("[{") * rng.choice((200, 2000, 20_000)))
        return "deep"
    number = rng.randrange(len(lines))
    if kind == 3:
        key, colon, _ = lines[number].partition(":")
        lines[number] = key + colon + " " + str(rng.choice((*SPECIALS[:-3], ".nan", "-.inf", "0", "[0, 0]", "~")))
        what = f"line {number + 1}: a value"
    else:
        lines[number] = rng.choice(("\t" + lines[number], lines[number] * 2, lines[number][::-1], "? " + lines[number]))
        what = f"line {number + 1}: text"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="replace")
    return what


class Harmful:
    """Pickled as a call that makes a folder."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


def checkpoint_damaged(path: Path, rng: random.Random) -> str:
    """Damage a PyTorch checkpoint in its values, or as any file."""
    kind = rng.randrange(6)
    if kind < 3:
        return any_damage(path, rng)
    content = torch.load(path, map_location="cpu", weights_only=True)
    if kind == 3:
        content["harm"] = Harmful(path.parent / "harmed")
        torch.save(content, path)
        return "a pickle that runs code"
    if kind == 4:
        state = content.get("state_dict", content)
        name = rng.choice([key for key, value in state.items() if value.is_floating_point()])
        where = rng.randrange(state[name].numel())
        state[name] = state[name].clone()
        state[name].view(-1)[where] = rng.choice((float("nan"), float("inf"), 7.0))
        torch.save(content, path)
        return f"{name}[{where}] changed"
    keys = [key for key in ("epoch", "optimizer", "scheduler", "state_dict") if key in content] or list(content)[:3]
    key = rng.choice(keys)
    if rng.random() < 0.3:
        del content[key]
    else:
        content[key] = rng.choice((None, -5, 10**12, {}, [], "x", torch.zeros(3)))
    torch.save(content, path)
    return f"{key} replaced"


def zip_damaged(path: Path, rng: random.Random) -> str:
    """Damage a zip archive: as any file, or in what it names."""
    kind = rng.randrange(5)
    if kind < 2:
        return any_damage(path, rng)
    if kind == 2:
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(
                rng.choice(("../escaped.txt", "/tmp/escaped.txt", "a/" * 1500 + "x", "n" * 300 + ".jpg")), "x"
            )
        return "a name"
    if kind == 3:
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("zeros.bin", bytes(400 << 20))
        return "400 MiB of zeros"
    content = bytearray(path.read_bytes())
    for start in (b"PK\x03\x04", b"PK\x01\x02"):
        at = content.find(start)
        if at >= 0:  # the flag of encryption, or a compression that nobody has
            offset = (6, 8) if start == b"PK\x03\x04" else (8, 10)
            which = rng.randrange(2)
            content[at + offset[which]] = 1 if which == 0 else 99
    path.write_bytes(content)
    return "flags"

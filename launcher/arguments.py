"""The words of a command line, one kind at a time: names, numbers, KEY VALUE pairs and folders, checked by the standard
library alone."""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from common.errors import InputError, unknown

ROOT = Path(__file__).resolve().parent.parent

FALLBACK_CONFIG = "rn50_ep50"

# Keys that a run's folder is named by, and what sets them.
OWN_KEYS = {
    "DATASET.NUM_SHOTS": "the shots after the dataset",
    "DATASET.NAME": "the dataset",
    "DATASET.ROOT": "--data",
    "OUTPUT_DIR": "--output",
    "SEED": "--seeds",
    "TRAINER.NAME": "the script",
    "TRAINER.SOFTCPT.VARIANT": "--variant",
    "TRAINER.COOP.CONTEXT": "--context",
    "TRAINER.ZEROSHOT.TEMPLATES": "--templates",
    "TRAINER.TIPADAPTER.FINETUNE": "--finetune",
}


class OneLineParser(argparse.ArgumentParser):
    """Tells what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message[:1].upper()}{message[1:]}; --help shows how to call this.")


def whole_numbers(text: str, what: str, least: int, example: str) -> list[int]:
    """The numbers of a comma-separated list, each once, in the order given."""
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"[0-9]{1,9}", part) and int(part) >= least for part in parts):
        kind = "positive whole numbers" if least else "whole numbers from 0 on"
        raise InputError(f"{what} must be {kind}, such as {example}, and not '{text}'.")
    return list(dict.fromkeys(map(int, parts)))


def find_config(name: str, folders: list[str], kind: str) -> Path:
    """The .yaml file called ``name`` in one of ``folders``, or at the path ``name`` when it ends in .yaml."""
    if name.endswith((".yaml", ".yml")) and Path(name).expanduser().is_file():
        return Path(name).expanduser().absolute()
    if "/" in name and name.endswith((".yaml", ".yml")):
        raise InputError(f"{kind} {name}: there is no such file.")
    known = {path.stem: path for folder in folders for path in sorted((ROOT / folder).glob("*.yaml"))}
    if name not in known:
        raise unknown(kind, name, known, where=" and ".join(folders))
    return known[name]


def find_dataset(name: str) -> Path:
    """The file of a data set or collection."""
    return find_config(name, ["configs/datasets", "configs/collections"], "Dataset")


def default_config(dataset_file: Path) -> str:
    """The trainer config that a dataset or collection asks for, in a key "config:" or a comment "# default config:"."""
    found = re.search(r"^(?:#\s*default config:|config:)\s*['\"]?([\w.+-]+)", dataset_file.read_text("utf-8"), re.M)
    return found.group(1) if found else FALLBACK_CONFIG


def config_chain(config_file: Path) -> list[Path]:
    """A trainer config and those that it builds on by "_BASE_:", as far as they are there."""
    chain: list[Path] = []
    while config_file.is_file() and config_file not in chain:
        chain.append(config_file)
        base = re.search(r"^_BASE_:\s*['\"]?([^'\"#\n]+)", config_file.read_text("utf-8"), re.M)
        if base:
            config_file = (config_file.parent / base.group(1).strip()).resolve()
    return chain


def names_openclip(config_file: Path) -> bool:
    """Whether a trainer config, or one that it builds on, names an OpenCLIP tower."""
    texts = (path.read_text("utf-8") for path in config_chain(config_file))
    return any(re.search(r"^[^#\n]*\bopen_clip:", text, re.M) for text in texts)


def override_pairs(words: list[str], own_keys: Mapping[str, str] = OWN_KEYS) -> list[tuple[str, str]]:
    """KEY VALUE pairs of what follows "--"; whether the keys exist is for train.py to say."""
    if len(words) % 2:
        raise InputError(f"What follows -- comes in pairs, KEY VALUE; the last key, '{words[-1]}', has no value.")
    pairs = list(zip(words[::2], words[1::2], strict=True))
    for key, _ in pairs:
        if key.upper() in own_keys:
            raise InputError(f"{key} cannot follow --: {own_keys[key.upper()]} sets it.")
    return pairs


def folder_name(config: str, pairs: list[tuple[str, str]]) -> str:
    """The config's part of a run's folder: overridden keys belong to it, or runs that differ would share a folder."""
    plain = "+".join([config, *(f"{key}={value}" for key, value in sorted(pairs))])
    name = re.sub(r"[^\w.+=@,-]", "_", plain)
    if name != plain or len(name) > 120:
        name = f"{name[:100]}+{hashlib.sha256(plain.encode()).hexdigest()[:8]}"
    return name


def usable_folder(path: Path, flag: str) -> Path:
    """``path`` as an absolute one, after a look at what can be told without touching anything."""
    path = Path(path).expanduser().absolute()
    there = next(p for p in [path, *path.parents] if p.exists())
    if not there.is_dir():
        raise InputError(f"{flag} {path}: {there} is a file and not a folder; give another folder.")
    if flag == "--output" and not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{flag} {path}: {there} is not writable; give another folder.")
    return path


def silence() -> None:
    """Standard output to nowhere, once nobody reads it: what is still to be flushed would end in another error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

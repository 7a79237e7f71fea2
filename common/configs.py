"""Finding config files by name, with the standard library alone.

    configs/datasets/<name>.yaml, configs/collections/<name>.yaml     data sets, and collections of one's own
    configs/trainers/<tower>_<recipe>.yaml                            shared by all methods
    configs/trainers/<Trainer>/_recipe.yaml                           a method's own recipe, laid over a shared config
    configs/trainers/<Trainer>/<name>.yaml                            complete: takes the place of a shared config

A file whose name starts with "_" is a part of others and cannot be chosen by name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from common import paths
from common.catalogue import Method
from common.errors import InputError, unknown
from common.files import is_regular, read_text
from common.text import one_line

FALLBACK = "rn50_ep50"  # the published table's
RECIPE = "_recipe.yaml"
LIMIT_BYTES = 2 << 20  # of a config file
LIMIT_FILES = 100  # that a config builds on; each could name others twice over


def read_config(path: Path) -> str:
    """The text of a config file.

    Raises:
        InputError: it cannot be read, or is not text in UTF-8.
    """
    try:
        return read_text(path, LIMIT_BYTES)
    except UnicodeDecodeError:
        raise InputError(f"{path} is not text in UTF-8; save it in that encoding.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or one_line(error)
        raise InputError(f"Config file {path} cannot be read: {reason}.") from None


def find_file(name: str, folders: Iterable[Path], kind: str) -> Path:
    """The .yaml file called ``name`` in one of ``folders``, or at the path ``name`` if it ends in .yaml."""
    folders = list(folders)
    if name.endswith((".yaml", ".yml")) and is_regular(paths.expanded(name)):
        return paths.expanded(name).absolute()
    if "/" in name and name.endswith((".yaml", ".yml")):
        raise InputError(f"{kind} {name}: there is no such file.")
    known = {file.stem: file for folder in folders for file in choosable(folder)}
    if name not in known:
        places = [folder.relative_to(paths.CONFIGS.parent).as_posix() for folder in folders]
        raise unknown(kind, name, known, where=" and ".join(places))
    return known[name]


def choosable(folder: Path) -> list[Path]:
    """The config files of a folder that a name can choose."""
    return [file for file in sorted(folder.glob("*.yaml")) if not file.name.startswith("_")]


def find_dataset(name: str) -> Path:
    """The file of a data set or collection."""
    return find_file(name, (paths.CONFIGS / "datasets", paths.CONFIGS / "collections"), "Dataset")


def datasets() -> list[str]:
    """The names of all data sets and collections."""
    return [file.stem for kind in ("datasets", "collections") for file in choosable(paths.CONFIGS / kind)]


def find_config(name: str, method: Method) -> Path:
    """The config of a method called ``name``: its own, or one that all methods share; or the file at that path.

    A path in the method's own folder may also name a shared config: in CoOp's repository each method has copies of all.

    Raises:
        InputError: there is none, or the method does not support its tower.
    """
    own = trainers() / method.trainer
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        if is_regular(path) or _real(path).parent != _real(own):
            return find_file(name, (), "Config")
        name = path.stem
    known = {stem: file for stem, file in shared().items() if method.can_use(stem)}
    known |= {file.stem: file for file in choosable(own)}
    if name in known:
        return known[name]
    if name in shared():
        listed = ", ".join(sorted(known))
        raise InputError(f"{method.name} needs {method.needs}, so it cannot use config '{name}'; use one of {listed}.")
    where = "configs/trainers" + (f" and configs/trainers/{method.trainer}" if own.is_dir() else "")
    raise unknown("Config", name, known, where)


def trainers() -> Path:
    """The folder of the methods' configs."""
    return paths.CONFIGS / "trainers"


def shared() -> dict[str, Path]:
    """The configs that all methods share, by name."""
    return {file.stem: file for file in choosable(trainers())}


def is_shared(config: Path) -> bool:
    """True for a config that all methods share."""
    return _real(config).parent == _real(trainers())


def _real(path: Path) -> Path:
    """``path`` without links; unlike Path.resolve it takes links that go round in a circle, and any name."""
    try:
        return Path(os.path.realpath(path))
    except ValueError:  # a null character
        return path


def recipe_over(config: Path, trainer: str) -> Path | None:
    """The recipe that a method lays over a shared config, if it has one."""
    recipe = trainers() / trainer / RECIPE
    return recipe if is_shared(config) and is_regular(recipe) else None


def default_config(dataset_file: Path) -> str:
    """The name of the config that a data set or collection asks for by its key "config:"."""
    found = re.search(r"^config:\s*['\"]?([\w.+-]+)", read_config(dataset_file), re.M)
    return found.group(1) if found else FALLBACK


def chain(config: Path, trainer: str = "") -> list[Path]:
    """A config, the recipe that the trainer lays over it, and the files that these build on by "_BASE_:"; those that
    exist."""
    found: list[Path] = []
    recipe = recipe_over(config, trainer) if trainer else None
    waiting = [config, *([recipe] if recipe else [])]
    while waiting:
        file = waiting.pop(0)
        if not is_regular(file) or file in found:
            continue
        found.append(file)
        if len(found) > LIMIT_FILES:
            raise InputError(f"{config} builds on more than {LIMIT_FILES} files by _BASE_; write it in fewer.")
        waiting += [_real(file.parent / base) for base in dict.fromkeys(bases_of(file))]
    return found


def bases_of(config: Path) -> list[str]:
    """The files that a config names by "_BASE_:", as one value, as [a, b] or in lines "- a"."""
    named = re.search(r"^_BASE_:.*(?:\n[ \t]*- .*)*", read_config(config), re.M)
    listed = re.sub("#.*", "", named.group()).removeprefix("_BASE_:") if named else ""
    return [word for word in re.findall(r"[^\s\[\],'\"]+", listed) if word != "-"]


def names_openclip(config: Path) -> bool:
    """True if a config, or one that it builds on, names an OpenCLIP tower."""
    texts = (read_config(file) for file in chain(config))
    return any(re.search(r"^[^#\n]*\bopen_clip:", text, re.M) for text in texts)

"""The settings of a run, from files and overrides."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from dassl.config import get_cfg_default
from dassl.data.datasets import DATASET_REGISTRY
from dassl.engine import TRAINER_REGISTRY
from yacs.config import CfgNode

import datasets  # noqa: F401  registers the data sets
import trainers
from common import catalogue, configs, paths, threads
from common.checkpoints import learned_file
from common.errors import InputError, unknown
from common.files import digest, is_regular
from common.text import one_line
from datasets.declared import register_collection
from datasets.yaml_files import read_yaml
from prompting.pixels import KEYS
from prompting.towers import checkpoint_file
from runs import foreign
from trainers.engine.image_trainer import search_folders
from trainers.engine.knobs import check_settings
from trainers.engine.settings import known_keys, set_value, value_of

# yacs's message for a value whose type differs from the default's.
MISMATCH = re.compile(r"\(<class '(\w+)'> vs\. .*?\) with values \((.*) vs\. (.*)\) for config key: (\S+)")
YAML = (".yaml", ".yml")
WHOLE = re.compile(r"[+-]?[0-9]+")
TYPES = {"int": "a whole number", "float": "a number", "bool": "True or False", "str": "text", "tuple": "a list"}


def load_config(
    dataset: Path | str, method: str, overrides: Iterable[tuple[str, Any]] = (), config: Path | str | None = None
) -> CfgNode:
    """The settings of a run: Dassl's defaults, then each of these over the ones before it.

    Args:
        dataset: the file of a data set, or of a collection's declaration; or its name in configs/. "" for none.
        method: a method of the catalogue, such as "CoOp-CA", or a trainer, such as "CoOp". "" for TRAINER.NAME.
        overrides: (key, value) pairs. Text is read as on a command line ("0.1" is a number); a Path is taken as it is.
        config: the method's config file, or its name in configs/trainers.

    Returns:
        the settings, frozen.

    Raises:
        InputError: a file, a key or a value cannot be used.
    """
    cfg = get_cfg_default()
    trainers.extend_cfg(cfg)
    given = {key: value_of(cfg, key) for key in known_keys(cfg)}
    overrides = list(overrides)
    entry = catalogue.METHODS.get(method)
    trainer = entry.trainer if entry else method or next((str(v) for k, v in overrides if k == "TRAINER.NAME"), "")
    _merge_dataset(cfg, dataset)
    if config:
        _merge_config(cfg, config, trainer)
    cfg.TRAINER.NAME = trainer or cfg.TRAINER.NAME
    settings = [pair for key, value in overrides for pair in _translated(key, value)]
    for key, value in [*(entry.keys if entry else ()), *settings]:
        plain = str(value) if isinstance(value, Path) else _number(cfg, key, value)
        if isinstance(value, Path) and key in known_keys(cfg):
            set_value(cfg, key, plain)  # not read as a literal: a folder may be called 1 or None
        else:
            _merge(cfg, "the command line", partial(cfg.merge_from_list, [key, plain]), key)
    if any(key == "INPUT.GIVEN" for key, _ in settings):
        raise InputError("INPUT.GIVEN is filled in; set the keys of INPUT themselves.")
    _note_given(cfg, [key.removeprefix("INPUT.") for key, _ in settings])
    _refuse_empty(cfg, given)
    if cfg.TRAINER.NAME not in TRAINER_REGISTRY.registered_names():
        if cfg.TRAINER.NAME in foreign.TRAINERS:
            here = foreign.TRAINERS[cfg.TRAINER.NAME]
            raise InputError(f"Trainer '{cfg.TRAINER.NAME}' is another repository's name; here it is {here}.")
        raise unknown("Trainer", cfg.TRAINER.NAME, TRAINER_REGISTRY.registered_names())
    if not cfg.DATASET.NAME:
        where = dataset or "The command line"
        raise InputError(f"{where} names no data set: it needs DATASET: NAME, or `tasks:` (docs/collections.md).")
    if cfg.DATASET.NAME not in DATASET_REGISTRY.registered_names():
        raise unknown("Dataset", cfg.DATASET.NAME, DATASET_REGISTRY.registered_names())
    checkpoint = checkpoint_file(cfg.MODEL.BACKBONE.NAME, search_folders(cfg))
    if checkpoint is not None:
        cfg.MODEL.BACKBONE.DIGEST = digest(checkpoint)
    if cfg.MODEL.FROM:
        cfg.MODEL.FROM_DIGEST = digest(learned_file(cfg.MODEL.FROM))
    check_settings(cfg, TRAINER_REGISTRY.get(cfg.TRAINER.NAME))
    cfg.DATALOADER.NUM_WORKERS = min(cfg.DATALOADER.NUM_WORKERS, max(1, int(threads.allowed())))
    cfg.freeze()
    return cfg


def _refuse_empty(cfg: CfgNode, defaults: Mapping[str, Any]) -> None:
    """InputError for a setting, or a whole section, that is None although it has a default: yacs takes that."""
    for key, default in defaults.items():
        node: Any = cfg
        for part in key.split("."):
            node = node[part] if node is not None else None
        if node is None and default is not None:
            raise InputError(f"{key} is None or empty in these settings; give it a value, such as {default!s}.")


def _merge_dataset(cfg: CfgNode, dataset: Path | str) -> None:
    if not dataset:
        return
    path = Path(dataset) if Path(dataset).suffix in YAML else configs.find_dataset(str(dataset))
    if "tasks" in _read_yaml(path):
        cfg.DATASET.NAME = register_collection(path)
        # In the config, so that a run records what it was made of, and a changed collection is noticed.
        cfg.DATASET.DECLARATION = json.dumps(DATASET_REGISTRY.get(path.stem).declaration, sort_keys=True)
    else:
        _merge_file(cfg, path)


def _merge_config(cfg: CfgNode, config: Path | str, trainer: str) -> None:
    """Merge a method's config file and the recipe that the method lays over a shared one."""
    path = Path(config)
    entry = next((m for m in catalogue.METHODS.values() if m.trainer == trainer), None)
    if entry and (path.suffix not in YAML or path.parent.name == trainer):
        path = configs.find_config(str(config), entry)
    elif path.suffix not in YAML:
        path = configs.trainers() / f"{config}.yaml"
    own = configs.trainers() / trainer / path.name
    if trainer and configs.is_shared(path) and is_regular(own):
        raise InputError(f"{trainer} has a config of its own in the place of {path}; use {own}.")
    _merge_file(cfg, path)
    recipe = configs.recipe_over(path, trainer)
    if recipe:
        _merge_file(cfg, recipe)


def _read_yaml(path: Path) -> dict[str, Any]:
    if not is_regular(path):
        shared = configs.trainers() / path.name
        hint = f" All methods share {shared}." if is_regular(shared) else ""
        kind = "is not a regular file" if os.path.lexists(path) else "is missing"
        raise InputError(f"Config file {path} {kind}.{hint}")
    content = read_yaml(path)
    if content is not None and not isinstance(content, dict):
        raise InputError(f"{path} is a {type(content).__name__} and not settings, which are lines of `KEY: value`.")
    return content or {}


def _merge_file(cfg: CfgNode, path: Path, above: tuple[Path, ...] = (), merged: list[Path] | None = None) -> None:
    """Merge a config file, and before it its `_BASE_` files (paths relative to it), so that a recipe is written once.

    A data set's key `config:`, the config that it asks for, is the launcher's. ``merged`` are the files so far, of
    which there is a limit, since each could name others twice over.
    """
    content = _read_yaml(path)
    merged = [] if merged is None else merged
    merged.append(path)
    if len(merged) > configs.LIMIT_FILES:
        raise InputError(f"{merged[0]} builds on more than {configs.LIMIT_FILES} files by _BASE_; write it in fewer.")
    content.pop("config", None)
    bases = content.pop("_BASE_", None) or []
    for base in bases if isinstance(bases, list) else [bases]:
        if path.resolve() in above:
            raise InputError(f"{path} builds on itself by _BASE_.")
        _merge_file(cfg, path.parent / str(base), (*above, path.resolve()), merged)
    ours, pairs = foreign.translate(content)
    _check_sections(cfg, ours, str(path))
    if isinstance(ours.get("INPUT"), dict):
        ours["INPUT"].pop("GIVEN", None)  # in a run's recorded config
    if not path.resolve().is_relative_to(paths.CONFIGS.resolve()):  # a user's own, which is meant explicitly
        _note_given(cfg, ours.get("INPUT") or {})
    _merge(cfg, str(path), lambda: cfg.merge_from_other_cfg(CfgNode(_with_numbers(cfg, ours))))
    for key, value in pairs:
        _merge(cfg, str(path), partial(cfg.merge_from_list, [key, value]), key)


def _note_given(cfg: CfgNode, names: Iterable[str]) -> None:
    """Note the keys of INPUT that do not follow the tower."""
    before = str(cfg.INPUT.GIVEN).split("+")
    cfg.INPUT.GIVEN = "+".join(key for key in KEYS if key in before or key in names)


def _translated(key: str, value: Any) -> list[tuple[str, Any]]:
    ours, pairs = foreign.translate({key: value})
    return [*ours.items(), *pairs]


def _check_sections(cfg: CfgNode, content: Mapping[str, Any], where: str, prefix: str = "") -> None:
    """InputError if something else is in the place of a whole section of settings."""
    for name, value in content.items():
        section = cfg.get(name)
        if not isinstance(section, CfgNode):
            continue
        if not isinstance(value, dict):
            shown = "empty" if value is None else f"'{value}'"
            raise InputError(f"{prefix}{name} is {shown} in {where}; it must be a section, of lines `KEY: value`.")
        _check_sections(section, value, where, f"{prefix}{name}.")


def _with_numbers(cfg: CfgNode, content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The content of a file, with whole numbers as floats where the default is one: 25 for 25.0."""
    return {
        name: _with_numbers(cfg, value, f"{prefix}{name}.")
        if isinstance(value, dict)
        else _number(cfg, f"{prefix}{name}", value)
        for name, value in content.items()
    }


def _number(cfg: CfgNode, key: str, value: Any) -> Any:
    """``value``, as a float if it is a whole number, as such or as text, and the default is a float."""
    if key not in known_keys(cfg) or not isinstance(value_of(cfg, key), float):
        return value
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 1023
    return float(value) if whole or (isinstance(value, str) and WHOLE.fullmatch(value)) else value


def _merge(cfg: CfgNode, where: str, merge: Callable[[], None], key: str | None = None) -> None:
    """Merge settings into the config; an unknown key or a value of the wrong type is reported in one line."""
    known = known_keys(cfg)
    if key is not None and key not in known:
        raise _unknown_key(key, known, where)
    try:
        merge()
    except (RecursionError, MemoryError):
        raise InputError(f"In {where}{f', {key}' if key else ''}: it is nested too deeply.") from None
    except (KeyError, AssertionError, ValueError, TypeError, AttributeError) as error:
        message = one_line(error).strip("'\"")
        if "on-existent" in message:
            raise _unknown_key(message.split()[-1], known, where) from None
        found = MISMATCH.search(message)
        if found is None:
            raise InputError(f"In {where}{f', {key}' if key else ''}: {message}") from None
        kind, default, value, name = found.groups()
        must = TYPES.get(kind, f"of type {kind}")
        raise InputError(f"{name} is '{value}' in {where}; it must be {must}, such as {default!s}.") from None


def _unknown_key(key: str, known: list[str], where: str) -> InputError:
    last = key.rsplit(".", 1)[-1].lower()
    likely = [name for name in known if name.rsplit(".", 1)[-1].lower() == last] or known
    error = str(unknown("Config key", key, likely, where))
    return InputError(
        error.split(" Known:")[0] + ("" if "did you mean" in error else " See dassl/config/defaults.py and trainers/.")
    )

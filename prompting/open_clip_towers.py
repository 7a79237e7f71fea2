"""Loading OpenCLIP's models: `<architecture>@<pretrained tag or path>`.

What is wrong with the name, the architecture or the file is found before OpenCLIP downloads or reads anything.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from common.errors import InputError, nearest
from common.files import is_regular
from common.text import some
from prompting.checkpoints import (
    OPENCLIP_CONFIG,
    SUFFIXES,
    Checkpoint,
    find_file,
    first_line,
    foreign_layout,
    load_problem,
    places,
    read_checkpoint,
    read_json,
)
from prompting.loaded import Loaded, scale_of
from prompting.open_clip_text import text_side, without_image_tower
from prompting.pixels import Preprocessing, preprocessing_of

OPEN_CLIP = "open_clip:"
QUICK = "-quickgelu"  # at the end of an architecture's name: the same with QuickGELU
HUBS = ("hf-hub:", "local-dir:")
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin")
POSITIONS = ("visual.positional_embedding", "positional_embedding", "text.positional_embedding")
TAGS = 6  # that a message lists
_from_files: set[str] = set()  # architectures that were read from files next to checkpoints


def load_open_clip(spec: str, search: Sequence[Path | str]) -> Loaded:
    """Load an OpenCLIP model.

    Args:
        spec: ``<architecture>@<pretrained tag or path>``, ``hf-hub:<repository>`` or ``local-dir:<folder>``.
        search: folders to search for a relative checkpoint path, after the working directory.

    Raises:
        InputError: see `load_tower`.
    """
    hub = hub_of(spec)
    folder = None
    if hub is not None and hub[0] == "local-dir:":  # a wrong one is told before anything has to be installed
        folder = _local_folder(hub[1], search)
    try:
        import open_clip
    except ModuleNotFoundError as error:
        if error.name != "open_clip":
            raise InputError(f"OpenCLIP cannot be imported, because {error.name} is not installed.") from None
        raise InputError(
            f"The tower '{OPEN_CLIP}{spec}' needs OpenCLIP; run: pip install -r requirements-openclip.txt"
        ) from None
    if hub is not None:
        return _load_folder(open_clip, folder or _downloaded(hub[1]))
    architecture, _, pretrained = spec.partition("@")
    if not pretrained:
        raise InputError(
            f"'{OPEN_CLIP}{spec}' names no weights; use {OPEN_CLIP}<architecture>@<pretrained tag or path>."
        )
    if open_clip.is_pretrained_cfg(architecture, pretrained):
        return _load_tag(open_clip, architecture, pretrained)
    if not looks_like_path(pretrained, search):
        raise _unknown_tag(open_clip, architecture, pretrained)
    return _load_path(open_clip, architecture, find_file(pretrained, search))


def hub_of(name: str) -> tuple[str, str] | None:
    """Split a name with OpenCLIP's `hf-hub:` or `local-dir:` into that and what follows; None for other names."""
    spec = name.removeprefix(OPEN_CLIP)
    hub = next((hub for hub in HUBS if spec.lower().startswith(hub)), None)
    return None if hub is None else (hub, spec[len(hub) :].rstrip("/"))


def weights_in(folder: Path) -> Path:
    """Return the weights in a folder that OpenCLIP wrote; raises InputError if there is none, or more than one."""
    files = [folder / name for name in WEIGHTS if is_regular(folder / name)]
    if not files and folder.is_dir():
        files = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and is_regular(path))
        files = files if len(files) == 1 else []
    if not files:
        raise InputError(f"{folder} has no weights that OpenCLIP wrote; it should have {' or '.join(WEIGHTS)}.")
    return files[0]


def _local_folder(target: str, search: Sequence[Path | str]) -> Path:
    """Find the folder of a ``local-dir:`` name; InputError if there is none."""
    looked = places(target, search)
    folder = next((path for path in looked if target and path.is_dir()), None)
    if folder is None:
        raise InputError(f"There is no folder '{target}'; looked at: {', '.join(map(str, looked))}.")
    return folder


def _load_folder(open_clip: ModuleType, folder: Path) -> Loaded:
    """Load a folder that OpenCLIP wrote, also if it comes from a repository on Hugging Face."""
    beside = folder / OPENCLIP_CONFIG
    config = read_json(beside).get("model_cfg") if is_regular(beside) else None
    if not isinstance(config, dict) or not isinstance(config.get("text_cfg"), dict):
        raise InputError(
            f"{folder} has no {OPENCLIP_CONFIG} with a model_cfg, so OpenCLIP did not write it; for a file with "
            f"weights use {OPEN_CLIP}<architecture>@{folder}/<file>."
        )
    if config["text_cfg"].get("hf_tokenizer_name") and is_regular(folder / "tokenizer_config.json"):
        config = {**config, "text_cfg": {**config["text_cfg"], "hf_tokenizer_name": str(folder)}}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:8]
    architecture = f"local_{digest}"  # OpenCLIP takes hints from a name, and a folder's means nothing
    _register(open_clip, architecture, config)
    return _load_path(open_clip, architecture, weights_in(folder), (config, OPENCLIP_CONFIG, []))


def _downloaded(repository: str) -> Path:
    """Return the folder of a Hugging Face repository's files, downloaded once."""
    from huggingface_hub import hf_hub_download

    try:
        config = hf_hub_download(repository, OPENCLIP_CONFIG)
        for number, name in enumerate(WEIGHTS, 1):
            try:
                hf_hub_download(repository, name)
                break
            except Exception:
                if number == len(WEIGHTS):
                    raise
        for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
            with contextlib.suppress(Exception):  # only some have a tokenizer of their own
                hf_hub_download(repository, name)
    except Exception as error:  # of the network, the repository or its settings
        tag = _tag_of_repository(repository)
        other = f"; OpenCLIP also has it as {tag}" if tag else ""
        raise InputError(
            f"'{HUBS[0]}{repository}' could not be downloaded: {first_line(error)}{other}. Without a network, give a "
            f"folder with its files: {OPEN_CLIP}{HUBS[1]}<folder>."
        ) from None
    return Path(config).parent


def _tag_of_repository(repository: str) -> str | None:
    """Return the tower whose weights OpenCLIP downloads from a Hugging Face repository."""
    try:
        import open_clip
    except ModuleNotFoundError:
        return None
    for architecture, tag in open_clip.list_pretrained():
        home = "/".join(open_clip.get_pretrained_cfg(architecture, tag).get("hf_hub", "").split("/")[:2])
        if home and home.lower() == repository.lower():
            return f"{OPEN_CLIP}{architecture}@{tag}"
    return None


def looks_like_path(name: str, search: Sequence[Path | str]) -> bool:
    """Return whether weights are named by a path, existing or not, and not by a tag."""
    return (
        name.endswith(SUFFIXES)
        or "/" in name
        or "\\" in name
        or any(os.path.exists(path) for path in places(name, search))
    )


def _unknown_architecture(open_clip: ModuleType, architecture: str, place: str = "") -> InputError:
    models = open_clip.list_models()
    if architecture.replace("/", "-") in models:
        guess: str | None = architecture.replace("/", "-")
    else:
        guess = nearest(architecture, models)
    hint = f"; did you mean '{guess}'?" if guess else "."
    return InputError(
        f"OpenCLIP architecture '{architecture}' is unknown{place}{hint} open_clip.list_models() lists all."
    )


def _unknown_tag(open_clip: ModuleType, architecture: str, tag: str) -> InputError:
    if architecture not in open_clip.list_models():
        return _unknown_architecture(open_clip, architecture)
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if not tags:
        return InputError(
            f"{architecture} has no published weights, so '{tag}' must be a file, and there is none; give a path."
        )
    tags.sort(key=lambda known: -SequenceMatcher(None, tag.lower(), known).ratio() - known.startswith(tag.lower()))
    owners = [] if tags[0].startswith(tag.lower()) else open_clip.list_pretrained_models_by_tag(tag)
    plain = architecture.removesuffix(QUICK)
    owners.sort(key=lambda owner: owner != plain)
    whose = f", it is one of {some(owners)}" if owners else ""
    return InputError(
        f"{architecture} has no tag '{tag}'{whose}; it has {some(tags, TAGS)}. For weights on disk, give their path: "
        f"{OPEN_CLIP}{architecture}@<path>."
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep OpenCLIP from logging what is reported as an InputError."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _load_tag(open_clip: ModuleType, architecture: str, tag: str) -> Loaded:
    name = f"{OPEN_CLIP}{architecture}@{tag}"
    published = open_clip.get_pretrained_cfg(architecture, tag)
    # OpenCLIP only warns of published weights whose activation is not the architecture's.
    quick = bool(published.get("quick_gelu")) or open_clip.is_pretrained_cfg(architecture + QUICK, tag)
    try:
        with _quiet():
            model, _, _ = open_clip.create_model_and_transforms(
                architecture, pretrained=tag, device="cpu", force_quick_gelu=quick
            )
    except Exception as error:  # from the hub or the architecture
        raise InputError(
            f"OpenCLIP could not load '{architecture}' from '{tag}': {first_line(error)}. The weights are downloaded "
            f"once; without a network, give a file: {OPEN_CLIP}{architecture}@<path>."
        ) from None
    pixels = preprocessing_of(name, {**published, "size": _size_of(model)}, f"as OpenCLIP's tag {tag} says")
    return _apart(open_clip, model, architecture, pixels, f"as OpenCLIP's tag {tag} says", [])


def _apart(
    open_clip: ModuleType, model: Any, architecture: str, pixels: Preprocessing, activation: str, notes: list[str]
) -> Loaded:
    visual = without_image_tower(model)
    return Loaded(visual, text_side(open_clip, model, architecture), scale_of(model), pixels, activation, notes)


def _load_path(
    open_clip: ModuleType, architecture: str, path: Path, known: tuple[dict[str, Any], str, list[str]] | None = None
) -> Loaded:
    """Load weights on disk; ``known`` is the architecture's config, where it is from, and notes on it."""
    config, config_source, notes = known or _architecture(open_clip, architecture, path)
    found = read_checkpoint(path)
    foreign = foreign_layout(found.weights)
    if foreign:
        raise InputError(f"Checkpoint {path} {foreign}.")
    activation = "QuickGELU" if config.get("quick_gelu", False) else "GELU"
    on_activation = _on_activation(open_clip, architecture, activation, found, config_source)
    positions = {name: tuple(found.weights[name].shape) for name in POSITIONS if name in found.weights}
    model = _create(open_clip, architecture, found, notes)
    notes += found.notes + on_activation
    for name, shape in positions.items():
        built = dict(model.named_parameters()).get(name)
        if built is not None and built.shape != shape:
            notes.append(
                f"{path}: '{name}' has {shape[0]} positions, but {architecture} has {built.shape[0]}; OpenCLIP "
                "interpolates them."
            )
    pixels = _pixels(open_clip, architecture, found, config, config_source, _size_of(model), notes)
    return _apart(open_clip, model, architecture, pixels, found.source or f"as {config_source} says", notes)


def _architecture(open_clip: ModuleType, architecture: str, path: Path) -> tuple[dict[str, Any], str, list[str]]:
    """Return an architecture's config and where it is from; a file next to the checkpoint is registered in OpenCLIP.

    The file may have the config itself, or Hugging Face's form with "model_cfg" and "preprocess_cfg".
    """
    beside = path.parent / f"{architecture}.json"
    built_in = architecture in open_clip.list_models() and architecture not in _from_files
    if not is_regular(beside):
        if not built_in:
            raise _unknown_architecture(open_clip, architecture, f" in OpenCLIP, or as {beside}")
        return open_clip.get_model_config(architecture), f"OpenCLIP's {architecture}", []
    content = read_json(beside)
    config = content.get("model_cfg", content)
    model_config = {key: value for key, value in config.items() if key != "preprocess_cfg"}
    if built_in:
        known = open_clip.get_model_config(architecture)
        notes = []
        if known != model_config:
            notes = [f"{beside} is ignored, because OpenCLIP has an architecture of this name; rename it to use it."]
        else:
            known = {**known, "preprocess_cfg": content.get("preprocess_cfg")}
        return known, f"OpenCLIP's {architecture}", notes
    lacking = [key for key in ("embed_dim", "vision_cfg", "text_cfg") if key not in model_config]
    if lacking:
        raise InputError(f"{beside} does not describe an OpenCLIP architecture: it has no '{lacking[0]}'; add it.")
    _register(open_clip, architecture, model_config)
    return {**model_config, "preprocess_cfg": content.get("preprocess_cfg")}, beside.name, []


def _register(open_clip: ModuleType, architecture: str, config: dict[str, Any]) -> None:
    """Make an architecture known to OpenCLIP."""
    with tempfile.TemporaryDirectory() as folder:  # OpenCLIP reads all files of a folder, and only of a folder
        (Path(folder) / f"{architecture}.json").write_text(json.dumps(config), encoding="utf-8")
        open_clip.add_model_config(folder)
    _from_files.add(architecture)


def _on_activation(
    open_clip: ModuleType, architecture: str, activation: str, found: Checkpoint, config_source: str
) -> list[str]:
    """Return what is to be said about the activation; raises InputError if the file records another one."""
    twin = architecture.removesuffix(QUICK) if architecture.endswith(QUICK) else architecture + QUICK
    has_twin = twin in open_clip.list_models() or is_regular(found.path.parent / f"{twin}.json")
    other = "GELU" if activation == "QuickGELU" else "QuickGELU"
    if has_twin:
        change = f"use {OPEN_CLIP}{twin}@{found.path}"
    else:
        own_file = f"'quick_gelu' to {'true' if other == 'QuickGELU' else 'false'}"
        change = f"set {own_file} in {config_source}" if config_source.endswith(".json") else f"set {own_file}"
    if found.activation not in (None, activation):
        raise InputError(
            f"{found.path} has {found.activation} ({found.source}), but {architecture} has {activation}; {change}."
        )
    if found.activation is None and has_twin:
        whose = ", like OpenAI's," if other == "QuickGELU" else ""
        return [f"{found.path} does not record its activation; if it was trained with {other}{whose} {change}."]
    return []


def _create(open_clip: ModuleType, architecture: str, found: Checkpoint, notes: list[str]) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        weights = found.path
        if not found.intact:  # for OpenCLIP's reader
            weights = Path(folder) / "weights.pt"
            torch.save(found.weights, weights)
        found.weights = {}  # OpenCLIP holds a copy
        try:
            with _quiet():
                return open_clip.create_model_and_transforms(architecture, pretrained=str(weights), device="cpu")[0]
        except Exception as error:  # from the file or the architecture
            raise InputError(
                f"OpenCLIP could not load '{architecture}' from '{found.path}': {load_problem(error)}; is it of "
                + " ".join(["another architecture?", *notes])
            ) from None


def _size_of(model: Any) -> Any:
    return model.visual.preprocess_cfg["size"]


def _pixels(
    open_clip: ModuleType,
    architecture: str,
    found: Checkpoint,
    config: dict[str, Any],
    config_source: str,
    size: Any,
    notes: list[str],
) -> Preprocessing:
    """Return the pixels of weights on disk: as recorded, else as of all published weights, else OpenAI's (assumed)."""
    name = f"{OPEN_CLIP}{architecture}@{found.path}"
    if found.pixels is not None:
        return preprocessing_of(name, {**found.pixels, "size": size}, found.pixels_source)
    if found.from_openai:
        return preprocessing_of(name, {"size": size}, found.source)
    if config.get("preprocess_cfg"):
        return preprocessing_of(name, {**config["preprocess_cfg"], "size": size}, f"as {config_source} says")
    published: dict[Preprocessing, list[str]] = {}
    for tag in open_clip.list_pretrained_tags_by_model(architecture):
        cfg = {**open_clip.get_pretrained_cfg(architecture, tag), "size": size}
        published.setdefault(preprocessing_of(name, cfg, ""), []).append(tag)
    usual = preprocessing_of(name, {"size": size}, "")
    if len(published) == 1 and usual not in published:
        source = f"as all published weights of {architecture}; {OPENCLIP_CONFIG} next to the file can say otherwise"
        return preprocessing_of(name, {**vars(next(iter(published))), "size": size}, source)
    for pixels, tags in published.items():
        if pixels != usual:
            notes.append(
                f"{found.path} does not record its pixels; OpenAI's are assumed, but {some(tags)} of {architecture} "
                f"{'takes' if len(tags) == 1 else 'take'} {pixels.processing}."
            )
    return usual

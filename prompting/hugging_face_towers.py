"""Towers in folders as Hugging Face's `transformers` saves them: CLIPModel and SiglipModel, with their tokenizer."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from common.errors import InputError
from common.files import is_regular
from common.text import some
from prompting.checkpoints import first_line, places, read_json
from prompting.loaded import Loaded, scale_of
from prompting.padded_text import PaddedText
from prompting.pixels import Preprocessing, preprocessing_of
from prompting.vocabularies import of_hugging_face

CONFIG, IMAGES = "config.json", "preprocessor_config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
OPENAI = {"RN50", "RN101", "RN50x4", "RN50x16", "RN50x64", "ViT-B/32", "ViT-B/16", "ViT-L/14", "ViT-L/14@336px"}
KINDS = {"clip": "CLIPModel", "siglip": "SiglipModel"}
ACTIVATIONS = {"quick_gelu": "QuickGELU", "gelu": "GELU", "gelu_pytorch_tanh": "GELU (tanh)"}
RESAMPLING = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}  # Pillow's numbers


def hugging_face_folder(name: str, search: Sequence[Path | str]) -> Path | None:
    """Return the folder that a name means, if it has Hugging Face's config.json; else None."""
    folders = (path for path in places(name, search) if name and os.path.isdir(path))
    found = next((path for path in folders if is_regular(path / CONFIG)), None)
    return None if name in OPENAI else found  # a folder of this name does not hide OpenAI's model


def hugging_face_weights(folder: Path) -> Path | None:
    """Return the file with a folder's weights; None if they are in several, or there are none."""
    return next((path for file in WEIGHTS if is_regular(path := folder / file)), None)


class _Part(nn.Module):
    """One of a model's two towers with its projection, if it has one."""

    def __init__(self, model: nn.Module, key: str, projection: nn.Module | None):
        super().__init__()
        self.model, self.key, self.projection = model, key, projection

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.model(**{self.key: x}).pooler_output
        return pooled if self.projection is None else self.projection(pooled)


def load_hugging_face(name: str, folder: Path) -> Loaded:
    """Load a folder with config.json, weights, tokenizer and preprocessor_config.json.

    Raises:
        InputError: it holds another kind of model, is incomplete, or `transformers` is not installed.
    """
    config = read_json(folder / CONFIG)
    kind = config.get("model_type")
    if kind not in KINDS:
        raise InputError(
            f"{folder} holds a model of type '{kind}' ({CONFIG}), but {' and '.join(KINDS.values())} are supported."
        )
    try:
        import transformers
    except ImportError:
        raise InputError(
            f"The tower in {folder} needs transformers; run: pip install -r requirements-openclip.txt"
        ) from None
    try:
        with _quiet(transformers):
            model, report = transformers.AutoModel.from_pretrained(
                folder, local_files_only=True, output_loading_info=True
            )
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # from many places
        raise InputError(f"The tower in {folder} could not be loaded: {first_line(error)}.") from None
    lacking = sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]]))
    if lacking:  # which transformers would draw at random
        raise InputError(f"The weights in {folder} lack {some(lacking)}, or have another shape; get the folder again.")
    model.eval()
    length = model.config.text_config.max_position_embeddings

    def rows(texts: list[str]) -> Tensor:
        made = tokenizer(texts, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
        return made.input_ids

    vocabulary = of_hugging_face(name, tokenizer, length, rows)
    text = _Part(model.text_model, "input_ids", getattr(model, "text_projection", None))
    embedding = model.text_model.get_input_embeddings()
    activation = model.config.text_config.hidden_act
    padded = PaddedText(text, text, embedding, vocabulary, f"transformers' {KINDS[kind]} computes it")
    padded.activation_name = ACTIVATIONS.get(activation, activation)
    return Loaded(
        _Part(model.vision_model, "pixel_values", getattr(model, "visual_projection", None)),
        padded,
        scale_of(model),
        _pixels(name, folder, model.config.vision_config.image_size, kind),
        f"as {CONFIG} says",
        [],
    )


def _pixels(name: str, folder: Path, size: int, kind: str) -> Preprocessing:
    path = folder / IMAGES
    if not is_regular(path):
        return Preprocessing(size)
    config = read_json(path)
    off = [key for key in ("do_resize", "do_rescale") if config.get(key) is False]
    if off:
        raise InputError(f"{path}: {off[0]} is false, which is not supported; choose another tower.")
    sides = config.get("size", {"shortest_edge": size} if kind == "clip" else {})
    edge = sides if isinstance(sides, int) else sides.get("shortest_edge") if isinstance(sides, dict) else None
    crops = edge is not None and config.get("do_center_crop", True)
    if edge is not None and (edge != size or not crops):
        raise InputError(
            f"{path} resizes the shortest side to {edge} and {'crops' if crops else 'does not crop'}, but the tower "
            f"takes {size} x {size} pixels; only resizing to {size} and cropping is supported."
        )
    resample = config.get("resample", 3)
    found = {
        "size": size,
        "mean": config.get("image_mean") if config.get("do_normalize", True) else [0.0] * 3,
        "std": config.get("image_std") if config.get("do_normalize", True) else [1.0] * 3,
        "interpolation": RESAMPLING.get(resample, resample) if isinstance(resample, int) else resample,
        "resize_mode": "squash" if edge is None else "shortest",
    }
    return preprocessing_of(name, found, f"as {IMAGES} says")


@contextlib.contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Keep transformers from logging what is reported as an InputError."""
    before = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(before)

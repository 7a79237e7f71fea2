"""The text side of OpenCLIP's models: the tokenizer, and which encoder runs on it."""

from __future__ import annotations

from functools import partial
from types import ModuleType
from typing import Any

import torch
from torch import nn

from common.errors import InputError
from prompting.checkpoints import first_line
from prompting.models import text_of, why_padded
from prompting.padded_text import AnyText, PaddedText
from prompting.prompts import Vocabulary, sentence
from prompting.text_encoder import encode, pack
from prompting.text_tower import TextTower
from prompting.vocabularies import of_clip, of_hugging_face

PROBE = "a photo of a cat."
AGREE = 1e-3  # of the largest value; float32 gives 1e-6
EXTRA = "pip install -r requirements-openclip.txt"


def text_side(open_clip: ModuleType, model: Any, architecture: str) -> AnyText:
    """Take the text tower of a model: as one tree of prompts where that gives the model's own features, else whole.

    Args:
        model: an OpenCLIP model; its image tower has been taken out of it.
        architecture: the name that OpenCLIP knows it by.

    Raises:
        InputError: the tokenizer cannot be loaded, or prompts cannot be built with it.
    """
    vocabulary = _vocabulary(open_clip, architecture)
    text = text_of(model)
    why = why_padded(text)
    module: Any = text
    embedding = text.token_embedding if hasattr(text, "token_embedding") else module.transformer.get_input_embeddings()
    model.eval()
    features = partial(model.encode_text, normalize=False)  # CoCa's default is True
    whole = PaddedText(model, features, embedding, vocabulary, why or "")
    if why is None:
        tree = TextTower(text, vocabulary)
        if _agree(tree, whole):
            return tree
        whole.why = "the fast encoder gives other features for this text model"
    return whole


@torch.no_grad()
def _agree(tree: TextTower, whole: PaddedText) -> bool:
    """Return whether the fast encoder computes what the model itself does."""
    prompts = [sentence(tree.vocabulary, PROBE)]
    expected = whole.encode(whole.pack(prompts))
    return bool((encode(tree, pack(prompts)) - expected).abs().max() <= AGREE * expected.abs().max())


def _vocabulary(open_clip: ModuleType, architecture: str) -> Vocabulary:
    try:
        tokenizer = open_clip.get_tokenizer(architecture)
    except Exception as error:  # from the hub or a package
        missing = isinstance(error, ImportError) or "transformers" in str(error)
        remedy = f"run: {EXTRA}" if missing else "it is downloaded once, so connect to the network"
        raise InputError(
            f"The tokenizer of OpenCLIP's '{architecture}' could not be loaded ({first_line(error)}); {remedy}."
        ) from None
    length = getattr(tokenizer, "context_length", None) or 77
    if hasattr(tokenizer, "sot_token_id"):
        return of_clip(tokenizer, tokenizer.sot_token_id, tokenizer.eot_token_id, length)
    if not hasattr(tokenizer, "tokenizer"):
        raise InputError(
            f"OpenCLIP's '{architecture}' has a tokenizer of an unknown kind; choose another architecture."
        )
    clean = getattr(tokenizer, "clean_fn", None) or open_clip.tokenizer.get_clean_fn("canonicalize")
    return of_hugging_face(architecture, tokenizer.tokenizer, length, tokenizer, clean)


def without_image_tower(model: Any) -> nn.Module:
    """Take the image tower out of a model, and what generates captions; returns the image tower."""
    visual = model.visual
    model.visual = nn.Identity()
    if hasattr(model, "text_decoder"):
        model.text_decoder = nn.Identity()
    return visual

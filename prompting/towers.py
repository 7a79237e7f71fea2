"""One interface to frozen CLIPs: OpenAI's models, OpenCLIP's, and checkpoints on disk.

`load_tower` takes
* a name that OpenAI's `clip` knows (RN50, ViT-B/16, ...); `clip` downloads it into ~/.cache/clip and checks its hash;
* the path of a checkpoint in OpenAI's layout: TorchScript archive, state dict (.pt) or safetensors. A safetensors file
  may hold only some rows of the token embedding, listed in `token_embedding.rows` (see `_full_vocabulary`);
* `open_clip:<architecture>@<pretrained tag or path>`: any OpenCLIP model with a causal text tower. If OpenCLIP does not
  know the architecture, its config is read from `<architecture>.json` next to the checkpoint.
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import torch
from torch import Tensor, nn

from common.errors import InputError, unknown
from prompting.frozen import QuickGELU, linear
from prompting.losses import unit
from prompting.low_rank import Attention
from prompting.models import CLIP, ResidualBlock, TextModel
from prompting.prompts import Vocabulary

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
OPEN_CLIP = "open_clip:"
SUFFIXES = (".pt", ".pth", ".bin", ".safetensors")


@dataclass(frozen=True)
class Preprocessing:
    """The images that an image tower expects: side in pixels, channel mean and standard deviation, resampling."""

    size: int
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD
    interpolation: str = "bicubic"


class Block(nn.Module):
    """A transformer's residual attention block, in parts: the caller computes the attention."""

    attn: Attention

    def __init__(self, block: ResidualBlock):
        super().__init__()
        self.ln_1, self.attn, self.ln_2, self.mlp = block.ln_1, block.attn, block.ln_2, block.mlp
        self.ls_1, self.ls_2 = (getattr(block, name, nn.Identity()) for name in ("ls_1", "ls_2"))
        self.heads = block.attn.num_heads
        quick = type(self.mlp.gelu).__name__ == "QuickGELU"  # the class has this name in both packages
        self.activation = QuickGELU.apply if quick else self.mlp.gelu

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """Compute the block after its attention; ``x``, ``attended`` and the result are (tokens, width)."""
        out, up, down = self.attn.out_proj, self.mlp.c_fc, self.mlp.c_proj
        x = x + self.ls_1(linear(attended, out.weight, out.bias))
        hidden = self.activation(linear(self.ln_2(x), up.weight, up.bias))
        return x + self.ls_2(linear(hidden, down.weight, down.bias))


class TextTower(nn.Module):
    """A causal text transformer whose feature is read at the end token.

    width: size of the token vectors (ctx_dim); feature_dim: size of the projected feature.
    """

    blocks: Sequence[Block]

    def __init__(self, model: TextModel, vocabulary: Vocabulary):
        super().__init__()
        self.token_embedding = model.token_embedding
        self.positional_embedding = model.positional_embedding
        blocks = nn.ModuleList(Block(block) for block in model.transformer.resblocks)
        self.blocks = cast("Sequence[Block]", blocks)  # nn.ModuleList does not declare the type of its elements
        self.ln_final = model.ln_final
        self.text_projection = model.text_projection
        self.vocabulary = vocabulary

    @property
    def dtype(self) -> torch.dtype:
        return self.blocks[0].mlp.c_fc.weight.dtype

    @property
    def width(self) -> int:
        return self.token_embedding.weight.shape[1]

    @property
    def feature_dim(self) -> int:
        if isinstance(self.text_projection, nn.Linear):
            return self.text_projection.out_features
        return self.width if self.text_projection is None else self.text_projection.shape[1]

    def project(self, x: Tensor) -> Tensor:
        """(N, width) states at the end tokens -> (N, feature_dim)."""
        if isinstance(self.text_projection, nn.Linear):
            return self.text_projection(x)
        return x if self.text_projection is None else x @ self.text_projection


class Tower(nn.Module):
    """A frozen CLIP: image tower, text tower, logit scale. Always in eval mode, because of BatchNorm."""

    def __init__(self, name: str, visual: nn.Module, text: TextTower, logit_scale: float, preprocessing: Preprocessing):
        super().__init__()
        self.name, self.visual, self.text, self.preprocessing = name, visual, text, preprocessing
        self.logit_scale = logit_scale  # exponentiated: the factor of cosine similarities
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Tower:
        """Stay in eval mode: the running statistics of a frozen tower must not change."""
        return super().train(False)

    @property
    def dtype(self) -> torch.dtype:
        return self.text.dtype

    @torch.no_grad()
    def encode_image(self, images: Tensor, normalize: bool = True) -> Tensor:
        """(B, 3, size, size) preprocessed images -> (B, feature_dim) float32, of unit norm if ``normalize``."""
        features = self.visual(images.to(self.dtype, memory_format=torch.channels_last))
        return unit(features) if normalize else features.to(torch.promote_types(features.dtype, torch.float32))


def load_tower(
    name: str,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    search: Sequence[Path | str] = (),
) -> Tower:
    """Load a CLIP by name or path.

    Args:
        name: see the module's docstring.
        device: the device to put the tower on.
        dtype: the dtype to compute in; CLIP's weights are published in float16.
        search: folders to search for a relative checkpoint path, after the working directory.

    Raises:
        InputError: the name is unknown; the checkpoint is missing, truncated or of another architecture; an optional
            package is not installed.
    """
    if name.startswith(OPEN_CLIP):
        model, vocabulary, preprocessing = _load_open_clip(name[len(OPEN_CLIP) :], search)
    else:
        model, vocabulary, preprocessing = _load_openai(name, search)
    tower = Tower(
        name,
        model.visual,
        TextTower(_text_of(model, name), vocabulary),
        model.logit_scale.detach().exp().item(),
        preprocessing,
    )
    tower.float()
    tower.visual.to(memory_format=torch.channels_last)  # the fastest layout for convolutions
    if dtype != torch.float32:
        _to_dtype(tower, dtype)
    return tower.to(device)


def _to_dtype(tower: Tower, dtype: torch.dtype) -> None:
    """Convert a tower's weights.

    OpenAI's towers: convolutions, linear layers, attention and projections, like OpenAI's `convert_weights`; their
    normalisation layers always compute in float32. Other towers: everything. Token and position embeddings of the text
    tower are never converted here, but when they are looked up.
    """
    openai = type(tower.visual).__module__.startswith("clip.")
    if not openai:
        tower.visual.to(dtype)
    for module in (tower if openai else tower.text).modules():
        converted = nn.Conv2d | nn.Linear | nn.MultiheadAttention
        if isinstance(module, converted) or (not openai and isinstance(module, nn.LayerNorm)):
            for parameter in module.parameters(recurse=False):
                parameter.data = parameter.data.to(dtype)
        for name in ("text_projection", "proj"):
            projection = getattr(module, name, None)
            if isinstance(projection, nn.Parameter):
                projection.data = projection.data.to(dtype)


def import_clip() -> ModuleType:
    """Import OpenAI's `clip` without the deprecation warning of pkg_resources, which `clip` imports."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
        try:
            import clip
        except ModuleNotFoundError as error:
            if error.name == "pkg_resources":
                raise InputError(
                    "`clip` needs pkg_resources, which setuptools 81 removed; run: pip install 'setuptools<81'"
                ) from None
            raise
    return clip


def _load_openai(name: str, search: Sequence[Path | str]) -> tuple[CLIP, Vocabulary, Preprocessing]:
    clip = import_clip()
    if name in clip.available_models():
        try:
            model, _ = clip.load(name, device="cpu")
        except (OSError, RuntimeError) as error:  # no network, or the download does not match its checksum
            raise InputError(
                f"CLIP '{name}' could not be loaded: {_first_line(error)}. It is downloaded once into ~/.cache/clip; "
                "without a network, put the file there or set MODEL.BACKBONE.NAME to the path of a checkpoint."
            ) from None
    else:
        if not name:
            raise InputError("MODEL.BACKBONE.NAME is empty; set it to a CLIP, e.g. RN50, or the path of a checkpoint.")
        looks_like_path = name.endswith(SUFFIXES) or Path(name).is_absolute()
        if not looks_like_path and not any(path.is_file() for path in _places(name, search)):
            raise unknown(
                "CLIP backbone", name, [*clip.available_models(), f"{OPEN_CLIP}<architecture>@<pretrained>", "<path>"]
            )
        path = find_file(name, search)
        model = _build(clip, read_state_dict(path), path)
    tokenizer = clip.clip._tokenizer
    start, end = (tokenizer.encoder[f"<|{name}oftext|>"] for name in ("start", "end"))
    vocabulary = Vocabulary(tokenizer.encode, start, end, model.context_length, whole_words(tokenizer))
    return model, vocabulary, Preprocessing(model.visual.input_resolution)


def whole_words(tokenizer: object) -> dict[int, str]:
    """Return the tokens of CLIP's byte-pair tokenizer that are whole words: only letters, and an end-of-word mark."""
    tokens = getattr(tokenizer, "encoder", {})
    words = {number: token.removesuffix("</w>") for token, number in tokens.items() if token.endswith("</w>")}
    return {number: word for number, word in words.items() if word.isascii() and word.isalpha()}


def checkpoint_file(name: str, search: Sequence[Path | str] = ()) -> Path | None:
    """Return the file that a tower's name (see `load_tower`) refers to, or None if it names a published model."""
    if name.startswith(OPEN_CLIP):
        weights = name.partition("@")[2]
        return find_file(weights, search) if Path(weights).suffix else None
    return find_file(name, search) if name.endswith(SUFFIXES) else None


def _build(clip: ModuleType, state_dict: dict[str, Tensor], path: Path) -> nn.Module:
    state_dict = _full_vocabulary(state_dict)
    try:
        model = clip.model.build_model(dict(state_dict)).float()
        # build_model rounds the weights to float16; a float32 checkpoint keeps its precision.
        model.load_state_dict({k: v for k, v in state_dict.items() if k in model.state_dict()})
        return model
    except (KeyError, AssertionError, RuntimeError, ZeroDivisionError, IndexError) as error:
        reason = f"it has no '{error.args[0]}'" if isinstance(error, KeyError) else _first_line(error)
        raise InputError(
            f"{path} is not a CLIP checkpoint in OpenAI's layout ({reason}); for an OpenCLIP model use "
            f"{OPEN_CLIP}<architecture>@{path}"
        ) from None


def _full_vocabulary(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Restore the untrained rows of a token embedding whose checkpoint stores only the trained ones.

    They have the values from before training: normal with standard deviation 0.02, drawn with seed 0.
    """
    rows = state_dict.pop("token_embedding.rows", None)
    if rows is not None:
        trained = state_dict["token_embedding.weight"]
        full = torch.randn(49408, trained.shape[1], generator=torch.Generator().manual_seed(0)) * 0.02
        full[rows] = trained.float()
        state_dict["token_embedding.weight"] = full
    return state_dict


def _places(name: str, search: Sequence[Path | str]) -> list[Path]:
    path = Path(name).expanduser()
    return [path] if path.is_absolute() else [path, *(Path(folder) / path for folder in search)]


def find_file(name: str, search: Sequence[Path | str] = ()) -> Path:
    """Return the first existing path of a checkpoint; raises InputError with all paths tried if there is none."""
    places = _places(name, search)
    for path in places:
        if path.is_file():
            return path
    looked = ", ".join(dict.fromkeys(str(path.resolve()) for path in places))
    raise InputError(
        f"Checkpoint '{name}' is missing; looked at: {looked}. Correct MODEL.BACKBONE.NAME or put the file there."
    )


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read a state dict from safetensors, a TorchScript archive or a pickle that only holds tensors."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(str(path))
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                is_script = any(name.endswith("constants.pkl") for name in archive.namelist())
            if is_script:
                return dict(torch.jit.load(str(path), map_location="cpu").state_dict())
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each reader has its own kinds of errors
        raise InputError(
            f"Checkpoint {path} is truncated or not a checkpoint ({_first_line(error)}); download it again."
        ) from None
    state_dict = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else None
    if not isinstance(state_dict, dict) or not all(isinstance(value, Tensor) for value in state_dict.values()):
        raise InputError(f"Checkpoint {path} holds no state dict of tensors; is it a CLIP checkpoint?")
    return state_dict


def _load_open_clip(spec: str, search: Sequence[Path | str]) -> tuple[CLIP, Vocabulary, Preprocessing]:
    try:
        import open_clip
    except ModuleNotFoundError:
        raise InputError(
            f"The tower '{OPEN_CLIP}{spec}' needs OpenCLIP; run: pip install -r requirements-openclip.txt"
        ) from None
    architecture, _, pretrained = spec.partition("@")
    if not pretrained:
        raise InputError(
            f"'{OPEN_CLIP}{spec}' names no weights; use {OPEN_CLIP}<architecture>@<pretrained tag or path>."
        )
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    weights = pretrained if pretrained in tags else str(find_file(pretrained, search))
    extra = Path(weights).parent
    if architecture not in open_clip.list_models() and (extra / f"{architecture}.json").is_file():
        open_clip.add_model_config(extra)
    if architecture not in open_clip.list_models():
        raise unknown(
            "OpenCLIP architecture",
            architecture,
            open_clip.list_models(),
            f"OpenCLIP, or as {extra / architecture}.json",
        )
    try:
        model, _, _ = open_clip.create_model_and_transforms(architecture, pretrained=weights, device="cpu")
    except Exception as error:  # from the hub, the file or the architecture
        raise InputError(f"OpenCLIP could not load '{architecture}' from '{weights}': {_first_line(error)}") from None
    tokenizer = open_clip.get_tokenizer(architecture)
    text = _text_of(model, architecture)
    try:
        vocabulary = Vocabulary(
            tokenizer.encode,
            tokenizer.sot_token_id,
            tokenizer.eot_token_id,
            text.positional_embedding.shape[0],
            whole_words(tokenizer),
        )
    except AttributeError:
        raise InputError(
            f"OpenCLIP's '{architecture}' does not use CLIP's tokenizer, so prompts cannot be built for it; "
            "choose another architecture."
        ) from None
    config = model.visual.preprocess_cfg
    size = config["size"][0] if isinstance(config["size"], tuple | list) else config["size"]
    return model, vocabulary, Preprocessing(size, tuple(config["mean"]), tuple(config["std"]), config["interpolation"])


def _text_of(model: CLIP, name: str) -> TextModel:
    """Return the module with the text transformer; raises InputError unless it is causal and read at its end token."""
    text: Any = getattr(model, "text", model)
    pool = getattr(text, "text_pool_type", getattr(text, "pool_type", "argmax"))
    causal = getattr(text, "attn_mask", "absent") is not None
    plain = all(
        isinstance(getattr(b, "attn", None), nn.MultiheadAttention)
        for b in getattr(getattr(text, "transformer", None), "resblocks", [None])
    )
    if pool not in ("argmax", "eos") or not causal or not plain or getattr(text, "cls_emb", None) is not None:
        raise InputError(
            f"The text tower of '{name}' is not a causal transformer read at its end token, so prompts cannot be "
            "learned for it; choose another model."
        )
    return text


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).strip().rstrip(".:")

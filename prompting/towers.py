"""One interface to frozen CLIPs: OpenAI's models, OpenCLIP's, and checkpoints on disk.

`load_tower` takes
* a name that OpenAI's `clip` knows (RN50, ViT-B/16, ...); `clip` downloads it into ~/.cache/clip and checks its hash;
* the path of a checkpoint in OpenAI's layout: TorchScript archive, state dict (.pt) or safetensors. A safetensors file
  may hold only some rows of the token embedding, listed in `token_embedding.rows` (see `_full_vocabulary`);
* `open_clip:<architecture>@<pretrained tag or path>`: any OpenCLIP model. If OpenCLIP does not know the architecture,
  its config is read from `<architecture>.json` next to the checkpoint;
* `hf-hub:<repository>` and `local-dir:<folder>`, as OpenCLIP writes them; `open_clip:` may precede;
* a folder that Hugging Face's `transformers` saved, of a CLIPModel or a SiglipModel with its tokenizer.

What a checkpoint does not record is assumed and reported: OpenAI's QuickGELU (or the architecture's activation) and
OpenAI's pixels. `preprocess_cfg` and `quick_gelu` are read from a safetensors file's metadata, from a .pt file next to
its `state_dict`, and from OpenCLIP's `open_clip_config.json` in the same folder.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import torch
from torch import Tensor, nn

from common.errors import InputError, unknown
from common.files import is_regular
from common.notices import notice
from prompting.checkpoints import (
    SUFFIXES,
    Checkpoint,
    find_file,
    first_line,
    foreign_layout,
    load_problem,
    places,
    read_checkpoint,
)
from prompting.finite import not_finite
from prompting.hugging_face_towers import hugging_face_folder, hugging_face_weights, load_hugging_face
from prompting.loaded import Loaded, scale_of
from prompting.losses import unit
from prompting.models import text_of
from prompting.open_clip_towers import OPEN_CLIP, hub_of, load_open_clip, looks_like_path, weights_in
from prompting.padded_text import AnyText, PaddedText
from prompting.pixels import Preprocessing, preprocessing_of
from prompting.text_tower import TextTower, UnloadedText
from prompting.vision_transformer import features_of
from prompting.vocabularies import of_clip

OPENAI = "as in OpenAI's models"
WIDEST = 1024  # of OpenAI's vision transformers; wider ones of OpenCLIP have heads of another size than 64
HUGGING_FACE = {  # OpenAI's repositories on Hugging Face
    "openai/clip-vit-base-patch32": "ViT-B/32",
    "openai/clip-vit-base-patch16": "ViT-B/16",
    "openai/clip-vit-large-patch14": "ViT-L/14",
    "openai/clip-vit-large-patch14-336": "ViT-L/14@336px",
}


class Tower(nn.Module):
    """A frozen CLIP: image tower, text tower, logit scale. Always in eval mode, because of BatchNorm.

    activation_source: why ``activation`` is the right one, or that it is assumed.
    """

    def __init__(
        self,
        name: str,
        visual: nn.Module,
        text: AnyText,
        logit_scale: float,
        preprocessing: Preprocessing,
        activation_source: str = "",
    ):
        super().__init__()
        self.name, self.visual, self.text, self.preprocessing = name, visual, text, preprocessing
        self.logit_scale = logit_scale  # exponentiated: the factor of cosine similarities
        self.activation_source = activation_source
        self._image_dtype: torch.dtype | None = None
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Tower:
        """Stay in eval mode: the running statistics of a frozen tower must not change."""
        return super().train(False)

    @property
    def dtype(self) -> torch.dtype:
        return self.text.dtype

    @property
    def image_dtype(self) -> torch.dtype:
        """The dtype that images are encoded in: the text tower's, unless `encode_images_with` set another one."""
        return self._image_dtype or self.dtype

    def encode_images_with(self, visual: nn.Module, dtype: torch.dtype) -> None:
        """Encode images with another image tower, which takes images of ``dtype``."""
        self.visual, self._image_dtype = visual, dtype

    def drop_text(self) -> None:
        """Free the text tower's weights; its sizes and its tokenizer stay. Set ``text`` to have it back."""
        self.text = cast(AnyText, UnloadedText(self.text))

    @property
    def has_text(self) -> bool:
        """Return whether the text tower can encode."""
        return not isinstance(self.text, UnloadedText)

    @property
    def activation(self) -> str:
        """The activation of the text tower's blocks: "QuickGELU", "GELU" or another name."""
        return self.text.activation

    @torch.no_grad()
    def encode_image(self, images: Tensor, normalize: bool = True) -> Tensor:
        """(B, 3, size, size) preprocessed images -> (B, feature_dim) float32, of unit norm if ``normalize``."""
        features = features_of(self.visual, images.to(self.image_dtype, memory_format=torch.channels_last))
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
    if name.startswith(OPEN_CLIP) or hub_of(name):
        loaded = load_open_clip(name.removeprefix(OPEN_CLIP), search)
    elif (folder := hugging_face_folder(name, search)) is not None:
        loaded = load_hugging_face(name, folder)
    else:
        loaded = _load_openai(name, search)
    tower = Tower(name, loaded.visual, loaded.text, loaded.logit_scale, loaded.preprocessing, loaded.activation_source)
    print(f"Tower: activation {tower.activation} ({tower.activation_source}); images of {tower.preprocessing}")
    print(f"Text: {loaded.text.path}")
    for note in loaded.notes:
        notice(f"Note: {note}")
    tower.float()
    tower.visual.to(memory_format=torch.channels_last)  # the fastest layout for convolutions
    if dtype != torch.float32:
        to_dtype(tower, dtype)
    tower.to(device)
    _check_finite(tower, name, dtype)
    return tower


def _check_finite(tower: Tower, name: str, dtype: torch.dtype) -> None:
    """Raise InputError for a weight that is NaN or infinite, after conversion to ``dtype``.

    One pass over the weights: 0.09 s for the 102 million of RN50 on one core, where loading them takes two seconds.
    """
    weights = (pair for pair in tower.state_dict().items() if "mask" not in pair[0])  # masks are -inf on purpose
    bad = not_finite([("logit_scale", torch.tensor(tower.logit_scale)), *weights])
    if bad is not None:
        fix = "" if dtype == torch.float32 else f", or its values are too large for {str(dtype)[6:]}: set PREC fp32"
        raise InputError(f"The weights of {name} are not finite ({bad}); get the checkpoint again{fix}.")


def to_dtype(tower: Tower, dtype: torch.dtype) -> None:
    """Convert a float32 tower's weights, in place.

    OpenAI's towers: convolutions, linear layers, attention and projections, like OpenAI's `convert_weights`; their
    normalisation layers always compute in float32. Other towers: everything. Token and position embeddings of a
    `TextTower` are never converted here, but when they are looked up; a `PaddedText` is converted whole.
    """
    openai = type(tower.visual).__module__.startswith("clip.")
    if not openai:
        tower.visual.to(dtype)
    if isinstance(tower.text, PaddedText):
        tower.text.to(dtype)
        return
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


def _load_openai(name: str, search: Sequence[Path | str]) -> Loaded:
    clip = import_clip()
    if name in clip.available_models():
        try:
            model, _ = clip.load(name, device="cpu")
        except (OSError, RuntimeError) as error:  # no network, or the download does not match its checksum
            raise InputError(
                f"CLIP '{name}' could not be loaded: {first_line(error)}. It is downloaded once into ~/.cache/clip; "
                "without a network, put the file there or set MODEL.BACKBONE.NAME to the path of a checkpoint."
            ) from None
        notes: list[str] = []
        activation_source = OPENAI
        pixels = Preprocessing(model.visual.input_resolution, source=OPENAI)
    else:
        path = _path_of(clip, name, search)
        found = read_checkpoint(path)
        notes = found.notes
        ours = "token_embedding.rows" in found.weights  # written by scripts/garden8/train_tower.py alone
        activation_source = OPENAI if ours else _check_activation(found)
        model = _build(clip, found.weights, path)
        pixels = Preprocessing(model.visual.input_resolution, source=OPENAI if ours or found.from_openai else "")
        if found.pixels is not None:
            pixels = preprocessing_of(name, {**found.pixels, "size": pixels.size}, found.pixels_source)
    tokenizer = clip.clip._tokenizer
    start, end = (tokenizer.encoder[f"<|{name}oftext|>"] for name in ("start", "end"))
    vocabulary = of_clip(tokenizer, start, end, model.context_length)
    text = TextTower(text_of(model), vocabulary)
    return Loaded(model.visual, text, scale_of(model), pixels, activation_source, notes)


def _path_of(clip: ModuleType, name: str, search: Sequence[Path | str]) -> Path:
    if not name:
        raise InputError("MODEL.BACKBONE.NAME is empty; set it to a CLIP, e.g. RN50, or the path of a checkpoint.")
    if "://" in name:
        raise InputError(f"'{name}' is an address, which is not downloaded; download the file and give its path.")
    if (
        name.endswith(SUFFIXES)
        or Path(name).is_absolute()
        or any(os.path.exists(path) for path in places(name, search))
    ):
        return find_file(name, search)
    if name in HUGGING_FACE:
        raise InputError(
            f"'{name}' is a repository of Hugging Face, which is not read; the same CLIP is "
            f"MODEL.BACKBONE.NAME {HUGGING_FACE[name]}."
        )
    architecture, at, pretrained = name.partition("@")
    if at and pretrained:
        raise InputError(
            f"CLIP backbone '{name}' is unknown; OpenCLIP's towers are named "
            f"{OPEN_CLIP}{architecture.replace('/', '-')}@{pretrained}, OpenAI's {', '.join(clip.available_models())}."
        )
    raise unknown(
        "CLIP backbone", name, [*clip.available_models(), f"{OPEN_CLIP}<architecture>@<pretrained>", "<path>"]
    )


def checkpoint_file(name: str, search: Sequence[Path | str] = ()) -> Path | None:
    """Return the file that a tower's name (see `load_tower`) refers to, or None if it names a published model."""
    hub, folder = hub_of(name), hugging_face_folder(name, search)
    if hub is not None:
        there = [path for path in places(hub[1], search) if path.is_dir()] if hub[0] == "local-dir:" else []
        return weights_in(there[0]) if there else None
    if folder is not None:
        return hugging_face_weights(folder)
    if name.startswith(OPEN_CLIP):
        name = name.partition("@")[2]
        return find_file(name, search) if name and looks_like_path(name, search) else None
    if name.endswith(SUFFIXES):
        return find_file(name, search)
    return next((path for path in places(name, search) if name and is_regular(path)), None)


def _check_activation(found: Checkpoint) -> str:
    """Return why a checkpoint in OpenAI's layout has QuickGELU; raises InputError if it has not, or may not."""
    other = f"{OPEN_CLIP}<architecture>@{found.path}"
    if found.activation == "GELU":
        raise InputError(
            f"{found.path} has GELU ({found.source}), but OpenAI's CLIPs have QuickGELU; set MODEL.BACKBONE.NAME "
            f"{other}."
        )
    if found.activation is None and found.from_openclip:
        raise InputError(
            f"{found.path} was saved by OpenCLIP's training, so its architecture decides on QuickGELU or GELU; set "
            f"MODEL.BACKBONE.NAME {other}."
        )
    return found.source or (
        "not recorded, assumed; weights trained with GELU, like most of OpenCLIP's, need "
        f"{OPEN_CLIP}<architecture>@<path>"
    )


def _build(clip: ModuleType, state_dict: dict[str, Tensor], path: Path) -> Any:
    reason = _not_openai(state_dict, path)
    if reason is None:
        try:
            state_dict = _full_vocabulary(state_dict)
            model = clip.model.build_model(dict(state_dict)).float()
            # build_model rounds the weights to float16; a float32 checkpoint keeps its precision.
            model.load_state_dict({k: v for k, v in state_dict.items() if k in model.state_dict()})
            return model
        except (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError) as error:
            reason = f"it has no '{error.args[0]}'" if isinstance(error, KeyError) else load_problem(error)
        except (AttributeError, MemoryError) as error:  # weights of shapes that no CLIP has
            reason = load_problem(error)
    raise InputError(
        f"{path} is not a CLIP checkpoint in OpenAI's layout ({reason}); for an OpenCLIP model use "
        f"{OPEN_CLIP}<architecture>@{path}"
    )


def _not_openai(state_dict: dict[str, Tensor], path: Path) -> str | None:
    """Return why a state dict cannot be OpenAI's; raises InputError if it cannot be OpenCLIP's either."""
    foreign = foreign_layout(state_dict)
    if foreign:
        raise InputError(f"Checkpoint {path} {foreign}.")
    starts = {name.split(".")[0] for name in state_dict}
    for part in ("text", "image_encoder"):
        if part in starts:
            return f"its names start with '{part}.'"
    if any(name.startswith("visual.trunk.") for name in state_dict):
        return "its image tower is timm's, visual.trunk..."
    for name in ("visual.conv1.weight", *TEXT_WEIGHTS):
        if name not in state_dict:
            return f"it has no '{name}'; it starts with '{next(iter(state_dict))}'"
    if "visual.class_embedding" in state_dict and len(state_dict["visual.class_embedding"]) > WIDEST:
        return f"its image tower is {len(state_dict['visual.class_embedding'])} wide, OpenAI's at most {WIDEST}"
    return None


TEXT_WEIGHTS = ("token_embedding.weight", "positional_embedding", "ln_final.weight", "text_projection", "logit_scale")


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

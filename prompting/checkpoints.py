"""Reading CLIP's weights from a file, whatever program wrote it.

The weights may be under `state_dict`, `model` and the like (WRAPPERS), and their names may have a prefix such as
`module.`. A file that cannot be used is reported in one line: what it is, and what to do.
"""

from __future__ import annotations

import io
import os
import pickletools
import re
import warnings
import zipfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from common.errors import InputError, of_system
from common.files import is_regular, parse_json
from common.files import read_json as read_json_file
from common.paths import expanded
from common.text import some

SUFFIXES = (".pt", ".pth", ".bin", ".safetensors", ".ckpt")
WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "net", "network", "weights", "params", "clip")
AVERAGES = ("state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "ema")  # running means of the weights
ARCHIVE_ENTRIES = ("input_resolution", "context_length", "vocab_size")  # in OpenAI's archives, besides the weights
MASKS = ("attn_mask", "text.attn_mask")  # constants that TorchScript archives of OpenCLIP's models hold
OPENCLIP_CONFIG = "open_clip_config.json"  # in Hugging Face repositories of OpenCLIP's models
OPENAI_ARCHIVE = "as in OpenAI's archives"
# The first bytes of files that are often saved in a checkpoint's place -> what they are, and what to do.
IMPOSTORS = {
    b"version https://git-lfs": "a Git LFS pointer, not the file itself; run: git lfs pull",
    b"<!doctype": "a web page; download the file itself (on Hugging Face: its resolve/ address)",
    b"<html": "a web page; download the file itself (on Hugging Face: its resolve/ address)",
    b"<?xml": "a server's error message in XML; download the file again",
    b"{": "a JSON file; give the file with the weights",
    b"\x1f\x8b": "a gzip archive; unpack it and give the checkpoint in it",
    b"BZh": "a bzip2 archive; unpack it and give the checkpoint in it",
    b"\xfd7zXZ": "an xz archive; unpack it and give the checkpoint in it",
    b"7z\xbc\xaf": "a 7z archive; unpack it and give the checkpoint in it",
    b"Rar!": "a RAR archive; unpack it and give the checkpoint in it",
    b"\x93NUMPY": "a NumPy array, not a CLIP checkpoint; give PyTorch weights",
    b"\x89HDF": "an HDF5 file, not a PyTorch checkpoint; give PyTorch weights",
    b"GGUF": "a GGUF file, not a PyTorch checkpoint; give PyTorch weights",
}
HARMLESS = re.compile(
    r"torch\.(_utils|_tensor|storage|serialization|device|Size|dtype|\w*Storage)|collections\.|_codecs\."
)
NUMPY = {"scalar": "numpy scalar", "_reconstruct": "numpy array", "ndarray": "numpy array"}
ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
CONFIG_BYTES = 2 << 20  # of a model's config
LONGEST = 300  # characters of another program's error message


@dataclass
class Checkpoint:
    """What a file holds.

    weights: name -> tensor, without wrapper and prefix.
    activation: "QuickGELU" or "GELU" where it is recorded, else None; pixels: an OpenCLIP `preprocess_cfg`, or None.
    source, pixels_source: where they are recorded, e.g. "as open_clip_config.json says".
    notes: what the user should know, a line each. intact: OpenCLIP's own reader finds the same weights in the file.
    """

    path: Path
    weights: dict[str, Tensor]
    activation: str | None = None
    source: str = ""
    pixels: dict[str, Any] | None = None
    pixels_source: str = ""
    from_openclip: bool = False
    intact: bool = True
    notes: list[str] = field(default_factory=list)

    @property
    def from_openai(self) -> bool:
        """True for OpenAI's own archives, and copies that kept all their entries."""
        return self.source == OPENAI_ARCHIVE


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, without terminal colours and at most LONGEST characters long."""
    text = next(iter(ESCAPES.sub("", str(error)).strip().splitlines()), type(error).__name__).strip().rstrip(".:")
    return text if len(text) <= LONGEST else text[:LONGEST].rpartition(" ")[0] + " ..."


def places(name: str, search: Sequence[Path | str]) -> list[Path]:
    """Return the paths where a checkpoint is looked for."""
    path = expanded(name)
    return [path] if path.is_absolute() else [path, *(Path(folder) / path for folder in search)]


def find_file(name: str, search: Sequence[Path | str] = ()) -> Path:
    """Return the first existing path of a checkpoint; raises InputError with all paths tried if there is none."""
    paths = places(name, search)
    for path in paths:
        if is_regular(path):
            return path
    for path in paths:
        if os.path.isdir(path):
            if is_regular(path / OPENCLIP_CONFIG):
                raise InputError(f"'{name}' is a folder that OpenCLIP wrote; name it local-dir:{name}.")
            files = sorted(file.name for file in path.iterdir() if file.suffix in SUFFIXES)
            held = f"it has {some(files)}" if files else f"it has no file that ends in {', '.join(SUFFIXES)}"
            place = os.path.realpath(path)
            raise InputError(f"Checkpoint '{name}' is a folder ({place}); give the file in it: {held}.")
        if os.path.exists(path):
            place = os.path.realpath(path)
            raise InputError(f"Checkpoint '{name}' is not a regular file ({place}); give a file with weights.")
    looked = ", ".join(dict.fromkeys(os.path.realpath(path) for path in paths))
    raise InputError(
        f"Checkpoint '{name}' is missing; looked at: {looked}. Correct MODEL.BACKBONE.NAME or put the file there."
    )


def read_checkpoint(path: Path) -> Checkpoint:
    """Read safetensors, a TorchScript archive or a pickle that only holds tensors, told apart by content.

    Raises:
        InputError: the file is damaged or is not a checkpoint, holds Python objects or no weights.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(512)
    except OSError as error:
        raise of_system(error, path) from None
    if not head:
        raise _unreadable(path, "it is empty; download it again")
    found = Checkpoint(path, {})
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 27:
        loaded = _read_safetensors(path, found)
    else:
        start = head.lstrip().lower()
        for signature, what in IMPOSTORS.items():
            if start.startswith(signature.lower()):
                raise _unreadable(path, f"it is {what}")
        loaded = _read_pickle_or_script(path, head, found)
    found.weights = _without_prefix(_unwrapped(loaded, found), found)
    _read_config_beside(found)
    return found


def _unreadable(path: Path, reason: str) -> InputError:
    return InputError(f"Checkpoint {path} is truncated or not a checkpoint: {reason}.")


def _read_safetensors(path: Path, found: Checkpoint) -> dict[str, Tensor]:
    from safetensors import safe_open

    try:
        with safe_open(str(path), "pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is not a dict
    except Exception as error:  # safetensors has kinds of errors of its own
        raise _unreadable(path, f"{first_line(error)}; download it again") from None
    found.intact = path.suffix == ".safetensors"
    _record(found, metadata, "as its metadata says")
    return weights


def _read_pickle_or_script(path: Path, head: bytes, found: Checkpoint) -> Any:
    found.intact = path.suffix not in (".safetensors", ".npz", ".npy")
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
                damaged = archive.testzip()  # PyTorch's readers compare no checksums
            if damaged is not None:
                again = "download it again, or save it with PyTorch's checksums on"
                raise _unreadable(path, f"the checksum of its entry {damaged} differs; {again}")
            if any(name.endswith("constants.pkl") for name in names):
                return _read_script(path, found)
            if not any(name.endswith("data.pkl") for name in names):
                raise _unreadable(
                    path, f"it is a zip archive of other files ({some(names)}); unpack it and give the checkpoint in it"
                )
        elif head.startswith(b"PK"):
            raise _unreadable(path, "its end is missing; download it again")
        # PyTorch goes by the suffix where it is given a path, and warns of pickles that it then refuses.
        with open(path, "rb") as file, warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            return torch.load(file, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except Exception as error:  # each reader has its own kinds of errors
        raise _pickle_error(path, error) from None


def _read_script(path: Path, found: Checkpoint) -> dict[str, Tensor]:
    script = torch.jit.load(str(path), map_location="cpu")
    found.intact = False
    for name, module in script.named_modules():
        kind = getattr(module, "original_name", "")
        if name.endswith("mlp.gelu") and kind in ("QuickGELU", "GELU"):
            found.activation, found.source = kind, "as its TorchScript says"
    return dict(script.state_dict())


def _pickle_error(path: Path, error: Exception) -> InputError:
    classes = [name for name in _classes(path) if not HARMLESS.match(name)]
    if any(name.startswith("torch.nn.modules.") for name in classes):
        return InputError(
            f"Checkpoint {path} is a pickled module ({classes[0]}), which only its own code can load safely; save "
            "its weights instead: torch.save(model.state_dict(), ...)."
        )
    if classes:
        named = dict.fromkeys(NUMPY.get(name.rpartition(".")[2], name) for name in classes if name != "numpy.dtype")
        return InputError(
            f"Checkpoint {path} holds Python objects besides tensors ({some(named)}), which are not loaded, because "
            "they could run code; save its state_dict alone: torch.save(checkpoint['state_dict'], ...)."
        )
    reason = str(error).rpartition("WeightsUnpickler error:")[2]
    if "magic number" in reason or "Unsupported operand" in reason:
        return _unreadable(path, "torch.save did not write it; give a file that torch.save or safetensors wrote")
    return _unreadable(path, f"{first_line(ValueError(reason))}; download it again")


def _classes(path: Path) -> list[str]:
    """Return the classes and functions that a pickle names, in order, without running any of it."""
    names: dict[str, None] = {}
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                pickles = [archive.read(name) for name in archive.namelist() if name.endswith("data.pkl")]
            stream: Any = io.BytesIO(pickles[0])
        else:
            stream = open(path, "rb")  # noqa: SIM115, closed below
        with stream:
            for _ in range(5):  # before PyTorch 1.6, four short pickles and the object's came in a row
                strings: list[str] = []
                for opcode, argument, _ in pickletools.genops(stream):
                    if opcode.name == "GLOBAL":
                        names[str(argument).replace(" ", ".")] = None
                    elif opcode.name == "STACK_GLOBAL":
                        names[".".join(strings[-2:])] = None
                    elif "UNICODE" in opcode.name:
                        strings.append(str(argument))
    except Exception:  # the end of the file, or no pickle
        pass
    return list(names)


def _record(found: Checkpoint, entries: Any, source: str) -> None:
    """Note the activation and the pixels if ``entries`` has them, under OpenCLIP's names."""
    for key in ("preprocess_cfg", "quick_gelu"):
        value = entries.get(key)
        if isinstance(value, str):  # metadata of safetensors is text
            try:
                value = parse_json(value.lower() if key == "quick_gelu" else value)
            except ValueError:
                raise InputError(f"'{key}' in {found.path} is not JSON: {value}") from None
        if key == "preprocess_cfg" and isinstance(value, dict) and found.pixels is None:
            found.pixels, found.pixels_source = value, source
        elif key == "quick_gelu" and isinstance(value, bool) and found.activation is None:
            found.activation, found.source = "QuickGELU" if value else "GELU", source


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object; raises InputError if it does not."""
    try:
        content = read_json_file(path, CONFIG_BYTES)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON ({first_line(error)}); correct it.") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} holds a {type(content).__name__} where a model's config is expected; correct it.")
    return content


def _read_config_beside(found: Checkpoint) -> None:
    path = found.path.parent / OPENCLIP_CONFIG
    if is_regular(path):
        config = read_json(path)
        found.from_openclip = True
        source = f"as {OPENCLIP_CONFIG} next to it says"
        _record(found, {"preprocess_cfg": config.get("preprocess_cfg")}, source)
        if isinstance(config.get("model_cfg"), dict):
            _record(found, {"quick_gelu": bool(config["model_cfg"].get("quick_gelu", False))}, source)


def _has_weights(value: object) -> bool:
    return (
        isinstance(value, dict)
        and all(isinstance(key, str) for key in value)
        and any(isinstance(item, Tensor) or _has_weights(item) for item in value.values())
    )


def _unwrapped(loaded: Any, found: Checkpoint) -> dict[str, Tensor]:
    """Return the state dict in what a file holds, which may also hold an epoch, an optimiser and so on."""
    for depth in range(4):
        if not isinstance(loaded, dict) or any(
            isinstance(value, Tensor) and "." in str(key) for key, value in loaded.items()
        ):
            break
        if isinstance(loaded.get("name"), str) and "epoch" in loaded and "state_dict" in loaded:
            found.from_openclip = True
        _record(found, loaded, "as the file says")
        inner = [str(key) for key, value in loaded.items() if _has_weights(value)]
        plain = [name for name in WRAPPERS if name in inner]
        averages = [name for name in AVERAGES if name in inner]
        if plain or averages:
            name = (plain or averages)[0]
            others = [other for other in inner if other != name]
            if others:
                found.notes.append(
                    f"{found.path}: the weights under '{name}' are used, not those under {some(others)}; to use these, "
                    "save them to a file of their own."
                )
            elif averages:
                found.notes.append(f"{found.path}: the weights are running means ({name}).")
        elif len(inner) == 1:
            name = inner[0]
            found.notes.append(f"{found.path}: the weights under '{name}' are used.")
        elif inner:
            raise InputError(
                f"Checkpoint {found.path} holds several sets of weights ({', '.join(inner)}); save the CLIP's state "
                "dict to a file of its own."
            )
        else:
            break
        found.intact = found.intact and depth == 0 and name == "state_dict"
        loaded = loaded[name]
    weights = {str(k): v for k, v in loaded.items() if isinstance(v, Tensor)} if isinstance(loaded, dict) else {}
    if not weights:
        held = (some(map(str, loaded)) or "nothing") if isinstance(loaded, dict) else f"a {type(loaded).__name__}"
        raise InputError(
            f"Checkpoint {found.path} holds no state dict of tensors (it holds {held}); give a file with weights."
        )
    found.intact = found.intact and len(weights) == len(loaded)
    return weights


def _without_prefix(weights: dict[str, Tensor], found: Checkpoint) -> dict[str, Tensor]:
    """Remove what training frameworks put before all names (`module.`, `model.`), and the weights of other parts."""
    end = "logit_scale"  # every layout of CLIP has this name once
    prefixes = [name[: -len(end)] for name in weights if name == end or name.endswith(f".{end}")]
    others = [prefix for prefix in prefixes if not re.search(r"(^|[._])(ema|teacher|momentum)([._]|$)", prefix)]
    prefixes = others or prefixes
    if not prefixes:  # the layout is reported as incomplete later
        common = re.match(r"((module|model|_orig_mod)\.)+", next(iter(weights)))
        prefixes = [common[0]] if common and all(name.startswith(common[0]) for name in weights) else [""]
    if "" in prefixes:
        prefixes = [""]
    if len(prefixes) > 1:
        raise InputError(
            f"Checkpoint {found.path} holds several CLIPs ({', '.join(prefixes)}); save the state dict of one of them."
        )
    prefix = prefixes[0]
    kept = {name[len(prefix) :]: tensor for name, tensor in weights.items() if name.startswith(prefix)}
    left = [name for name in weights if not name.startswith(prefix)]
    if left:
        found.notes.append(f"{found.path}: only the weights under '{prefix}' are used, without {some(left)}.")
    entries = [name for name in (*ARCHIVE_ENTRIES, *MASKS) if name in kept]
    if set(ARCHIVE_ENTRIES) <= set(entries) and found.activation != "GELU":
        found.activation, found.source = found.activation or "QuickGELU", OPENAI_ARCHIVE
    for name in entries:
        del kept[name]
    found.intact = found.intact and not left and not entries and prefix in ("", "module.")
    return kept


def foreign_layout(names: Collection[str]) -> str | None:
    """Return what a state dict is, and what to do, if it is not a CLIP in OpenAI's or OpenCLIP's layout; else None."""
    starts = {name.split(".")[0] for name in names}
    if "prompt_learner" in starts:
        return "holds learned prompts (prompt_learner...), not a CLIP; set MODEL.BACKBONE.NAME to the CLIP they are for"
    if any("lora_" in name for name in names):
        return "holds a low-rank adapter (lora_...), not a whole CLIP; merge it into its CLIP and save that"
    parts = {"text_model", "vision_model"}
    if parts & starts:
        also = "".join(f", and has no {part}" for part in parts - starts)
        return (
            f"is in Hugging Face's layout ({some(f'{part}.*' for part in sorted(parts & starts))}), which "
            f"needs more than its weights{also}; give the folder that has its config.json and tokenizer too, or name "
            "the model itself (OpenAI's: ViT-B/32, ...)"
        )
    return None


def load_problem(error: Exception) -> str:
    """Return in one line what does not fit, from the error of `load_state_dict`."""
    text = str(error)
    for kind, verb in (("Missing", "it has no"), ("Unexpected", "the architecture has no")):
        listed = re.search(rf'{kind} key\(s\) in state_dict: (".*?")\.\s', text + "\n")
        if listed:
            names = re.findall(r'"([^"]+)"', listed[1])
            return f"{verb} {some([repr(name) for name in names], 1)}"
    sizes = re.search(r"size mismatch for (\S+): .*?torch\.Size\((\[.*?\])\).*?torch\.Size\((\[.*?\])\)", text)
    if sizes:
        return f"its '{sizes[1]}' has the shape {sizes[2]}, but the architecture's has {sizes[3]}"
    return first_line(error)

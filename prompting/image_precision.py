"""Frozen image towers in bfloat16, on CPUs that multiply it several times faster than float32.

`choose_image_dtype` decides for a tower and a machine. The CPU must have bfloat16 instructions, and a short measurement
must confirm that this tower gains from them and that its features stay close. The measurement is recorded in the bank's
folder, so that every later run takes the same choice, however busy the machine is.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import platform
import time
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from common.files import read_record, write_record
from common.notices import notice
from prompting.checkpoints import first_line
from prompting.feature_bank import tower_digest
from prompting.towers import Tower
from prompting.vision_transformer import features_of

PRECISIONS = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32, "auto": torch.float16}
UNITS = ("amx_bf16", "avx512_bf16", "bf16")  # flags of CPUs, best first; the last one is ARM's
WORTH = 1.5  # bfloat16 is chosen if it is at least this many times as fast
# And if no image's features have a smaller cosine with those in float32. At 0.998, of an EfficientNet, SoftCPT lost
# 0.75 points on plants7; at 0.99998, of a vision transformer, 0.05 on Garden-8.
CLOSE = 0.9995
ROUNDS, IMAGES, SECONDS = 3, 4, 4.0  # of a measurement: at most so many timed rounds, images in each, seconds in all
LONG = 60.0  # seconds of encoding in float32 from which on `advise` speaks
QUICK = 1.702  # QuickGELU(x) = x sigmoid(1.702 x)


def choose_image_dtype(tower: Tower, folder: Path, features_only: bool = True) -> None:
    """Let a float32 tower on a CPU encode images in bfloat16 if that is fast; prints the choice in one line.

    Args:
        tower: changed in place; its text tower stays as it is.
        folder: where the measurement is recorded, the bank's folder.
        features_only: whether nothing but `Tower.encode_image` reads the image tower.
    """
    units = bfloat16_units()
    if tower.dtype != torch.float32 or next(tower.visual.parameters()).device.type != "cpu":
        print(f"Images: {name_of(tower.image_dtype)}, the towers' precision; bfloat16 is chosen on CPUs only")
        return
    if not features_only:
        print("Images: float32, since this method needs more of the image tower than features")
        return
    if not units:
        print("Images: float32, since this CPU is not known to have bfloat16 instructions")
        return
    key = {"cpu": cpu_name(), "units": units, "torch": torch.__version__, "tower": tower_digest(tower.visual)}
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    path = folder / f"image-precision-{digest[:20]}.json"
    found, origin = _recorded(path), f"recorded in {path}"
    if found is None:
        found = measure(tower)
        # A run that measured at the same time may have been first; then both follow its record.
        before = _recorded(path, quiet=True)
        found, origin = (found, f"measured now, {_record(path, key, found)}") if before is None else (before, origin)
    problem = _problem(found)
    if problem:
        print(f"Images: float32, since {problem} ({units}; {origin})")
        return
    tower.encode_images_with(in_bfloat16(tower.visual, tower.preprocessing.size), torch.bfloat16)
    print(f"Images: bfloat16, {found['speedup']:.1f} times as fast as float32 on this CPU ({units}; {origin})")


def dtype_of(precision: str, device: torch.device) -> torch.dtype:
    """Return the dtype that a tower computes in for a method's PREC, one of PRECISIONS: float32 for fp16 on a CPU."""
    dtype = PRECISIONS[precision]
    return torch.float32 if dtype == torch.float16 and device.type == "cpu" else dtype  # CPUs have no fast float16


def advise(tower: Tower, key: str, seconds: float) -> None:
    """Name the setting ``key`` to a user whose images take ``seconds`` in float32 on a CPU that is faster in bfloat16.

    Silent for encoding that takes less than LONG, for other CPUs, and if ``key`` is empty.
    """
    on_cpu = next(tower.visual.parameters()).device.type == "cpu"
    if key and seconds >= LONG and on_cpu and tower.image_dtype == torch.float32 and bfloat16_units():
        notice(
            f"Note: encoding images will take about {math.ceil(seconds / 60)} min in float32. This CPU has "
            f"{bfloat16_units()}: {key} auto encodes them in bfloat16 if that is faster here, "
            "and features differ slightly."
        )


def name_of(dtype: torch.dtype) -> str:
    """Return "bfloat16" for torch.bfloat16."""
    return str(dtype).removeprefix("torch.")


# -- the machine --


@cache
def bfloat16_units() -> str:
    """Return the flag of the CPU's bfloat16 instructions, see UNITS; "" if there are none, or none that are known."""
    if not torch.backends.mkldnn.is_available():  # PyTorch reaches them through oneDNN
        return ""
    known = {flag for line in _cpuinfo("flags", "Features") for flag in line.split()}
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # PyTorch 2.1 does not have it
    known |= {name for name, value in capabilities.items() if value is True}
    return next((flag for flag in UNITS if flag in known), "")


@cache
def cpu_name() -> str:
    """Return the CPU's model name, or its architecture if the system does not say more."""
    return next(iter(_cpuinfo("model name")), "") or platform.processor() or platform.machine()


def _cpuinfo(*fields: str) -> list[str]:
    """Return the values of some fields of Linux's /proc/cpuinfo, of all CPUs; none on other systems."""
    try:
        lines = [line.partition(":") for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError):
        return []
    return [value.strip() for name, _, value in lines if name.strip() in fields]


# -- the measurement --


@torch.no_grad()
def measure(tower: Tower) -> dict[str, Any]:
    """Encode a few random images in both dtypes, alternately.

    One thread's CPU time is measured, which other processes on the machine hardly change.

    Returns:
        "speedup": float32's time divided by bfloat16's; "cosine": the smallest one between an image's features;
        "problem": why the tower cannot compute in bfloat16, or "". The first two are 0 if there is a problem.
    """
    size, threads = tower.preprocessing.size, torch.get_num_threads()
    images = torch.randn(IMAGES, 3, size, size, generator=torch.Generator().manual_seed(0))
    torch.set_num_threads(1)
    try:
        exact, first = _timed(tower.visual, images[:1])
        images = images[: max(1, min(IMAGES, int(0.5 / first)))]
        half = in_bfloat16(tower.visual, size)
        exact, _ = _timed(tower.visual, images)
        rounded, _ = _timed(half, images.bfloat16())
        times, began = list[tuple[float, float]](), time.perf_counter()
        while not times or (len(times) < ROUNDS and time.perf_counter() - began < SECONDS):
            times.append((_timed(tower.visual, images)[1], _timed(half, images.bfloat16())[1]))
    except (AttributeError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        return {"speedup": 0.0, "cosine": 0.0, "problem": f"it cannot compute in bfloat16: {first_line(error)}"}
    finally:
        torch.set_num_threads(threads)
    slow, fast = (min(column) for column in zip(*times, strict=True))
    cosine = F.cosine_similarity(exact.float(), rounded.float()).min().nan_to_num(-1.0).item()
    return {"speedup": slow / fast, "cosine": cosine, "problem": ""}


def _timed(visual: nn.Module, images: Tensor) -> tuple[Tensor, float]:
    """Return (B, feature_dim) features, and the CPU time of this thread in seconds."""
    began = time.thread_time()
    features = _features(visual, images)
    return features, max(time.thread_time() - began, 1e-9)


def _features(visual: nn.Module, images: Tensor) -> Tensor:
    return features_of(visual, images.contiguous(memory_format=torch.channels_last))


def _problem(found: dict[str, Any]) -> str:
    """Return why images stay in float32 after a measurement; "" if they do not."""
    if found["problem"]:
        return f"the image tower does not support it: {found['problem']}"
    if found["cosine"] < CLOSE:
        return f"features in bfloat16 differ, with a cosine of {found['cosine']:.4f}"
    return "" if found["speedup"] >= WORTH else f"bfloat16 is only {found['speedup']:.2f} times as fast on this CPU"


def _recorded(path: Path, quiet: bool = False) -> dict[str, Any] | None:
    """Return a recorded measurement; None if there is none, or if it is damaged."""
    try:
        found = read_record(path)["found"]
        numbers = (found["speedup"], found["cosine"])
        if isinstance(found["problem"], str) and all(isinstance(number, float) for number in numbers):
            return found
        raise ValueError("its values are of other types")
    except OSError:
        return None
    except (LookupError, TypeError, ValueError):
        if not quiet:
            print(f"The measurement in {path} is damaged; measuring again.")
        return None


def _record(path: Path, key: dict[str, Any], found: dict[str, Any]) -> str:
    """Record a measurement; returns where it is, for the log."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_record(path, {"key": key, "found": found})
    except OSError as error:
        return f"not recorded: {error.strerror or error}"
    return f"recorded in {path}"


# -- the tower --


def in_bfloat16(visual: nn.Module, size: int) -> nn.Module:
    """Return a frozen copy of a float32 image tower that computes in bfloat16.

    Weights are rounded after frozen BatchNorm has been multiplied into convolutions, and the factors of QuickGELU into
    the linear layers around it; both are exact but for rounding. Normalisation layers keep float32 parameters: they
    read and return bfloat16 and compute in float32.

    Args:
        visual: the tower, in eval mode; it is not changed.
        size: the side of its images in pixels.
    """
    copied = _with_folded_norms(visual, size)
    for module in list(copied.modules()):
        if isinstance(module, nn.Sequential):
            _fold_quick_gelu(module)
    copied.to(torch.bfloat16)
    for module in list(copied.modules()):
        if isinstance(module, nn.LayerNorm | nn.GroupNorm | nn.modules.batchnorm._BatchNorm):
            module.float()
        for name, child in list(module.named_children()):
            if isinstance(child, nn.LayerNorm) and _of_clip(child):
                setattr(module, name, _plain(child))
    return copied.to(memory_format=torch.channels_last).requires_grad_(False)


def _plain(norm: nn.LayerNorm) -> nn.LayerNorm:
    """Return PyTorch's own LayerNorm, without the conversions to float32 and back that packages add to theirs."""
    plain = nn.LayerNorm(norm.normalized_shape, norm.eps, norm.elementwise_affine)
    plain.weight, plain.bias = norm.weight, norm.bias
    return plain.eval()


def _with_folded_norms(visual: nn.Module, size: int) -> nn.Module:
    """Return a float32 copy whose convolutions include the BatchNorm that follows them.

    Which one follows is seen in a forward pass of one image. If features change, since a convolution's output is read
    elsewhere too, the copy has no such changes.
    """
    image = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    copied = copy.deepcopy(visual)
    pairs, expected = _followed_by_norm(copied, image)
    if not pairs:
        return copied
    names = {module: name for name, module in copied.named_modules()}
    for convolution, norm in pairs:
        _replace(copied, names[convolution], fuse_conv_bn_eval(convolution, norm))
        rest = (getattr(norm, part, None) for part in ("drop", "act"))  # timm's BatchNormAct2d
        _replace(copied, names[norm], nn.Sequential(*(part for part in rest if isinstance(part, nn.Module))))
    same = F.cosine_similarity(_features(copied, image), expected).item() > 0.9999
    return copied if same else copy.deepcopy(visual)


@torch.no_grad()
def _followed_by_norm(visual: nn.Module, image: Tensor) -> tuple[list[tuple[nn.Conv2d, nn.BatchNorm2d]], Tensor]:
    """Return each convolution whose output the next BatchNorm reads, with that one, and the image's features."""
    last: list[tuple[nn.Conv2d, Tensor]] = []
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []
    calls: Counter[nn.Module] = Counter()

    def after(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d), "hooked to convolutions alone"
        calls[module] += 1
        last[:] = [(module, output)]

    def before(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        assert isinstance(module, nn.BatchNorm2d), "hooked to BatchNorm alone"
        calls[module] += 1
        if last and args[0] is last[0][1] and module.running_mean is not None:
            pairs.append((last[0][0], module))

    handles = [m.register_forward_hook(after) for m in visual.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in visual.modules() if type(m).__name__ in ("BatchNorm2d", "BatchNormAct2d")]
    handles += [m.register_forward_pre_hook(before) for m in norms]
    try:
        features = _features(visual, image)
    finally:
        for handle in handles:
            handle.remove()
    return [pair for pair in pairs if calls[pair[0]] == calls[pair[1]] == 1], features


def _replace(root: nn.Module, name: str, module: nn.Module) -> None:
    """Replace the module that has a dotted name below ``root``."""
    parent, _, last = name.rpartition(".")
    setattr(root.get_submodule(parent), last, module)


def _of_clip(module: nn.Module) -> bool:
    """Return whether OpenAI's or OpenCLIP's package defines a module's class."""
    return type(module).__module__.startswith(("clip.", "open_clip."))


def _fold_quick_gelu(layers: nn.Sequential) -> None:
    """QuickGELU(x) = SiLU(1.702 x) / 1.702, and SiLU is one operation; the factors go into the linear layers."""
    for i, (before, module, after) in enumerate(zip(layers, layers[1:], layers[2:], strict=False), start=1):
        quick = type(module).__name__ == "QuickGELU" and _of_clip(module)
        if quick and type(before) is nn.Linear and type(after) is nn.Linear:
            for parameter in before.parameters():
                parameter.data.mul_(QUICK)
            after.weight.data.div_(QUICK)
            layers[i] = nn.SiLU(inplace=True)

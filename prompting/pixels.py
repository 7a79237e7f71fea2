"""The pixels that an image tower expects, and a check that a run shows it these."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from common.errors import InputError
from common.notices import notice

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
INTERPOLATIONS, MODES = ("bilinear", "bicubic", "nearest", "random"), ("shortest", "squash", "longest")
TOLERANCE = 1e-3  # configs round the means


@dataclass(frozen=True)
class Preprocessing:
    """The images that an image tower expects: side in pixels, channel mean and standard deviation, resizing.

    resize_mode: "shortest" (shortest side, then the centre is cropped), "squash" or "longest", as in OpenCLIP.
    source: where this is recorded, e.g. "as OpenCLIP's tag says"; "" if it is assumed. The size is always known.
    """

    size: int
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"
    source: str = ""

    @property
    def processing(self) -> str:
        mean, std = (", ".join(f"{value:.3g}" for value in values) for values in (self.mean, self.std))
        resizing = "" if self.resize_mode == "shortest" else f" {self.resize_mode}"
        return f"mean {mean}, std {std}, {self.interpolation}{resizing}"

    def __str__(self) -> str:
        if self.source:
            return f"{self.size} x {self.size} pixels, {self.processing} ({self.source})"
        return (
            f"{self.size} x {self.size} pixels, processed as INPUT says (the checkpoint does not record how; OpenAI's "
            f"CLIPs take {self.processing})"
        )


class PixelSettings(Protocol):
    """The keys of a run's INPUT section that decide which pixels a tower sees."""

    SIZE: Sequence[int]
    PIXEL_MEAN: Sequence[float]
    PIXEL_STD: Sequence[float]
    INTERPOLATION: str
    TRANSFORMS: Sequence[str]


def preprocessing_of(name: str, config: Mapping[str, Any], source: str) -> Preprocessing:
    """Turn an OpenCLIP `preprocess_cfg` with its ``size`` into a Preprocessing.

    Raises:
        InputError: the images are not square, or mean and std do not have one value for each channel.
    """
    size = config["size"]
    sides = [int(side) for side in size] if isinstance(size, tuple | list) else [int(size)]
    if len(set(sides)) > 1:
        raise InputError(
            f"{name} takes images of {sides[1]} x {sides[0]} pixels, but only square images are supported; choose "
            "another tower."
        )

    def channels(key: str, default: tuple[float, ...]) -> tuple[float, ...]:
        value = config.get(key)
        values = default if value is None else value if isinstance(value, tuple | list) else [value] * 3
        if len(values) != 3:
            raise InputError(f"{name}: '{key}' has {len(values)} values ({source}), but images have 3 channels.")
        try:
            return tuple(float(channel) for channel in values)
        except (TypeError, ValueError):
            raise InputError(f"{name}: '{key}' is {value!r} ({source}); it must be three numbers.") from None

    interpolation, mode = config.get("interpolation") or "bicubic", config.get("resize_mode") or "shortest"
    for key, value, known in (("interpolation", interpolation, INTERPOLATIONS), ("resize_mode", mode, MODES)):
        if value not in known:
            raise InputError(f"{name}: '{key}' is {value!r} ({source}), but {', '.join(known)} are supported.")
    return Preprocessing(
        sides[0],
        channels("mean", CLIP_MEAN),
        channels("std", CLIP_STD),
        "bicubic" if interpolation == "random" else interpolation,  # OpenCLIP's own tests do the same
        mode,
        source,
    )


KEYS = ("SIZE", "PIXEL_MEAN", "PIXEL_STD", "INTERPOLATION")  # of INPUT, which follow the tower


def from_tower(expected: Preprocessing, given: Collection[str]) -> dict[str, Any]:
    """Return the INPUT settings that follow the tower: all of KEYS but those ``given`` by a config or a user.

    If only the size is recorded, the others stay as they are.
    """
    size = {"SIZE": (expected.size, expected.size)}
    others = {"PIXEL_MEAN": [*expected.mean], "PIXEL_STD": [*expected.std], "INTERPOLATION": expected.interpolation}
    found = {**size, **(others if expected.source else {})}
    return {key: value for key, value in found.items() if key not in given}


def check_pixels(name: str, expected: Preprocessing, settings: PixelSettings, given: Collection[str] = ()) -> None:
    """Check that a run shows a tower the images that it expects.

    What is ``given`` is obeyed, and a difference is printed, except the size. If mean, standard deviation and
    interpolation are only assumed, the run's own are used and a difference is printed.

    Args:
        name: the tower's.
        expected: what the tower expects.
        settings: the run's INPUT section.
        given: the keys of it that a config or a user set explicitly.

    Raises:
        InputError: something differs that is recorded and not given; the message says what to set.
    """
    wanted, has, fix = [], [], []
    if tuple(settings.SIZE) != (expected.size, expected.size):
        wanted.append(f"images of {expected.size} x {expected.size} pixels")
        has.append(f"INPUT.SIZE is {tuple(settings.SIZE)}")
        fix.append(f'INPUT.SIZE "({expected.size}, {expected.size})"')
    different = _differences(expected, settings)
    if different and not expected.source:
        shown = ", ".join(has for _, has, _ in different)
        notice(
            f"The pixels that {name} was trained on are not recorded: {shown} (OpenAI's CLIPs take mean "
            f"{_brief(CLIP_MEAN)}, std {_brief(CLIP_STD)}, bicubic)"
        )
        different = []
    asked = [row for row in different if row[1].split(" ")[0].removeprefix("INPUT.") in given]
    if asked:
        takes, shown = (", ".join(row[k] for row in asked) for k in (0, 1))
        notice(f"{name} takes {takes}{_note(expected)}, but as the settings ask, {shown}.")
    for wants, shows, sets in different:
        if (wants, shows, sets) not in asked:
            wanted.append(wants)
            has.append(shows)
            fix.append(sets)
    if wanted:
        note = _note(expected) if different else ""
        raise InputError(f"{name} takes {', '.join(wanted)}{note}, but {', '.join(has)}; set {' '.join(fix)}.")


def _note(expected: Preprocessing) -> str:
    return f" ({expected.source})" if expected.source else ""


def _brief(values: Sequence[float]) -> str:
    return str([round(float(value), 8) for value in values])


def _differences(expected: Preprocessing, settings: PixelSettings) -> list[tuple[str, str, str]]:
    """Return (what the tower takes, what the run has, what to set) of all but the size."""
    found = []
    moments = (("mean", expected.mean, settings.PIXEL_MEAN), ("std", expected.std, settings.PIXEL_STD))
    for key, value, have in moments:
        if "normalize" in settings.TRANSFORMS and not _close(value, have):
            name = f"INPUT.PIXEL_{key.upper()}"
            found.append((f"{key} {_brief(value)}", f"{name} is {_brief(have)}", f'{name} "{_brief(value)}"'))
    if "normalize" not in settings.TRANSFORMS and not (
        _close(expected.mean, (0, 0, 0)) and _close(expected.std, (1, 1, 1))
    ):
        choices = ",".join(f'"{choice}"' for choice in (*settings.TRANSFORMS, "normalize"))
        sets = [f"INPUT.TRANSFORMS '[{choices}]'"]
        sets += [
            f'INPUT.PIXEL_{key.upper()} "{_brief(value)}"' for key, value, have in moments if not _close(value, have)
        ]
        takes = f"mean {_brief(expected.mean)}, std {_brief(expected.std)}"
        found.append((takes, 'INPUT.TRANSFORMS has no "normalize"', " ".join(sets)))
    if settings.INTERPOLATION != expected.interpolation:
        found.append(
            (
                f"{expected.interpolation} resizing",
                f"INPUT.INTERPOLATION is {settings.INTERPOLATION}",
                f"INPUT.INTERPOLATION {expected.interpolation}",
            )
        )
    return found


def _close(a: Sequence[float], b: Sequence[float]) -> bool:
    return len(a) == len(b) and all(abs(x - y) < TOLERANCE for x, y in zip(a, b, strict=True))

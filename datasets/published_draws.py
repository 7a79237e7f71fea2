"""Few-shot draws that others published, taken instead of a draw of our own (DATASET.DRAWS).

    CoOp's repository and its kin    <data set>/split_fewshot/shot_<shots>-seed_<seed>.pkl
    cross-modal adaptation           indices/<data set>/shot_<shots>-seed_<seed>.json         (arXiv 2301.06267)

A record lists the images of training and validation, with paths of the machine that it was made on. An image is
recognised by the end of its path, and its class here is that of its folder or split: numbers of classes may differ.
Pickles are read by an unpickler that imports nothing.
"""

from __future__ import annotations

import io
import pickle
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from common.errors import InputError
from common.files import is_regular, read_bytes, read_json
from common.notices import notice
from common.text import counted, one_line, some
from datasets.fewshot import Samples, TaskImages, by_class, validation_shots
from datasets.folders import SPLIT_FEWSHOT
from datasets.places import resolve

BESIDE = "published"  # the value of DATASET.DRAWS that takes draws beside the images
INDICES = "indices"
SUFFIXES = (".pkl", ".json")


class Entry(NamedTuple):
    """An image of a record: its path on another machine, and its class's number there."""

    path: str
    label: int


def find_record(draws: str, root: Path, source: str, shots: int, seed: int) -> Path | None:
    """Return the record of a source's draw; None if there is none.

    Args:
        draws: DATASET.DRAWS, BESIDE or a folder.
        root: the data root.
        source: the source's folder below it.
    """
    folders = [root, root / INDICES] if draws == BESIDE else [Path(draws).expanduser()]
    places = [place for folder in folders if (place := resolve(folder, source, inner=False)) is not None]
    if draws != BESIDE:
        places += folders
    for place in places:
        for inner in (place / SPLIT_FEWSHOT, place):
            for suffix in SUFFIXES:
                path = inner / f"shot_{shots}-seed_{seed}{suffix}"
                if is_regular(path):
                    return path
    return None


def published_shots(images: TaskImages, draws: str, shots: int, seed: int, root: Path, allow_fewer: bool) -> TaskImages:
    """The task with the training and validation images of a published draw.

    If a record has no validation images, they are drawn here, without those of the training.

    Raises:
        InputError: there is no record, it cannot be read, or it does not fit the images.
    """
    path = find_record(draws, root, images.source, shots, seed)
    if path is None:
        raise InputError(
            f"There is no published draw of {images.source} for {counted(shots, 'shot')} and seed {seed} in "
            f"{root if draws == BESIDE else draws}; put it there (docs/datasets.md), or leave DATASET.DRAWS out."
        )
    print(f"The few-shot images of {images.source} are those of {path}")
    entries, held = read_record(path)
    known = _Known(path, images)
    train = known.samples(entries)
    counts = Counter(index for _, index in train)
    for index, name in enumerate(images.folders):
        if counts[index] > shots or (counts[index] < shots and not allow_fewer):
            remedy = "" if counts[index] > shots else "; DATASET.ALLOW_FEWER_SHOTS True takes what there is"
            raise InputError(
                f"{path} has {counted(counts[index], 'training image')} of class '{name}' of task '{images.source}', "
                f"not {shots}{remedy}."
            )
    used = {file for file, _ in train}
    if held is None:
        rest = [sample for sample in images.val if sample[0] not in used]
        return replace(images, train=train, val=validation_shots(replace(images, val=rest), shots, seed))
    val = known.samples(held)
    both = sorted(used & {file for file, _ in val})
    if both:
        raise InputError(f"{path} has {both[0]} for training and for validation; use another record.")
    return replace(images, train=train, val=val)


def name_unused(tasks: Sequence[TaskImages], shots: int, seed: int, root: Path) -> None:
    """Say so if published draws lie beside the images and are not asked for."""
    sources = dict.fromkeys(images.source for images in tasks)
    there = [path for source in sources if (path := find_record(BESIDE, root, source, shots, seed))]
    if there:
        notice(f"Not used: {some(map(str, there), 1)}; DATASET.DRAWS {BESIDE} takes these few-shot images.")


class _Known:
    """Finds a record's images among those of a task."""

    def __init__(self, path: Path, images: TaskImages) -> None:
        self.path, self.folders = path, images.folders
        self.classes = dict([*images.train, *images.val])
        self.test = {file for file, _ in images.test}
        self.by_name: dict[str, list[str]] = {}
        for file in (*self.classes, *self.test):
            self.by_name.setdefault(PurePosixPath(file).name, []).append(file)
        self.class_of: dict[int, int] = {}  # number in the record -> class here

    def samples(self, entries: Iterable[Entry]) -> Samples:
        """The entries' images, class by class."""
        found: Samples = []
        for entry in entries:
            file = self._file(entry.path)
            if file in self.test and file not in self.classes:
                raise InputError(
                    f"{self.path} has {entry.path} for training or validation, and here it is a test image; the data "
                    "set needs the split that the record was drawn from."
                )
            index = self.classes[file]
            if self.class_of.setdefault(entry.label, index) != index:
                other = self.folders[self.class_of[entry.label]]
                raise InputError(
                    f"{self.path} has images of '{other}' and '{self.folders[index]}' in one class ({entry.label}); "
                    "it was made for other images."
                )
            found.append((file, index))
        if len(set(self.class_of.values())) < len(self.class_of):
            index, _ = Counter(self.class_of.values()).most_common(1)[0]
            raise InputError(
                f"{self.path} has images of '{self.folders[index]}' in two classes; it was made for other images."
            )
        if len({file for file, _ in found}) < len(found):
            twice = Counter(file for file, _ in found).most_common(1)[0][0]
            raise InputError(f"{self.path} has {twice} twice; use another record.")
        return [sample for group in by_class(found).values() for sample in group]

    def _file(self, path: str) -> str:
        parts = PurePosixPath(path.replace("\\", "/")).parts
        candidates = [(_common_end(parts, PurePosixPath(f).parts), f) for f in self.by_name.get(parts[-1], [])]
        if not candidates:
            raise InputError(f"{self.path} has {path}, which is not among the images here.")
        best = max(length for length, _ in candidates)
        nearest = [file for length, file in candidates if length == best]
        if len(nearest) > 1:
            raise InputError(f"{self.path} has {path}, which may be {nearest[0]} or {nearest[1]}; rename the folders.")
        return nearest[0]


def _common_end(first: tuple[str, ...], second: tuple[str, ...]) -> int:
    """How many parts two paths share, counted from their ends."""
    length = 0
    for a, b in zip(reversed(first), reversed(second), strict=False):
        if a != b:
            break
        length += 1
    return length


# -- reading --


def read_record(path: Path) -> tuple[list[Entry], list[Entry] | None]:
    """Return the training and the validation images of a record; the latter are None if it has none.

    Raises:
        InputError: it is not a record, or it holds more than data.
    """
    try:
        content = _unpickled(path) if path.suffix == ".pkl" else read_json(path)
        train, val = (_entries(content.get(part)) for part in ("train", "val"))
    except InputError:
        raise
    except Exception as error:  # a damaged pickle raises errors of any kind
        raise _unreadable(path, one_line(error) or type(error).__name__) from None
    if not train:
        raise _unreadable(path, "it lists no training images")
    return train, val or None


def _unreadable(path: Path, reason: str) -> InputError:
    return InputError(f"{path} cannot be read as a few-shot draw ({reason}); replace it, or leave DATASET.DRAWS out.")


def _entries(part: Any) -> list[Entry]:
    """The images of a part: {"data": [...]} or a list of items, mappings, or [path, label, class name]."""
    items = part["data"] if isinstance(part, dict) else part or []
    return [_entry(item) for item in items]


def _entry(item: Any) -> Entry:
    if isinstance(item, _Item):
        item = {name.removeprefix("_"): value for name, value in item.state.items()}
    path, label = (item["impath"], item["label"]) if isinstance(item, Mapping) else item[:2]
    if not isinstance(path, str) or not path or type(label) is not int or label < 0:
        raise ValueError(f"an image is {str(item)[:80]}")
    return Entry(path, label)


class _Item:
    """Stands for an image in a pickle, whatever class that was; holds its attributes and does nothing."""

    state: dict[str, Any]

    def __setstate__(self, state: Any) -> None:
        self.state = dict(state)


class _Reader(pickle.Unpickler):
    """Knows Dassl's class of images by name and imports nothing."""

    def find_class(self, module: str, name: str) -> Any:
        if name == "Datum":
            return _Item
        raise ValueError(f"it names {module}.{name}, which is not loaded, because it could run code")


def _unpickled(path: Path) -> Any:
    return _Reader(io.BytesIO(read_bytes(path))).load()

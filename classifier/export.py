"""A folder that classifies without this repository: the bundle, an ONNX model, `classify.py` and a README.

classifier.json, classifier.safetensors   the bundle, see `classifier.bundle`
image_tower.onnx                          pixels -> probabilities of all tasks, and image features
image_tower_fp16.onnx, .._int8.onnx       smaller versions, if asked for
class_features.safetensors                what image features are compared with, if that is how it classifies
classify.py, requirements.txt             numpy, Pillow and onnxruntime are all that is needed
export.json                               hashes of these files, and what was checked
README.md                                 what it is, what it reaches, under which terms
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from classifier import smaller
from classifier.classifier import Classifier
from classifier.export_page import MODEL, Made, page
from classifier.graph import Graph, in_float32
from classifier.heads import Head, LinearHead
from common.errors import InputError
from common.files import is_regular, read_record, write_atomically, write_record
from common.text import one_line
from prompting.frozen import without_onednn
from prompting.photographs import read_image

RECORD = "export.json"
CLASS_FEATURES, PAGE = "class_features.safetensors", "README.md"
COPIED = ("classify.py", "requirements.txt")
SMALLER = {"fp16": "image_tower_fp16.onnx", "int8": "image_tower_int8.onnx"}
FORMAT = 1
OPSET = 17  # the newest that PyTorch 2.1 writes; onnxruntime reads it since 2022
TOLERANCE = 1e-4  # of probabilities, between PyTorch and onnxruntime in float32
CHECKED = 64  # pictures that both classify
BATCH = 8
MODEL_BYTES = 1_900_000_000  # protobuf takes 2 GiB
MUCH = 0.5  # points of accuracy that a smaller model loses, so that it is said
AGREEMENT = 0.99  # of the answers to training images: a recipe of int8 that keeps as many is good enough

Image_ = Image.Image


@dataclass(frozen=True)
class Pictures:
    """Paths of test images, each with its flat class index, and of training images."""

    test: Sequence[tuple[str, int]] = ()
    training: Sequence[str] = ()


def export(
    classifier: Classifier,
    folder: Path,
    pictures: Pictures | None = None,
    formats: Sequence[str] = (),
    say: Callable[[str], None] = print,
    test: bool = True,
) -> Made:
    """Write a classifier into a folder of its own, which takes the place of an earlier export.

    Args:
        folder: see `check_target`.
        pictures: those of the run; without any, drawn ones are compared and no accuracy is measured.
        formats: smaller versions, of SMALLER.
        say: told what is done.
        test: classify the test images with each model.

    Raises:
        InputError: the folder has something else, or this classifier cannot be exported; nothing is written then.
        ModuleNotFoundError: onnx or onnxruntime is not installed.
    """
    import onnx  # noqa: F401  before any work
    import onnxruntime  # noqa: F401

    check_target(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as place:
        inside = Path(place) / "export"
        inside.mkdir()
        made = _write(classifier, inside, pictures or Pictures(), formats, say, test)
        check_target(folder)
        _take_place(inside, folder, Path(place) / "before")
    return made


def _take_place(new: Path, folder: Path, before: Path) -> None:
    """Rename ``new`` to ``folder``; what is there becomes ``before``, and comes back if that fails."""
    there = folder.exists()
    try:
        if there:
            os.replace(folder, before)
        os.replace(new, folder)
    except OSError as error:
        if there and not folder.exists():
            os.replace(before, folder)
        raise InputError(f"--to {folder} cannot be written ({one_line(error.strerror or error)}).") from None


def check_target(folder: Path) -> None:
    """Raise InputError if a folder has anything that is not of an export, or that was changed since."""
    if not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir())):
        return
    try:
        files = read_record(folder / RECORD)["files"]
        found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if not path.is_dir()}
        found = {name: path for name, path in found.items() if "__pycache__" not in name and name != RECORD}
        other = [name for name, path in found.items() if name not in files or digest(path) != files[name]]
    except (OSError, ValueError, LookupError, TypeError):
        raise InputError(f"--to {folder} is there and is not an export; give another folder.") from None
    if other:
        raise InputError(f"--to {folder} has {min(other)}, which its export did not write so; give another folder.")


def digest(path: Path) -> str:
    """The SHA-256 of a regular file; "" for anything else."""
    if not is_regular(path):
        return ""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(1 << 22):
            found.update(part)
    return found.hexdigest()


def _write(
    classifier: Classifier,
    folder: Path,
    pictures: Pictures,
    formats: Sequence[str],
    say: Callable[[str], None],
    test: bool,
) -> Made:
    from classifier.exported import classify

    made, here = Made(), Path(classify.__file__).parent
    classifier.save(folder)
    for name in COPIED:
        shutil.copyfile(here / name, folder / name)
    exact = in_float32(classifier)
    graph = Graph(exact).eval()
    made.features = graph.has_features
    say("Writing the ONNX model ...")
    write_onnx(graph, folder / MODEL, classifier.bundles[0].pixels.size)
    made.class_features = write_class_features(exact, folder / CLASS_FEATURES)
    made.models[MODEL] = {"recipe": "float32"}
    made.checked = compared(exact, folder, [path for path, _ in pictures.test])
    training = [classify.Classifier(folder=folder).pixels(read_image(p)) for p in _some(pictures.training)]
    for kind in formats:
        say(f"Writing the {kind} model ...")
        made.models[SMALLER[kind]] = {"recipe": _smaller(kind, folder, training)}
    if pictures.test and test:
        say(f"Classifying {len(pictures.test):,} test images with {' and '.join(made.models)} ...")
        for name, accuracies in tested(exact, folder, list(made.models), pictures.test).items():
            made.models[name]["accuracies"] = accuracies
        found = zip(classifier.tested, made.models[MODEL]["accuracies"], strict=True)
        classifier.tested = [before if accuracy is None else {"accuracy": accuracy} for before, accuracy in found]
        classifier.save(folder)
    for name, about in made.models.items():
        about["bytes"] = sum(path.stat().st_size for path in folder.glob(f"{name}*"))
    made.notes += _losses(made)
    write_atomically(folder / PAGE, page(classifier, made))
    files = {path.name: digest(path) for path in sorted(folder.iterdir()) if path.is_file()}
    about = {"models": made.models, "checked": made.checked, "opset": OPSET, "torch": torch.__version__}
    write_record(folder / RECORD, {"format": FORMAT, **about, "files": files})
    return made


def _losses(made: Made) -> list[str]:
    """Return a line for each smaller model that is clearly less accurate than the first."""

    def mean(name: str) -> float:
        known = [value for value in made.models[name].get("accuracies", ()) if value is not None]
        return sum(known) / len(known) if known else float("nan")

    lost = {name: mean(MODEL) - mean(name) for name in made.models}
    return [f"{name} loses {points:.1f} points of accuracy." for name, points in lost.items() if points > MUCH]


# -- the model --


def write_onnx(graph: Graph, path: Path, size: tuple[int, int]) -> None:
    """Trace a graph and write it, with any number of images at a time.

    Of PyTorch's two exporters this takes the one that traces: it is in all versions from 2.1 on and needs no other
    package than `onnx`.

    Raises:
        InputError: PyTorch cannot export this tower.
    """
    import onnx

    outputs = ["probabilities", "features"][: 1 + graph.has_features]
    example = torch.randint(256, (2, *size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    keywords: dict[str, Any] = {
        "input_names": ["pixels"],
        "output_names": outputs,
        "dynamic_axes": {name: {0: "images"} for name in ("pixels", *outputs)},
        "opset_version": OPSET,
        "do_constant_folding": False,  # it would copy what tasks share
    }
    if "dynamo" in inspect.signature(torch.onnx.export).parameters:
        keywords["dynamo"] = False
    with _quietly(), torch.no_grad(), without_onednn(), tempfile.TemporaryDirectory(dir=path.parent) as place:
        traced = Path(place) / path.name
        try:
            torch.onnx.export(graph, (example,), str(traced), **keywords)
        except Exception as error:  # from many places
            reason = one_line(str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__)
            raise InputError(f"PyTorch cannot export the tower '{graph.tower.name}' ({reason}).") from error
        whole = sum(file.stat().st_size for file in Path(place).iterdir()) < MODEL_BYTES
        if whole and len(os.listdir(place)) == 1:
            os.replace(traced, path)
        else:
            onnx.save(onnx.load(str(traced)), str(path), save_as_external_data=True, location=f"{path.name}.data")


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Trace without PyTorch's fused attention, which is no operator of ONNX, and without the tracer's warnings.

    It warns of each number that it takes for a constant; what it made is compared with PyTorch instead.
    """
    fused = getattr(torch.backends, "mha", None)  # PyTorch 2.1 has no such switch
    before = fused is not None and fused.get_fastpath_enabled()
    with warnings.catch_warnings(), contextlib.redirect_stdout(None):
        warnings.simplefilter("ignore")
        try:
            if fused is not None:
                fused.set_fastpath_enabled(False)
            yield
        finally:
            if fused is not None:
                fused.set_fastpath_enabled(before)


def compared(exact: Classifier, folder: Path, paths: Sequence[str]) -> dict[str, Any]:
    """Compare `classify.py` with PyTorch on test images, or on drawn ones without any.

    Raises:
        InputError: a probability differs by more than TOLERANCE.
    """
    from classifier.exported import classify

    other, largest, count = classify.Classifier(folder=folder), 0.0, 0
    chosen = _some(paths)
    batches: Iterator[tuple[list[Image_], list[Image_]]] = (
        ([read_image(p) for p in part], [classify.read(p) for p in part]) for part in _parts(chosen, 5)
    )
    drawn = _drawn()
    for mine, theirs in batches if chosen else [(drawn[:1], drawn[:1]), (drawn[1:], drawn[1:])]:
        for one, two in zip(exact.predict(mine).per_task, other.predict(theirs), strict=True):
            largest = max(largest, float(np.abs(one.probabilities.numpy() - two).max()))
        count += len(mine)
    if not largest <= TOLERANCE:
        raise InputError(
            f"The exported model differs from PyTorch's by {largest:.1g} in a probability, more than {TOLERANCE:g}; "
            "nothing was written. Please report it with the tower's name."
        )
    return {"images": count, "source": "test images" if chosen else "drawn images", "largest difference": largest}


def tested(
    exact: Classifier, folder: Path, models: Sequence[str], test: Sequence[tuple[str, int]]
) -> dict[str, list[float | None]]:
    """Return for each model the tasks' accuracies in percent, in each task's metric; None without test images."""
    from classifier.exported import classify

    layout = exact.layout
    sessions = {name: classify.Classifier(model=name, folder=folder) for name in models}
    confusion = {name: np.zeros((layout.n_classes, layout.n_classes), dtype=np.int64) for name in models}
    for part in _parts(test, BATCH):
        images = [classify.read(path) for path, _ in part]
        for name, session in sessions.items():
            answers = session.predict(images)
            for row, (_, label) in enumerate(part):
                task = int(layout.task_of_class[label])
                predicted = layout.offsets[task] + int(answers[task][row].argmax())
                confusion[name][label, predicted] += 1
    return {name: [_accuracy(found, exact, task) for task in range(len(layout))] for name, found in confusion.items()}


def _accuracy(confusion: np.ndarray, exact: Classifier, task: int) -> float | None:
    rows = exact.layout.classes_of(task)
    total = confusion[rows.start : rows.stop].sum(1)
    correct = confusion.diagonal()[rows.start : rows.stop]
    if not total.sum():
        return None
    mean = float((correct[total > 0] / total[total > 0]).mean())
    return 100 * (mean if exact.tasks[task].metric == "C" else float(correct.sum() / total.sum()))


def _smaller(kind: str, folder: Path, training: Sequence[np.ndarray]) -> str:
    """Write a smaller model, and return how it was made.

    Recipes of int8 are compared on training images, from the smallest on; without these the most careful one is taken.
    """
    from classifier.exported import classify

    if kind == "fp16":
        smaller.in_half(folder / MODEL, folder / SMALLER[kind])
        return "weights in float16"
    if not training:
        recipe = smaller.RECIPES[-1]
        smaller.in_int8(folder / MODEL, folder / SMALLER[kind], recipe)
        return recipe.name
    expected = _answers(classify.Classifier(folder=folder), training)
    shares = []
    for recipe in smaller.RECIPES:
        smaller.in_int8(folder / MODEL, folder / SMALLER[kind], recipe, training)
        found = _answers(classify.Classifier(model=SMALLER[kind], folder=folder), training)
        shares.append(float((found == expected).mean()))
        if shares[-1] >= AGREEMENT:
            break
    best = shares.index(max(shares))
    if best < len(shares) - 1:
        smaller.in_int8(folder / MODEL, folder / SMALLER[kind], smaller.RECIPES[best], training)
    return f"{smaller.RECIPES[best].name}; {100 * shares[best]:.1f} % of the answers to training images are the same"


def _answers(session: Any, pixels: Sequence[np.ndarray]) -> np.ndarray:
    """(images, tasks): the most probable class of each."""
    flat = np.concatenate([session.run("probabilities", part) for part in _parts(pixels, BATCH)])
    ends = np.cumsum([len(task["classnames"]) for task in session.tasks])[:-1]
    return np.stack([task.argmax(1) for task in np.split(flat, ends, axis=1)], axis=1)


# -- class features --


def class_features_of(head: Head) -> bool:
    """Return whether a head only compares image features with class features."""
    return isinstance(head, LinearHead) and head.compares_directions()


def write_class_features(exact: Classifier, path: Path) -> bool:
    """Write (classes, d) class features of unit norm with their names, if that is all that the classifier is.

    The file's metadata has, as JSON: "tasks" with names and classnames in the order of the rows, "logit_scale", and
    "temperatures" of the tasks.
    """
    from safetensors.torch import save as saved

    if len(exact.heads) != 1 or not class_features_of(exact.heads[0]):
        return False
    head = exact.heads[0]
    assert isinstance(head, LinearHead)
    metadata = {
        "tasks": json.dumps([{"name": task.name, "classnames": task.classnames} for task in exact.tasks]),
        "logit_scale": json.dumps(head.scale),
        "temperatures": json.dumps(exact.temperatures[0]),
        "tower": exact.bundles[0].tower.name,
    }
    path.write_bytes(saved({"class_features": head.weight.float().contiguous()}, metadata))
    return True


def _some(paths: Sequence[Any]) -> list[Any]:
    """At most CHECKED of some images, from all parts of the list."""
    return list(paths[:: max(1, len(paths) // CHECKED)])[:CHECKED]


def _parts(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[first : first + size] for first in range(0, len(items), size))


def _drawn() -> list[Image_]:
    """Pictures of noise on colours, larger, smaller, wider and higher than any tower's."""
    found = []
    generator = np.random.default_rng(0)
    for number, (width, height) in enumerate([(500, 400), (90, 300), (224, 224), (31, 40), (700, 300), (64, 64)] * 2):
        colour = generator.integers(256, size=3)
        noise = generator.integers(-60, 60, size=(height // 4 + 1, width // 4 + 1, 3))
        small = Image.fromarray((colour + noise).clip(0, 255).astype(np.uint8))
        found.append(small.resize((width, height), (Image.Resampling.BICUBIC, Image.Resampling.NEAREST)[number % 2]))
    return found

"""Classifies photographs with what was trained: `Classifier`."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

import torch
from PIL import Image
from torch import Tensor

from classifier.bundle import DTYPES, Bundle, UsedTower, damaged, read_bundle
from classifier.heads import Head, LinearHead, head_of, read
from classifier.predictions import Predictions, TaskPredictions
from common.errors import InputError
from common.paths import REPOSITORY
from common.text import some
from common.threads import allowed
from prompting.feature_bank import tower_digest
from prompting.image_precision import dtype_of, in_bfloat16
from prompting.losses import unit
from prompting.tasks import Task, TaskLayout
from prompting.towers import Tower, load_tower
from prompting.transfers import sent
from prompting.views import images_at_a_time

MOST_THREADS = 8  # that read and resize images while the tower encodes others; each holds a decoded photograph
NARROWEST = 1000  # longer side / shorter side: Resize first scales the shorter one to the tower's size

T = TypeVar("T")


class Classifier:
    """Names the class of a photograph for every task that it was trained on.

    bundles: what it was read from, one for each seed. heads: how it classifies; one for each seed, or a single one.
    """

    def __init__(self, bundles: Sequence[Bundle], heads: Sequence[Head], tower: Tower, layout: TaskLayout):
        self.bundles, self.heads, self.tower, self.layout = tuple(bundles), list(heads), tower, layout
        self._view = bundles[0].pixels.view()

    @property
    def tasks(self) -> tuple[Task, ...]:
        return self.layout.tasks

    @property
    def device(self) -> torch.device:
        return self.tower.text.device

    @classmethod
    def load(
        cls, *paths: Path | str, device: torch.device | str = "cpu", search: Sequence[Path | str] = ()
    ) -> Classifier:
        """Read a classifier from the folders of finished runs, or of bundles.

        Several, the seeds of one command, become one classifier: the mean of their class features where an image's
        feature is compared with these, else of their probabilities.

        Args:
            paths: at least one folder.
            device: where to compute.
            search: folders to search for a relative path of the tower's checkpoint, after the working directory and
                before the repository and the data root of the run.

        Raises:
            InputError: a run is not finished, a file is missing or was changed, the tower is missing or is another one,
                or the folders are not of one command.
        """
        if not paths:
            raise InputError("No classifier is given; give the folder of a finished run.")
        device = torch.device(device)
        bundles = [read_bundle(Path(path)) for path in paths]
        for other in bundles[1:]:
            _check_alike(bundles[0], other)
        with contextlib.redirect_stdout(None):  # what a run has in its log
            tower = _load_tower(bundles[0], any(b.tower.text_digest for b in bundles), device, search)
        layout, heads = bundles[0].layout, []
        for bundle in bundles:
            try:
                heads.append(head_of(layout, bundle.head, bundle.tensors, tower))
            except (ArithmeticError, LookupError, TypeError, ValueError) as error:
                raise damaged(bundle.folder, error) from None
            except InputError as error:
                raise InputError(f"{bundle.folder}: {error}") from None
        return cls(bundles, _merged(heads), tower, layout)

    @torch.no_grad()
    def answer(self, images: Tensor, tasks: Sequence[int] | None = None) -> Predictions:
        """Classify images that have been preprocessed.

        Args:
            images: (B, 3, height, width) float32, as `view` makes them.
            tasks: numbers of the tasks to answer, at least one; by default all.
        """
        numbers = range(len(self.tasks)) if tasks is None else tasks
        images = sent(images, self.device)
        inputs = {what: read(self.tower, images, what) for what in dict.fromkeys(head.reads for head in self.heads)}
        # Side by side, so that a GPU is waited for once.
        of_heads = [
            torch.cat([part.float().softmax(1) for part in head.all_logits(inputs[head.reads], numbers)], dim=1)
            for head in self.heads
        ]
        mean = torch.stack(of_heads).mean(0).cpu()
        parts = mean.split([len(self.tasks[number].classnames) for number in numbers], dim=1)
        return Predictions(tuple(TaskPredictions(self.tasks[n], p) for n, p in zip(numbers, parts, strict=True)))

    def view(self, image: Image.Image) -> Tensor:
        """Return the (3, height, width) float32 pixels that the tower reads of an upright image.

        Raises:
            InputError: its sides differ so much that it would take gigabytes.
        """
        if max(image.size) > NARROWEST * min(image.size):
            raise InputError(
                f"An image of {image.width} x {image.height} pixels is too narrow; its longer side may be at most "
                f"{NARROWEST} times the shorter one."
            )
        return self._view(image if image.mode == "RGB" else image.convert("RGB"))

    def predict(self, images: Iterable[Image.Image], tasks: Sequence[int] | None = None) -> Predictions:
        """Classify N upright images, in order; they are read once and are not kept.

        ``tasks`` are the numbers of the tasks to answer, by default all.
        """
        found = [answers for _, answers in self.stream(images, _itself, tasks)]
        numbers = range(len(self.tasks)) if tasks is None else tasks
        parts = []
        for place, number in enumerate(numbers):
            task = self.tasks[number]
            rows = [answers.per_task[place].probabilities for answers in found]
            parts.append(TaskPredictions(task, torch.cat(rows) if rows else torch.empty(0, len(task.classnames))))
        return Predictions(tuple(parts))

    def stream(
        self,
        photos: Iterable[T],
        image_of: Callable[[T], Image.Image],
        tasks: Sequence[int] | None = None,
        refused: Callable[[T, InputError], None] | None = None,
    ) -> Iterator[tuple[T, Predictions]]:
        """Classify any number of photos in constant memory.

        Args:
            photos: what identifies each photo, such as its path; they are read a batch ahead.
            image_of: opens one as an upright image; called in several threads.
            tasks: the numbers of the tasks to answer; by default all.
            refused: called with a photo that ``image_of`` raised InputError for, and the error; the photo is left out.
                Without it, the error ends the stream.

        Yields:
            (photo, predictions of this one image), in the order of ``photos``.
        """

        def pixels(photo: T) -> Tensor:
            return self.view(image_of(photo))

        waiting = iter(photos)
        size = images_at_a_time(self.device, self.tower.preprocessing.size)
        threads = max(1, min(MOST_THREADS, int(allowed())))
        ahead = size * math.ceil(threads / size)
        with ThreadPoolExecutor(threads) as pool:

            def begun() -> list[tuple[T, Future[Tensor]]]:
                return [(photo, pool.submit(pixels, photo)) for photo in islice(waiting, ahead)]

            portion = begun()
            try:
                while portion:
                    following = begun()  # decoded while this portion is encoded
                    for first in range(0, len(portion), size):
                        yield from self._answered(portion[first : first + size], tasks, refused)
                    portion = following
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _answered(
        self,
        photos: Sequence[tuple[T, Future[Tensor]]],
        tasks: Sequence[int] | None,
        refused: Callable[[T, InputError], None] | None,
    ) -> Iterator[tuple[T, Predictions]]:
        opened, pixels = [], []
        for photo, future in photos:
            try:
                pixels.append(future.result())
                opened.append(photo)
            except InputError as error:
                if refused is None:
                    raise
                refused(photo, error)
        if not opened:
            return
        answers = self.answer(torch.stack(pixels), tasks)
        for number, photo in enumerate(opened):
            mine = (TaskPredictions(p.task, p.probabilities[number : number + 1]) for p in answers.per_task)
            yield photo, Predictions(tuple(mine))


def _itself(image: Image.Image) -> Image.Image:
    return image


def _check_alike(first: Bundle, other: Bundle) -> None:
    """Raise InputError if two bundles are not seeds of one command."""
    pairs = f"{first.folder} and {other.folder}"
    if first.method != other.method:
        raise InputError(f"{pairs} have other methods, {first.method} and {other.method}; give seeds of one command.")
    names = [[task.name for task in bundle.layout.tasks] for bundle in (first, other)]
    if names[0] != names[1]:
        raise InputError(f"{pairs} have other tasks, {some(names[0])} and {some(names[1])}; give seeds of one command.")
    for task, second in zip(first.layout.tasks, other.layout.tasks, strict=True):
        if task.classnames != second.classnames:
            raise InputError(f"{pairs} have other classes in task '{task.name}'; give seeds of one command.")
    if not first.tower.same(other.tower):
        towers = f"{first.tower.name} in {first.tower.image_dtype} and {other.tower.name} in {other.tower.image_dtype}"
        raise InputError(f"{pairs} have other towers, {towers}; give seeds of one command.")
    if first.pixels != other.pixels:
        raise InputError(f"{pairs} show the tower other pixels; give seeds of one command.")


def _merged(heads: list[Head]) -> list[Head]:
    """Return one head with the mean class features, if all heads have class features; else the heads."""
    linear = [head for head in heads if isinstance(head, LinearHead) and head.compares_directions()]
    if len(heads) == 1 or len(linear) < len(heads) or len({head.scale for head in linear}) > 1:
        return heads
    mean = unit(torch.stack([head.weight for head in linear]).mean(0))
    return [LinearHead(linear[0].layout, mean, linear[0].scale)]


def _load_tower(bundle: Bundle, needs_text: bool, device: torch.device, search: Sequence[Path | str]) -> Tower:
    """Load the tower that a classifier was trained with, in its precision; InputError if it is another one now.

    Where another precision is used than the run's, as for a GPU's run on a CPU, it is loaded twice: weights are
    compared in the run's.
    """
    tower, wanted = bundle.tower, dtype_of(bundle.tower.precision, device)
    folders = (*search, REPOSITORY, tower.data_root)
    dtype, image_dtype = DTYPES[tower.dtype], DTYPES[tower.image_dtype]
    loaded = load_tower(tower.name, "cpu", dtype, folders)
    if image_dtype != dtype:  # PREC auto
        loaded.encode_images_with(in_bfloat16(loaded.visual, loaded.preprocessing.size), image_dtype)
    _check_tower(bundle, loaded, needs_text)
    if wanted != dtype or (image_dtype != dtype and device.type != "cpu"):
        loaded = load_tower(tower.name, device, wanted, folders)
    loaded.to(device)
    return loaded


def _check_tower(bundle: Bundle, loaded: Tower, needs_text: bool) -> None:
    recorded: UsedTower = bundle.tower
    same = recorded.image_digest == tower_digest(loaded.visual, printed=False)
    if same and needs_text:
        same = recorded.text_digest == tower_digest(loaded.text, printed=False)
    if not same or recorded.activation != loaded.activation:
        raise InputError(
            f"The tower {recorded.name} has other weights than the one that {bundle.folder} was trained with; put that "
            "one back, or train again."
        )

"""Classifies photographs with what was trained: `Classifier`."""

from __future__ import annotations

import contextlib
import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice, repeat
from pathlib import Path
from typing import TypeVar

import torch
from PIL import Image
from torch import Tensor

from classifier.bundle import DTYPES, RECORD, WRITTEN, Bundle, check_seeds, damaged, read_bundle, write_bundle
from classifier.calibration import merged_temperature
from classifier.heads import FEATURES, RAW, Head, LinearHead, head_of, read
from classifier.heads import KINDS as HEADS
from classifier.predictions import Predictions, TaskPredictions
from classifier.questions import MetaQuestions, Questions, about_new, questions_of
from common.catalogue import METHODS
from common.errors import FULL, InputError, of_system
from common.paths import REPOSITORY, TRACES
from common.text import brief, counted, one_line
from common.threads import allowed
from prompting.feature_bank import tower_digest
from prompting.image_precision import dtype_of, in_bfloat16
from prompting.losses import unit
from prompting.padded_text import AnyText
from prompting.prompts import check_distinct
from prompting.side_by_side import side_by_side
from prompting.tasks import Task, TaskLayout, check_classnames, normal_form
from prompting.towers import Tower, load_tower
from prompting.transfers import sent
from prompting.views import images_at_a_time

MOST_THREADS = 8  # that read and resize images while the tower encodes others; each holds a decoded photograph
MOST_AT_ONCE = 8  # photographs on a CPU, so that a few occupy all of its threads
NARROWEST = 1000  # longer side / shorter side: Resize first scales the shorter one to the tower's size

T = TypeVar("T")


class Classifier:
    """Names the class of a photograph for every task that it was trained on, and for those that are added.

    bundles: what it was read from, one for each folder. heads: how it classifies; one for each seed, or a single one.
    questions: for each seed what writes prompts of classes that were not trained on. temperatures: for each head and
    task, what its logits are divided by; see `classifier.calibration`.
    """

    def __init__(
        self,
        bundles: Sequence[Bundle],
        heads: Sequence[Head],
        tower: Tower,
        layout: TaskLayout,
        questions: Sequence[Questions | None] = (),
        search: Sequence[Path | str] = (),
        temperatures: Sequence[Sequence[float]] | None = None,
    ):
        """Without ``temperatures``, they are 1."""
        self.bundles, self.heads, self.tower, self.layout = tuple(bundles), list(heads), tower, layout
        self.questions, self.search = list(questions), tuple(search)
        self.temperatures = [list(row) for row in temperatures or [[1.0] * len(layout)] * len(self.heads)]
        self.measured = [list(seed) for bundle in bundles for seed in bundle.measured]
        self.tested = list(bundles[0].tested) if len(bundles) == 1 else [{} for _ in layout.tasks]
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
        check_seeds(bundles)
        readers = [kind for kind, head in HEADS.items() if head.needs_text]
        needs_text = any(values.get("kind") in readers for bundle in bundles for values, _ in bundle.heads)
        tower = _load_tower(bundles[0], device, search, images=True, text=needs_text)
        return cls.of(bundles, tower, search)

    @classmethod
    def of(cls, bundles: Sequence[Bundle], tower: Tower, search: Sequence[Path | str] = ()) -> Classifier:
        """Return the classifier of bundles that are alike, with a tower that is theirs; see `load`.

        Raises:
            InputError: a bundle is damaged or of a later version.
        """
        layout = bundles[0].layout
        heads: list[Head] = []
        questions: list[Questions | None] = []
        temperatures: list[list[float]] = []
        for bundle in bundles:
            try:
                heads += [head_of(layout, values, tensors, tower) for values, tensors in bundle.heads]
                questions += [None if q is None else questions_of(*q, tower.text) for q in bundle.questions]
                temperatures += bundle.temperatures
            except (ArithmeticError, LookupError, TypeError, ValueError) as error:
                raise damaged(bundle.folder, error) from None
            except InputError as error:
                raise InputError(f"{bundle.folder}: {error}") from None
        merged = _merged(heads)
        if len(merged) < len(heads):
            temperatures = [list(map(merged_temperature, zip(*temperatures, strict=True)))]
        return cls(bundles, merged, tower, layout, questions, search, temperatures)

    def save(self, folder: Path | str) -> None:
        """Write a bundle that `load` reads to the same answers, with tasks that were added; the tower is not in it.

        Args:
            folder: created if it is not there. Only a bundle in it is replaced.

        Raises:
            InputError: it is a run's folder, has other files, or cannot be written.
        """
        folder = Path(folder)
        first = self.bundles[0]
        about = {key: value for key, value in first.record.items() if key not in WRITTEN}
        about["seeds"] = [seed for bundle in self.bundles for seed in bundle.record.get("seeds", [])]
        tower = next((b.tower for b in self.bundles if b.tower.text_digest), first.tower)
        try:
            _make_room(folder)
            write_bundle(
                folder,
                self.heads,
                first.pixels,
                tower,
                self.measured,
                about,
                self.questions,
                self.temperatures,
                self.tested,
            )
        except OSError as error:
            if error.errno in FULL:
                raise of_system(error, folder) from None
            raise InputError(f"{folder} cannot be written ({one_line(error.strerror or error)}).") from None

    # -- questions that were not trained on --

    def add_task(self, name: str, classnames: Sequence[str], template: str = "") -> None:
        """Answer a new task, or other classes of a task that is there, which takes its place.

        Its class features come from the text tower, which is loaded when the first task is added. Nothing is trained,
        so the task has no accuracy. Its temperature is that of the task whose place it takes, or else the geometric
        mean of all, as in an evaluation of tasks that a run lacks.

        Args:
            name: the task's name, which some methods read.
            classnames: at least two.
            template: a sentence with {} for the class name, which zero-shot CLIP and some other methods read; by
                default that of the task of this name, or "a photo of a {}.".

        Raises:
            InputError: names are missing, repeated or too long, or the method cannot: its parameters belong to tasks or
                classes. Nothing has changed then.
        """
        place = next((number for number, task in enumerate(self.tasks) if task.name == name), len(self.tasks))
        known = self.tasks[place] if place < len(self.tasks) else None
        check_names(name, classnames, template)
        template = template or (Task(name, ("x",)) if known is None else known).template
        task = Task(name, tuple(classnames), template, "A" if known is None else known.metric)
        writers = self._writers(task, new=known is None)
        text = self._text()
        if not text.vocabulary.of_clip:
            check_distinct(text.vocabulary, task.classnames, task.name)
        layout = TaskLayout((*self.tasks[:place], task, *self.tasks[place + 1 :]))
        features = [writer.features(text, task) for writer in writers]
        if len(self.heads) < len(features):
            features = [unit(torch.stack(features).mean(0))]
        pairs = zip(self.heads, features, strict=True)
        self.heads = [head.asked(layout, place, x).eval().requires_grad_(False) for head, x in pairs]
        fitted = [row[place] if known is not None else merged_temperature(row) for row in self.temperatures]
        rows = zip(self.temperatures, fitted, strict=True)
        self.temperatures = [[*row[:place], value, *row[place + 1 :]] for row, value in rows]
        self.measured = [[*seed[:place], {}, *seed[place + 1 :]] for seed in self.measured]
        self.tested = [*self.tested[:place], {}, *self.tested[place + 1 :]]
        self.layout = layout

    def remark(self, task: str) -> str:
        """Return a line on how far prompts for a task of this name can be trusted; empty if there is nothing to say."""
        writers = [writer for writer in self.questions if isinstance(writer, MetaQuestions)]
        # Bundles of earlier versions do not say what was trained on.
        known = {name for writer in writers for name in writer.known} or {t.name for t in self.bundles[0].layout.tasks}
        if not writers or task in known:
            return ""
        return about_new(self.bundles[0].method, [task], [writer.weight for writer in writers])

    def _writers(self, task: Task, new: bool) -> list[Questions]:
        """Return what writes a task's prompts for each seed; InputError says why there is nothing."""
        method = self.bundles[0].method
        known = METHODS.get(method)
        if any(bundle.record["format"] == 1 for bundle in self.bundles):
            raise InputError(
                f"{self.bundles[0].folder} is of an earlier version, which did not keep what writes prompts; run its "
                "command again with --redo, or test its checkpoint with --eval-only."
            )
        writers = [writer for writer in self.questions if writer is not None]
        if len(writers) == len(self.questions) and all(writer.answers(task.name) for writer in writers):
            return writers
        ties = known.ties if known is not None and known.ties else "parameters for what it was trained on"
        what = "a task" if new else "a class"
        others = "SoftCPT, CoOp-MT or zero-shot CLIP"
        if not new and not (known is not None and known.tied_to == "classes"):
            others += ", or a task that it was trained on"
        raise InputError(f"{method} has {ties}, and none for {what} that it was not trained on; use {others}.")

    def _text(self) -> AnyText:
        """Return the text tower, which is loaded now if it was dropped."""
        if not self.tower.has_text:
            bundle = next((b for b in self.bundles if b.tower.text_digest), self.bundles[0])
            loaded = _load_tower(bundle, self.device, self.search, images=False, text=True)
            self.tower.text = loaded.text
        return self.tower.text

    @torch.no_grad()
    def answer(self, images: Tensor, tasks: Sequence[int] | None = None) -> Predictions:
        """Classify images that have been preprocessed.

        Args:
            images: (B, 3, height, width) float32, as `view` makes them.
            tasks: numbers of the tasks to answer, at least one; by default all.
        """
        images = sent(images, self.device)
        reads = dict.fromkeys(head.reads for head in self.heads)
        return self.answer_read({what: read(self.tower, images, what) for what in reads}, tasks)

    @torch.no_grad()
    def answer_read(self, inputs: Mapping[str, Tensor], tasks: Sequence[int] | None = None) -> Predictions:
        """Classify images from what the heads read of them, by its name in `classifier.heads.READS`, on the device."""
        numbers = range(len(self.tasks)) if tasks is None else tasks

        def probabilities(head: Head, temperatures: Sequence[float]) -> Tensor:
            logits = head.all_logits(inputs[head.reads], numbers)
            parts = [(part.float() / temperatures[n]).softmax(1) for n, part in zip(numbers, logits, strict=True)]
            return torch.cat(parts, dim=1)

        # Side by side, so that a GPU is waited for once.
        of_heads = [probabilities(*pair) for pair in zip(self.heads, self.temperatures, strict=True)]
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

        def opened(photo: T) -> Tensor | InputError:
            try:
                return self.view(image_of(photo))
            except InputError as error:
                return error

        rest = iter(photos)
        size = images_at_a_time(self.device, self.tower.preprocessing.size)
        if self.device.type == "cpu":
            size = min(size, MOST_AT_ONCE)
        batches = iter(lambda: list(islice(rest, size)), [])
        for photo, result in chain.from_iterable(self._answers(batches, opened, size, tasks)):
            if not isinstance(result, InputError):
                yield photo, result
            elif refused is None:
                raise result
            else:
                refused(photo, result)

    def _answers(
        self,
        batches: Iterator[list[T]],
        opened: Callable[[T], Tensor | InputError],
        size: int,
        tasks: Sequence[int] | None,
    ) -> Iterator[list[tuple[T, Predictions | InputError]]]:
        """Yield the answers to batches of ``size`` photos, in order; a few batches are read ahead."""
        threads = max(1, min(MOST_THREADS, int(allowed())))
        reads_features = all(head.reads in (FEATURES, RAW) and not head.needs_text for head in self.heads)
        if self.device.type == "cpu" and reads_features:
            # Each thread reads and encodes batches of its own. If all encoded the same one, readers would hold them up.
            def answered(batch: list[T]) -> list[tuple[T, Predictions | InputError]]:
                return self._answered([(photo, opened(photo)) for photo in batch], tasks)

            yield from side_by_side(answered, batches, min(threads, torch.get_num_threads()))
            return
        begun: deque[list[tuple[T, Future[Tensor | InputError]]]] = deque()
        with ThreadPoolExecutor(threads) as pool:
            try:
                for batch in chain(batches, repeat(None, math.ceil(threads / size))):
                    if batch is not None:  # read while those before are encoded
                        begun.append([(photo, pool.submit(opened, photo)) for photo in batch])
                    if begun and (batch is None or len(begun) > math.ceil(threads / size)):
                        seen = [(photo, future.result()) for photo, future in begun.popleft()]
                        yield self._answered(seen, tasks)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _answered(
        self, seen: Sequence[tuple[T, Tensor | InputError]], tasks: Sequence[int] | None
    ) -> list[tuple[T, Predictions | InputError]]:
        """Answer a batch of photos, of which some could not be read."""
        pixels = [view for _, view in seen if isinstance(view, Tensor)]
        answers = self.answer(torch.stack(pixels), tasks).per_task if pixels else ()
        rows = iter(range(len(pixels)))

        def of_next() -> Predictions:
            row = next(rows)
            return Predictions(tuple(TaskPredictions(p.task, p.probabilities[row : row + 1]) for p in answers))

        return [(photo, view if isinstance(view, InputError) else of_next()) for photo, view in seen]


def _itself(image: Image.Image) -> Image.Image:
    return image


def _merged(heads: Sequence[Head]) -> Sequence[Head]:
    """Return one head with the mean class features, if all heads have class features; else the heads."""
    linear = [head for head in heads if isinstance(head, LinearHead) and head.compares_directions()]
    if len(heads) == 1 or len(linear) < len(heads) or len({head.scale for head in linear}) > 1:
        return heads
    mean = unit(torch.stack([head.weight for head in linear]).mean(0))
    return [LinearHead(linear[0].layout, mean, linear[0].scale)]


def _make_room(folder: Path) -> None:
    """Create a folder for a bundle; InputError if something else is in it."""
    if os.path.lexists(folder) and not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give another one for the classifier.")
    if any(os.path.lexists(folder / name) for name in TRACES):
        raise InputError(f"{folder} is the folder of a run, which keeps its own classifier; give another one.")
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()) and not os.path.lexists(folder / RECORD):
        raise InputError(f"{folder} is not empty and has no {RECORD}; give another folder for the classifier.")


def check_names(task: str, classnames: Sequence[str], template: str = "") -> None:
    """Raise InputError for names that make no question."""
    if not normal_form(task):
        raise InputError(f"A task's name is read as text, and '{brief(task)}' has none; give it a name.")
    count = len(classnames)
    if count < 2:
        raise InputError(
            f"Task '{brief(task)}' has {counted(count, 'class', 'classes')}; a question needs at least two."
        )
    check_classnames(classnames, task)
    if template and "{}" not in template:
        raise InputError(f"The template '{brief(template)}' has no {{}}, where the class name goes.")


def _load_tower(bundle: Bundle, device: torch.device, search: Sequence[Path | str], images: bool, text: bool) -> Tower:
    """Load the tower that a classifier was trained with, in its precision; InputError if it is another one now.

    Only the sides that are asked for are compared and kept. Where another precision is used than the run's, as for a
    GPU's run on a CPU, it is loaded twice: weights are compared in the run's.
    """
    tower, wanted = bundle.tower, dtype_of(bundle.tower.precision, device)
    folders = (*search, REPOSITORY, tower.data_root)
    dtype, image_dtype = DTYPES[tower.dtype], DTYPES[tower.image_dtype]
    with contextlib.redirect_stdout(None):  # what a run has in its log
        loaded = load_tower(tower.name, "cpu", dtype, folders)
        if images and image_dtype != dtype:  # PREC auto
            loaded.encode_images_with(in_bfloat16(loaded.visual, loaded.preprocessing.size), image_dtype)
        same = not images or tower.image_digest == tower_digest(loaded.visual, printed=False)
        same = same and (not text or tower.text_digest == tower_digest(loaded.text, printed=False))
        if not same or tower.activation != loaded.activation:
            raise InputError(
                f"The tower {tower.name} has other weights than the one that {bundle.folder} was trained with; put "
                "that one back, or train again."
            )
        if wanted != dtype or (images and image_dtype != dtype and device.type != "cpu"):
            loaded = load_tower(tower.name, "cpu", wanted, folders)
    if not text:
        loaded.drop_text()
    return loaded.to(device)

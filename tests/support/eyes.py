"""A classifier that looks at colours, in the place of a trained one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import torch
from PIL import Image
from torch import Tensor

from classifier import Predictions, TaskPredictions
from common.errors import InputError
from launcher.trained import Trained
from prompting.tasks import Task

TASKS = (Task("petal colour", ("red", "green", "blue")), Task("weather", ("dark", "=bright")))


class Eye:
    """Stands in for `classifier.Classifier`: colour by the mean pixel, weather by its brightness."""

    def __init__(self, tasks: Sequence[Task] = TASKS) -> None:
        self.tasks = tuple(tasks)
        self.loaded: list[Trained] = []
        self.ahead: list[int] = []  # photos that were taken and not yet answered
        self.fail_at = -1

    def stream(
        self,
        photos: Iterable[str],
        image_of: Callable[[str], Image.Image],
        tasks: Sequence[int],
        refused: Callable[[str, InputError], None],
    ) -> Iterator[tuple[str, Predictions]]:
        waiting = iter(photos)
        answered = 0
        while batch := list(islice(waiting, 4)):
            self.ahead.append(len(batch))
            found = []
            for photo in batch:
                try:
                    found.append((photo, image_of(photo)))
                except InputError as error:
                    refused(photo, error)
            for photo, image in found:
                if answered == self.fail_at:
                    raise KeyboardInterrupt
                answered += 1
                mean = torch.tensor(image.resize((1, 1)).getpixel((0, 0)), dtype=torch.float32)
                bright = mean.mean() / 255
                rows = (mean / mean.sum(), torch.stack([1 - bright, bright]))
                parts = (TaskPredictions(self.tasks[n], rows[n][None]) for n in tasks)
                yield photo, Predictions(tuple(parts))


class Watcher(Eye):
    """The same for the page: it sees an image as (3, 1, 1) mean colours, which are its features too.

    Of a task of one's own, the probabilities are those of the colours in order.
    """

    device = torch.device("cpu")

    def __init__(self, tasks: Sequence[Task] = TASKS) -> None:
        super().__init__(tasks)
        self.tower = self
        self.encoded = 0  # images whose features were asked for

    def view(self, image: Image.Image) -> Tensor:
        return torch.tensor(image.resize((1, 1)).getpixel((0, 0)), dtype=torch.float32).view(3, 1, 1) / 255

    def encode_image(self, images: Tensor, normalize: bool) -> Tensor:
        self.encoded += len(images)
        return torch.nn.functional.normalize(images.flatten(1), dim=1)

    def answer(self, images: Tensor) -> Predictions:
        colours = images.flatten(1)
        bright = colours.mean(1, keepdim=True)
        parts = []
        for task in self.tasks:
            rows = torch.cat([1 - bright, bright], 1) if task.name == "weather" else colours[:, : len(task.classnames)]
            parts.append(TaskPredictions(task, rows / rows.sum(1, keepdim=True)))
        return Predictions(tuple(parts))

    def add_task(self, name: str, classnames: Sequence[str], template: str = "") -> None:
        if "refused" in classnames:
            raise InputError("CoOp-CA's contexts belong to classes, so it answers no other ones.")
        self.tasks = (*(task for task in self.tasks if task.name != name), Task(name, tuple(classnames)))

    def remark(self, task: str) -> str:
        return "Its own prompts have weight 0.3." if task == "kind of herb" else ""

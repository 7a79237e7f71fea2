"""What the page asks of a classifier, for each visitor. Nothing here knows how the page looks."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock

import torch
from PIL import Image
from torch import Tensor

from classifier import Classifier
from common.errors import InputError
from page.neighbours import Known, Neighbours, spread
from page.photos import opened
from prompting.photographs import read_image
from prompting.transfers import sent

EXAMPLES = 14  # photographs of the test split to choose from
NEAREST = 6
MOST_ASKED = 20  # tasks of a visitor's own
MOST_CLASSES = 200  # of such a task
MOST_LETTERS = 200  # of a name


@dataclass(frozen=True)
class Answered:
    """A task's answer.

    Args:
        task: its name.
        ranked: its most probable classes with their probabilities, best first.
        sure: False if the best is below the confidence that was asked for.
        asked: the visitor made the task.
        label: the class that the test split says, where the photograph is one of its examples; else "".
    """

    task: str
    ranked: Sequence[tuple[str, float]]
    sure: bool = True
    asked: bool = False
    label: str = ""


@dataclass
class Visit:
    """What one visitor has asked so far. Neither photograph nor question is seen by others.

    Args:
        pixels: (3, height, width) of the photograph, as the tower reads it; None without one.
        label: (task, class) of an example.
        classifier: a copy with the visitor's own tasks; None without any.
        asked: their names, the newest first.
    """

    pixels: Tensor | None = None
    label: tuple[str, str] = ("", "")
    classifier: Classifier | None = None
    asked: list[str] = field(default_factory=list)


class Desk:
    """A classifier and the photographs that belong to it.

    Args:
        classifier: what answers.
        about: what it is, in a line.
        train, test: (path, task, class) of the photographs that it was trained and tested on, as far as they are
            there; they are only read.
        top: how many classes are shown of each task.
        least: probability of the best class below which the answer is "not sure".
        without: what the page says where there are no training photographs.
    """

    def __init__(
        self,
        classifier: Classifier,
        about: str,
        train: Sequence[Known] = (),
        test: Sequence[Known] = (),
        top: int = 3,
        least: float = 0.0,
        without: str = "",
    ):
        self.classifier, self.about, self.top, self.least, self.without = classifier, about, top, least, without
        self._tower = Lock()  # some heads change the tower while they use it
        self.examples = spread(test, EXAMPLES)
        self.neighbours = Neighbours(train, classifier.view, self._features) if train else None

    # -- photographs --

    def upload(self, visit: Visit, path: str, name: str) -> Image.Image:
        """Take an uploaded file as the visitor's photograph, and return it.

        InputError if it cannot be read; the visitor has no photograph then.
        """
        self.forget(visit)
        return self._taken(visit, opened(path, name), ("", ""))

    def example(self, visit: Visit, number: int) -> Image.Image:
        """Take one of the examples as the visitor's photograph, and return it; the same error."""
        self.forget(visit)
        if not 0 <= number < len(self.examples):
            raise InputError("There is no such example; reload the page.")
        path, task, classname = self.examples[number]
        try:
            image = read_image(path)
        except InputError:  # says where it lies on this computer
            raise InputError("This example cannot be read any more.") from None
        return self._taken(visit, image, (task, classname))

    @staticmethod
    def forget(visit: Visit) -> None:
        """Take the visitor's photograph away; the tasks stay."""
        visit.pixels, visit.label = None, ("", "")

    def _taken(self, visit: Visit, image: Image.Image, label: tuple[str, str]) -> Image.Image:
        visit.pixels, visit.label = self.classifier.view(image), label
        return image

    # -- answers --

    def answers(self, visit: Visit) -> list[Answered]:
        """Every task's answer to the visitor's photograph, the visitor's own tasks first; none without one."""
        if visit.pixels is None:
            return []
        classifier = visit.classifier or self.classifier
        with self._tower:
            predictions = classifier.answer(visit.pixels[None])
        found = {}
        for one in predictions.per_task:
            (ranked,) = one.classes(min(self.top, len(one.task.classnames)))
            name = one.task.name
            label = visit.label[1] if name == visit.label[0] and name not in visit.asked else ""
            found[name] = Answered(name, ranked, ranked[0][1] >= self.least, name in visit.asked, label)
        return [found.pop(name) for name in visit.asked] + list(found.values())

    def nearest(self, visit: Visit) -> list[Known]:
        """The training photographs that the visitor's is most like, nearest first."""
        if visit.pixels is None or self.neighbours is None or not self.neighbours.ready:
            return []
        (feature,) = self._features(visit.pixels[None])
        return self.neighbours.nearest(feature, NEAREST)

    @torch.no_grad()
    def _features(self, pixels: Tensor) -> Tensor:
        with self._tower:
            tower = self.classifier.tower
            return tower.encode_image(sent(pixels, self.classifier.device), normalize=True).float().cpu()

    # -- new tasks --

    def ask(self, visit: Visit, name: str, classes: str) -> str:
        """Add a task of the visitor's own, or give one of the tasks other classes; the visitor alone has it.

        Args:
            name: of the task.
            classes: their names, between commas, semicolons or line breaks.

        Returns:
            the task's name.

        Raises:
            InputError: the classifier cannot, or the names make no task. The visitor's tasks stay as they were.
        """
        name, classnames = tidy(name), [tidy(part) for part in re.split(r"[,;\n]", classes) if tidy(part)]
        if not name:
            raise InputError("Give the task a name, such as “kind of herb”.")
        if len(classnames) < 2:
            raise InputError("List two classes or more, separated by commas.")
        if len(classnames) > MOST_CLASSES:
            raise InputError(f"There are {len(classnames):,} classes; the page takes at most {MOST_CLASSES}.")
        if max(map(len, [name, *classnames])) > MOST_LETTERS:
            raise InputError(f"A name may have up to {MOST_LETTERS} letters.")
        others = [one for one in visit.asked if one != name]
        if len(others) >= MOST_ASKED:
            raise InputError(f"You already have {MOST_ASKED} tasks of your own; reload the page to begin again.")
        changed = copied(visit.classifier or self.classifier)
        with self._tower:
            changed.add_task(name, classnames)
        visit.classifier, visit.asked = changed, [name, *others]
        return name

    def remark(self, visit: Visit, task: str) -> str:
        """A line on how well prompts for the visitor's task can be trusted; empty if there is nothing to say."""
        return (visit.classifier or self.classifier).remark(task)


def copied(classifier: Classifier) -> Classifier:
    """A classifier to which tasks can be added while the first stays as it is; they share tower and tensors."""
    other = copy.copy(classifier)
    for name, value in vars(classifier).items():
        if isinstance(value, list):
            setattr(other, name, [list(one) if isinstance(one, list) else one for one in value])
    return other


def tidy(text: str) -> str:
    """``text`` in one line, without spaces at its ends."""
    return " ".join(text.split())

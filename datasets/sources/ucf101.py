"""UCF101 (Soomro et al., 2012): 101 human actions, the middle frame of every video, in the first of three splits."""

from __future__ import annotations

import re
from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY

from common.errors import InputError
from datasets.layouts import Release, from_lists, read_lines, read_list
from datasets.places import find_file
from datasets.source import Download, Facts, Source


@DATASET_REGISTRY.register()
class UCF101(Source):
    folders = ("ucf101",)
    images = "UCF-101-midframes"
    split_files = ("split_zhou_UCF101.json", "split_dk_UCF101.json")
    task_name = "human action"
    template = "a photo of a person doing {}."
    facts = Facts(
        classes=101,
        images=13320,
        split=(7639, 1898, 3783),
        licence="not stated",
        size="not stated",
        home="https://www.crcv.ucf.edu/data/UCF101.php",
        downloads=(
            Download("gdrive:10Jqome3vtUA2keJkNanAiFpgbyC9Hc2O", "ucf101", unpack=True),
            Download("gdrive:1I0S0q91hJfsV9Gf4xDIjgDq4AqBNJb1y", "ucf101/split_zhou_UCF101.json"),
        ),
    )

    @classmethod
    def classname(cls, key: str) -> str:
        return (key if "_" in key else frames_folder(key)).replace("_", " ")

    @classmethod
    def read(cls, folder: Path) -> Release:
        index = find_file(folder, "ucfTrainTestlist/classInd.txt", "classInd.txt")
        if index is None:
            return super().read(folder)
        actions = _read_actions(index)

        def parse(line: str) -> tuple[str, str]:
            action, video = line.split()[0].split("/")
            return f"{frames_folder(action)}/{Path(video).stem}.jpg", action

        images, known = cls.image_folder(folder), set(actions)
        train, test = (
            read_list(index.parent / f"{part}list01.txt", parse, images, folder, known) for part in ("train", "test")
        )
        return from_lists(actions, cls.classname, train=train, test=test)


def frames_folder(action: str) -> str:
    """The folder of an action's frames: "Apply_Eye_Makeup" for "ApplyEyeMakeup"."""
    return "_".join(re.findall("[A-Z][^A-Z]*", action))


def _read_actions(path: Path) -> list[str]:
    """Read the actions in the order of their numbers."""
    try:
        numbered = sorted((int(number), action) for number, action in map(str.split, read_lines(path)))
    except ValueError:
        raise InputError(f"{path} is not a list of numbers and actions; unpack the release again.") from None
    return [action for _, action in numbered]

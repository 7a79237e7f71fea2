"""Fashion-20 (collected by SoftCPT's authors): 20 tasks on garments, 78 classes, about 24,000 images from the web."""

from __future__ import annotations

import os
from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY

from common.errors import InputError
from common.files import read_json
from datasets.fewshot import Samples, TaskImages
from datasets.folders import entries_of, list_images
from datasets.layouts import Release, locate_files, read_lines
from datasets.places import find_file
from datasets.source import Facts, Source, complete
from datasets.split_files import SPLITS, without_repeats
from prompting.image_files import is_folder
from prompting.tasks import Task, check_classnames

# The kind of garment in each of the 20 tasks, in order.
KINDS = (*["pants"] * 3, *["tops"] * 4, *["shoes"] * 7, "hat", "socks", "socks", "skirt", "tops", "underwear")
TASK_FILE = "task_info.csv"


@DATASET_REGISTRY.register()
class Fashion20(Source):
    """A source of 20 tasks: images/<task id>/<class id>/*.jpg, with task and class names in task_info.csv.

    Without the released split_dk_Fashion20.json each class is split 50/20/30, so that every class has training images;
    the released code splits whole tasks and ignores classes.
    """

    folders = ("fashion20",)
    images = "images"
    split_files = ("split_dk_Fashion20.json",)
    task_name = "fashion"  # not used: each of the 20 tasks has its own name
    metric = "C"
    facts = Facts(
        classes=78,
        images=0,  # about 24,000
        split=None,
        licence="not stated",
        size="not stated",
        home="https://github.com/kding1225/softcpt",
        steps=(
            "Download Fashion-20 from Baidu Pan: https://pan.baidu.com/s/1ITXWaRVVXi1PLnbXVa_kjA?pwd=67c4 "
            "(access code 67c4).",
            "Unpack it as fashion20/, which should then contain task_info.csv and images/0 to images/19.",
        ),
    )

    @classmethod
    def tasks(cls, root: Path) -> list[TaskImages]:
        folder = cls.find_folder(root)
        task_file = find_file(folder, TASK_FILE) or folder / TASK_FILE
        named = read_task_file(task_file)
        split, images = cls.find_split(root), cls.image_folder(task_file.parent)
        if split is not None:
            releases = read_split_of_tasks(split, images, folder, named)
        else:
            releases = [read_task(images / str(i), *task) for i, task in enumerate(named)]
        tasks = []
        for i, ((name, _), release) in enumerate(zip(named, releases, strict=True)):
            task = Task(name, release.classnames, f"a photo of {{}}, a type of {KINDS[i]}.", cls.metric)
            tasks.append(complete(task, f"{cls.folders[0]}/{i}", release))
        return tasks


def read_task_file(path: Path) -> list[tuple[str, tuple[str, ...]]]:
    """Read every task's name and class names. After a header, each line has a task's number, name, description and
    comma-separated class names, with tabs between the four."""
    tasks = []
    for number, line in enumerate(read_lines(path)[1:], 2):
        columns = [column.strip() for column in line.split("\t")]
        classnames = tuple(name.strip() for name in columns[-1].split(","))
        if len(columns) != 4 or not columns[1] or not all(classnames):
            raise InputError(
                f"{path}, line {number}: a task needs four tab-separated columns (number, name, description, "
                "comma-separated class names); fetch the file again."
            )
        try:
            check_classnames(classnames, columns[1])
        except InputError as error:
            raise InputError(f"{path}, line {number}: {error}") from None
        tasks.append((columns[1].replace("_", " "), classnames))
    if len(tasks) != len(KINDS):
        raise InputError(f"{path} has {len(tasks)} tasks and should have {len(KINDS)}; fetch the file again.")
    return tasks


def read_task(folder: Path, name: str, classnames: tuple[str, ...]) -> Release:
    """Read one task's images. Class folders are numbered from 0, so their order is not the alphabetical one."""
    keys = tuple(map(str, range(len(classnames))))
    samples: Samples = []
    for index, key in enumerate(keys):
        if not os.path.isdir(folder / key):
            raise InputError(f"Class folder {folder / key} of task '{name}' is missing; is the data set complete?")
        images = list_images(folder / key)
        if not images:
            raise InputError(f"Class folder {folder / key} of task '{name}' holds no images that can be read.")
        samples += [(path, index) for path in images]
    stray = [entry.name for entry in entries_of(folder) if is_folder(entry) and entry.name not in keys]
    if stray:
        raise InputError(f"{folder / stray[0]} is a class of task '{name}' without a name in {TASK_FILE}.")
    return Release(keys, classnames, samples)


def read_split_of_tasks(
    path: Path, images: Path, folder: Path, named: list[tuple[str, tuple[str, ...]]]
) -> list[Release]:
    """Read the released split, one file for all tasks: rows of path, [class], [task] under train, val and test."""
    releases = [Release(tuple(map(str, range(len(names)))), names, [], [], []) for _, names in named]
    try:
        content = read_json(path)
        for part in SPLITS:
            for file, (label,), (task,) in content[part]:
                if type(label) is not int or type(task) is not int or not isinstance(file, str):
                    raise ValueError(f"an image is {[file, label, task]}")
                if not 0 <= task < len(named):
                    raise ValueError(f"task {task} is not from 0 to {len(named) - 1}")
                if not 0 <= label < len(named[task][1]):
                    raise ValueError(f"class {label} of task '{named[task][0]}' has no name in {TASK_FILE}")
                getattr(releases[task], part).append((file, label))
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(
            f"{path} is not a split file of Fashion-20 ({type(error).__name__}: {error}); fetch it again, or remove it "
            "to have the images split here."
        ) from None
    for release in releases:
        for part, rows in without_repeats({part: getattr(release, part) for part in SPLITS}, path).items():
            setattr(release, part, rows)
    parts = [getattr(release, part) for release in releases for part in SPLITS]
    found = locate_files((file for part in parts for file, _ in part), images, folder, f"the split {path}")
    for part in parts:
        part[:] = [(found[file], label) for file, label in part]
    return releases

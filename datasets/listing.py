"""Reading what releases list their images in: lines of text and MATLAB files."""

from __future__ import annotations

from collections.abc import Callable, Container
from pathlib import Path

import numpy as np

from datasets.source import check_files, lines
from prompting.errors import InputError

Rows = list[tuple[str, str]]  # (image path, class key)


def read_list(path: Path, parse: Callable[[str], tuple[str, str]], classes: Container[str] | None = None) -> Rows:
    """Read a list of images, one a line.

    Args:
        path: the list.
        parse: gives (image path, class key) for a line, ValueError for one that it cannot read.
        classes: the keys that there are; None: any.

    Raises:
        InputError: the list is missing, a line cannot be read, names another class or an image that is not there.
    """
    rows: Rows = []
    for line in lines(path):
        try:
            row = parse(line)
        except ValueError:
            raise InputError(
                f"{path}: line '{line}' has not the form of the original list; unpack the release again."
            ) from None
        if classes is not None and row[1] not in classes:
            raise InputError(f"{path}: line '{line}' names '{row[1]}', which the release's list of classes lacks.")
        rows.append(row)
    check_files((file for file, _ in rows), str(path))
    return rows


def read_mat(path: Path, variable: str) -> np.ndarray:
    """A vector (numbers, texts or records) from a MATLAB file; InputError when it cannot be read."""
    try:
        from scipy.io import loadmat
    except ImportError:
        raise InputError(
            f"Reading {path} needs scipy: `pip install scipy`, or put the published split file beside it."
        ) from None
    try:
        return np.atleast_1d(loadmat(str(path), squeeze_me=True)[variable])
    except KeyError:
        raise InputError(f"{path} has no variable '{variable}'; is it the file of the original release?") from None
    except Exception as error:  # scipy raises errors of many kinds, some without a common base
        raise InputError(
            f"{path} cannot be read ({' '.join(str(error).split())}); is the data set unpacked completely?"
        ) from None


def inside(folder: Path, *places: str) -> Path:
    """The first of several places below a folder that is there; when none is, the first, for messages to name."""
    paths = [folder / place for place in places]
    return next((path for path in paths if path.is_dir()), paths[0])

"""Draws the contact sheets of show.sh. Apart from it, since it imports Pillow."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont, ImageOps

from common.errors import InputError, of_system
from common.files import replacing
from datasets.fewshot import by_class, draw
from datasets.images import read_image

INK, SOFT, PAPER, BLANK = (44, 44, 52), (112, 112, 122), (255, 255, 255), (232, 232, 236)
SIDE, GAP, WIDTH, HEAD, LINE = 112, 10, 1480, 34, 14  # pixels: a thumbnail, between classes, sheet, heading, line
CLASSES = 60  # a sheet
STEM = 60  # characters of a task's name in a file's name, which has at most 255 bytes
THUMBNAILS, MAX_PER_CLASS = 60, 8  # about 60 a sheet, and at most 8 a class


def select_images(images: Any, per_class: int) -> list[list[str]]:
    """For every class of a task some paths, always the same: training images, or test images where it has none."""
    groups = by_class(images.train or images.test)
    return [
        [path for path, _ in draw(groups.get(index, []), 0, images.source, key, "contact sheet")[:per_class]]
        for index, key in enumerate(images.folders)
    ]


def thumbnail(path: str) -> Image.Image:
    """The middle of an image, SIDE x SIDE pixels; a grey square if it cannot be read."""
    try:
        return ImageOps.fit(read_image(path), (SIDE, SIDE), Image.Resampling.BICUBIC)
    except InputError:
        square = Image.new("RGB", (SIDE, SIDE), BLANK)
        ImageDraw.Draw(square).text((8, SIDE // 2 - 7), "cannot be read", SOFT, font=ImageFont.load_default(size=11))
        return square


def wrapped(text: str, width: int, pen: ImageDraw.ImageDraw, font, limit: int = 3) -> list[str]:
    """``text`` in at most ``limit`` lines of ``width`` pixels; what is too long ends in dots."""
    lines: list[str] = []
    for word in text.split():
        if lines and pen.textlength(f"{lines[-1]} {word}", font=font) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    cut = len(lines) > limit
    lines = lines[:limit]
    for number, line in enumerate(lines):
        dots = "..." if cut and number == limit - 1 else ""
        while len(line) > 1 and pen.textlength(line + dots, font=font) > width:
            line, dots = line[:-1], "..."
        lines[number] = line + dots
    return lines


def sheet(heading: str, names: Sequence[str], images: Sequence[Sequence[str]], per_class: int) -> Image.Image:
    """One contact sheet: for every class ``per_class`` thumbnails side by side, the name below them."""
    with ThreadPoolExecutor() as pool:
        thumbnails = [list(pool.map(thumbnail, paths)) for paths in images]
    wide = per_class * (SIDE + 2) - 2
    columns = max(1, min(len(names), (WIDTH - GAP) // (wide + GAP)))
    small, bold = ImageFont.load_default(size=12), ImageFont.load_default(size=17)
    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    captions = [wrapped(name, wide, pen, small) for name in names]
    rows = [range(first, min(first + columns, len(names))) for first in range(0, len(names), columns)]
    heights = [SIDE + 8 + LINE * max(len(captions[k]) for k in row) + GAP for row in rows]
    width = max(GAP + columns * (wide + GAP), int(pen.textlength(heading, font=bold)) + 2 * GAP)
    paper = Image.new("RGB", (width, HEAD + sum(heights) + GAP), PAPER)
    pen = ImageDraw.Draw(paper)
    pen.text((GAP, 8), heading, INK, font=bold)
    top = HEAD
    for row, height in zip(rows, heights, strict=True):
        for column, k in enumerate(row):
            left = GAP + column * (wide + GAP)
            for number, picture in enumerate(thumbnails[k]):
                paper.paste(picture, (left + number * (SIDE + 2), top))
            for number, line in enumerate(captions[k]):
                pen.text((left, top + SIDE + 3 + number * LINE), line, INK, font=small)
        top += height
    return paper


def _save(image: Image.Image, file: Path) -> None:
    """Write a PNG file, or nothing if that fails; InputError then."""
    try:
        with replacing(file) as temporary:
            image.save(temporary, "PNG", optimize=True)
    except OSError as error:
        raise of_system(error, file.parent) from None


def draw_task(dataset: str, images: Any, stem: str, folder: Path) -> list[Path]:
    """Write a task's contact sheets and return their paths."""
    names = images.task.classnames
    sheets = -(-len(names) // CLASSES)
    size = -(-len(names) // sheets)  # sheets of about the same size
    per_class = max(1, min(MAX_PER_CLASS, THUMBNAILS // size))
    paths, files = select_images(images, per_class), []
    shown = "training images" if images.train else "test images"
    for number in range(sheets):
        part = slice(number * size, (number + 1) * size)
        part_of = f", sheet {number + 1} of {sheets}" if sheets > 1 else ""
        heading = f"{dataset}: {images.task.name}, {shown} ({len(names)} classes{part_of})"
        file = folder / f"{stem}{f'_{number + 1}' if sheets > 1 else ''}.png"
        _save(sheet(heading, names[part], paths[part], per_class), file)
        files.append(file)
    return files


def draw_all(name: str, items: Sequence[Any], folder: Path) -> int:
    """Write the contact sheets of all tasks and print their paths; returns how many items could not be read."""
    several, number, missing = len(items) > 1, 0, 0
    for item in items:
        try:
            tasks = item.read()
        except InputError as error:  # the other sources of a collection are shown nonetheless
            print(error, file=sys.stderr, flush=True)
            missing += 1
            continue
        for images in tasks:
            number += 1
            # Numbered, so that files are in the order of tasks and two tasks of one name do not overwrite each other.
            stem = re.sub(r"[^\w+-]+", "_", images.task.name).strip("_")[:STEM]
            stem = f"{number:02d}_{stem}" if several or len(tasks) > 1 else stem
            for file in draw_task(name, images, stem, folder):
                print(file, flush=True)
    return missing

"""Draw Garden-8's contact sheet: a labelled row for every task, a picture for every class.

    python -m scripts.garden8.contact_sheet --output docs/images/garden8.png

The pictures are scenes of the collection's training split: in alternating styles, and for each style the scene that
shows its class most clearly.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from datasets.drawing import TASKS, DrawnTask, Scene, draw, garden_scene

INK, SOFT, PAPER = (44, 44, 52), (112, 112, 122), (255, 255, 255)


def legibility(scene: Scene, task: DrawnTask, key: str) -> float:
    """Return the mean difference of pixels, 0-255, when the task's attribute changes to its next value."""
    change: dict[str, Any] = {task.attribute: task.keys[(task.keys.index(key) + 1) % len(task.keys)]}
    before, after = (np.asarray(draw(s, 32), dtype=np.float32) for s in (scene, replace(scene, **change)))
    return float(np.abs(before - after).mean())


def contact_sheet(size: int = 96, seed: int = 0, gap: int = 6, label: int = 96) -> Image.Image:
    """Draw the sheet as an RGB picture; every picture in it has ``size`` x ``size`` pixels."""
    columns = max(len(task.keys) for task in TASKS)
    row = size + 24
    sheet = Image.new("RGB", (label + columns * (size + gap) + gap, len(TASKS) * row + gap), PAPER)
    pen = ImageDraw.Draw(sheet)
    bold, small = ImageFont.load_default(size=14), ImageFont.load_default(size=11)
    styles: list[str] = []
    for r, task in enumerate(TASKS):
        top = gap + r * row
        for k, line in enumerate(task.name.split()):
            pen.text((gap + 2, top + size / 2 - 18 + 17 * k), line, INK, font=bold)
        for c, (key, classname) in enumerate(task.classes):
            # neighbours differ in style, so that the sheet shows all styles
            scenes = [garden_scene(seed, task.attribute, key, "train", n) for n in range(20)]
            fewest = min(styles[-11:].count(s.style) for s in scenes)
            scenes = [s for s in scenes if styles[-11:].count(s.style) <= fewest]
            scene = max(scenes, key=lambda s: legibility(s, task, key))
            styles.append(scene.style)
            left = label + c * (size + gap)
            sheet.paste(draw(scene, size), (left, top))
            wide = pen.textlength(classname, font=small)
            pen.text((left + max(0.0, (size - wide) / 2), top + size + 3), classname, SOFT, font=small)
    return sheet


def save(sheet: Image.Image, path: Path, limit: int = 600_000) -> int:
    """Write a PNG, with as many colours as ``limit`` bytes allow; returns its size in bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for colours in (256, 192, 128, 64):
        palette = sheet.quantize(colours, kmeans=2)
        sheet.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
        if path.stat().st_size <= limit:
            break
    return path.stat().st_size


def main() -> int:
    parser = argparse.ArgumentParser(description="Draw Garden-8's contact sheet.")
    parser.add_argument("--output", type=Path, default=Path("docs/images/garden8.png"))
    parser.add_argument("--size", type=int, default=96, help="side of each picture in pixels")
    parser.add_argument("--seed", type=int, default=0, help="the collection's seed")
    args = parser.parse_args()
    size = save(contact_sheet(args.size, args.seed), args.output)
    print(f"wrote {args.output}: {size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

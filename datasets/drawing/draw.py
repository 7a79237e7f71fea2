"""Draws a scene as a picture."""

from __future__ import annotations

from math import pi
from random import Random

import numpy as np
from PIL import Image, ImageFilter

from .canvas import Canvas
from .colours import jitter, lit
from .plant import Pose, draw_blossom, draw_leaves, draw_stem
from .scene import Scene
from .settings import STEM_FOOT, Air, draw_background, draw_ground
from .sky import LIGHTS, paint_fall, paint_sky
from .styles import LOOKS, finish
from .tasks import TASKS

#: Pictures are drawn this many times larger, then reduced, because Pillow's polygons have hard edges.
OVERSAMPLING = 3

#: Per framing: height of the head, radius of the blossom, length of a leaf (ranges).
_FRAMES: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "blossom": ((0.37, 0.42), (0.29, 0.345), (0.15, 0.19)),
    "leaves": ((0.13, 0.17), (0.10, 0.13), (0.31, 0.37)),
    "plant": ((0.26, 0.32), (0.18, 0.23), (0.21, 0.26)),
    "view": ((0.42, 0.52), (0.12, 0.16), (0.13, 0.16)),
}


def draw(scene: Scene, size: int = 96) -> Image.Image:
    """The scene as an RGB picture of ``size`` x ``size`` pixels; equal arguments give equal pixels."""
    rng = Random(scene.seed)
    side = size * OVERSAMPLING
    look = LOOKS[scene.style]
    light = LIGHTS[scene.weather]
    horizon = rng.uniform(0.54, 0.68)
    pose = _pose(scene, rng)
    air = Air(scene.weather, light, horizon, rng)

    # half the resolution for the background: it is faster and blurs it
    back = Canvas(side // 2)
    paint_sky(back, scene.weather, horizon, rng)
    draw_background(back, scene.setting, air)
    if scene.setting in ("meadow", "forest", "mountains", "desert", "beach") and rng.random() < 0.6:
        _companions(back, scene, light, horizon, rng)
    image = back.image
    if look.blur:
        image = image.filter(ImageFilter.BoxBlur(look.blur * side / 2 * 0.6))
    canvas = Canvas(side, image.resize((side, side), Image.Resampling.BILINEAR))

    draw_ground(canvas, scene.setting, air, pose.foot)
    if scene.style == "cluttered":
        _clutter(canvas, scene, rng, in_front=False)
    green = lit(jitter(rng.choice(((88, 158, 72), (66, 142, 84), (120, 168, 66), (78, 132, 60))), rng, 8), light)
    draw_stem(canvas, pose, green, look, 0.016 + 0.03 * pose.radius)
    draw_leaves(canvas, scene, pose, green, look, rng)
    draw_blossom(canvas, scene, pose.head, pose.radius, pose.squash, pose.spin, light, look, rng)
    if scene.style == "cluttered":
        _clutter(canvas, scene, rng, in_front=True)
    paint_fall(canvas, scene.weather, rng)
    return finish(canvas.image.reduce(OVERSAMPLING), scene.style, scene.seed)


def _pose(scene: Scene, rng: Random) -> Pose:
    heights, radii, leaves = _FRAMES[scene.framing]
    foot_x = 0.5 + rng.uniform(-0.1, 0.1) * (1.6 if scene.framing == "view" else 1.0)
    head_x = foot_x + rng.uniform(-0.08, 0.08)
    foot_y = STEM_FOOT.get(scene.setting, rng.uniform(0.88, 0.93))
    head_y = rng.uniform(*heights) - (0.04 if foot_y < 0.85 and scene.framing != "leaves" else 0.0)
    return Pose(
        foot=(foot_x, foot_y),
        head=(head_x, head_y),
        radius=rng.uniform(*radii),
        leaf=rng.uniform(*leaves),
        sway=rng.uniform(-0.05, 0.05),
        squash=rng.uniform(0.84, 1.0),
        spin=rng.uniform(0, 2 * pi),
    )


def _companions(canvas: Canvas, scene: Scene, light: tuple[float, float, float], horizon: float, rng: Random) -> None:
    """A few more flowers of the same kind in the distance."""
    look = LOOKS["poster"]
    for _ in range(rng.randint(2, 4)):
        x = rng.choice((rng.uniform(0.03, 0.25), rng.uniform(0.75, 0.97)))
        y = rng.uniform(horizon - 0.04, horizon + 0.12)
        radius = rng.uniform(0.03, 0.05)
        foot = min(1.0, y + rng.uniform(0.14, 0.24))
        canvas.line([(x, foot), (x, y)], lit((84, 140, 70), light), 0.011)
        draw_blossom(canvas, scene, (x, y), radius, 0.9, rng.uniform(0, 6), light, look, rng)


def _clutter(canvas: Canvas, scene: Scene, rng: Random, in_front: bool) -> None:
    """Leaves, blades, butterflies and other blossoms around the plant, never over its blossom."""
    hues = ((226, 74, 84), (250, 196, 70), (120, 150, 226), (190, 120, 206), (250, 250, 244), (240, 150, 90))
    if not in_front:
        for _ in range(9):
            x, y = rng.choice((rng.uniform(0, 0.24), rng.uniform(0.76, 1))), rng.uniform(0.35, 0.95)
            r, hue = rng.uniform(0.02, 0.04), jitter(rng.choice(hues), rng, 12)
            canvas.line([(x, 1.0), (x + rng.uniform(-0.03, 0.03), y)], (92, 132, 76), 0.008)
            for k in range(5):
                canvas.oval(x + r * np.cos(1.26 * k), y + r * np.sin(1.26 * k), r * 0.62, r * 0.62, hue)
            canvas.oval(x, y, r * 0.45, r * 0.45, (250, 226, 130))
        return
    for _ in range(16):
        x, height = rng.random(), rng.uniform(0.08, 0.2)
        lean = rng.uniform(-0.08, 0.08)
        canvas.polygon(
            np.array([(x - 0.012, 1.02), (x + lean, 1.0 - height), (x + 0.012, 1.02)]), jitter((74, 118, 62), rng, 22)
        )
    for _ in range(3):
        x, y, r = (
            rng.choice((rng.uniform(0.05, 0.22), rng.uniform(0.78, 0.95))),
            rng.uniform(0.1, 0.6),
            rng.uniform(0.022, 0.036),
        )
        hue = jitter(rng.choice(hues), rng, 14)
        for side in (-1, 1):
            canvas.oval(x + side * r, y - 0.5 * r, r, r * 0.85, hue)
            canvas.oval(x + side * 0.8 * r, y + 0.6 * r, r * 0.7, r * 0.6, hue)
        canvas.line([(x, y - r), (x, y + r)], (40, 34, 40), 0.008)


def attributes(scene: Scene) -> tuple[int, ...]:
    """The scene's class index in every task, in the order of :data:`~datasets.drawing.tasks.TASKS`."""
    return tuple(task.keys.index(getattr(scene, task.attribute)) for task in TASKS)

"""The plant: stem, leaves, and the blossom with its petals and centre."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin
from random import Random

import numpy as np

from .canvas import Canvas
from .colours import CENTRES, PETALS, Colour, Light, jitter, lighten, lit, mix, shade, soften
from .scene import Scene
from .shapes import leaf, petal, turned

PETAL_COUNTS: dict[str, int] = {"three": 3, "four": 4, "five": 5, "six": 6, "eight": 8, "twelve": 12, "double": 8}


@dataclass(frozen=True)
class Look:
    """How a style draws: shading steps (1 is flat), strength (0-255), shade and width of outlines, and details."""

    steps: int = 5
    outline: int = 255
    outline_shade: float = 0.7
    outline_width: float = 0.004
    veins: bool = True
    shadow: int = 60
    blur: float = 0.006


@dataclass(frozen=True)
class Pose:
    """Position and size of the plant in unit coordinates: foot and head of the stem, blossom radius, leaf length."""

    foot: tuple[float, float]
    head: tuple[float, float]
    radius: float
    leaf: float
    sway: float
    squash: float
    spin: float


def stem_points(pose: Pose, count: int = 24) -> np.ndarray:
    """The stem's centre line from foot to head, bowed to one side."""
    t = np.linspace(0, 1, count)
    x = pose.foot[0] + (pose.head[0] - pose.foot[0]) * t**1.3 + pose.sway * np.sin(pi * t)
    y = pose.foot[1] + (pose.head[1] - pose.foot[1]) * t
    return np.stack([x, y], axis=1)


def draw_stem(canvas: Canvas, pose: Pose, green: Colour, look: Look, thickness: float) -> None:
    line = stem_points(pose)
    if look.outline:
        canvas.line(line, shade(green, look.outline_shade * 0.9), thickness + 2 * look.outline_width, look.outline)
    canvas.line(line, shade(green, 0.88), thickness)
    if look.steps > 1:
        canvas.line(line - np.array([0.2 * thickness, 0]), lighten(green, 0.2), thickness * 0.4)


def draw_leaf(
    canvas: Canvas, shape: str, at: tuple[float, float], angle: float, size: float, green: Colour, look: Look
) -> None:
    """One leaf growing from ``at`` in direction ``angle`` (0 right, -pi/2 up)."""
    deep, bright = shade(green, 0.72), lighten(mix(green, (220, 230, 90), 0.22), 0.1)
    parts = leaf(shape)
    flip = np.array([1.0, -1.0]) if cos(angle) < 0 else np.array([1.0, 1.0])
    parts = tuple(part * flip for part in parts)
    if look.shadow:
        for part in parts:
            canvas.polygon(turned(part, angle, size, (at[0] + 0.008, at[1] + 0.012)), (10, 20, 20), look.shadow // 2)
    for part in parts:
        if look.outline:
            outline = turned(part, angle, size, at)
            canvas.polygon(outline, shade(green, look.outline_shade * 0.75), look.outline)
            canvas.line(
                np.concatenate([outline, outline[:1]]),
                shade(green, look.outline_shade * 0.75),
                2 * look.outline_width,
                look.outline,
            )
    for part in parts:
        middle = part.mean(axis=0)
        steps = min(look.steps, 4) if len(parts) == 1 else min(look.steps, 2)
        for k in range(steps):
            shrink = 1.0 - 0.7 * k / max(1, steps)
            inner = middle + (part - middle) * shrink
            canvas.polygon(
                turned(inner, angle, size, at),
                mix(deep if steps > 1 else green, bright, k / max(1, steps - 1)) if steps > 1 else green,
            )
    if shape in ("feather", "clover", "grass"):
        return
    if look.steps > 1:
        part = parts[0]
        half = part[: len(part) // 2]
        canvas.polygon(turned(half, angle, size, at), (255, 255, 220), 34)
    if look.veins:
        pale = lighten(green, 0.42)
        canvas.line(turned(np.array([(0, 0), (0.9, 0)]), angle, size, at), pale, 0.0055, 210)
        for x in (0.25, 0.45, 0.65):
            for side in (1, -1):
                canvas.line(turned(np.array([(x, 0), (x + 0.15, side * 0.17)]), angle, size, at), pale, 0.003, 150)


def leaf_places(arrangement: str, rng: Random) -> list[tuple[float, float, float]]:
    """Positions of the leaves, in drawing order: (height along the visible stem 0-1, angle, size factor)."""
    first = rng.choice((1, -1))
    rise = rng.uniform(0.25, 0.6)

    def side(direction: int, lift: float) -> float:
        return -lift if direction > 0 else pi + lift

    def near() -> float:
        return rise + rng.uniform(-0.12, 0.12)

    if arrangement == "opposite":
        return [(t, side(s, near()), 0.92 * f) for t, f in ((0.24, 1.0), (0.66, 0.85)) for s in (1, -1)]
    if arrangement == "alternate":
        return [(0.12 + 0.25 * k, side(first if k % 2 else -first, near()), 0.95 - 0.06 * k) for k in range(4)]
    if arrangement == "whorled":
        angles = [-pi / 2 + a for a in (-2.55, 2.55, -1.95, 1.95, -1.3, 1.3, -0.62, 0.62)]
        height = rng.uniform(0.42, 0.52)
        return [(height, a + rng.uniform(-0.08, 0.08), 0.78) for a in angles]
    if arrangement == "rosette":
        angles = [-pi / 2 + a for a in (-1.62, 1.62, -1.2, 1.2, -0.72, 0.72, -0.25)]
        return [(0.0, a + rng.uniform(-0.1, 0.1), 0.88 + rng.uniform(-0.08, 0.08)) for a in angles]
    if arrangement == "single":
        return [(rng.uniform(0.35, 0.5), side(first, near() + 0.1), 1.25)]
    if arrangement == "one-sided":
        return [(0.1 + 0.32 * k, side(first, near()), 0.92 - 0.06 * k) for k in range(3)]
    if arrangement == "leafless":
        return []
    raise ValueError(f"unknown leaf arrangement {arrangement!r}")


def draw_leaves(canvas: Canvas, scene: Scene, pose: Pose, green: Colour, look: Look, rng: Random) -> None:
    line = stem_points(pose)
    # leaves go on the visible part of the stem, below the blossom
    lowest_petal = pose.head[1] + 0.72 * pose.radius
    visible = [k for k, (_, y) in enumerate(line) if y >= lowest_petal] or [0]
    for height, angle, factor in leaf_places(scene.leaf_arrangement, rng):
        at = line[min(len(line) - 1, round(height * visible[-1]))]
        tone = jitter(green, rng, 8)
        draw_leaf(canvas, scene.leaf_shape, (float(at[0]), float(at[1])), angle, pose.leaf * factor, tone, look)


def _ring(
    canvas: Canvas,
    shape: str,
    count: int,
    at: tuple[float, float],
    radius: float,
    squash: float,
    spin: float,
    colour: Colour,
    look: Look,
    rng: Random,
) -> None:
    outline = petal(shape, count)
    flat = np.array([1.0, squash])
    where = np.asarray(at)
    anchor = np.array([0.66, 0.15 if shape == "pinwheel" else 0.0])
    edge = (28, 24, 40) if look.outline_shade < 0.3 else shade(mix(colour, (120, 60, 110), 0.18), look.outline_shade)
    order = list(range(count))
    for k in order:
        angle = spin + 2 * pi * k / count + rng.uniform(-0.03, 0.03)
        size = radius * rng.uniform(0.96, 1.04)
        body = turned(outline, angle, size) * flat + where
        # petals facing the light, at the upper left, are brighter
        facing = 0.5 + 0.5 * cos(angle + 2.2)
        tone = shade(colour, 0.93 + 0.1 * facing)
        if look.shadow:
            canvas.polygon(body + np.array([0.008, 0.011]), (20, 10, 40), look.shadow)
        if look.outline:
            canvas.line(np.concatenate([body, body[:1]]), edge, 2 * look.outline_width, look.outline)
        deep, bright = shade(mix(tone, (120, 40, 120), 0.1), 0.8), lighten(tone, 0.1 + 0.22 * facing)
        for step in range(look.steps):
            t = step / max(1, look.steps - 1)
            inner = anchor + (outline - anchor) * (1.0 - 0.8 * t)
            canvas.polygon(turned(inner, angle, size) * flat + where, mix(deep, bright, t) if look.steps > 1 else tone)
        if look.steps > 1:
            canvas.polygon(turned(outline * np.array([0.55, 0.42]), angle, size) * flat + where, shade(tone, 0.6), 80)
        if look.veins and shape not in ("ribbon", "spoon"):
            for bend in (-0.12, 0.0, 0.12):
                vein = np.array([(0.2, 0.3 * bend), (0.5, bend), (0.8, 1.4 * bend)])
                if shape == "pinwheel":
                    vein[:, 1] += 0.42 * vein[:, 0] ** 2 - 0.05
                canvas.line(turned(vein, angle, size) * flat + where, shade(tone, 0.72), 0.0032, 110)


def draw_blossom(
    canvas: Canvas,
    scene: Scene,
    at: tuple[float, float],
    radius: float,
    squash: float,
    spin: float,
    light: Light,
    look: Look,
    rng: Random,
) -> None:
    """One or two rings of petals with the centre on top."""
    soft = soften(light, 0.65)
    colour = lit(jitter(PETALS[scene.petal_colour], rng, 9), soft)
    count = PETAL_COUNTS[scene.petal_count]
    _ring(canvas, scene.petal_shape, count, at, radius, squash, spin, colour, look, rng)
    if scene.petal_count == "double":
        inner = mix(colour, (255, 255, 255), 0.24) if scene.petal_colour != "white" else shade(colour, 0.93)
        _ring(canvas, scene.petal_shape, count, at, radius * 0.64, squash, spin + pi / count, inner, look, rng)
    middle = lit(jitter(CENTRES[scene.centre_colour], rng, 7), soft)
    r = radius * rng.uniform(0.25, 0.3)
    x, y = at
    if look.shadow:
        canvas.oval(x + 0.008, y + 0.011, r * 1.06, r * squash * 1.06, (20, 10, 30), look.shadow)
    rim = look.outline_width if look.outline else 0.0
    canvas.oval(x, y, r + rim, (r + rim) * squash, shade(middle, 0.5))
    canvas.ball(x, y, r, r * squash, shade(middle, 0.78), lighten(middle, 0.3), max(1, look.steps))
    if look.veins and radius > 0.1:
        for k in range(16):
            a, d = 2.4 * k, r * 0.86 * (k / 16) ** 0.5
            tone = shade(middle, 0.66) if k % 2 else lighten(middle, 0.42)
            canvas.oval(x + d * cos(a), y + d * sin(a) * squash, r * 0.09, r * 0.09, tone, 190)

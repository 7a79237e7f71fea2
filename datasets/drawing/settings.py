"""The ten settings: the background and the ground that the plant grows out of."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sin
from random import Random

import numpy as np

from .canvas import Canvas
from .colours import Colour, Light, jitter, lighten, lit, mix, shade, soften
from .shapes import mirrored, smooth, turned
from .sky import haze, snow_cover

#: Where the stem starts, as a height in the picture.
STEM_FOOT: dict[str, float] = {"pot": 0.80, "vase": 0.79, "window": 0.82, "pond": 0.88}


@dataclass
class Air:
    """Properties of the picture that settings depend on: weather, its light, the horizon, the random generator."""

    weather: str
    light: Light
    horizon: float
    rng: Random

    def near(self, colour: Colour, spread: float = 8) -> Colour:
        return lit(jitter(colour, self.rng, spread), self.light)

    def ground(self, colour: Colour) -> Colour:
        return self.near(snow_cover(colour, self.weather))

    def far(self, colour: Colour, amount: float) -> Colour:
        return haze(self.near(colour), self.weather, amount)


def _hills(canvas: Canvas, air: Air, layers: int, colour: Colour, lift: float, rough: float = 1.0) -> None:
    """Ranges of rolling hills, paler with distance."""
    x = np.linspace(-0.02, 1.02, 30)
    for k in range(layers):
        back = 1.0 - k / layers
        phase, waves = air.rng.uniform(0, 6), air.rng.uniform(2.0, 5.0)
        y = air.horizon - lift * back * (0.5 + 0.5 * np.sin(phase + waves * x)) - 0.01 + 0.02 * k
        y = y - rough * 0.006 * np.sin(17 * x + phase)
        shape = np.concatenate([np.stack([x, y], 1), [(1.02, air.horizon + 0.1), (-0.02, air.horizon + 0.1)]])
        canvas.polygon(shape, air.far(snow_cover(colour, air.weather, 0.4), 0.25 + 0.4 * back))


def _grass(canvas: Canvas, air: Air, count: int, top: float, colour: Colour, max_height: float = 0.1) -> None:
    for k in range(count):
        depth = k / count
        x, y = air.rng.random(), top + (1.03 - top) * depth
        height = max_height * (0.3 + 0.7 * depth) * air.rng.uniform(0.6, 1.2)
        lean = air.rng.uniform(-0.4, 0.4) * height
        blade = np.array(
            [
                (x - 0.007, y),
                (x + 0.4 * lean, y - 0.6 * height),
                (x + lean, y - height),
                (x + 0.4 * lean + 0.006, y - 0.55 * height),
                (x + 0.009, y),
            ]
        )
        canvas.polygon(blade, air.ground(shade(colour, air.rng.uniform(0.8, 1.25))), 225)


def _floor(canvas: Canvas, air: Air, far: Colour, near: Colour, top: float | None = None) -> None:
    canvas.ramp([(0, air.ground(far)), (1, air.ground(near))], air.horizon if top is None else top, 1.0)


def draw_background(canvas: Canvas, setting: str, air: Air) -> None:
    """Draw everything between the sky and the plant, to be blurred slightly afterwards."""
    rng, h = air.rng, air.horizon
    if setting == "meadow":
        _hills(canvas, air, 3, (112, 178, 84), 0.13)
        _floor(canvas, air, (148, 204, 96), (78, 150, 62), h + 0.03)
        for _ in range(26):
            x, y = rng.random(), rng.uniform(h + 0.05, 0.98)
            size = 0.007 + 0.014 * (y - h)
            canvas.oval(
                x, y, size, size * 0.8, air.near(rng.choice(((255, 255, 255), (255, 226, 110), (246, 170, 190)))), 220
            )
    elif setting in ("pot", "vase"):
        _hills(canvas, air, 2, (104, 158, 96), 0.1)
        hedge = air.far((74, 128, 70), 0.15)
        for k in range(9):
            canvas.oval(k / 8, h + rng.uniform(-0.02, 0.03), 0.1, 0.075, hedge)
        _floor(canvas, air, (206, 190, 164), (178, 156, 128), h + 0.04)
        if setting == "pot":
            for k in range(6):
                y = h + 0.06 + 0.5 * (k / 6) ** 1.6
                canvas.line([(0, y), (1, y)], air.near((150, 130, 106)), 0.006, 120)
    elif setting == "pond":
        _hills(canvas, air, 2, (86, 146, 88), 0.09)
        for _ in range(9):
            x = rng.choice((rng.uniform(0, 0.2), rng.uniform(0.8, 1.0)))
            y = h + 0.05
            height = rng.uniform(0.16, 0.3)
            canvas.line([(x, y), (x + rng.uniform(-0.02, 0.02), y - height)], air.far((78, 122, 62), 0.1), 0.008)
            canvas.oval(x, y - height, 0.012, 0.04, air.far((108, 72, 44), 0.1))
        _floor(canvas, air, (134, 194, 214), (34, 104, 140), h + 0.02)
        for _ in range(16):
            y = rng.uniform(h + 0.04, 0.99)
            canvas.oval(
                rng.random(), y, 0.04 + 0.16 * (y - h), 0.0035 + 0.006 * (y - h), air.near((202, 232, 240)), 110
            )
    elif setting == "desert":
        _hills(canvas, air, 3, (226, 172, 104), 0.12, 0.2)
        _floor(canvas, air, (244, 204, 138), (214, 150, 84), h + 0.03)
        for _ in range(2 + rng.randint(0, 1)):
            _cactus(
                canvas,
                air,
                rng.choice((rng.uniform(0.06, 0.26), rng.uniform(0.74, 0.94))),
                h + rng.uniform(0.06, 0.16),
                rng.uniform(0.2, 0.32),
            )
        for _ in range(7):
            y = rng.uniform(h + 0.06, 0.98)
            canvas.oval(rng.random(), y, rng.uniform(0.1, 0.3), 0.007, air.near((190, 128, 70)), 70)
    elif setting == "forest":
        canvas.box(0, h - 0.22, 1, h + 0.1, air.far((66, 110, 74), 0.3), 190)
        for layer in range(3):
            for k in range(4):
                x = (k + rng.uniform(0.1, 0.9)) / 4
                if layer == 2 and abs(x - 0.5) < 0.26:
                    continue
                width = 0.02 + 0.022 * layer
                bark = air.far((92, 66, 48), 0.42 - 0.2 * layer)
                foot = h + 0.03 + 0.06 * layer
                canvas.polygon(
                    np.array(
                        [(x - width * 0.7, -0.02), (x + width * 0.7, -0.02), (x + width, foot), (x - width, foot)]
                    ),
                    bark,
                )
                canvas.box(x + width * 0.1, 0, x + width * 0.6, foot, shade(bark, 0.78), 120)
        for k in range(12):
            x = (k + rng.random()) / 12
            canvas.oval(x, rng.uniform(-0.05, 0.05), 0.13, 0.09, air.far((58, 118, 62), rng.uniform(0, 0.3)), 235)
        _floor(canvas, air, (92, 128, 66), (52, 84, 44), h + 0.05)
        for k in range(8):
            canvas.oval((k + rng.random()) / 8, h + 0.06, 0.08, 0.05, air.near((62, 112, 56)), 220)
    elif setting == "mountains":
        for layer in range(2):
            for k in range(3):
                x = (k + rng.uniform(0.2, 0.8)) / 3
                _peak(
                    canvas, air, x, rng.uniform(0.3, 0.42) * (1 - 0.3 * layer), 0.3 - 0.06 * layer, 0.4 - 0.25 * layer
                )
        _floor(canvas, air, (130, 168, 104), (92, 134, 74), h + 0.01)
        for _ in range(9):
            y = rng.uniform(h + 0.05, 0.97)
            size = 0.02 + 0.05 * (y - h)
            canvas.ball(
                rng.random(), y, size * 1.3, size * 0.8, air.near((112, 112, 116)), air.near((176, 176, 178)), 3
            )
    elif setting == "beach":
        canvas.ramp([(0, air.far((46, 138, 190), 0.25)), (1, air.near((98, 206, 214)))], h - 0.02, h + 0.16)
        if rng.random() < 0.6:
            x, y = rng.choice((rng.uniform(0.1, 0.3), rng.uniform(0.7, 0.9))), h + 0.01
            canvas.polygon(
                np.array([(x - 0.06, y), (x + 0.06, y), (x + 0.04, y + 0.03), (x - 0.04, y + 0.03)]),
                air.near((150, 70, 56)),
            )
            canvas.polygon(np.array([(x, y - 0.01), (x, y - 0.17), (x + 0.085, y - 0.01)]), air.near((252, 250, 244)))
            canvas.polygon(
                np.array([(x - 0.01, y - 0.01), (x - 0.01, y - 0.13), (x - 0.06, y - 0.01)]), air.near((240, 224, 208))
            )
        _floor(canvas, air, (250, 230, 184), (226, 192, 132), h + 0.15)
        along = np.linspace(-0.02, 1.02, 40)
        for k in range(3):
            waves = h + 0.055 + 0.05 * k + 0.008 * np.sin(along * 22 + rng.uniform(0, 6))
            canvas.line(np.stack([along, waves], 1), (255, 255, 255), 0.008 + 0.004 * k, 190)
    elif setting == "city":
        for layer in range(2):
            x = -0.05
            while x < 1.02:
                width, height = rng.uniform(0.11, 0.2), rng.uniform(0.14, 0.36) * (1.2 - 0.4 * layer)
                wall = air.far(
                    rng.choice(((176, 96, 82), (208, 168, 128), (120, 128, 152), (152, 110, 120), (196, 188, 176))),
                    0.5 - 0.35 * layer,
                )
                _house(canvas, air, x, width, h + 0.06 - height, h + 0.08, wall)
                x += width * (1.0 if layer else 1.15)
        _floor(canvas, air, (168, 168, 172), (128, 128, 134), h + 0.07)
        canvas.box(0, h + 0.07, 1, h + 0.085, air.near((214, 212, 208)))
        for k in range(7):
            x = -0.3 + 0.27 * k
            canvas.line(
                [(0.5 + (x - 0.5) * 0.5, h + 0.085), (x * 1.6 - 0.3, 1.02)], air.near((104, 104, 112)), 0.006, 150
            )
    elif setting == "window":
        _hills(canvas, air, 3, (120, 172, 100), 0.14)
        _floor(canvas, air, (150, 196, 110), (110, 164, 84), h + 0.03)


def _peak(canvas: Canvas, air: Air, x: float, height: float, half: float, far: float) -> None:
    h, rng = air.horizon + 0.03, air.rng
    top = h - height
    rock = air.far((104, 112, 140), far)
    canvas.polygon(np.array([(x - half, h), (x, top), (x + half, h)]), rock)
    canvas.polygon(np.array([(x, top), (x + half, h), (x + 0.06 * rng.uniform(-1, 1), h)]), shade(rock, 0.82), 200)
    t = rng.uniform(0.3, 0.42)
    zig = [
        (x - half * t, top + height * t),
        (x - half * t * 0.5, top + height * t * 0.8),
        (x - half * t * 0.1, top + height * t * 1.12),
        (x + half * t * 0.4, top + height * t * 0.8),
        (x + half * t, top + height * t),
    ]
    canvas.polygon(np.array([(x, top), *reversed(zig)]), air.far((250, 252, 255), far * 0.4))


def _house(canvas: Canvas, air: Air, x: float, width: float, top: float, foot: float, wall: Colour) -> None:
    rng = air.rng
    canvas.box(x, top, x + width, foot, wall)
    if rng.random() < 0.6:
        canvas.polygon(
            np.array([(x - 0.012, top), (x + width / 2, top - rng.uniform(0.05, 0.1)), (x + width + 0.012, top)]),
            shade(wall, 0.66),
        )
    dark = air.weather in ("night", "storm", "sunset")
    pane = (255, 226, 130) if dark else mix(wall, (236, 246, 255), 0.62)
    columns = 2 if width < 0.15 else 3
    y = top + 0.035
    while y < foot - 0.05:
        for k in range(columns):
            cx = x + width * (k + 0.5) / columns
            if not dark or rng.random() < 0.7:
                canvas.box(cx - 0.014, y, cx + 0.014, y + 0.032, pane)
        y += 0.064


def _cactus(canvas: Canvas, air: Air, x: float, foot: float, height: float) -> None:
    green = air.far((78, 138, 84), 0.12)
    thickness = 0.2 * height
    for colour, width, shift in ((shade(green, 0.72), thickness, 0.0), (green, thickness * 0.6, -0.18 * thickness)):
        for points in (
            [(x, foot), (x, foot - height)],
            [
                (x, foot - 0.4 * height),
                (x - 0.3 * height, foot - 0.42 * height),
                (x - 0.3 * height, foot - 0.75 * height),
            ],
            [
                (x, foot - 0.3 * height),
                (x + 0.28 * height, foot - 0.32 * height),
                (x + 0.28 * height, foot - 0.62 * height),
            ],
        ):
            moved = [(px + shift, py) for px, py in points]
            canvas.line(moved, colour, width * (0.75 if len(points) > 2 else 1.0))
            ex, ey = moved[-1]
            r = width * (0.375 if len(points) > 2 else 0.5)
            canvas.oval(ex, ey, r, r, colour)


def draw_ground(canvas: Canvas, setting: str, air: Air, foot: tuple[float, float]) -> None:
    """Draw what the plant grows out of, without blur, before the plant itself."""
    x, y = foot
    rng = air.rng
    if setting == "meadow":
        _grass(canvas, air, 60, air.horizon + 0.08, (88, 160, 66))
    elif setting == "mountains":
        _grass(canvas, air, 22, air.horizon + 0.1, (98, 140, 78), 0.06)
    elif setting == "forest":
        _grass(canvas, air, 20, air.horizon + 0.12, (62, 110, 50), 0.07)
        for _ in range(3):
            mx = (x + rng.choice((-1, 1)) * rng.uniform(0.16, 0.4)) % 1.0
            my, r = rng.uniform(0.86, 0.96), rng.uniform(0.025, 0.042)
            canvas.box(mx - 0.3 * r, my - r, mx + 0.3 * r, my + 0.6 * r, air.near((240, 228, 206)))
            cap = np.array([(mx + r * 1.2 * np.cos(a), my - 0.7 * r - r * np.sin(a)) for a in np.linspace(0, pi, 12)])
            canvas.polygon(cap, air.near((200, 60, 48)))
            canvas.oval(mx - 0.3 * r, my - 1.2 * r, 0.2 * r, 0.2 * r, (250, 244, 234))
    elif setting == "pot":
        clay = air.near(rng.choice(((196, 98, 62), (204, 110, 70), (92, 124, 156), (210, 186, 150))))
        canvas.oval(x, 0.985, 0.26, 0.03, (40, 30, 30), 70)
        for k in range(7):
            t = k / 6
            side = 1 - 0.75 * t
            body = np.array(
                [
                    (x - 0.19 * side - 0.03 * t, y + 0.03),
                    (x + 0.19 * side - 0.03 * t, y + 0.03),
                    (x + 0.135 * side - 0.025 * t, 0.985),
                    (x - 0.135 * side - 0.025 * t, 0.985),
                ]
            )
            canvas.polygon(body, mix(shade(clay, 0.66), lighten(clay, 0.12), t))
        canvas.box(x - 0.21, y, x + 0.21, y + 0.055, shade(clay, 0.82))
        canvas.box(x - 0.19, y, x + 0.1, y + 0.055, clay)
        canvas.box(x - 0.15, y, x - 0.02, y + 0.055, lighten(clay, 0.14))
        canvas.oval(x, y, 0.21, 0.024, shade(clay, 0.7))
        canvas.oval(x, y, 0.185, 0.018, air.near((74, 52, 40)))
    elif setting == "vase":
        cloth = air.near(rng.choice(((214, 92, 88), (98, 140, 196), (108, 160, 110), (226, 190, 96))))
        canvas.ramp([(0, shade(cloth, 0.92)), (1, cloth)], 0.87, 1.0)
        for k in range(11):
            for row in range(3):
                if (k + row) % 2:
                    canvas.box(
                        k * 0.1 - 0.05, 0.87 + 0.045 * row, k * 0.1 + 0.05, 0.915 + 0.045 * row, lighten(cloth, 0.72)
                    )
        glass = air.near(rng.choice(((236, 240, 246), (120, 158, 206), (150, 196, 184), (206, 170, 206))))
        canvas.oval(x + 0.03, 0.965, 0.17, 0.022, (30, 26, 40), 70)
        profile = smooth([(0, 0.075), (0.12, 0.062), (0.28, 0.066), (0.62, 0.145), (0.86, 0.14), (1.0, 0.09)])
        outline = turned(mirrored(profile), pi / 2, 1.0)
        height = 0.965 - y
        for k in range(6):
            t = k / 5
            part = np.stack([x - 0.03 * t + outline[:, 0] * (1 - 0.75 * t), y + outline[:, 1] * height], 1)
            canvas.polygon(part, mix(shade(glass, 0.68), lighten(glass, 0.3), t))
        canvas.oval(x, y, 0.075, 0.014, shade(glass, 0.55))
    elif setting == "pond":
        for k in range(5):
            px, py = (0.1 + 0.2 * k + rng.uniform(-0.06, 0.06)), rng.uniform(air.horizon + 0.12, 0.97)
            r = 0.04 + 0.09 * (py - air.horizon)
            pad = np.array(
                [(px, py)]
                + [(px + r * 1.4 * np.cos(a), py + r * 0.45 * np.sin(a)) for a in np.linspace(0.5, 2 * pi - 0.1, 20)]
            )
            canvas.polygon(pad + np.array([0, 0.008]), air.near((24, 70, 84)), 150)
            canvas.polygon(pad, air.near((92, 160, 84)))
        for k in range(3):
            points = np.array(
                [
                    (x + (0.06 + 0.06 * k) * np.cos(a), y + (0.014 + 0.012 * k) * np.sin(a))
                    for a in np.linspace(0, 2 * pi, 26)
                ]
            )
            canvas.line(points, (222, 240, 246), 0.005, 150 - 36 * k)
    elif setting == "desert":
        for _ in range(5):
            r = rng.uniform(0.012, 0.03)
            canvas.ball(
                rng.random(),
                rng.uniform(0.86, 0.98),
                r * 1.3,
                r,
                air.near((146, 100, 70)),
                air.near((214, 168, 124)),
                3,
            )
        canvas.oval(x, y + 0.01, 0.12, 0.02, air.near((176, 116, 66)), 130)
    elif setting == "beach":
        for _ in range(5):
            px, py, r = rng.random(), rng.uniform(0.86, 0.98), rng.uniform(0.016, 0.03)
            shell = np.array(
                [(px, py + r)] + [(px + r * np.cos(a), py - r * abs(sin(a)) * 0.9) for a in np.linspace(0, pi, 12)]
            )
            canvas.polygon(shell, air.near(rng.choice(((250, 200, 180), (252, 236, 214), (236, 160, 150)))))
        canvas.oval(x, y + 0.01, 0.12, 0.02, air.near((196, 156, 100)), 130)
    elif setting == "city":
        canvas.oval(x, y + 0.015, 0.15, 0.032, air.near((92, 92, 98)))
        canvas.oval(x, y + 0.012, 0.13, 0.025, air.near((88, 64, 48)))
    elif setting == "window":
        _window(canvas, air, x, y)


def _window(canvas: Canvas, air: Air, x: float, y: float) -> None:
    rng = air.rng
    wood = lit(
        jitter(rng.choice(((236, 230, 220), (176, 124, 82), (214, 178, 132))), rng, 8),
        soften(air.light, 0.5),
    )
    curtain = lit(
        jitter(rng.choice(((224, 120, 110), (236, 200, 120), (130, 164, 204), (178, 140, 190))), rng, 8),
        soften(air.light, 0.5),
    )
    middle = rng.uniform(0.46, 0.54)
    canvas.box(middle - 0.017, 0, middle + 0.017, 0.9, shade(wood, 0.85))
    canvas.box(middle - 0.017, 0, middle + 0.006, 0.9, wood)
    canvas.box(0, 0.43, 1, 0.46, wood)
    canvas.box(0, 0.46, 1, 0.47, shade(wood, 0.75))
    for left, right in ((0, 0.07), (0.93, 1)):
        canvas.box(left, 0, right, 0.9, wood)
    canvas.box(0, 0, 1, 0.055, wood)
    for side in (0, 1):
        for k in range(4):
            inner = 0.2 - 0.05 * k
            edge = smooth(
                [(0, 0), (inner, 0), (inner * 0.95, 0.3), (inner * 0.55, 0.56), (inner * 0.62, 0.84), (0, 0.84)]
            )
            if side:
                edge = np.stack([1 - edge[:, 0], edge[:, 1]], 1)
            canvas.polygon(edge, shade(curtain, (0.82, 1.08, 0.88, 1.0)[k]))
    canvas.ramp([(0, lighten(wood, 0.2)), (0.5, wood), (1, shade(wood, 0.66))], 0.86, 1.0)
    canvas.oval(x, 0.95, 0.16, 0.018, (40, 30, 30), 70)
    cup = lit(jitter((244, 242, 238), rng, 6), air.light)
    for k in range(5):
        t = k / 4
        body = np.array(
            [
                (x - 0.11 * (1 - 0.75 * t) - 0.02 * t, y),
                (x + 0.11 * (1 - 0.75 * t) - 0.02 * t, y),
                (x + 0.085 * (1 - 0.75 * t) - 0.02 * t, 0.945),
                (x - 0.085 * (1 - 0.75 * t) - 0.02 * t, 0.945),
            ]
        )
        canvas.polygon(body, mix(shade(cup, 0.68), cup, t))
    canvas.oval(x, y, 0.11, 0.016, air.near((74, 52, 40)))

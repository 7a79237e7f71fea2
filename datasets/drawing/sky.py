"""The eight kinds of weather: their light, their sky, and rain, snow or mist in front of everything."""

from __future__ import annotations

from math import cos, pi, sin
from random import Random

import numpy as np

from .canvas import Canvas
from .colours import Colour, Light, jitter, lighten, mix

#: Colour of the light on ground and plant.
LIGHTS: dict[str, Light] = {
    "sunny": (1.04, 1.03, 0.97),
    "rain": (0.84, 0.88, 0.94),
    "snow": (0.96, 0.98, 1.04),
    "fog": (0.95, 0.96, 0.97),
    "night": (0.56, 0.60, 0.86),
    "sunset": (1.06, 0.86, 0.80),
    "rainbow": (1.0, 1.0, 1.0),
    "storm": (0.72, 0.72, 0.82),
}
_SKIES: dict[str, tuple[tuple[Colour, Colour, Colour], ...]] = {
    "sunny": (((84, 170, 238), (150, 208, 246), (226, 240, 246)), ((64, 150, 224), (128, 196, 240), (250, 240, 214))),
    "rain": (((112, 126, 146), (142, 156, 172), (178, 188, 196)), ((96, 116, 134), (130, 148, 162), (164, 176, 182))),
    "snow": (((176, 188, 212), (204, 213, 228), (232, 236, 242)), ((188, 190, 208), (212, 214, 226), (236, 234, 238))),
    "fog": (((206, 210, 212), (222, 224, 222), (234, 233, 228)), ((198, 206, 212), (216, 220, 222), (230, 230, 230))),
    "night": (((10, 14, 46), (24, 34, 84), (58, 66, 124)), ((8, 10, 34), (30, 26, 78), (70, 58, 116))),
    "sunset": (((86, 66, 138), (232, 112, 102), (255, 196, 108)), ((120, 70, 130), (244, 128, 84), (255, 214, 130))),
    "rainbow": (
        ((116, 178, 226), (168, 208, 236), (222, 236, 238)),
        ((130, 170, 214), (182, 206, 228), (228, 232, 234)),
    ),
    "storm": (((42, 42, 62), (70, 70, 94), (112, 108, 126)), ((36, 44, 58), (62, 72, 90), (106, 112, 120))),
}
_BANDS: tuple[Colour, ...] = (
    (226, 58, 60),
    (244, 142, 48),
    (250, 220, 74),
    (92, 188, 92),
    (70, 130, 220),
    (134, 84, 190),
)


def cloud(canvas: Canvas, rng: Random, x: float, y: float, size: float, colour: Colour, alpha: int = 225) -> None:
    """A pile of discs with a flat base, lighter at the top."""
    dark = mix(colour, (90, 100, 130), 0.18)
    puffs = [
        (x + (k - 2) * 0.36 * size, y - rng.uniform(0.02, 0.2) * size, size * rng.uniform(0.24, 0.4)) for k in range(5)
    ]
    for px, py, r in puffs:
        canvas.oval(px, py + 0.07 * size, r, r * 0.72, dark, alpha)
    for px, py, r in puffs:
        canvas.oval(px, py, r * 0.94, r * 0.68, colour, alpha)


def paint_sky(canvas: Canvas, weather: str, horizon: float, rng: Random) -> None:
    """Sky from the top edge down to a little below the horizon, with sun, moon, stars, clouds or a rainbow."""
    top, middle, low = (jitter(c, rng, 8) for c in rng.choice(_SKIES[weather]))
    canvas.ramp([(0, top), (0.55, middle), (1, low)], 0.0, horizon + 0.04)
    side = rng.choice((0.16, 0.84)) + rng.uniform(-0.06, 0.06)
    if weather == "sunny":
        y = rng.uniform(0.1, 0.18)
        canvas.glow(side, y, 0.34, (255, 246, 196), 20)
        start = rng.uniform(0, 1)
        for k in range(12):
            a = start + k * pi / 6
            ray = np.array(
                [
                    (side + 0.1 * cos(a - 0.1), y + 0.1 * sin(a - 0.1)),
                    (side + 0.1 * cos(a + 0.1), y + 0.1 * sin(a + 0.1)),
                    (side + 0.19 * cos(a), y + 0.19 * sin(a)),
                ]
            )
            canvas.polygon(ray, (255, 226, 110), 150)
        canvas.ball(side, y, 0.085, 0.085, (255, 206, 64), (255, 244, 178), 4)
        for _ in range(rng.randint(0, 2)):
            cloud(
                canvas,
                rng,
                1.0 - side + rng.uniform(-0.2, 0.1),
                rng.uniform(0.1, 0.32),
                rng.uniform(0.13, 0.2),
                (252, 252, 252),
            )
    elif weather in ("rain", "storm"):
        base = (128, 136, 152) if weather == "rain" else (66, 66, 86)
        for k in range(5):
            tone = jitter(base, rng, 14)
            cloud(
                canvas,
                rng,
                0.02 + 0.24 * k + rng.uniform(-0.06, 0.06),
                rng.uniform(0.0, 0.12),
                rng.uniform(0.2, 0.3),
                tone,
                240,
            )
        if weather == "storm":
            _lightning(canvas, rng, side, horizon)
    elif weather == "snow":
        for k in range(3):
            cloud(canvas, rng, 0.1 + 0.4 * k, rng.uniform(0.0, 0.1), rng.uniform(0.2, 0.28), (222, 226, 236), 200)
    elif weather == "night":
        for _ in range(rng.randint(26, 44)):
            r = rng.choice((0.005, 0.006, 0.008, 0.011))
            x, y = rng.random(), rng.uniform(0, horizon)
            canvas.oval(x, y, r, r, (255, 252, 220), rng.randint(170, 255))
        for _ in range(4):
            x, y, r = rng.random(), rng.uniform(0.03, 0.7 * horizon), rng.uniform(0.018, 0.028)
            for dx, dy in ((r, r * 0.22), (r * 0.22, r)):
                canvas.polygon(np.array([(x - dx, y), (x, y - dy), (x + dx, y), (x, y + dy)]), (255, 250, 210), 235)
        y = rng.uniform(0.1, 0.18)
        canvas.glow(side, y, 0.2, (190, 200, 255), 14)
        canvas.oval(side, y, 0.08, 0.08, (250, 244, 206))
        turn = rng.choice((-1, 1))
        canvas.oval(side + turn * 0.038, y - 0.016, 0.07, 0.07, mix(top, middle, 0.3))
    elif weather == "sunset":
        y = horizon - rng.uniform(0.0, 0.06)
        canvas.glow(side, y, 0.5, (255, 224, 140), 22)
        canvas.ball(side, y, 0.12, 0.12, (255, 128, 62), (255, 226, 130), 4)
        for _ in range(4):
            x, h = rng.random(), rng.uniform(0.08, 0.9 * horizon)
            canvas.oval(
                x,
                h,
                rng.uniform(0.16, 0.32),
                0.014,
                rng.choice(((255, 170, 120), (160, 84, 130), (255, 206, 150))),
                150,
            )
    elif weather == "rainbow":
        x, radius = rng.uniform(0.3, 0.7), rng.uniform(0.5, 0.6)
        for k, band in enumerate(_BANDS):
            canvas.arc_band(x, horizon + 0.04, radius - 0.03 * k, 0.031, band, 205)
        for cx in (x - radius, x + radius):
            cloud(canvas, rng, cx, horizon - rng.uniform(0.05, 0.1), rng.uniform(0.16, 0.22), (250, 250, 252), 235)


def _lightning(canvas: Canvas, rng: Random, x: float, horizon: float) -> None:
    canvas.glow(x, 0.2, 0.34, (220, 214, 255), 16)
    y, lean = 0.08, rng.choice((-1, 1)) * 0.03
    spine = [(x, y)]
    while y < horizon - 0.04:
        y += rng.uniform(0.07, 0.11)
        x += lean * rng.uniform(0.6, 1.6) * (1 if len(spine) % 2 else -1.3)
        spine.append((x, y))
    left = [(px - 0.024 * (1 - k / len(spine)), py) for k, (px, py) in enumerate(spine)]
    right = [(px + 0.024 * (1 - k / len(spine)), py) for k, (px, py) in enumerate(spine)]
    canvas.line(spine, (214, 208, 255), 0.045, 90)
    canvas.polygon(np.array(left + right[::-1]), (255, 250, 206))


def paint_fall(canvas: Canvas, weather: str, rng: Random) -> None:
    """Rain, snowflakes or drifting mist in front of everything."""
    if weather in ("rain", "storm"):
        slant, count = rng.uniform(-0.06, -0.02), (70 if weather == "rain" else 24)
        for _ in range(count):
            x, y, length = rng.uniform(0, 1.08), rng.uniform(-0.1, 1), rng.uniform(0.05, 0.11)
            canvas.line([(x, y), (x + slant * length * 8, y + length)], (224, 236, 248), 0.0055, 150)
    elif weather == "snow":
        for _ in range(80):
            r = rng.choice((0.006, 0.008, 0.011, 0.015))
            canvas.oval(rng.random(), rng.random(), r, r, (255, 255, 255), 235)
    elif weather == "fog":
        for _ in range(7):
            y = rng.uniform(0.25, 0.98)
            canvas.oval(rng.random(), y, rng.uniform(0.35, 0.7), rng.uniform(0.03, 0.07), (240, 241, 240), 62)


def haze(colour: Colour, weather: str, amount: float) -> Colour:
    """The colour mixed with that of the air, as things in the distance look; much more so in fog."""
    air = {
        "fog": (224, 226, 224),
        "night": (36, 44, 92),
        "sunset": (244, 160, 120),
        "storm": (84, 84, 104),
        "snow": (222, 227, 236),
        "rain": (150, 162, 176),
    }.get(weather, (190, 214, 232))
    return mix(colour, air, min(1.0, amount * (2.2 if weather == "fog" else 1.0)))


def snow_cover(colour: Colour, weather: str, amount: float = 0.55) -> Colour:
    """The colour of the ground, whitened while it snows."""
    return lighten(colour, amount) if weather == "snow" else colour

"""Colours as RGB triples 0-255, and operations on them."""

from __future__ import annotations

from random import Random

Colour = tuple[int, int, int]
Light = tuple[float, float, float]

PETALS: dict[str, Colour] = {
    "red": (222, 38, 50),
    "orange": (246, 134, 36),
    "yellow": (252, 216, 62),
    "pink": (248, 150, 188),
    "purple": (148, 92, 200),
    "blue": (74, 122, 226),
    "white": (252, 249, 240),
    "maroon": (118, 20, 52),
}
CENTRES: dict[str, Colour] = {
    "yellow": (250, 200, 40),
    "brown": (112, 66, 32),
    "black": (36, 30, 34),
    "green": (140, 200, 50),
    "white": (250, 244, 226),
    "purple": (112, 44, 128),
    "red": (204, 28, 44),
    "turquoise": (30, 178, 176),
}


def mix(a: Colour, b: Colour, t: float) -> Colour:
    """``a`` at t = 0, ``b`` at t = 1."""
    return (round(a[0] + (b[0] - a[0]) * t), round(a[1] + (b[1] - a[1]) * t), round(a[2] + (b[2] - a[2]) * t))


def shade(colour: Colour, factor: float) -> Colour:
    """Darker (factor < 1) or brighter (> 1), clipped."""
    return (
        min(255, round(colour[0] * factor)),
        min(255, round(colour[1] * factor)),
        min(255, round(colour[2] * factor)),
    )


def lighten(colour: Colour, t: float) -> Colour:
    return mix(colour, (255, 255, 255), t)


def lit(colour: Colour, light: Light) -> Colour:
    """The colour under a coloured light, channel by channel."""
    return (
        min(255, round(colour[0] * light[0])),
        min(255, round(colour[1] * light[1])),
        min(255, round(colour[2] * light[2])),
    )


def soften(light: Light, strength: float) -> Light:
    """The light with less colour: white at ``strength`` 0, unchanged at 1."""
    return (
        1 - strength + strength * light[0],
        1 - strength + strength * light[1],
        1 - strength + strength * light[2],
    )


def jitter(colour: Colour, rng: Random, amount: float = 10.0) -> Colour:
    """A similar colour: brightness and each channel change a little."""
    bright = rng.uniform(-amount, amount)
    moved = [min(255, max(0, round(c + bright + rng.uniform(-amount, amount) * 0.5))) for c in colour]
    return (moved[0], moved[1], moved[2])

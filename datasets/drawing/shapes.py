"""Outlines of petals and leaves as polygons, each in its own unit coordinates.

The x axis runs from the base (0) to the tip (about 1); the y axis runs across. Arrays are float64 of shape (N, 2).
"""

from __future__ import annotations

from functools import lru_cache
from math import pi, tan

import numpy as np


def smooth(points: list[tuple[float, float]] | np.ndarray, rounds: int = 2, closed: bool = False) -> np.ndarray:
    """Chaikin's corner cutting; an open line keeps its end points."""
    line = np.asarray(points, dtype=float)
    for _ in range(rounds):
        after = np.roll(line, -1, axis=0) if closed else line[1:]
        before = line if closed else line[:-1]
        cut = np.empty((2 * len(before), 2))
        cut[0::2] = 0.75 * before + 0.25 * after
        cut[1::2] = 0.25 * before + 0.75 * after
        line = cut if closed else np.concatenate([line[:1], cut, line[-1:]])
    return line


def mirrored(upper: np.ndarray) -> np.ndarray:
    """The closed outline with this upper edge, which runs from base to tip."""
    lower = upper[::-1] * np.array([1.0, -1.0])
    return np.concatenate([upper, lower])


def ellipse(cx: float, cy: float, rx: float, ry: float, count: int = 28) -> np.ndarray:
    angle = np.linspace(0, 2 * pi, count, endpoint=False)
    return np.stack([cx + rx * np.cos(angle), cy + ry * np.sin(angle)], axis=1)


def turned(points: np.ndarray, angle: float, scale: float = 1.0, at: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """The points scaled, turned by ``angle`` (radians) and moved to ``at``."""
    c, s = np.cos(angle) * scale, np.sin(angle) * scale
    return points @ np.array([[c, s], [-s, c]]) + np.asarray(at)


@lru_cache(maxsize=256)
def petal(shape: str, count: int) -> np.ndarray:
    """A petal of a flower with ``count`` petals in a ring; the fewer petals, the wider they are."""
    width = min(0.44, 0.66 * tan(pi / count))
    if shape == "round":
        upper = smooth(
            [
                (0, 0.05),
                (0.12, 0.45 * width),
                (0.34, 0.95 * width),
                (0.62, 1.12 * width),
                (0.9, 0.95 * width),
                (1, 0.4 * width),
                (1, 0),
            ]
        )
    elif shape == "pointed":
        x = np.linspace(0, 1, 16)
        profile = (x + 0.02) ** 0.8 * (1.0 - x) ** 0.85
        upper = np.stack([x * 1.08, width * profile / profile.max()], axis=1)
    elif shape == "heart":
        wide = width * 1.12
        upper = smooth(
            [
                (0, 0.03),
                (0.35, 0.5 * wide),
                (0.66, 1.05 * wide),
                (0.9, 1.1 * wide),
                (1.06, 0.62 * wide),
                (0.98, 0.2 * wide),
                (0.72, 0),
            ]
        )
    elif shape == "ribbon":
        thin = max(0.05, 0.36 * width)
        upper = smooth([(0, 0.7 * thin), (0.4, 0.8 * thin), (0.95, thin), (1.05, 0.8 * thin), (1.07, 0)], 1)
    elif shape == "ruffled":
        angle = np.linspace(pi * 0.97, 0, 34)
        waves = 1.0 + 0.14 * np.sin(angle * 12.0)
        upper = np.stack([0.56 + 0.45 * np.cos(angle) * waves, 1.1 * width * np.sin(angle) * waves], axis=1)
        upper[:, 1] = np.maximum(upper[:, 1], 0.0)
    elif shape == "spoon":
        stalk = max(0.035, 0.13 * width)
        bowl = 0.95 * width
        upper = smooth(
            [
                (0, stalk),
                (0.3, stalk),
                (0.52, stalk * 1.1),
                (0.58, 0.7 * bowl),
                (0.74, 1.12 * bowl),
                (0.96, 0.95 * bowl),
                (1.07, 0.4 * bowl),
                (1.07, 0),
            ]
        )
    elif shape == "pinwheel":
        # like a propeller blade: one edge convex, the other concave, and all of it bent sideways
        upper = smooth(
            [(0, 0.04), (0.25, 0.7 * width), (0.55, 1.05 * width), (0.85, 0.95 * width), (1.06, 0.15 * width)]
        )
        lower = smooth([(1.06, 0.15 * width), (0.75, -0.05 * width), (0.4, -0.35 * width), (0, -0.04)])
        outline = np.concatenate([upper, lower])
        outline[:, 1] += 0.42 * outline[:, 0] ** 2 - 0.12
        return outline
    else:
        raise ValueError(f"unknown petal shape {shape!r}")
    return mirrored(upper)


@lru_cache(maxsize=32)
def leaf(shape: str) -> tuple[np.ndarray, ...]:
    """The parts of a leaf of length 1. Each part is drawn separately, the first ones underneath."""
    if shape == "oval":
        return (mirrored(smooth([(0, 0.02), (0.15, 0.2), (0.45, 0.32), (0.78, 0.25), (0.97, 0.1), (1, 0)])),)
    if shape == "heart":
        upper = [(0.04, 0), (-0.1, 0.1), (-0.12, 0.33), (0.12, 0.5), (0.42, 0.42), (0.72, 0.2), (1, 0)]
        return (mirrored(smooth(upper)),)
    if shape == "grass":
        x = np.linspace(0, 1.45, 14)
        half = 0.075 * np.sqrt(np.clip(1.0 - x / 1.45, 0, 1))
        bend = 0.16 * x**2
        return (np.concatenate([np.stack([x, half + bend], 1), np.stack([x, bend - half], 1)[::-1]]),)
    if shape == "oak":
        upper = [
            (0, 0.03),
            (0.1, 0.08),
            (0.16, 0.3),
            (0.3, 0.34),
            (0.36, 0.12),
            (0.42, 0.12),
            (0.46, 0.4),
            (0.62, 0.42),
        ]
        upper += [(0.66, 0.12), (0.72, 0.12), (0.76, 0.28), (0.9, 0.27), (1.02, 0.12), (1.03, 0)]
        return (mirrored(smooth(upper)),)
    if shape == "maple":
        upper = [
            (0, 0.02),
            (0.22, 0.02),
            (0.1, 0.26),
            (0.26, 0.24),
            (0.22, 0.56),
            (0.4, 0.4),
            (0.52, 0.62),
            (0.56, 0.3),
            (0.66, 0.2),
            (0.8, 0.26),
            (0.78, 0.12),
            (1.08, 0),
        ]
        return (mirrored(np.asarray(upper, dtype=float)),)
    if shape == "feather":
        parts = [mirrored(np.array([(0, 0.018), (1.0, 0.01)]))]
        leaflet = mirrored(np.array([(0, 0.0), (0.3, 0.13), (0.7, 0.12), (1, 0)]))
        for k in range(6):
            at = (0.18 + 0.14 * k, 0.0)
            size = 0.36 - 0.045 * abs(k - 1.5)
            parts += [turned(leaflet, side * 0.95, size, at) for side in (1, -1)]
        parts.append(turned(leaflet, 0.0, 0.2, (0.96, 0)))
        return tuple(parts)
    if shape == "toothed":
        x = np.linspace(0, 1, 7)
        edge = 0.36 * np.sin(pi * np.clip(x, 0, 1) ** 0.8)
        teeth = [(0.0, 0.02)]
        for k in range(1, 7):
            teeth += [(x[k] + 0.05, edge[k] + 0.13 * (1 - x[k]) + 0.05), (x[k] + 0.01, max(0.0, edge[k] - 0.06))]
        teeth[-2:] = [(1.08, 0.0)]
        return (mirrored(np.asarray(teeth)),)
    if shape == "clover":
        stalk = mirrored(np.array([(0, 0.022), (0.55, 0.018)]))
        lobe = mirrored(smooth([(0, 0.02), (0.12, 0.14), (0.3, 0.23), (0.44, 0.19), (0.46, 0.08), (0.4, 0)]))
        return (stalk, *(turned(lobe, angle, 1.0, (0.52, 0)) for angle in (1.75, -1.75, 0.0)))
    raise ValueError(f"unknown leaf shape {shape!r}")

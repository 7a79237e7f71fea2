"""A square picture addressed in unit coordinates: (0, 0) is the top left corner, (1, 1) the bottom right one."""

from __future__ import annotations

from math import cos, pi, sin

import numpy as np
from PIL import Image, ImageDraw

from .colours import Colour, mix


class Canvas:
    """A large picture to draw on with Pillow. Its polygons have hard edges, which reducing the picture smooths."""

    def __init__(self, side: int, image: Image.Image | None = None) -> None:
        self.side = side
        self.image = image if image is not None else Image.new("RGB", (side, side))
        self.pen = ImageDraw.Draw(self.image, "RGBA")

    def polygon(self, points: np.ndarray, colour: Colour, alpha: int = 255) -> None:
        self.pen.polygon((points * self.side).ravel().tolist(), fill=(*colour, alpha))

    def line(self, points: np.ndarray | list, colour: Colour, width: float, alpha: int = 255) -> None:
        flat = (np.asarray(points, dtype=float) * self.side).ravel().tolist()
        self.pen.line(flat, fill=(*colour, alpha), width=max(1, round(width * self.side)), joint="curve")

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour, alpha: int = 255) -> None:
        s = self.side
        if right > left and bottom > top:
            self.pen.rectangle((left * s, top * s, right * s, bottom * s), fill=(*colour, alpha))

    def oval(self, x: float, y: float, rx: float, ry: float, colour: Colour, alpha: int = 255) -> None:
        s = self.side
        self.pen.ellipse(((x - rx) * s, (y - ry) * s, (x + rx) * s, (y + ry) * s), fill=(*colour, alpha))

    def ball(self, x: float, y: float, rx: float, ry: float, edge: Colour, core: Colour, steps: int = 5) -> None:
        """A disc shaded as a sphere lit from the upper left."""
        for k in range(steps):
            t = k / max(1, steps - 1)
            shrink = 1.0 - 0.85 * t
            self.oval(x - 0.22 * rx * t, y - 0.28 * ry * t, rx * shrink, ry * shrink, mix(edge, core, t))

    def glow(self, x: float, y: float, radius: float, colour: Colour, strength: int = 26, steps: int = 7) -> None:
        """Light spreading from a point: many faint discs on top of one another."""
        for k in range(steps):
            size = radius * (1.0 - k / steps)
            self.oval(x, y, size, size, colour, strength)

    def ramp(self, stops: list[tuple[float, Colour]], top: float = 0.0, bottom: float = 1.0) -> None:
        """A vertical gradient between ``top`` and ``bottom``; ``stops`` are (height 0-1 within that band, colour)."""
        first, last = max(0, round(top * self.side)), min(self.side, round(bottom * self.side))
        if last <= first:
            return
        height = np.linspace(0, 1, last - first)
        at = [s[0] for s in stops]
        column = np.stack([np.interp(height, at, [s[1][c] for s in stops]) for c in range(3)], axis=1)
        strip = Image.fromarray(np.rint(column).astype(np.uint8)[:, None, :])
        self.image.paste(strip.resize((self.side, last - first), Image.Resampling.NEAREST), (0, first))

    def arc_band(self, x: float, y: float, radius: float, width: float, colour: Colour, alpha: int) -> None:
        """A half ring above (x, y), like a band of a rainbow."""
        outer = [(x + radius * cos(a), y - radius * sin(a)) for a in np.linspace(0, pi, 40)]
        inner = [(x + (radius - width) * cos(a), y - (radius - width) * sin(a)) for a in np.linspace(pi, 0, 40)]
        self.polygon(np.array(outer + inner), colour, alpha)

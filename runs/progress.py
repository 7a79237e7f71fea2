"""What a run shows while it goes."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TextIO

from tqdm import tqdm

from runs.wandb_log import WandbLog
from trainers.engine.watch import Watch

FIRST, EVERY = 5.0, 20.0  # seconds of a phase until its first plain line, and between lines


@dataclass
class Phase:
    """Encoding, or the epochs: when it began and with how much done, and when its next line is due."""

    unit: str
    began: float
    done: int
    due: float


class Progress(Watch):
    """The progress of a run: a bar on a terminal; elsewhere a line now and then with the time left, and one at the end
    of a phase."""

    def __init__(self, title: str, console: TextIO, brief: bool, log: WandbLog | None = None):
        self.title, self.console, self.brief, self.log = title, console, brief, log
        self.bar: tqdm | None = None
        self.phase: Phase | None = None

    def encoding(self, done: int, total: int) -> None:
        self._show("image", done, total)

    def epoch(self, done: int, total: int, loss: float) -> None:
        if self.brief:  # otherwise the log's lines are on the console
            self._show("epoch", done, total, f"loss {loss:.3f}")

    def fold(self, done: int, total: int) -> None:
        self._show("fold for new tasks", done, total)

    def scalar(self, tag: str, value: float, step: int | None) -> None:
        if self.log is not None:
            self.log.scalar(tag, value, step)

    def _show(self, unit: str, done: int, total: int, note: str = "") -> None:
        if self.console.isatty():
            if self.bar is None:
                self.bar = tqdm(total=total, desc=self.title, unit=unit, file=self.console, leave=False)
            self.bar.set_postfix_str(note, refresh=False)
            self.bar.update(done - self.bar.n)
            if done >= total:
                self.close()
            return
        now = time.monotonic()
        if self.phase is None or self.phase.unit != unit:
            self.phase = Phase(unit, now, done, now + FIRST)
        if done < total and now < self.phase.due:
            return
        note = f", {note}" if note else ""
        if done < total:
            left = (now - self.phase.began) * (total - done) / max(1, done - self.phase.done)
            note += f", about {math.ceil(left):,} s left"
            self.phase.due = now + max(EVERY, (now - self.phase.began) / 10)  # fewer lines in long phases
        else:
            self.phase = None
        print(f"{self.title}: {unit} {done:,}/{total:,}{note}", file=self.console, flush=True)

    def close(self) -> None:
        """Remove the bar."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

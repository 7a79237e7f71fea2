"""What a run shows while it goes."""

from __future__ import annotations

from tqdm import tqdm

from runs.wandb_log import WandbLog
from trainers.engine.watch import Watch


class Progress(Watch):
    """The progress of a run: a bar on a terminal, elsewhere a plain line now and then."""

    def __init__(self, what: str, console, brief: bool, log: WandbLog | None = None):
        self.what, self.console, self.brief, self.log = what, console, brief, log
        self.bar: tqdm | None = None
        self.printed: dict[str, int] = {}  # halves of each unit that a plain line was printed for

    def encoding(self, done: int, total: int) -> None:
        self._show("image", done, total)

    def epoch(self, done: int, total: int, loss: float) -> None:
        if self.brief:  # otherwise the log's lines are on the console
            self._show("epoch", done, total, f"loss {loss:.3f}")

    def scalar(self, tag: str, value: float, step: int | None) -> None:
        if self.log is not None:
            self.log.scalar(tag, value, step)

    def _show(self, unit: str, done: int, total: int, note: str = "") -> None:
        if self.console.isatty():
            if self.bar is None:
                self.bar = tqdm(total=total, desc=self.what, unit=unit, file=self.console, leave=False)
            self.bar.set_postfix_str(note, refresh=False)
            self.bar.update(done - self.bar.n)
            if done >= total:
                self.close()
        elif done >= total or 2 * done // total > self.printed.get(unit, 0):
            self.printed[unit] = 0 if done >= total else 2 * done // total
            print(f"{self.what}: {unit} {done:,}/{total:,}{f', {note}' if note else ''}", file=self.console, flush=True)

    def close(self) -> None:
        """Remove the bar."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

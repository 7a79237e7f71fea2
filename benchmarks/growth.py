"""How a training step's text side grows with tasks, classes, context length and name length.

    python -m benchmarks.growth [--json]

One thing changes at a time, from 8 tasks with 16 classes each, 16 context vectors and names of two words. "time" is a
multiple of that first shape's, measured in turn with it; "plain positions" is what the padded path would encode.
"""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.common import arguments, begin, drawn_layout, paired, show  # noqa: E402
from benchmarks.text_encoder import Step  # noqa: E402

BASE = {"tasks": 8, "classes a task": 16, "context": 16, "words a name": 2}
CHANGES = {"tasks": (2, 32), "classes a task": (4, 64), "context": (4, 32), "words a name": (1, 8)}


def main() -> None:
    parser = arguments(__doc__)
    args, tower = begin(parser)

    def step(shape: dict[str, int]) -> Step:
        words = shape["words a name"]
        tasks = drawn_layout((shape["classes a task"],) * shape["tasks"], (words, words), Random(0))
        return Step(tower, tasks, False, args.part, shape["context"])

    base = step(BASE)
    base.ours()
    rows = []
    for shape in (BASE, *({**BASE, key: value} for key, values in CHANGES.items() for value in values)):
        one = step(shape)
        time = paired(one.ours, base.ours, args.rounds)
        prompts = len(one.prompts) + len(one.task_prompts)
        rows.append({**shape, "plain positions": 77 * prompts, "positions": one.positions, "s": time.plain,
                     "time": time.ratio})  # fmt: skip
    show(rows, args.json, tower=args.tower)


if __name__ == "__main__":
    main()

"""How the text side of a training step scales with tasks, classes, context length and name length.

    python -m benchmarks.growth [--json]

Each row changes one thing of the base shape: 8 tasks with 16 classes each, 16 context vectors and names of two words.
"time" is a multiple of the base shape's time, measured alternately with it; "plain positions" counts the positions that
the padded path would encode.
"""

from __future__ import annotations

from random import Random

from benchmarks.common import arguments, begin, paired, random_layout, show
from benchmarks.text_encoder import Step

BASE = {"tasks": 8, "classes per task": 16, "context": 16, "words per name": 2}
CHANGES = {"tasks": (2, 32), "classes per task": (4, 64), "context": (4, 32), "words per name": (1, 8)}


def main() -> None:
    parser = arguments(__doc__)
    args, tower = begin(parser)

    def step(shape: dict[str, int]) -> Step:
        words = shape["words per name"]
        tasks = random_layout((shape["classes per task"],) * shape["tasks"], (words, words), Random(0))
        return Step(tower, tasks, False, args.part, shape["context"])

    base = step(BASE)
    base.ours()
    rows: list[dict[str, object]] = []
    for shape in (BASE, *({**BASE, key: value} for key, values in CHANGES.items() for value in values)):
        changed = step(shape)
        time = paired(changed.ours, base.ours, args.rounds)
        prompts = len(changed.prompts) + len(changed.task_prompts)
        rows.append(
            {
                **shape,
                "plain positions": 77 * prompts,
                "positions": changed.positions,
                "s": time.plain,
                "time": time.ratio,
            }
        )
    show(rows, args.json, tower=args.tower, dtype=args.dtype)


if __name__ == "__main__":
    main()

"""Writes the facts of every source into docs/datasets.md, between its two marks.

python launch.py datasets_page            # writes
python launch.py datasets_page --check    # says whether the page is current, by its exit status too
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from common.errors import InputError
from common.files import write_atomically
from common.paths import REPOSITORY
from launcher import arguments, frame
from launcher.commands import ANSWERED

if TYPE_CHECKING:  # it imports dassl
    from datasets.source import Source

PAGE = REPOSITORY / "docs" / "datasets.md"
BEGIN = "<!-- From here on written by launch.py datasets_page; change the sources instead. -->"
END = "<!-- Up to here. -->"


def sources() -> dict[str, type[Source]]:
    """Every registered source of the package by the name that users type, in alphabetical order."""
    from dassl.data.datasets import DATASET_REGISTRY

    import datasets
    from datasets.source import Source

    kinds = [DATASET_REGISTRY.get(name) for name in DATASET_REGISTRY.registered_names()]
    ours = f"{datasets.sources.__name__}."
    found = {k.name(): k for k in kinds if issubclass(k, Source) and k.__module__.startswith(ours)}
    return dict(sorted(found.items()))


def collections_of() -> dict[str, list[str]]:
    """For every source the collections that list it, those with the fewest sources first."""
    from dassl.data.datasets import DATASET_REGISTRY

    from datasets.source import SourceCollection

    kinds = [DATASET_REGISTRY.get(name) for name in DATASET_REGISTRY.registered_names()]
    kinds = [k for k in kinds if issubclass(k, SourceCollection) and k.__module__.startswith("datasets.collections.")]
    found: dict[str, list[str]] = {}
    for kind in sorted(kinds, key=lambda k: (len(k.parts), k.__module__)):
        for part in kind.parts:
            found.setdefault(part.source.name(), []).append(kind.__module__.rpartition(".")[2])
    return found


def generated() -> str:
    """The tables and lists between the marks."""
    found, member = sources(), collections_of()
    out = ["| source | collections | classes | images | train / val / test | licence or terms | size | how to get it |",
           "|---|---|---:|---:|---|---|---|---|"]  # fmt: skip
    for name, kind in found.items():
        facts = kind.facts
        split = " / ".join(f"{n:,}" for n in facts.split) if facts.split else "drawn"
        how = "by hand" if not facts.downloads else "fetched, the rest by hand" if facts.steps else "fetched"
        cells = [
            f"[{name}]({facts.home})",
            ", ".join(member.get(name, [])),
            f"{facts.classes:,}",
            f"{facts.images:,}" if facts.images else "not known",
        ]
        out.append("| " + " | ".join(map(cell, [*cells, split, facts.licence, facts.size, how])) + " |")
    out += ["", "What each is, and where it is looked for below the data root:", ""]
    for name, kind in found.items():
        out += layout(name, kind)
    return "\n".join(out).rstrip()


def layout(name: str, kind: type[Source]) -> list[str]:
    """A source's entry in the list: what its module says of it, folders, split, and what is left to a person."""
    about = f"{inspect.getdoc(inspect.getmodule(kind)) or ''} {kind.__dict__.get('__doc__') or ''}"
    out = [f"- **{name}** (`{kind.__name__}`): {' '.join(about.split())}"]
    places = " or ".join(f"`{folder}/`" for folder in kind.folders)
    images = f", images below its `{kind.images}/`" if kind.images else ""
    splits = f"; split: {' or '.join(f'`{file}`' for file in kind.split_files)}" if kind.split_files else ""
    out.append(f"  Folder: {places}{images}{splits}.")
    out += [f"  {number}. {' '.join(step.split())}" for number, step in enumerate(kind.facts.steps, 1)]
    return out


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def page(text: str) -> str:
    """The page with the text between its marks generated again."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{generated()}\n{END}{tail}"


def answer(argv: Sequence[str], check: bool) -> int:
    """Write the page, or with --check say whether it is current; or only ``check`` the arguments."""
    parser = frame.parser("python launch.py datasets_page", (__doc__ or "").splitlines()[0], ())
    parser.add_argument("--check", action="store_true", help="only say whether the page is current, by the status too")
    if arguments.asks_for_help(argv):
        parser.print_help()
        return ANSWERED if check else 0
    args = parser.parse_args(argv)
    if check:
        return 0
    text = PAGE.read_text("utf-8")
    if not (0 <= text.find(BEGIN) < text.find(END)):
        raise InputError(f"{PAGE} lacks its marks {BEGIN} and {END}; put them in, one after the other.")
    if page(text) == text:
        print(f"{PAGE} is current.")
        return 0
    if args.check:
        print(f"{PAGE} is not current; run python launch.py datasets_page.", file=sys.stderr)
        return frame.FAILED
    write_atomically(PAGE, page(text))
    print(f"{PAGE} is written.")
    return 0

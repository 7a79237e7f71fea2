"""Damaged inputs: pictures, records, checkpoints, configs, results, bank entries, archives, drawn from a seed."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from common.errors import InputError
from common.files import is_regular, read_json
from common.paths import CHECKPOINTS, CONFIG, EVALUATION, RESULTS, TASKS
from datasets.images import read_image
from launcher import frame
from tests.soak import damage
from tests.soak.sandbox import Command
from tests.soak.world import World, tasks_of

FORMATS = ("jpg", "png", "webp", "bmp", "tif", "gif", "avif", "dds", "tga", "ppm", "pcx", "jp2", "ico", "sgi")


@dataclass
class Case:
    """A damaged input and the command that meets it.

    Args:
        what: the damage, in a few words.
        path: the damaged file.
        command: the command to run.
        result: the folder whose results must be right afterwards, and the file with them.
        valid: the input is another one, but nothing is wrong with it: results may differ.
        expected: the right accuracies; None: those of the undamaged world.
        names: a line names the damage if it has one of these.
        shown: text that the output has if the damage changed nothing.
    """

    what: str
    path: Path
    command: Command
    result: Path = Path()
    file: str = RESULTS
    valid: bool = False
    expected: Any = None
    names: tuple[str, ...] = ()
    shown: tuple[str, ...] = field(default=())


Kind = Callable[[World, random.Random], Case]


def _pick(rng: random.Random, paths: Iterator[Path]) -> Path:
    return rng.choice(sorted(paths))


def pictures(world: World, rng: random.Random) -> Case:
    """A picture of any split, in any format; the runs are new, so every picture is opened."""
    path = _pick(rng, world.data.rglob("*.jpg"))
    what = ""
    if path.parts[-3] == "colours" and rng.random() < 0.6:  # its images are found by listing the folder
        suffix = rng.choice(FORMATS)
        other = path.with_suffix(f".{suffix}")
        try:
            Image.open(path).save(other)
        except (KeyError, OSError, ValueError):
            other = path  # this Pillow cannot write it
        if other != path:
            path.unlink()
        path, what = other, f"{other.suffix} "
    if rng.random() < 0.15:
        _save_odd(path, rng)
        what += "odd"
    else:
        what += damage.any_damage(path, rng)
    try:
        read_image(str(path)) if is_regular(path) else None
        valid = is_regular(path)
    except InputError:
        valid = False
    place = str(world.folder / "tiny.yaml"), "--data", str(world.data)
    which = rng.randrange(4)
    command = (
        world.train("CoOp", to=world.output / "new"),
        world.train("CoOp", "BANK.TEST", "False", "BANK.TRAIN", "False", to=world.output / "new"),
        world.launch("check", *place),
        world.launch("show", *place, "--output", str(world.output / "sheets")),
    )[which]
    valid = valid or which == 3  # a sheet opens some pictures of a class
    return Case(what, path, command, world.output / "new", valid=valid, names=("not read",))


def _save_odd(path: Path, rng: random.Random) -> None:
    mode = rng.choice(("I;16", "F", "I", "1", "P", "LA", "CMYK", "RGBA"))
    with path.open("wb") as file:
        try:
            Image.new(mode, rng.choice(((1, 1), (1, 3000), (64, 64)))).save(file, "TIFF" if mode != "P" else "PNG")
        except (OSError, ValueError):
            file.write(b"P6 1000000 1000000 255\n")


def splits(world: World, rng: random.Random) -> Case:
    """The split of one task: another valid split is another data set, so only its message and its end count."""
    path = world.data / "tiny" / "kinds.json"
    what = damage.json_damaged(path, rng)
    return Case(
        what, path, world.train("CoOp", to=world.output / "new"), world.output / "new", valid=_split_is_valid(path)
    )


def _split_is_valid(path: Path) -> bool:
    try:
        content = read_json(path)
        rows = [row for part in ("train", "val", "test") for row in content[part]]
        names: dict[int, set[str]] = {}
        for file, label, name in rows:
            names.setdefault(label, set()).add(name)
            if type(label) is not int or not isinstance(name, str) or not (path.parent / "kinds" / file).is_file():
                return False
        return sorted(names) == list(range(len(names))) and all(len(found) == 1 for found in names.values())
    except (OSError, ValueError, KeyError, TypeError):
        return False


def draws(world: World, rng: random.Random) -> Case:
    """A record of few-shot images. The draw is the same without it."""
    path = _pick(rng, (world.data / ".few_shot").rglob("*.json"))
    what = damage.json_damaged(path, rng)
    return Case(what, path, world.train("CoOp", to=world.output / "new"), world.output / "new")


def interrupted(world: World, rng: random.Random) -> Case:
    """A file in the folder of a run that goes on: its results must be those of an undisturbed run."""
    method = rng.choice(("CoOp", "SoftCPT", "CoCoOp"))
    folder = world.run_folder(method)
    (folder / RESULTS).unlink()
    checkpoints = folder / CHECKPOINTS
    (checkpoints / "model.pth.tar-2").unlink(missing_ok=True)
    if not (checkpoints / "model.pth.tar-1").exists():
        shutil.rmtree(checkpoints)
    files = [folder / TASKS, folder / CONFIG, *checkpoints.glob("*")]
    path = rng.choice(sorted(file for file in files if file.is_file()))
    what = _damaged(path, rng)
    return Case(what, path, world.train(method), folder, names=("was begun with",))


def finished(world: World, rng: random.Random) -> Case:
    """A file in the folder of a finished run that is asked for again."""
    folder = world.run_folder(rng.choice(("CoOp", "SoftCPT", "LinearProbe")))
    path = rng.choice(sorted(file for file in folder.iterdir() if file.is_file() and file.suffix != ".txt"))
    what = _damaged(path, rng)
    return Case(what, path, world.train(folder.parts[-4]), folder, names=("was begun with",))


def evaluated(world: World, rng: random.Random) -> Case:
    """A checkpoint that is evaluated, or started from."""
    folder = world.output / "best" if rng.random() < 0.3 else world.run_folder(rng.choice(("CoOp", "SoftCPT")))
    path = rng.choice(sorted((folder / CHECKPOINTS).glob("*")))
    method = "CoOp" if folder.name == "best" else folder.parts[-4]
    what = _damaged(path, rng)
    to = world.output / "tested"
    words = ("TEST.FINAL_MODEL", "best_val") if folder.name == "best" else ()
    command = world.train(method, *words, "--eval-only", "--model-dir", str(folder), to=to)
    return Case(what, path, command, to, EVALUATION, expected=tasks_of(folder))


def started(world: World, rng: random.Random) -> Case:
    """A checkpoint that training starts from: another one is refused or named, a changed one must not be used."""
    path = rng.choice(sorted((world.run_folder("SoftCPT") / CHECKPOINTS).glob("model*")))
    what = damage.checkpoint_damaged(path, rng)
    to = world.output / "new"
    command = world.train("SoftCPT", "MODEL.INIT_WEIGHTS", str(path), to=to)
    return Case(what, path, command, to, expected="none", names=(path.name, "INIT_WEIGHTS"))


def towers(world: World, rng: random.Random) -> Case:
    """CLIP's own weights."""
    what = damage.any_damage(world.tower, rng) if rng.random() < 0.6 else damage.checkpoint_damaged(world.tower, rng)
    return Case(what, world.tower, world.train("CoOp", to=world.output / "new"), world.output / "new")


def configs(world: World, rng: random.Random) -> Case:
    """A config or a declaration: what is still YAML with usable values is another config."""
    path = world.folder / rng.choice(("tiny.yaml", "recipe.yaml"))
    what = damage.yaml_damaged(path, rng)
    names = (path.name, "is unknown", "must be", "cannot be used", "needs", "Task '", "Folder ", "Class ")
    return Case(what, path, world.train("CoOp", to=world.output / "new"), world.output / "new", valid=True, names=names)


def results(world: World, rng: random.Random) -> Case:
    """A file of one of several runs that are shown together."""
    folder = world.run_folder("CoOp", rng.choice((1, 2)))
    path = folder / rng.choice((RESULTS, RESULTS, RESULTS, CONFIG, TASKS, "log.txt"))
    what = _damaged(path, rng)
    shown = tuple(f"{sum(a for _, a in tasks_of(world.run_folder(m))) / 2:.1f}" for m in ("SoftCPT", "LinearProbe"))
    return Case(what, path, world.launch("report", str(world.output / "tiny")), names=(path.name,), shown=shown)


def bank(world: World, rng: random.Random) -> Case:
    """An entry of the bank of image features, or its table of hashes."""
    path = _pick(rng, (file for file in (world.output / ".bank").iterdir() if file.is_file()))
    what = damage.any_damage(path, rng)
    return Case(what, path, world.train("CoOp", to=world.output / "new"), world.output / "new")


def archives(world: World, rng: random.Random) -> Case:
    """A downloaded archive; a file outside its folder would be named escaped.txt."""
    from datasets.source import Download
    from launcher.data import fetch

    folder = fetch.downloads_folder(world.data, "mine")
    folder.mkdir(parents=True)
    path = folder / "mine.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(5):
            archive.writestr(f"mine/a/{number}.txt", "content " * 50)
    what = damage.zip_damaged(path, rng)

    def command() -> int:
        def answer(argv: list[str]) -> int:
            try:
                fetch.fetch(Download("http://127.0.0.1:9/mine.zip", "mine", unpack=True), world.data, "mine")
            except fetch.FetchError as error:
                raise InputError(str(error)) from None
            return 0

        return frame.run(answer, [])

    wanted = {f"mine/mine/a/{number}.txt" for number in range(5)}
    return Case(what, path, command, world.data / "mine", expected=wanted, names=("mine.zip",))


def _damaged(path: Path, rng: random.Random) -> str:
    if path.suffix == ".json":
        return damage.json_damaged(path, rng)
    if path.suffix == ".yaml":
        return damage.yaml_damaged(path, rng)
    if ".pth.tar" in path.name:
        return damage.checkpoint_damaged(path, rng)
    return damage.any_damage(path, rng)


KINDS: dict[str, Kind] = {
    "pictures": pictures,
    "splits": splits,
    "few-shot records": draws,
    "interrupted runs": interrupted,
    "finished runs": finished,
    "checkpoints tested": evaluated,
    "checkpoints to start from": started,
    "towers": towers,
    "configs": configs,
    "results reported": results,
    "bank": bank,
    "archives": archives,
}


def cycle() -> Iterator[str]:
    """The kinds in turn, without end."""
    return itertools.cycle(KINDS)


def escaped(world: World) -> bool:
    """True if a file was written where an archive has no business, or a pickle ran."""
    places = [Path("/tmp/escaped.txt"), world.data / "escaped.txt", world.data.parent / "escaped.txt"]
    return any(os.path.lexists(place) for place in places) or any(world.folder.rglob("harmed"))

"""Finds folders and files of a release in copies that are arranged differently: other letter case, doubled or extra
folders, images sorted into train/ and test/."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from pathlib import Path, PurePosixPath

from common.files import is_regular
from common.text import counted
from datasets.folders import NO_CLASSES
from prompting.image_files import image_suffixes, is_folder

Parts = tuple[str, ...]  # of a path, spelt as `plain` does
DEPTH = 3  # folders below a data set's folder that are searched
DEEPEST = 32  # levels of folders that are walked for the files of a list
# Folder names of each split, without letter case and punctuation; the last existing one is used.
PARTS = {
    "train": ("ilsvrc2012imgtrain", "trainset", "trainingset", "training", "train"),
    "val": ("ilsvrc2012imgval", "validationset", "valset", "val", "valid", "validation"),
    "test": ("testset", "testingset", "testing", "test"),
}
# Folders of images that are not classes.
NOT_CLASSES = {"annotations", "carsims", "carstest", "carstrain", "image", "images", "img", "imgs", "jpg", "labels"}
NOT_CLASSES |= {"masks", "meta", "segmim", "trimaps", *(name for names in PARTS.values() for name in names)}
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".rar", ".7z")
TABLES = (".parquet", ".arrow", ".tfrecord", ".h5", ".hdf5", ".npz", ".npy", ".pkl")
VIDEOS = (".avi", ".mp4", ".mkv")


def plain(name: str) -> str:
    """A name without letter case, spaces and punctuation, to compare spellings."""
    return "".join(filter(str.isalnum, name.casefold()))


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, without hidden ones, in alphabetical order; none if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if e.name[0] != "." and e.name not in NO_CLASSES and is_folder(e)]
            return sorted(folder / name for name in names)
    except OSError:
        return []


def has_images(folder: Path) -> bool:
    """True if an image is directly in a folder; its name is enough."""
    try:
        with os.scandir(folder) as entries:
            return any(e.name[0] != "." and e.name.lower().endswith(image_suffixes()) for e in entries)
    except OSError:
        return False


def unwrap(folder: Path) -> Path:
    """The innermost of doubled folders: ``cars_train/cars_train`` for ``cars_train``, if it is the only subfolder."""
    for _ in range(DEPTH):  # a link could lead back for ever
        inner = subfolders(folder)
        if len(inner) != 1 or plain(inner[0].name) != plain(folder.name):
            break
        folder = inner[0]
    return folder


def resolve(folder: Path, place: str, inner: bool = True) -> Path | None:
    """The folder ``place`` below ``folder``, with letter case, "-" and "_" ignored and doubled folders unwrapped (the
    last one only if ``inner``); None if there is none."""
    found = folder
    for name in PurePosixPath(place).parts:
        exact = found / name
        if not os.path.isdir(exact):
            same = [child for child in subfolders(unwrap(found)) if plain(child.name) == plain(name)]
            if not same:
                return None
            exact = same[0]
        found = exact
    return unwrap(found) if inner else found


def search(folder: Path) -> Iterator[Path]:
    """The folder and the folders below it, those with fewer levels first. Folders of images are not entered."""
    level = [folder]
    for _ in range(DEPTH + 1):
        yield from level
        level = [child for parent in level for child in subfolders(parent) if not has_images(child)]


def find_place(folder: Path, place: str) -> Path | None:
    """The folder ``place`` below ``folder`` (see `resolve`) or below a folder in it; None if there is none."""
    if (found := resolve(folder, place)) is not None or not place:
        return found
    inside = (resolve(parent, place) for parent in search(folder))
    return next((found for found in inside if found is not None), None)


def find_file(folder: Path, *names: str) -> Path | None:
    """The first of some files, named relative to the folder or to a folder below it, with letter case ignored."""
    exact = [folder / name for name in names if is_regular(folder / name)]
    if exact:
        return exact[0]
    found: dict[str, Path] = {}
    for place in search(folder):
        for name in names:
            parent, _, base = name.rpartition("/")
            inside = resolve(place, parent) if parent else place
            if inside is not None and name not in found and (file := _file(inside, base)):
                found[name] = file
    return next((found[name] for name in names if name in found), None)


def _file(folder: Path, name: str) -> Path | None:
    with os.scandir(folder) as entries:
        same = sorted(e.path for e in entries if e.name.casefold() == name.casefold() and is_regular(e.path))
    return Path(same[0]) if same else None


# -- class folders --


def class_count(folder: Path) -> int:
    """How many folders of images are in a folder, without those that are no classes, such as images/ and test/."""
    return sum(1 for child in subfolders(folder) if plain(child.name) not in NOT_CLASSES and has_images(child))


def group_count(folder: Path) -> int:
    """How many folders of images are in a folder and in its subfolders."""
    return class_count(folder) + sum(map(class_count, subfolders(folder)))


def part_folders(folder: Path) -> dict[str, Path]:
    """The existing folders of a split, by "train", "val" and "test"."""
    by_name: dict[str, Path] = {}
    for child in subfolders(folder):
        by_name.setdefault(plain(child.name), child)
        if child.name.islower():  # "train" rather than "Train", if both exist
            by_name[plain(child.name)] = child
    return {part: unwrap(by_name[name]) for part, names in PARTS.items() for name in names if name in by_name}


def find_classes(folder: Path, places: Sequence[str], count: Callable[[Path], int] = class_count) -> Path | None:
    """The folder with class folders, or with train/ and test/ that hold them: the first of ``places`` or, if none of
    them does, the one below ``folder`` with the fewest levels and then the most class folders."""

    def is_split(place: Path) -> bool:
        return any(map(count, part_folders(place).values()))

    for place in places:
        found = find_place(folder, place)
        if found is not None and (is_split(found) or count(found) > (0 if place else 1)):
            return found
    best, most = None, 1
    for found in search(folder):
        if best is not None and len(found.parts) > len(best.parts):
            break
        if is_split(found):
            return found
        if (classes := count(found)) > most:
            best, most = found, classes
    return best


def copies(folder: Path) -> tuple[str, ...]:
    """Subfolders named like the folder itself that hold its class folders once more, as some archives do."""
    return tuple(c.name for c in subfolders(folder) if plain(c.name) == plain(folder.name) and class_count(c))


# -- files that a list names --


def match_files(names: Iterable[str], folder: Path) -> dict[str, str] | None:
    """Where the files of a list are below a folder, if they are arranged otherwise than the list says.

    Files are matched by the last parts of their paths (class folder and name, or name alone), the same number of parts
    for all files. Letter case, "-", "_" and doubled folders are ignored. If train/ and test/ have files of the same
    name, the list must say which is meant, as ``cars_train/00001.jpg`` does.

    Returns:
        the path of every name; None unless each has exactly one, no two have the same, and none is in the folder of
        another class or part.
    """
    rows = {name: _parts(name.split("/")) for name in names}
    wanted = {parts[-1] for parts in rows.values()}
    files = [(path, (*inner, name)) for inner, path, name in _walk(folder) if name in wanted]
    for depth in range(max(map(len, rows.values()), default=0), 0, -1):
        found = _match_tails(rows, files, depth)
        if found and len(found) == len(set(found.values())) == len(rows):
            return found
    return None


def _match_tails(rows: dict[str, Parts], files: list[tuple[str, Parts]], depth: int) -> dict[str, str]:
    """The path of every row by the last ``depth`` parts; nothing unless each row has at least one candidate."""
    by_tail: dict[Parts, list[tuple[str, Parts]]] = defaultdict(list)
    for path, parts in files:
        by_tail[parts[-depth:]].append((path, parts[:-depth]))
    candidates = {name: by_tail.get(parts[-depth:], []) for name, parts in rows.items()}
    if not all(candidates.values()):
        return {}
    folders = {part for parent in {parts[:-1] for _, parts in files} for part in parent}
    for name, found in candidates.items():
        dropped = rows[name][:-depth]
        if part := _part_of(dropped):
            found = [(path, head) for path, head in found if _part_of(head) in (part, "")]
        if dropped and dropped[-1] in folders:  # the class folder is there, so its images must be in it
            found = [(path, head) for path, head in found if dropped[-1] in head]
        candidates[name] = found
    # Several complete copies: the one with the shortest path.
    heads = [{head for _, head in found} for found in candidates.values()]
    common = min(set.intersection(*heads), key=lambda head: (len(head), head), default=None)
    chosen: dict[str, str] = {}
    owners: dict[str, set[Parts]] = defaultdict(set)
    for name, found in candidates.items():
        if common is not None:
            found = [(path, head) for path, head in found if head == common]
        if len(found) == 1:
            chosen[name] = found[0][0]
            owners[os.path.dirname(found[0][0])].add(rows[name][:-depth])
    # A folder with images of several classes may be one with all images, but not the folder of one class.
    mixed = any(len(classes) > 1 for classes in owners.values())
    return {} if mixed and len(owners) > len(PARTS) else chosen


def _parts(parts: Iterable[str]) -> Parts:
    """Spellings of a path's parts, with doubled folders merged. The file's suffix distinguishes files."""
    *folders, name = parts
    return (*(part for part, _ in groupby(map(plain, folders))), name.casefold())


def _walk(folder: Path) -> Iterator[tuple[Parts, str, str]]:
    """The spellings of the folders, the path and the casefolded name of every file below a folder."""
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add(real)
        if len(Path(place).parts) - len(folder.parts) >= DEEPEST:
            folders.clear()
        folders[:] = sorted(name for name in folders if name[0] != "." and name != "__MACOSX")
        inner = _parts((*Path(place).relative_to(folder).parts, ""))[:-1]
        for name in sorted(files):
            if name[0] != ".":
                yield inner, os.path.join(place, name), name.casefold()


@lru_cache(maxsize=4096)
def _part_of(folders: Parts) -> str:
    """The split that a path's folders name, as "test" and "carstest" do; empty if they name none."""
    found = {part for name in folders for part, names in PARTS.items() if name in names}
    found = found or {part for name in folders for part in PARTS if name.endswith(part)}
    return found.pop() if len(found) == 1 else ""


# -- messages --


def contents(folder: Path, limit: int = 5) -> str:
    """What a folder holds, in a few words."""
    with os.scandir(folder) as entries:
        files = sorted(entry.name for entry in entries if entry.name[0] != "." and is_regular(entry.path))
    listed = [f"{child.name}/" for child in subfolders(folder)] + files
    more = f" and {counted(len(listed) - limit, 'more entry', 'more entries')}" if len(listed) > limit else ""
    return ", ".join(listed[:limit]) + more or "nothing"


def unusable_files(folder: Path) -> tuple[str, list[str]]:
    """The kind of files that a folder holds in place of images ("archive", "table" or "video"), and their paths."""
    found: dict[str, list[str]] = {"archive": [], "table": [], "video": []}
    for _, path, name in _walk(folder):
        for kind, suffixes in (("archive", ARCHIVES), ("table", TABLES), ("video", VIDEOS)):
            if name.endswith(suffixes):
                found[kind].append(path)
    kind = next((kind for kind in found if found[kind]), "")
    return kind, found.get(kind, [])

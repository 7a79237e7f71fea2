"""SUN397 (Xiao et al., CVPR 2010): 397 scenes, in the first of the release's ten partitions."""

from __future__ import annotations

from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY

from datasets.layouts import ClassFolders, Release, from_lists, named_folders, read_classes, read_lines, read_list
from datasets.places import find_file, has_images, subfolders
from datasets.source import Download, Facts, Source

# Scenes in folders of two levels, other than indoor and outdoor ones; some copies join the levels by "_" or "-".
TWO_LEVELS = {
    scene.replace("/", "_"): scene
    for scene in """
    atrium/public bakery/shop balcony/exterior balcony/interior canal/natural canal/urban car_interior/backseat
    car_interior/frontseat covered_bridge/exterior cubicle/office desert/sand desert/vegetation dinette/home
    dinette/vehicle elevator/door elevator/interior field/cultivated field/wild forest/broadleaf forest/needleleaf
    gazebo/exterior lake/natural moat/water poolroom/establishment poolroom/home stadium/baseball stadium/football
    subway_station/platform temple/east_asia temple/south_asia theater/indoor_procenium theater/indoor_seats
    train_station/platform underwater/coral_reef waterfall/block waterfall/fan waterfall/plunge
    wine_cellar/barrel_storage wine_cellar/bottle_storage
    """.split()
}


@DATASET_REGISTRY.register()
class SUN397(Source):
    folders = ("sun397",)
    images = "SUN397"
    split_files = ("split_zhou_SUN397.json", "split_dk_SUN397.json")
    task_name = "scene"
    facts = Facts(
        classes=397,
        images=108754,  # a partition uses 39,700 of them
        split=(15880, 3970, 19850),
        licence="not stated",
        size="39 GB",
        home="https://doi.org/10.1109/CVPR.2010.5539970",
        downloads=(
            # The release's addresses at vision.princeton.edu no longer work; PromptKD's authors keep this copy.
            Download(
                "https://huggingface.co/zhengli97/prompt_learning_dataset/resolve/"
                "ceb3112337fb6e1bf71534e355ca5569b63f19a6/sun397.zip",
                "",
                unpack=True,
            ),
            Download("gdrive:1y2RD81BYuiyvebdN-JymPfyWYcd8_MUq", "sun397/split_zhou_SUN397.json"),
        ),
    )

    @classmethod
    def key(cls, folder: str) -> str:
        return scene_key(folder)

    @classmethod
    def classname(cls, key: str) -> str:
        return scene_name(key)

    @classmethod
    def read(cls, folder: Path) -> Release:
        names = find_file(folder, "ClassName.txt", "Partitions/ClassName.txt")
        lists = [find_file(folder, f"{part}_01.txt", f"Partitions/{part}_01.txt") for part in ("Training", "Testing")]
        if names is None or None in lists:
            return read_classes(_inner(folder), ("",), cls.read_folders, cls.name(), count=_scene_count)
        scenes = [line.removeprefix("/") for line in read_lines(names)]

        def parse(line: str) -> tuple[str, str]:
            scene, slash, _image = line.removeprefix("/").rpartition("/")
            if not slash:
                raise ValueError(line)
            return line.removeprefix("/"), scene

        images, known = cls.image_folder(folder), set(scenes)
        train, test = (read_list(path, parse, images, folder, known) for path in lists if path)
        return from_lists(scenes, scene_name, train=train, test=test)

    @classmethod
    def read_folders(cls, folder: Path) -> ClassFolders:
        """Read a/abbey and a/apartment_building/outdoor, or abbey and apartment_building_outdoor."""
        return named_folders(
            {cls.key(path.relative_to(folder).as_posix()): path for path in _scenes(folder)}, scene_name
        )


def _scenes(folder: Path) -> list[Path]:
    """All folders of images below a folder."""
    return [path for child in subfolders(folder) for path in ([child] if has_images(child) else _scenes(child))]


def _inner(folder: Path) -> Path:
    """The innermost folder that holds all folders of images, but not one named by a scene's first letter."""
    while True:
        inner = [child for child in subfolders(folder) if _scenes(child)]
        if len(inner) != 1 or len(inner[0].name) == 1:
            return folder
        folder = inner[0]


def _scene_count(folder: Path) -> int:
    return len(_scenes(folder))


def scene_key(folder: str) -> str:
    """A scene's folder in the release.

    >>> scene_key("apartment_building_outdoor"), scene_key("apartment_building/outdoor"), scene_key("bus_interior")
    ('a/apartment_building/outdoor', 'a/apartment_building/outdoor', 'b/bus_interior')
    """
    first, _, rest = folder.partition("/")
    scene = rest if len(first) == 1 and rest else folder
    if "/" not in scene:
        scene = scene.replace("-", "_")
        base, _, last = scene.rpartition("_")
        scene = f"{base}/{last}" if last in ("indoor", "outdoor") and base else TWO_LEVELS.get(scene, scene)
    return f"{scene[0]}/{scene}"


def scene_name(folder: str) -> str:
    """Turn a folder into a scene: "a/apartment_building/outdoor" into "outdoor apartment building"."""
    _letter, *parts = folder.split("/")
    return " ".join(reversed(parts)).replace("_", " ")

"""SUN397 (Xiao et al., CVPR 2010): 397 scenes, in the first of the release's ten partitions."""

from __future__ import annotations

from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY

from datasets.layouts import Release, from_lists, read_lines, read_list
from datasets.source import Download, Facts, Source


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
        home="https://vision.princeton.edu/projects/2010/SUN/",
        downloads=(
            Download(
                "http://vision.princeton.edu/projects/2010/SUN/SUN397.tar.gz",
                "sun397",
                "8ca2778205c41d23104230ba66911c7a",
                unpack=True,
            ),
            Download("gdrive:1y2RD81BYuiyvebdN-JymPfyWYcd8_MUq", "sun397/split_zhou_SUN397.json"),
        ),
    )

    @classmethod
    def read(cls, folder: Path) -> Release:
        scenes = [line.removeprefix("/") for line in read_lines(folder / "ClassName.txt")]

        def parse(line: str) -> tuple[str, str]:
            scene, slash, _image = line.removeprefix("/").rpartition("/")
            if not slash:
                raise ValueError(line)
            return f"{folder}/{cls.images}/{line.removeprefix('/')}", scene

        known = set(scenes)
        train, test = (read_list(folder / f"{part}_01.txt", parse, known) for part in ("Training", "Testing"))
        return from_lists(scenes, scene_name, train=train, test=test)


def scene_name(folder: str) -> str:
    """Turn a folder into a scene: "a/apartment_building/outdoor" into "outdoor apartment building"."""
    _letter, *parts = folder.split("/")
    return " ".join(reversed(parts)).replace("_", " ")

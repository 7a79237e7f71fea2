"""Oxford 102 Flowers (Nilsback and Zisserman, ICVGIP 2008): 102 flower species."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dassl.data.datasets import DATASET_REGISTRY

from common.errors import InputError
from common.files import read_json
from datasets.fewshot import Samples
from datasets.layouts import Release, locate_files, read_mat
from datasets.places import find_file
from datasets.source import Download, Facts, Source

# By number, from 1: the names that the literature uses (CoOp's cat_to_name.json).
FLOWERS = """
pink primrose,hard-leaved pocket orchid,canterbury bells,sweet pea,english marigold,tiger lily,moon orchid,
bird of paradise,monkshood,globe thistle,snapdragon,colt's foot,king protea,spear thistle,yellow iris,globe-flower,
purple coneflower,peruvian lily,balloon flower,giant white arum lily,fire lily,pincushion flower,fritillary,red ginger,
grape hyacinth,corn poppy,prince of wales feathers,stemless gentian,artichoke,sweet william,carnation,garden phlox,
love in the mist,mexican aster,alpine sea holly,ruby-lipped cattleya,cape flower,great masterwort,siam tulip,
lenten rose,barbeton daisy,daffodil,sword lily,poinsettia,bolero deep blue,wallflower,marigold,buttercup,oxeye daisy,
common dandelion,petunia,wild pansy,primula,sunflower,pelargonium,bishop of llandaff,gaura,geranium,orange dahlia,
pink-yellow dahlia,cautleya spicata,japanese anemone,black-eyed susan,silverbush,californian poppy,osteospermum,
spring crocus,bearded iris,windflower,tree poppy,gazania,azalea,water lily,rose,thorn apple,morning glory,
passion flower,lotus,toad lily,anthurium,frangipani,clematis,hibiscus,columbine,desert-rose,tree mallow,magnolia,
cyclamen,watercress,canna lily,hippeastrum,bee balm,ball moss,foxglove,bougainvillea,camellia,mallow,mexican petunia,
bromelia,blanket flower,trumpet creeper,blackberry lily
""".strip().replace("\n", "").split(",")  # fmt: skip


@DATASET_REGISTRY.register()
class OxfordFlowers(Source):
    """The literature splits all images again, so setid.mat (1,020 / 1,020 / 6,149 images) is not used."""

    folders = ("oxford_flowers", "flowers-102")
    aliases = ("oxford-102-flowers", "102flowers", "flowers102", "oxford-flowers-102")
    images = "jpg"
    split_files = ("split_zhou_OxfordFlowers.json", "split_dk_OxfordFlowers.json")
    task_name = "flower species"
    template = "a photo of a {}, a type of flower."
    metric = "C"
    facts = Facts(
        classes=102,
        images=8189,
        split=(4093, 1633, 2463),
        licence="not stated",
        size="345 MB",
        home="https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
        downloads=(
            Download(
                "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/102flowers.tgz",
                "oxford_flowers",
                "52808999861908f626f3c1f4e79d11fa",
                unpack=True,
            ),
            Download(
                "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/imagelabels.mat",
                "oxford_flowers/imagelabels.mat",
                "e0620be6f572b9609742df49c70aed4d",
            ),
            Download("gdrive:1AkcxCXeK_RCGCEC_GvmWxjcjaNhu-at0", "oxford_flowers/cat_to_name.json"),
            Download("gdrive:1Pp0sRXzZFZq15zVOzKjKBu4A9i01nozT", "oxford_flowers/split_zhou_OxfordFlowers.json"),
        ),
    )

    @classmethod
    def key(cls, folder: str) -> str:
        number = folder.removeprefix("class_")
        return str(int(number)) if number.isdecimal() else folder

    @classmethod
    def read(cls, folder: Path) -> Release:
        matrix = find_file(folder, "imagelabels.mat")
        if matrix is None:
            names, release = _read_names(folder), super().read(folder)
            # In numerical order: copies with class folders number them, too.
            if all(key.isdecimal() for key in release.keys):
                release = _sorted_by_number(release)
            return replace(release, classnames=tuple(_name(key, names, folder) for key in release.keys))
        labels = [int(label) for label in read_mat(matrix, "labels")]
        names = _read_names(folder)
        order = sorted(set(labels))
        keys = tuple(map(str, order))
        classnames = tuple(_name(key, names, folder) for key in keys)
        index = {label: i for i, label in enumerate(order)}
        files = [f"image_{number:05}.jpg" for number in range(1, len(labels) + 1)]
        found = locate_files(files, cls.image_folder(folder), folder, str(matrix))
        samples = [(found[file], index[label]) for file, label in zip(files, labels, strict=True)]
        return Release(keys, classnames, samples)


def _read_names(folder: Path) -> dict[str, str]:
    """The flowers' names by number (as text): those of cat_to_name.json or, if there is none, the same ones here."""
    path = find_file(folder, "cat_to_name.json")
    if path is None:
        return {str(number): name for number, name in enumerate(FLOWERS, 1)}
    try:
        names = read_json(path)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}, the list of flower names, cannot be read ({error}); "
            "`bash scripts/datasets/prepare.sh oxford_flowers` fetches it."
        ) from None
    if not isinstance(names, dict):
        raise InputError(f"{path} does not map numbers to flower names; fetch it again.")
    return {str(number): str(name) for number, name in names.items()}


def _name(key: str, names: dict[str, str], folder: Path) -> str:
    """A flower's name; class folders may be named by numbers or by names."""
    if not key.isdecimal():
        return key.replace("_", " ")
    if key not in names:
        raise InputError(f"{folder / 'cat_to_name.json'} does not name flower {key}; fetch it again.")
    return names[key]


def _sorted_by_number(release: Release) -> Release:
    """The release with its classes in the order of their numbers, in which 2 comes before 10."""
    order = sorted(range(len(release.keys)), key=lambda i: int(release.keys[i]))
    index = {old: new for new, old in enumerate(order)}

    def renumbered(samples: Samples) -> Samples:
        return sorted(((file, index[label]) for file, label in samples), key=lambda sample: sample[1])

    val, test = (None if part is None else renumbered(part) for part in (release.val, release.test))
    keys, names = (tuple(texts[i] for i in order) for texts in (release.keys, release.classnames))
    return replace(release, keys=keys, classnames=names, train=renumbered(release.train), val=val, test=test)

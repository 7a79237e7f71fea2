"""ImageNet's lists of class names in every form that exists, and copies of ImageNet and its variants."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.errors import InputError
from datasets.name_lists import read_name_list
from datasets.sources.imagenet import ImageNet
from datasets.sources.imagenet_a import ImageNetA
from datasets.sources.imagenet_sketch import ImageNetSketch
from datasets.sources.imagenetv2 import ImageNetV2
from tests.support.releases import write_image

IDS = ("n01440764", "n01443537", "n01484850")
NAMES = ("tench", "goldfish", "great white shark")

WITH_IDS = {
    "CoOp's classnames.txt": "n01440764 tench\nn01443537 goldfish\nn01484850 great white shark\n",
    "with a byte order mark": "\ufeffn01440764 tench\nn01443537 goldfish\nn01484850 great white shark\n",
    "CRLF": "n01440764 tench\r\nn01443537 goldfish\r\nn01484850 great white shark\r\n",
    "LOC_synset_mapping.txt": "n01440764 tench, Tinca tinca\nn01443537 goldfish, Carassius auratus\n"
    "n01484850 great white shark, white shark, man-eater\n",
    "words.txt": "n01440764\ttench, Tinca tinca\nn01443537\tgoldfish\nn01484850\tgreat white shark, white shark\n",
    "words and glosses": "n01440764\ttench\ta fish\nn01443537\tgoldfish\tone\nn01484850\tgreat white shark\tx\n",
    "map_clsloc.txt": "n01484850 1 great_white_shark\nn01440764 2 tench\nn01443537 3 goldfish\n",
    "numbers first": "1 n01440764 tench\n2 n01443537 goldfish\n3 n01484850 great white shark\n",
    "numbers first, with colons": "0: n01440764: tench\n1: n01443537: goldfish\n2: n01484850: great white shark\n",
    "CSV": "synset,words\nn01440764,tench\nn01443537,goldfish\nn01484850,great white shark\n",
    "quoted CSV": 'id,name\nn01440764,"tench, Tinca tinca"\nn01443537,"goldfish"\nn01484850,"great white shark, x"\n',
    "CSV with numbers": "class_id,wnid,name\n0,n01440764,tench\n1,n01443537,goldfish\n2,n01484850,great_white_shark\n",
    "ids last": "tench n01440764\ngoldfish n01443537\ngreat white shark n01484850\n",
    "ids last, with commas": "0,tench,n01440764\n1,goldfish,n01443537\n2,great white shark,n01484850\n",
    "imagenet_class_index.json": json.dumps({str(k): [key, name.replace(" ", "_")]
                                             for k, (key, name) in enumerate(zip(IDS, NAMES, strict=True))}),
    "ids to names": json.dumps({**dict(zip(IDS, NAMES, strict=True)), "n01484850": "great white shark, white shark"}),
    "ids to numbers and names": json.dumps({key: [k, name]
                                            for k, (key, name) in enumerate(zip(IDS, NAMES, strict=True))}),
    "ids to synonyms": json.dumps({key: [name, "x"] for key, name in zip(IDS, NAMES, strict=True)}),
    "pairs": json.dumps([list(pair) for pair in zip(IDS, NAMES, strict=True)]),
    "records": json.dumps([{"wnid": key, "name": name} for key, name in zip(IDS, NAMES, strict=True)]),
    "WordNet's addresses": str({k: {"id": f"{key[1:]}-n", "label": f"{name}, x", "uri": "http://x/1"}
                                for k, (key, name) in enumerate(zip(IDS, NAMES, strict=True))}),
}  # fmt: skip
IN_ORDER = {
    "names": "tench\ngoldfish\ngreat white shark\n",
    "names with synonyms": "tench, Tinca tinca\ngoldfish, Carassius auratus\ngreat white shark, white shark\n",
    "TensorFlow's": "background\ntench\ngoldfish\ngreat white shark\n",
    "numbers": "0: tench\n1: goldfish\n2: great white shark\n",
    "numbers without colons": "0 tench\n1 goldfish\n2 great_white_shark\n",
    "numbers in CSV": "index,label\n0,tench\n1,goldfish\n2,great white shark\n",
    "numbers out of order": "2: great white shark\n0: tench\n1: goldfish\n",
    "a Python dictionary": "{0: 'tench, Tinca tinca',\n 1: 'goldfish',\n 2: 'great white shark, white shark'}",
    "a JSON list": json.dumps(NAMES),
    "a JSON dictionary": json.dumps({str(k): name for k, name in enumerate(NAMES)}),
    "names to numbers": json.dumps({name: k for k, name in enumerate(NAMES)}),
    "Hugging Face's config.json": json.dumps({"model": "x", "id2label": {str(k): n for k, n in enumerate(NAMES)}}),
}


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("form", WITH_IDS)
def test_lists_with_ids(tmp_path, form):
    names = read_name_list(write(tmp_path / "classnames.txt", WITH_IDS[form]))
    assert names.by_id == dict(zip(IDS, NAMES, strict=True)) and not names.in_order
    assert names.of_ids(IDS[::2], tmp_path) == NAMES[::2]
    # Without numbers, synonyms and underscores, the names may be CLIP's.
    assert names.plain == (
        form in ("CoOp's classnames.txt", "with a byte order mark", "CRLF", "CSV", "ids last", "words and glosses")
    )


@pytest.mark.parametrize("form", IN_ORDER)
def test_lists_without_ids(tmp_path, form):
    """Names are in the order of ids, whatever the order of folders."""
    names = read_name_list(write(tmp_path / "classnames.txt", IN_ORDER[form]))
    assert tuple(names.in_order) == NAMES and not names.by_id and not names.plain
    assert names.of_ids(IDS, tmp_path) == NAMES
    with pytest.raises(InputError, match="3 names without ids .* 2 class folders"):
        names.of_ids(IDS[:2], tmp_path)


@pytest.mark.parametrize(
    "text, message",
    [
        ("n01440764\nn01443537\n", "line 'n01440764' is not an id and a class name"),
        ("n01440764 1\nn01443537 2\n", "line 'n01440764 1' is not an id and a class name"),
        ("n01440764 tench\ngoldfish\n", "line 'goldfish' is not an id and a class name"),
        ("1 tench\n2 goldfish\n", "numbers its 2 classes from 1 to 2"),
        ("0: tench\n2: goldfish\n", "numbers its 2 classes from 0 to 2"),
        ("", "the file is empty"),
        ("{'n01440764': tench}", "neither JSON nor a Python literal"),
        ('{"n01440764": 3}', "is not an id and a class name"),
        (b"n01440764 tench\xe9\n", "cannot be read"),
    ],
)
def test_lists_in_other_forms_are_refused(tmp_path, text, message):
    path = tmp_path / "classnames.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=message) as caught:
        read_name_list(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_number_in_a_name_stays(tmp_path):
    names = read_name_list(write(tmp_path / "classnames.txt", "n01440764 tench\nn01443537 4 wheel drive\n"))
    assert names.by_id == {"n01440764": "tench", "n01443537": "4 wheel drive"}


# -- the data sets --


def write_folders(folder: Path, names: tuple[str, ...] = IDS, count: int = 2) -> None:
    for name in names:
        for number in range(count):
            write_image(folder / name / f"{name}_{number}.JPEG")


@pytest.mark.parametrize(
    "file, form",
    [
        ("classnames.txt", "LOC_synset_mapping.txt"),
        ("classnames.txt", "map_clsloc.txt"),
        ("LOC_synset_mapping.txt", "LOC_synset_mapping.txt"),
        ("devkit/map_clsloc.txt", "map_clsloc.txt"),
        ("imagenet_class_index.json", "imagenet_class_index.json"),
        ("imagenet_classes.txt", "names"),
    ],
)
def test_imagenet_with_a_list_of_wordnets_names(tmp_path, capsys, file, form):
    write_folders(tmp_path / "imagenet/val", count=1)
    write(tmp_path / "imagenet" / file, {**WITH_IDS, **IN_ORDER}[form])
    (images,) = ImageNet.tasks(tmp_path)
    assert images.task.classnames == NAMES and images.folders == IDS
    said = "".join(capsys.readouterr())
    assert str(tmp_path / "imagenet" / file) in said and "CLIP's names" in said and said.count("\n") == 1


def test_clips_names_come_first_and_without_a_line(tmp_path, capsys):
    write_folders(tmp_path / "imagenet/val", count=1)
    write(tmp_path / "imagenet/classnames.txt", WITH_IDS["CoOp's classnames.txt"].replace("tench", "a fish"))
    write(tmp_path / "imagenet/LOC_synset_mapping.txt", WITH_IDS["LOC_synset_mapping.txt"])
    (images,) = ImageNet.tasks(tmp_path)
    assert images.task.classnames[0] == "a fish" and not "".join(capsys.readouterr())


def test_a_name_that_two_classes_have_is_reported(tmp_path, capsys):
    write_folders(tmp_path / "imagenet/val", ("n02012849", "n03126707"), 1)
    write(tmp_path / "imagenet/LOC_synset_mapping.txt", "n02012849 crane\nn03126707 crane\n")
    (images,) = ImageNet.tasks(tmp_path)
    assert images.task.classnames == ("crane", "crane") and "called 'crane'" in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    "place", ["imagenet/images", "imagenet", "ImageNet/Images", "ILSVRC2012", "imagenet/ILSVRC/Data/CLS-LOC",
              "imagenet/ILSVRC2012"]
)  # fmt: skip
@pytest.mark.parametrize("parts", [("train", "val"), ("Train", "Val"), ("train/train", "validation"),
                                   ("ILSVRC2012_img_train", "ILSVRC2012_img_val")])  # fmt: skip
def test_places_of_imagenet(tmp_path, place, parts):
    write_folders(tmp_path / place / parts[0])
    write_folders(tmp_path / place / parts[1], count=1)
    write(tmp_path / place.split("/")[0] / "classnames.txt", WITH_IDS["CoOp's classnames.txt"])
    (images,) = ImageNet.tasks(tmp_path)
    assert [len(images.train), len(images.val), len(images.test)] == [6, 0, 3]
    assert images.task.classnames == NAMES and images.source == "imagenet"


def test_kaggles_imagenet_has_validation_images_without_folders(tmp_path):
    data = tmp_path / "imagenet/ILSVRC/Data/CLS-LOC"
    write_folders(data / "train")
    rows = ["ImageId,PredictionString"]
    for number, key in enumerate((IDS[1], IDS[0], IDS[2], IDS[1])):
        write_image(data / f"val/ILSVRC2012_val_{number:08}.JPEG")
        rows.append(f"ILSVRC2012_val_{number:08},{key} 1 2 3 4 {IDS[0]} 1 2 3 4 ")
    write_image(data / "test/ILSVRC2012_test_00000001.JPEG")
    write(tmp_path / "imagenet/LOC_val_solution.csv", "\n".join(rows))
    write(tmp_path / "imagenet/LOC_synset_mapping.txt", WITH_IDS["LOC_synset_mapping.txt"])
    (images,) = ImageNet.tasks(tmp_path)
    assert images.task.classnames == NAMES and len(images.train) == 6
    assert [(Path(file).name[15:23], label) for file, label in images.test] == [
        ("00000001", 0), ("00000000", 1), ("00000003", 1), ("00000002", 2),
    ]  # fmt: skip


@pytest.mark.parametrize("place", ["imagenetv2/imagenetv2-matched-frequency-format-val", "imagenetv2",
                                   "ImageNetV2-matched-frequency-format-val"])  # fmt: skip
@pytest.mark.parametrize("form", ["CoOp's classnames.txt", "map_clsloc.txt", "names", "a Python dictionary"])
def test_numbered_folders_follow_the_order_of_ids(tmp_path, place, form):
    """The development kit lists its classes in another order; folder 0 is still the tench."""
    write_folders(tmp_path / place, ("0", "1", "2"))
    write(tmp_path / "imagenet/classnames.txt", {**WITH_IDS, **IN_ORDER}[form])
    (images,) = ImageNetV2.tasks(tmp_path)
    assert images.task.classnames == NAMES and not images.train and len(images.test) == 6
    assert all(Path(file).parent.name == str(label) for file, label in images.test)


def test_imagenetv2_with_ids(tmp_path):
    write_folders(tmp_path / "imagenetv2/imagenetv2-matched-frequency-format-val", IDS)
    write(tmp_path / "imagenet/classnames.txt", WITH_IDS["CoOp's classnames.txt"])
    (images,) = ImageNetV2.tasks(tmp_path)
    assert images.folders == IDS and images.task.classnames == NAMES


def test_numbered_folders_need_a_list_of_imagenets_classes_alone(tmp_path):
    """WordNet's list of all its words does not say which is the k-th class of ImageNet."""
    write_folders(tmp_path / "imagenetv2", ("0", "1"))
    words = "".join(f"n{number:08}\tword {number}\n" for number in range(1001))
    write(tmp_path / "imagenet/words.txt", words)
    with pytest.raises(InputError, match="1,001 names.*list of ImageNet's 1,000 classes"):
        ImageNetV2.tasks(tmp_path)


@pytest.mark.parametrize("source, place", [(ImageNetA, "imagenet-a"), (ImageNetA, "imagenet-adversarial/imagenet-a"),
                                           (ImageNetA, "ImageNet_A/imagenet-a"),
                                           (ImageNetSketch, "imagenet-sketch/sketch"),
                                           (ImageNetSketch, "imagenet_sketch/archive/sketch/sketch")])  # fmt: skip
def test_places_of_variants(tmp_path, source, place):
    write_folders(tmp_path / place)
    write(tmp_path / "imagenet/classnames.txt", WITH_IDS["CoOp's classnames.txt"])
    (images,) = source.tasks(tmp_path)
    assert images.task.classnames == NAMES and len(images.test) == 6

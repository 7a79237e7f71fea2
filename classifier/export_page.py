"""What an export holds, and its README."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from classifier.classifier import Classifier
from common.catalogue import METHODS
from common.chance import chance
from common.text import counted, one_line
from prompting.open_clip_towers import OPEN_CLIP, hub_of
from prompting.towers import HUGGING_FACE, import_clip

MODEL = "image_tower.onnx"
GARDEN = "garden_clip.safetensors"
METRICS = {"A": "all images", "C": "mean of classes"}
MANY = 60  # classes of a task that are all listed


@dataclass
class Made:
    """What an export holds, as its record and its README say.

    models: for each model file "bytes", "recipe", and where test images are at hand "accuracies" of the tasks in
    percent. checked: "images", "source" and "largest difference" of the comparison with PyTorch.
    """

    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    checked: dict[str, Any] = field(default_factory=dict)
    features: bool = False
    class_features: bool = False
    notes: list[str] = field(default_factory=list)


def page(classifier: Classifier, made: Made) -> str:
    """Return the README of an export, in Markdown."""
    record = classifier.bundles[0].record
    sections = [
        f"# {_title(classifier)}\n\n{_what(classifier)}",
        "## Use\n\n" + USE.format(task=_quoted(classifier.tasks[0].name), more=_indexing(made)),
        "## Tasks\n\n" + _tasks(classifier, made),
        "## Models\n\n" + _models(classifier, made),
        "## Training\n\n" + _training(classifier),
        "## Tower and terms\n\n" + _terms(record["tower"]["name"]),
    ]
    return "\n\n".join(sections) + "\n"


USE = """```
pip install -r requirements.txt
python classify.py photos/ another.jpg > answers.csv
python classify.py photos/ --task {task} --top 3
```

Each line of the answer names a photograph, a task, a rank, a class and its probability among the task's classes.
Photographs that cannot be read are named on standard error, and the exit status is then 1.

In Python, in this folder:

```python
import classify

classifier = classify.Classifier()
images = [classify.read(path) for path in ("a.jpg", "b.jpg")]
for task, probabilities in zip(classifier.tasks, classifier.predict(images)):
    print(task["name"], [task["classnames"][best] for best in probabilities.argmax(1)])
```
{more}
`classify.Classifier(providers=["CUDAExecutionProvider"])` computes on a GPU, with `onnxruntime-gpu`.

In other languages: the model's input `pixels` is (images, height, width, 3) in unsigned bytes, RGB. Resize and crop
images as the method `pixels` in `classify.py` does. The output `probabilities` is (images, classes), with the classes
of all tasks in the order of `classifier.json`."""

INDEXING = """
`classifier.run("features", map(classifier.pixels, images))` gives the features of images, (images, d), of unit
norm. The product of two is their cosine, so you can index photographs or find similar ones.
"""


def _title(classifier: Classifier) -> str:
    record = classifier.bundles[0].record
    return one_line(f"{record['method']} on {record.get('dataset', 'images')}")


def _what(classifier: Classifier) -> str:
    names = [task.name for task in classifier.tasks]
    what = f"the class of a photograph in {counted(len(names), 'task')}: {', '.join(map(one_line, names))}"
    return (
        f"A classifier that names {what}. It is a CLIP image tower with what {classifier.bundles[0].method} learned "
        f"from {_examples(classifier)}. It needs only numpy, Pillow and onnxruntime."
    )


def _examples(classifier: Classifier) -> str:
    shots = classifier.bundles[0].record.get("shots")
    if isinstance(shots, int) and shots > 0:
        return f"{counted(shots, 'image')} per class"
    method = METHODS.get(str(classifier.bundles[0].record.get("method")))
    return "all images" if method is not None and method.learns else "no images"


def _seeds(classifier: Classifier) -> list[Any]:
    return [seed for bundle in classifier.bundles for seed in bundle.record.get("seeds", [])]


def _indexing(made: Made) -> str:
    return INDEXING if made.features else ""


def _tasks(classifier: Classifier, made: Made) -> str:
    """Classes, chance and accuracies of every task."""
    here = made.models[MODEL].get("accuracies")
    runs = [[_number(task.get("accuracy")) for task in seed] for seed in classifier.measured]
    head = ["task", "classes", "chance", *(["this classifier"] if here else []), *_runs_head(classifier)]
    rows = []
    for number, task in enumerate(classifier.tasks):
        cells = [one_line(task.name), str(len(task.classnames)), f"{chance(len(task.classnames)):.1f}"]
        cells += [_percent(here[number])] if here else []
        rows.append([*cells, *(_percent(run[number]) for run in runs)])
    if len(rows) > 1:
        guessed = sum(chance(len(task.classnames)) for task in classifier.tasks) / len(rows)
        means = [_percent(_mean(part)) for part in ([here] if here else []) + runs]
        rows.append(["**mean**", "", f"{guessed:.1f}", *means])
    metrics = {task.metric for task in classifier.tasks}
    kinds = " and ".join(METRICS.get(metric, metric) for metric in sorted(metrics))
    listed = "\n".join(f"- **{one_line(task.name)}**: {_classes(task.classnames)}" for task in classifier.tasks)
    return f"Accuracy in percent on the test images ({kinds}):\n\n{_table(head, rows)}\n\n{listed}"


def _runs_head(classifier: Classifier) -> list[str]:
    if len(classifier.measured) == 1:
        return ["as measured when it was trained"]
    return [f"seed {seed} alone" for seed in _seeds(classifier)]


def _classes(names: Sequence[str]) -> str:
    shown = ", ".join(map(one_line, names[:MANY]))
    return shown + (f" and {len(names) - MANY:,} others, in `classifier.json`" if len(names) > MANY else "")


def _models(classifier: Classifier, made: Made) -> str:
    rows = []
    for name, about in made.models.items():
        accuracies = about.get("accuracies")
        mean = _percent(_mean(accuracies)) if accuracies else "not measured"
        rows.append([f"`{name}`", about["recipe"], f"{about['bytes'] / 1e6:.1f} MB", mean])
    lines = [_table(["file", "weights", "size", "mean accuracy"], rows)]
    lines += [f"{note}" for note in made.notes]
    check = made.checked
    lines.append(
        f"`classify.py` was compared with PyTorch on {check['images']} {check['source']}: the largest difference "
        f"in a probability is {check['largest difference']:.1g}."
    )
    if len(made.models) > 1:
        lines.append(
            "`--model NAME` uses another model than `image_tower.onnx`. You can delete the models that you do not use."
        )
    if made.class_features:
        lines.append(
            "`class_features.safetensors` holds a feature of unit norm for each class. With OpenCLIP, multiply it "
            "with the normalised result of `encode_image`: this gives the cosines of all classes, in the order of "
            "`classifier.json`."
        )
    return "\n\n".join(lines)


def _training(classifier: Classifier) -> str:
    record = classifier.bundles[0].record
    seeds = _seeds(classifier)
    rows = [
        ["method", str(record["method"])],
        ["data set", str(record.get("dataset", "not recorded"))],
        [
            "training images per class",
            "all" if _examples(classifier) == "all images" else str(record.get("shots", "not recorded")),
        ],
        ["seeds", f"{', '.join(map(str, seeds))}" + (", together as one classifier" if len(seeds) > 1 else "")],
        ["config", str(record.get("config", "not recorded"))],
        ["versions", ", ".join(f"{name} {version}" for name, version in dict(record.get("versions", {})).items())],
        ["exported", datetime.date.today().isoformat()],
    ]
    return (
        _table(["", ""], rows)
        + "\n\nThe data set's own pages say which pictures these are and what may be done with them."
    )


def _terms(name: str) -> str:
    """What is known of a tower's origin and licence."""
    shown = PurePath(name).name if PurePath(name).is_absolute() else name
    intro = f"The image tower is `{one_line(shown)}`, with frozen weights."
    if PurePath(name).name == GARDEN:
        return (
            f"{intro} It was trained for the SoftCPT repository on drawn flowers, knows nothing else, and is under "
            "that repository's MIT License."
        )
    if name in HUGGING_FACE or name in import_clip().available_models():
        return (
            f"{intro} OpenAI published it under the MIT License. Its model card puts any deployed use out of scope, "
            "and asks for thorough tests with fixed classes before other uses."
        )
    if name.startswith(OPEN_CLIP) or hub_of(name):
        return (
            f"{intro} It is one of OpenCLIP's; each set of weights has its own licence, named in its model card. "
            "Read it before you hand this folder on."
        )
    return f"{intro} Its licence is not known here; ask where the checkpoint came from before you hand this folder on."


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(one_line(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and value == value else None


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _quoted(text: str) -> str:
    return f'"{text}"' if '"' not in text else f"'{text}'"

"""Exports: the same answers without PyTorch for every method, and nothing half-written."""

from __future__ import annotations

import csv
import importlib.metadata
import io
import json
import os
import re
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from classifier import Classifier, export_page
from classifier import export as exporting
from classifier.bundle import RECORD, TENSORS
from classifier.export import CLASS_FEATURES, MODEL, PAGE, SMALLER, Made, Pictures, export
from classifier.graph import Graph, in_float32
from common.catalogue import METHODS
from common.errors import InputError
from common.files import read_record
from common.paths import REPOSITORY
from prompting.frozen import without_onednn
from prompting.photographs import read_image
from prompting.views import Shown
from tests.support.finished import ONE_OF_EACH_KIND, Finished
from tests.support.text_families import write_tower

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
from classifier.exported import classify  # noqa: E402  imports onnxruntime

USING = (REPOSITORY / "docs" / "using.md").read_text("utf-8")
TOY = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2},
}
PACKAGES = ("numpy", "pillow", "onnxruntime")


def quiet(_: str) -> None:
    """What is said of an export is not tested here."""


def pictures_of(run: Finished) -> Pictures:
    return Pictures(list(zip(run.images, run.label.tolist(), strict=True)), run.images[::2])


@pytest.fixture(scope="module")
def exported(finished: Callable[..., Finished], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function: method, settings, formats -> the folder of its export."""

    @cache
    def made(method: str, words: tuple[str, ...] = (), formats: tuple[str, ...] = ()) -> Path:
        run, folder = finished(method, 1, words), tmp_path_factory.mktemp("exports") / "made"
        export(Classifier.load(run.folder), folder, pictures_of(run), formats, quiet)
        return folder

    return made


def check_answers(run: Finished, folder: Path) -> None:
    """Assert that an export gives each test image the classes that the run's classifier gives, and its bundle too."""
    images = [read_image(path) for path in run.images]
    expected = Classifier.load(run.folder).predict(images)
    bundle = Classifier.load(folder).predict(images)
    program = classify.Classifier(folder=folder)
    answers = program.predict(images)
    assert [task["name"] for task in program.tasks] == [answer.task.name for answer in expected.per_task]
    for got, again, wanted in zip(answers, bundle.per_task, expected.per_task, strict=True):
        np.testing.assert_allclose(got, wanted.probabilities, atol=1e-4)
        assert (got.argmax(1) == wanted.probabilities.argmax(1).numpy()).all()
        torch.testing.assert_close(again.probabilities, wanted.probabilities)
    for number in (1, 3):  # images at a time
        for got, alone in zip(answers, program.predict(images[:number]), strict=True):
            np.testing.assert_allclose(got[:number], alone, atol=1e-5)


@pytest.mark.parametrize("method", list(METHODS))
def test_an_export_answers_as_its_run(finished: Callable[..., Finished], exported: Callable, method: str) -> None:
    folder = exported(method)
    check_answers(finished(method), folder)
    record = read_record(folder / exporting.RECORD)
    assert record["checked"]["largest difference"] <= exporting.TOLERANCE
    assert record["checked"]["source"] == "test images"
    results = finished(method).results["tasks"]
    accuracies = record["models"][MODEL]["accuracies"]
    assert accuracies == pytest.approx([task["accuracy"] for task in results])
    assert {RECORD, TENSORS, MODEL, PAGE, "classify.py", "requirements.txt"} <= set(record["files"])


@pytest.mark.parametrize("method", ["SoftCPT-NATA", "PLOT", "CLIP-LoRA"])
def test_a_resnet(finished: Callable[..., Finished], exported: Callable, resnet: Path, method: str) -> None:
    words: tuple[str, ...] = ("MODEL.BACKBONE.NAME", str(resnet), "INPUT.SIZE", "(64, 64)")
    words += ("TRAINER.CLIPLORA.ENCODER", "text") if method == "CLIP-LoRA" else ()
    check_answers(finished(method, 1, words), exported(method, words))


@pytest.mark.parametrize("family", ["siglip", "coca"])
@pytest.mark.parametrize("method", ["CoOp-CA", "CoCoOp"])
def test_towers_of_openclip(
    finished: Callable[..., Finished],
    exported: Callable,
    tmp_path_factory: pytest.TempPathFactory,
    family: str,
    method: str,
) -> None:
    pytest.importorskip("open_clip")
    pytest.importorskip("transformers")
    name, _ = write_tower(tmp_path_factory.mktemp(family), family)
    words: tuple[str, ...] = ("MODEL.BACKBONE.NAME", name, "TRAINER.COOP.N_CTX", "2", "TRAINER.COCOOP.CTX_INIT", "")
    words += ("TRAINER.COCOOP.N_CTX", "2")
    check_answers(finished(method, 1, words), exported(method, words))


def test_a_tower_in_bfloat16_is_exported_in_float32(finished: Callable[..., Finished], exported: Callable) -> None:
    words = ("TRAINER.MAPLE.PREC", "bf16")
    run, folder = finished("MaPLe", 1, words), exported("MaPLe", words)
    expected = Classifier.load(run.folder).predict(map(read_image, run.images))
    answers = classify.Classifier(folder=folder).predict(list(map(read_image, run.images)))
    for got, wanted in zip(answers, expected.per_task, strict=True):
        np.testing.assert_allclose(got, wanted.probabilities, atol=0.05)


# -- what the graph computes --


def graph_of(classifier: Classifier, images: Sequence[Image.Image]) -> tuple[Graph, torch.Tensor]:
    shown = classify.Classifier.__new__(classify.Classifier)
    shown.shown = classifier.bundles[0].pixels.recorded()
    return Graph(in_float32(classifier)), torch.from_numpy(np.stack([shown.pixels(image) for image in images]))


@pytest.mark.parametrize("method", ONE_OF_EACH_KIND)
def test_several_seeds_are_in_one_graph(finished: Callable[..., Finished], method: str) -> None:
    runs = [finished(method, seed) for seed in (1, 2)]
    classifier = Classifier.load(*(run.folder for run in runs))
    images = [read_image(path) for path in runs[0].images[:5]]
    graph, pixels = graph_of(classifier, images)
    with torch.no_grad(), without_onednn():
        got = graph(pixels)[0]
    expected = torch.cat([answers.probabilities for answers in classifier.predict(images).per_task], 1)
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("method", ONE_OF_EACH_KIND)
def test_temperatures_divide_logits(finished: Callable[..., Finished], method: str) -> None:
    classifier = Classifier.load(finished(method).folder)
    images = [read_image(path) for path in finished(method).images[:4]]
    setattr(classifier, "temperatures", [[1.0, 1.0]])  # noqa: B010  classifiers of earlier versions have none
    graph, pixels = graph_of(classifier, images)
    setattr(classifier, "temperatures", [[2.0, 0.5]])  # noqa: B010
    warmer, _ = graph_of(classifier, images)
    with torch.no_grad():
        plain, scaled = graph(pixels)[0], warmer(pixels)[0]
    n = len(classifier.tasks[0].classnames)
    for part, temperature in ((slice(0, n), 2.0), (slice(n, None), 0.5)):
        expected = (plain[:, part].log() / temperature).softmax(1)
        torch.testing.assert_close(scaled[:, part], expected, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(plain, scaled, atol=1e-3)


@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "nearest"])
@pytest.mark.parametrize("size", [(32, 32), (24, 40), (40, 24)])
def test_pixels_are_those_of_the_run(
    finished: Callable[..., Finished], mode: str, interpolation: str, size: tuple[int, int]
) -> None:
    """Bit for bit, for pictures of all proportions."""
    if mode == "longest" and size[0] != size[1]:
        pytest.skip("pads to a square")
    classifier = Classifier.load(finished("CoOp-CA").folder)
    mean, std = classifier.bundles[0].pixels.mean, classifier.bundles[0].pixels.std
    for moments, norm in (((mean, std), False), (((), ()), False), ((mean, std), True)):
        shown = Shown(size, *moments, interpolation, mode, norm)
        program = classify.Classifier.__new__(classify.Classifier)
        program.shown = json.loads(json.dumps(shown.recorded()))
        graph = Graph(classifier)
        graph._shown = shown
        for sides in ((41, 70), (70, 41), (32, 32), (9, 300), (301, 17), *([] if norm else [(1, 1)])):  # 1: std 0
            image = Image.effect_noise(sides, 80).convert("RGB")
            got = graph._normalised(torch.from_numpy(program.pixels(image))[None])[0]
            torch.testing.assert_close(got, shown.view()(image), atol=1e-5 if norm else 0, rtol=0)


def test_photographs_are_read_as_everywhere(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 1 << 16, (20, 30))
    for name, image in {
        "grey.png": Image.fromarray(noise.astype(np.uint16)),
        "float.tif": Image.fromarray(noise.astype(np.float32)),
        "whole.tif": Image.fromarray(noise.astype(np.int32)),
        "cmyk.jpg": Image.effect_noise((20, 30), 90).convert("CMYK"),
        "alpha.png": Image.effect_noise((20, 30), 90).convert("RGBA"),
        "moving.gif": Image.effect_noise((20, 30), 90).convert("P"),
    }.items():
        image.save(tmp_path / name)
        mine, theirs = (np.asarray(read(str(tmp_path / name))) for read in (read_image, classify.read))
        assert (mine == theirs).all(), name
    turned = Image.effect_noise((20, 30), 90).convert("RGB")
    turned.getexif()[274] = 6
    turned.save(tmp_path / "turned.jpg", exif=turned.getexif())
    assert classify.read(tmp_path / "turned.jpg").size == (30, 20)


# -- the program alone --


def run_alone(python: Sequence[str], folder: Path, *words: object, **env: str) -> subprocess.CompletedProcess[str]:
    command = [*python, str(folder / "classify.py"), *map(str, words)]
    keep = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(command, capture_output=True, text=True, env={**keep, **env}, cwd=folder.parent, timeout=120)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of links to what classify.py needs, so that nothing else of the environment can be imported."""
    folder, waiting, seen = tmp_path_factory.mktemp("bare"), list(PACKAGES), set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # for another Python or system
        waiting += [re.split(r"[^\w.-]", line)[0] for line in found.requires or [] if "extra ==" not in line]
        for file in found.files or []:
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not (folder / top).exists():
                (folder / top).symlink_to(Path(str(found.locate_file(top))))
    return folder


def test_without_pytorch(finished: Callable[..., Finished], exported: Callable, bare: Path) -> None:
    run, folder = finished("SoftCPT-NATA"), exported("SoftCPT-NATA")
    python, env = [sys.executable, "-S", "-B"], {"PYTHONPATH": str(bare)}
    for name in ("torch", "torchvision", "clip", "safetensors", "common"):
        probe = subprocess.run([*python, "-c", f"import {name}"], env=env, cwd=folder, capture_output=True, text=True)
        assert "ModuleNotFoundError" in probe.stderr, name
    done = run_alone(python, folder, *run.images, **env)
    assert (done.returncode, done.stderr) == (0, "")
    check_csv(run, done.stdout)


def check_csv(run: Finished, text: str) -> None:
    """Assert that an answer has the classes that the run's classifier gives."""
    expected = Classifier.load(run.folder).predict(map(read_image, run.images))
    rows = list(csv.DictReader(io.StringIO(text)))
    best = {(row["photo"], row["task"]): (row["class"], float(row["probability"])) for row in rows}
    assert len(rows) == len(best) == len(run.images) * len(expected.per_task)
    for answers in expected.per_task:
        for path, ((name, probability),) in zip(run.images, answers.classes(), strict=True):
            found = best[path, answers.task.name]
            assert found[0] == name and found[1] == pytest.approx(probability, abs=1e-4)


def test_in_a_fresh_environment(finished: Callable[..., Finished], exported: Callable, tmp_path: Path) -> None:
    """The three commands of the README, with only requirements.txt installed."""
    run, folder = finished("MaPLe"), exported("MaPLe")
    venv.create(tmp_path / "fresh", with_pip=True)
    python = str(tmp_path / "fresh" / ("Scripts" if os.name == "nt" else "bin") / "python")
    install = [python, "-m", "pip", "install", "-q", "--retries", "1", "-r", str(folder / "requirements.txt")]
    try:
        installed = subprocess.run(install, capture_output=True, text=True, timeout=240)
    except subprocess.TimeoutExpired:
        pytest.skip("installing took more than four minutes")
    if installed.returncode:
        pytest.skip(f"the registry is out of reach: {installed.stderr.strip().splitlines()[-1]}")
    done = run_alone([python, "-I"], folder, *run.images)
    assert (done.returncode, done.stderr) == (0, "")
    check_csv(run, done.stdout)


def test_the_program_is_short() -> None:
    text = (REPOSITORY / "classifier" / "exported" / "classify.py").read_text("utf-8")
    assert len(text.splitlines()) < 100
    names = set(re.findall(r"^(?:import|from) (\w+)", text, re.M))
    assert names - sys.stdlib_module_names == {"numpy", "onnxruntime", "PIL"}


def test_options_and_bad_input_of_the_program(
    finished: Callable[..., Finished], exported: Callable, bare: Path, tmp_path: Path
) -> None:
    run, folder = finished("SoftCPT-NATA"), exported("SoftCPT-NATA")

    def call(*words: object) -> subprocess.CompletedProcess[str]:
        return run_alone([sys.executable, "-S", "-B"], folder, *words, PYTHONPATH=str(bare))

    photos = tmp_path / "photos" / "more"
    photos.mkdir(parents=True)
    for name, path in zip(("b.jpg", "a.JPG"), run.images, strict=False):
        (photos / name).write_bytes(Path(path).read_bytes())
    (photos / "notes.txt").write_text("not a photograph")
    done = call(tmp_path / "photos", "--task", "colour", "--top", "9")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert done.returncode == 0 and [(Path(r["photo"]).name, r["rank"]) for r in rows] == [
        ("a.JPG", "1"), ("a.JPG", "2"), ("b.jpg", "1"), ("b.jpg", "2"),
    ]  # fmt: skip
    assert {row["task"] for row in rows} == {"colour"}
    (photos / "empty.png").touch()
    Image.new("L", (1, 5000)).save(photos / "narrow.png")
    done = call(photos / "empty.png", photos / "narrow.png", photos / "b.jpg", photos / "gone.jpg")
    assert done.returncode == 1 and len(done.stdout.splitlines()) == 3
    lines = done.stderr.splitlines()
    assert len(lines) == 3 and all("cannot be read" in line for line in lines) and "narrow" in lines[1]
    for words in (("--task", "size"), ("--model", "gone.onnx")):
        done = call(photos / "b.jpg", *words)
        assert done.returncode == 2 and done.stderr.count("\n") == 1 and words[1] in done.stderr and done.stdout == ""


# -- the folder --


def test_an_export_is_replaced_and_nothing_else(
    finished: Callable[..., Finished], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, folder = finished("CoOp-CA"), tmp_path / "made"
    classifier = Classifier.load(run.folder)
    (folder).mkdir()
    export(classifier, folder, None, (), quiet)
    record = read_record(folder / exporting.RECORD)
    assert record["checked"]["source"] == "drawn images" and "accuracies" not in record["models"][MODEL]
    export(classifier, folder, pictures_of(run), ("fp16",), quiet)
    assert (folder / SMALLER["fp16"]).is_file()
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "classify.pyc").touch()
    export(classifier, folder, None, (), quiet)
    assert not (folder / SMALLER["fp16"]).exists()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def refuses(says: str, to: Path = folder) -> None:
        with pytest.raises(InputError, match=says):
            export(classifier, to, None, (), quiet)
        assert [path.name for path in tmp_path.iterdir()] == ["made"]

    with monkeypatch.context() as patch:
        patch.setattr(exporting, "TOLERANCE", -1.0)
        refuses("differs from PyTorch's by .*nothing was written")
        refuses("differs", tmp_path / "other")
    with monkeypatch.context() as patch:
        patch.setattr(Graph, "forward", lambda self, pixels: self.nothing)
        refuses("PyTorch cannot export the tower")
    (folder / "photo.jpg").touch()
    refuses("photo.jpg")
    (folder / "photo.jpg").unlink()
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / PAGE).write_text("mine")
    refuses(PAGE)
    (folder / exporting.RECORD).unlink()
    refuses("is not an export")


def test_a_run_is_not_written_to(finished: Callable[..., Finished]) -> None:
    run = finished("CoOp-CA")
    with pytest.raises(InputError, match="is not an export"):
        export(Classifier.load(run.folder), run.folder, None, (), quiet)


def test_large_models_have_a_second_file(
    finished: Callable[..., Finished], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protobuf's limit is 2 GiB."""
    monkeypatch.setattr(exporting, "MODEL_BYTES", 100_000)
    run, folder = finished("CoOp-CA"), tmp_path / "made"
    export(Classifier.load(run.folder), folder, pictures_of(run), (), quiet)
    assert (folder / f"{MODEL}.data").is_file()
    check_answers(run, folder)


def test_class_features(finished: Callable[..., Finished], exported: Callable) -> None:
    run = finished("SoftCPT-NATA")
    classifier = Classifier.load(run.folder)
    with safe_open(exported("SoftCPT-NATA") / CLASS_FEATURES, "pt") as file:
        weight, about = file.get_tensor("class_features"), file.metadata()
    images = [read_image(path) for path in run.images]
    x = classifier.tower.encode_image(torch.stack([classifier.view(image) for image in images]))
    start, temperatures = 0, iter(json.loads(about["temperatures"]))
    for task, answers in zip(json.loads(about["tasks"]), classifier.predict(images).per_task, strict=True):
        rows = weight[start : start + len(task["classnames"])]
        start += len(rows)
        assert task["name"] == answers.task.name and tuple(task["classnames"]) == answers.task.classnames
        torch.testing.assert_close(rows.norm(dim=1), torch.ones(len(rows)))
        probabilities = (float(about["logit_scale"]) * x @ rows.t() / next(temperatures)).softmax(1)
        torch.testing.assert_close(probabilities, answers.probabilities, atol=1e-5, rtol=1e-4)
    assert not (exported("Tip-Adapter") / CLASS_FEATURES).exists()
    features = classify.Classifier(folder=exported("SoftCPT-NATA"))
    got = features.run("features", map(features.pixels, images))
    np.testing.assert_allclose(got, x, atol=1e-5)


def test_class_features_for_openclip(finished: Callable[..., Finished], exported: Callable, tmp_path: Path) -> None:
    """The lines of docs/using.md, with a toy model."""
    open_clip = pytest.importorskip("open_clip")
    (tmp_path / "toy.json").write_text(json.dumps(TOY))
    torch.manual_seed(0)
    torch.save(open_clip.CLIP(**TOY).state_dict(), tmp_path / "toy.pt")
    words = ("MODEL.BACKBONE.NAME", f"open_clip:toy@{tmp_path / 'toy.pt'}", "INPUT.INTERPOLATION", "bicubic")
    run, folder = finished("SoftCPT-NATA", 1, words), exported("SoftCPT-NATA", words)
    open_clip.add_model_config(tmp_path / "toy.json")
    lines = USING.split("```python\nimport open_clip\n")[1].split("```")[0]
    lines = lines.replace('"ViT-B-16"', '"toy"').replace('"laion2b_s34b_b88k"', f'"{tmp_path / "toy.pt"}"')
    lines = lines.replace("my_classifier", str(folder)).replace("photo.jpg", run.images[0])
    values: dict[str, Any] = {"open_clip": open_clip}
    exec(lines, values)
    expected = torch.cat(
        [a.probabilities for a in Classifier.load(run.folder).predict([read_image(run.images[0])]).per_task], 1
    )
    n = len(Classifier.load(run.folder).tasks[0].classnames)
    assert int(values["cosines"][0, :n].argmax()) == int(expected[0, :n].argmax())
    assert int(values["cosines"][0, n:].argmax()) == int(expected[0, n:].argmax())


# -- smaller models --


@pytest.mark.parametrize("method", ONE_OF_EACH_KIND)
def test_smaller_models(finished: Callable[..., Finished], exported: Callable, method: str) -> None:
    run, folder = finished(method), exported(method, (), ("fp16", "int8"))
    images = [read_image(path) for path in run.images]
    expected = classify.Classifier(folder=folder).predict(images)
    sizes = [(folder / name).stat().st_size for name in (MODEL, SMALLER["fp16"], SMALLER["int8"])]
    assert sizes[1] < 0.7 * sizes[0] and sizes[2] < 0.9 * sizes[0]
    for kind, bound in (("fp16", 0.01), ("int8", 0.2)):
        answers = classify.Classifier(model=SMALLER[kind], folder=folder).predict(images)
        assert max(abs(a - b).max() for a, b in zip(answers, expected, strict=True)) < bound
    models = read_record(folder / exporting.RECORD)["models"]
    assert [models[name]["bytes"] for name in (MODEL, *SMALLER.values())] == sizes
    assert all(len(about["accuracies"]) == 2 for about in models.values())
    page = (folder / PAGE).read_text("utf-8")
    assert all(f"`{name}`" in page for name in SMALLER.values())


def test_a_resnet_in_8_bits(finished: Callable[..., Finished], exported: Callable, resnet: Path) -> None:
    words = ("MODEL.BACKBONE.NAME", str(resnet), "INPUT.SIZE", "(64, 64)")
    folder = exported("SoftCPT-NATA", words, ("int8",))
    assert (folder / SMALLER["int8"]).stat().st_size < 0.5 * (folder / MODEL).stat().st_size


def test_no_test_image_chooses_how_a_model_becomes_smaller(
    finished: Callable[..., Finished], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, seen = finished("CoOp-CA"), []
    quantise = exporting.smaller.in_int8

    def watched(source: Path, target: Path, recipe: Any, pixels: Sequence[np.ndarray] = ()) -> None:
        seen.append((recipe, len(pixels)))
        quantise(source, target, recipe, pixels)

    monkeypatch.setattr(exporting.smaller, "in_int8", watched)
    pictures = Pictures(pictures_of(run).test)
    export(Classifier.load(run.folder), tmp_path / "made", pictures, ("int8",), quiet)
    assert seen == [(exporting.smaller.RECIPES[-1], 0)]  # the most careful, as there is no training image


def test_a_loss_is_said() -> None:
    made = Made(models={MODEL: {"accuracies": [80.0, 60.0]}, SMALLER["int8"]: {"accuracies": [70.0, None]}})
    assert exporting._losses(made) == []
    made.models[SMALLER["int8"]]["accuracies"] = [70.0, 60.0]
    assert exporting._losses(made) == [f"{SMALLER['int8']} loses 5.0 points of accuracy."]


# -- the README --


def test_the_page(finished: Callable[..., Finished], exported: Callable) -> None:
    run, page = finished("SoftCPT-NATA"), (exported("SoftCPT-NATA") / PAGE).read_text("utf-8")
    assert page.startswith("# SoftCPT-NATA on ") and "2 images per class" in page
    for task in run.results["tasks"]:
        assert f"| {task['name']} | {task['classes']} | {100 / task['classes']:.1f} | {task['accuracy']:.1f} |" in page
        assert all(name in page for name in task["classnames"])
    assert "Its licence is not known here" in page and "| seeds | 1 |" in page
    assert str(run.folder.parent.parent) not in page  # no path of this machine


@pytest.mark.parametrize(
    ("tower", "says"),
    [
        ("ViT-B/16", "MIT License"),
        ("openai/clip-vit-base-patch16", "MIT License"),
        ("models/garden_clip/garden_clip.safetensors", "drawn flowers"),
        ("open_clip:ViT-B-16@laion2b_s34b_b88k", "model card"),
        ("hf-hub:timm/ViT-B-16-SigLIP", "model card"),
        ("/home/me/clip.pt", "`clip.pt`"),
    ],
)
def test_terms_of_towers(tower: str, says: str) -> None:
    text = export_page._terms(tower)
    assert says in text and "/home" not in text

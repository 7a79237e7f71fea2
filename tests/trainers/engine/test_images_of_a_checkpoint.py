"""A checkpoint goes on only with the images that it was begun with: test images could be among others."""

import json
import os
import shutil

import pytest

from common.errors import InputError
from common.files import read_json, write_record
from datasets.images import read_image
from trainers.engine.checkpoint_fit import Drawn, check_images

REMEDY = "--redo starts it again"


def first_rose(root):
    return min((root / "tiny" / "kinds" / "rose").iterdir())


def unfinished(workplace, *words):
    """A run killed after two of four epochs."""
    workplace.killed_run("CoOp", "run", *words, at=2, epochs=4)


def test_another_draw_is_refused(workplace):
    trainer = workplace.trainer("CoOp")
    trainer.save_model(0, trainer.output_dir)
    drawn = dict(trainer.drawn_images())
    check_images(trainer.output_dir, drawn, REMEDY)
    check_images(trainer.output_dir, {}, REMEDY)  # a trainer that does not know its images
    drawn["tests"] = Drawn(drawn["tests"].count - 1, "0" * 16)
    message = f"other images.*tests .{drawn['tests'].count + 1} then, {drawn['tests'].count} now.*--redo"
    with pytest.raises(InputError, match=message) as error:
        check_images(trainer.output_dir, drawn, REMEDY)
    assert "training" not in str(error.value) and "\n" not in str(error.value)


def test_a_record_without_a_checksum_is_not_trusted_with_images(workplace):
    trainer = workplace.trainer("CoOp")
    trainer.save_model(0, trainer.output_dir)
    path = workplace.output / "built" / "tasks.json"
    record = read_json(path)
    del record["sha256"]
    path.write_text(json.dumps(record))
    with pytest.raises(InputError, match="earlier version.*--redo"):
        check_images(trainer.output_dir, trainer.drawn_images(), REMEDY)
    path.unlink()
    with pytest.raises(InputError, match="earlier version.*--redo"):
        check_images(trainer.output_dir, trainer.drawn_images(), REMEDY)
    write_record(path, record)
    check_images(trainer.output_dir, trainer.drawn_images(), REMEDY)
    path.write_text(path.read_text().replace("kind of flower", "kind of flowes"))
    with pytest.raises(InputError, match="tasks.json is damaged"):
        check_images(trainer.output_dir, trainer.drawn_images(), REMEDY)


def test_a_removed_image_changes_the_digest(workplace):
    before = workplace.trainer("CoOp").images_digest()
    assert workplace.trainer("CoOp").images_digest() == before
    next(iter(sorted((workplace.root / "tiny" / "kinds" / "rose").iterdir()))).unlink()
    assert workplace.trainer("CoOp").images_digest() != before


@pytest.mark.parametrize("method", ["CoOp", "MaPLe", "LP-CLIP"])
def test_the_content_of_images_counts_whether_the_bank_is_used_or_not(workplace, method):
    words = {"MaPLe": ("TRAINER.MAPLE.PROMPT_DEPTH", "2")}.get(method, ())
    before = workplace.trainer(method, *words).images_digest()
    image, other = first_rose(workplace.root), min((workplace.root / "tiny" / "kinds" / "tulip").iterdir())
    content = image.read_bytes()
    image.write_bytes(other.read_bytes())
    assert workplace.trainer(method, *words).images_digest() != before
    image.write_bytes(content)
    assert workplace.trainer(method, *words).images_digest() == before


def test_a_picture_replaced_under_the_same_name_ends_a_resumed_run(workplace):
    unfinished(workplace)
    image, other = first_rose(workplace.root), min((workplace.root / "tiny" / "kinds" / "tulip").iterdir())
    image.write_bytes(other.read_bytes())
    with pytest.raises(InputError, match="begun with other images.*--redo"):
        workplace.run("CoOp", epochs=4)
    assert not (workplace.output / "run" / "results.json").exists()


def test_the_same_names_elsewhere_with_other_pictures_end_a_resumed_run(workplace):
    unfinished(workplace)
    shutil.copytree(workplace.root, workplace.root.with_name("same"))
    other = workplace.root.with_name("other")
    shutil.copytree(workplace.root, other)
    for image in sorted((other / "tiny" / "kinds" / "rose").iterdir()):
        image.write_bytes((other / "tiny" / "kinds" / "tulip" / image.name).read_bytes())
    workplace.root = other
    with pytest.raises(InputError, match="begun with other images"):
        workplace.run("CoOp", epochs=4)
    workplace.root = other.with_name("same")
    results = workplace.run("CoOp", epochs=4)
    assert results["resumed_from_epoch"] == 2 and results["images"]


def test_resuming_another_runs_checkpoint_needs_the_same_images(workplace):
    unfinished(workplace)
    first_rose(workplace.root).unlink()
    resumed = ("RESUME", str(workplace.output / "run"))
    with pytest.raises(InputError, match="other images.*INIT_WEIGHTS"):
        workplace.run("CoOp", "on", *resumed, epochs=4)


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("CoOp", ()),
        ("CoOp", ("BANK.TEST", "False")),
        ("MaPLe", ("TRAINER.MAPLE.PROMPT_DEPTH", "2")),
        ("ProtoNet", ()),
        ("Tip-Adapter-F", ("TRAINER.TIPADAPTER.STEPS_BETA", "2")),
    ],
)
@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_damaged_test_image_ends_a_run_before_training(workplace, method, words, workers, monkeypatch):
    trainer = workplace.trainer(method, *words)
    image = trainer.dm.dataset.test[-1].impath
    with open(image, "r+b") as file:
        file.truncate(os.path.getsize(image) // 2)
    monkeypatch.setattr(
        "trainers.engine.task_trainer.TaskTrainer.save_model", lambda *_, **__: pytest.fail("it was trained")
    )
    with pytest.raises(InputError) as error:
        workplace.run(method, "run", *words, "DATALOADER.NUM_WORKERS", workers)
    assert image in str(error.value) and "\n" not in str(error.value)
    assert not (workplace.output / "run").exists()


def test_without_a_test_its_images_are_not_opened(workplace):
    trainer = workplace.trainer("CoOp")
    image = trainer.dm.dataset.test[-1].impath
    with open(image, "wb") as file:
        file.write(b"not an image")
    assert workplace.run("CoOp", "run", "TEST.NO_TEST", "True") == {}
    assert (workplace.output / "run" / "prompt_learner" / "model.pth.tar-3").exists()


def test_decoded_images_are_remembered_by_their_content(workplace, monkeypatch):
    read = []
    monkeypatch.setattr("trainers.engine.image_features.read_image", lambda path: read.append(path) or read_image(path))
    off = ("BANK.TEST", "False", "BANK.TRAIN", "False")
    first = workplace.run("CoOp", "first", *off)
    once = len(read)
    assert once == sum(first["counts"][f"{part}_images"] for part in ("train", "test"))
    workplace.run("CoOp", "second", *off)
    assert len(read) == once
    images = sorted((workplace.root / "tiny" / "kinds" / "rose").iterdir())
    images[0].write_bytes(images[0].read_bytes() + b"\0")
    workplace.run("ZeroshotCLIP", "third", *off)
    workplace.run("CoOp", "fourth", *off)
    assert len(read) <= once + 1  # the changed one alone


def test_a_checkpoint_is_not_tested_on_what_it_was_trained_on(workplace):
    """After images were removed, the split is drawn again: without this check, training images would be tested."""
    run = workplace.run("CoOp", "run")
    assert workplace.evaluate("run", "CoOp", "same")["tasks"] == run["tasks"]
    for name in ("rose", "tulip", "ox-eye_daisy"):
        for path in sorted((workplace.root / "tiny" / "kinds" / name).iterdir())[:3]:
            path.unlink()
    with pytest.raises(InputError, match="was trained on [1-9] images? of this test, such as tiny/kinds.*train"):
        workplace.evaluate("run", "CoOp", "again")
    path = workplace.output / "run" / "tasks.json"
    record = read_json(path)
    assert len(record["trained"]) == run["counts"]["train_images"] == 10
    write_record(path, {key: value for key, value in record.items() if key not in ("trained", "sha256")})
    workplace.evaluate("run", "CoOp", "again")  # an earlier version recorded none


def test_a_task_without_test_images_is_refused_before_training(workplace):
    trainer = workplace.trainer("CoOp")
    trainer.dm.dataset._test = [item for item in trainer.dm.dataset.test if item.domain == 0]
    with pytest.raises(InputError, match="Task 'colour' has no test images"):
        trainer.before_train()
    assert not (workplace.output / "built" / "prompt_learner").exists()


def test_without_tests_the_best_model_is_not_asked_for(workplace):
    """Dassl chooses the best model by testing on validation images."""
    words = ("TEST.FINAL_MODEL", "best_val", "TEST.NO_TEST", "True")
    workplace.run("CoOp", "run", *words)
    workplace.run("CoOp", "run", *words)
    assert not (workplace.output / "run" / "prompt_learner" / "model-best.pth.tar").exists()

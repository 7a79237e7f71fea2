"""Parameters on other tasks and classes than those they were trained on: where they can be used, and the errors."""

import pytest
import torch

from common.catalogue import METHODS
from common.checkpoints import checkpoint_of
from common.errors import InputError
from prompting.tasks import Task, TaskLayout
from tests.support.towers import random_clip
from tests.support.training import Workplace, same_state
from trainers.engine.checkpoint_fit import check_tied, note_tasks, noted_tasks

SHORT = {"epochs": 1}
SETTINGS = {"PLOT": ("TRAINER.PLOT.N", "2"), "LP-CLIP": ("TRAINER.LINEARPROBE.C", "1.0")}
NOTHING = ["SoftCPT-NATA", "SoftCPT-CATA", "SoftCPT-STAR", "CoOp-MT"]
TASKS = ["KgCoOp", "ProGrad", "PLOT", "CoCoOp", "SoftCPT-NATS", "SoftCPT-CATS"]
CLASSES = ["CoOp-CS", "SoftCPT-CSTA", "SoftCPT-CSTS", "LP-CLIP", "ProtoNet", "Tip-Adapter"]


def train(workplace, method, *words):
    return workplace.run(method, "run", *SETTINGS.get(method, ()), *words, **SHORT)


def evaluate(workplace, method, *words):
    return workplace.evaluate("run", method, "tested", *SETTINGS.get(method, ()), *words, **SHORT)


@pytest.mark.parametrize("method", NOTHING)
def test_what_is_tied_to_nothing_is_used_on_other_tasks(workplace, method):
    trained = train(workplace, method, "DATASET.SUBSAMPLE_TASKS", "task0")
    tested = evaluate(workplace, method, "DATASET.SUBSAMPLE_TASKS", "task1")
    assert [task["name"] for task in tested["tasks"]] == ["colour"]
    assert tested["checkpoint"] == trained["checkpoint"]
    built = workplace.trainer(method, "DATASET.SUBSAMPLE_TASKS", "task1")
    built.load_model(str(workplace.output / "run"))
    saved = torch.load(checkpoint_of(workplace.output / "run"), weights_only=False)["state_dict"]
    assert same_state(built.model.state_dict(), saved)


@pytest.mark.parametrize("method", [*TASKS, *NOTHING])
def test_what_is_tied_to_tasks_is_used_on_new_classes_but_not_on_other_tasks(workplace, method):
    train(workplace, method, "DATASET.SUBSAMPLE_CLASSES", "base")
    tested = evaluate(workplace, method, "DATASET.SUBSAMPLE_CLASSES", "new")
    assert [task["classes"] for task in tested["tasks"]] == [1, 1]
    if method in TASKS:
        message = f"^{method} .*{METHODS[method].ties}.*'kind of flower', 'colour'.* for 'colour'; train"
        with pytest.raises(InputError, match=message):
            evaluate(workplace, method, "DATASET.SUBSAMPLE_TASKS", "task1")


@pytest.mark.parametrize("method", CLASSES)
def test_what_is_tied_to_classes_is_used_on_these_alone(workplace, method):
    train(workplace, method)
    for key in ("DATASET.SUBSAMPLE_CLASSES", "DATASET.SUBSAMPLE_TASKS"):
        message = rf"^{method} .*{METHODS[method].ties}.*'kind of flower' \(3 classes\), 'colour' \(2"
        with pytest.raises(InputError, match=message) as error:
            evaluate(workplace, method, key, "new")
        assert "\n" not in str(error.value)
    assert not (workplace.output / "tested" / "results.json").exists()


def test_names_matter_where_shapes_agree(workplace):
    """One task's context has the shape of another's, a renamed task is another, and a single one is like any single
    one: that is how the literature tests on the variants of ImageNet."""
    workplace.run("CoOp", **SHORT)
    text = workplace.declaration.read_text()
    workplace.declaration.write_text(text.replace("name: colour", "name: hue"))
    with pytest.raises(InputError, match="cannot be used for 'kind of flower', 'hue'"):
        evaluate(workplace, "CoOp")
    with pytest.raises(InputError, match="cannot be used for 'kind of flower', 'hue'"):
        workplace.run("CoOp", "on", "RESUME", str(workplace.output / "run"), epochs=2)
    (workplace.output / "run" / "tasks.json").write_text("{")
    with pytest.raises(InputError, match=r"tasks\.json is damaged"):
        evaluate(workplace, "CoOp")
    (workplace.output / "run" / "tasks.json").unlink()
    assert evaluate(workplace, "CoOp")["finished"]  # a run that recorded no tasks is judged by its shapes
    workplace.run("CoOp", "one", "DATASET.SUBSAMPLE_TASKS", "task0", **SHORT)
    assert workplace.evaluate("one", "CoOp", "t", "DATASET.SUBSAMPLE_TASKS", "task1")["finished"]


def test_many_tasks_make_a_short_message(tmp_path):
    layout = TaskLayout(tuple(Task(f"t{i}", ("x",)) for i in range(44)))
    note_tasks(tmp_path, layout)
    assert noted_tasks(tmp_path)[43] == ("t43", ["x"])
    with pytest.raises(InputError, match="'t0', 't1', 't2' and 41 others, and cannot be used for 't0'; train"):
        check_tied(tmp_path, TaskLayout(layout.tasks[:1]), METHODS["CoOp-CA"])
    check_tied(tmp_path, TaskLayout(layout.tasks[:1]), METHODS["CoOp-MT"])
    check_tied(tmp_path, layout, METHODS["CoOp-CS"])


@pytest.mark.parametrize(
    ("method", "words", "message"),
    [
        ("CoOp", (), "TRAINER.NAME SoftCPT, .* CoOp"),
        ("SoftCPT", ("TRAINER.SOFTCPT.FEATURES", "unit"), "TRAINER.SOFTCPT.FEATURES raw, .* unit"),
        ("SoftCPT", ("TRAINER.SOFTCPT.VARIANT", "NATS"), "TRAINER.SOFTCPT.VARIANT NATA, .* NATS"),
    ],
)
def test_a_checkpoint_of_another_method_is_refused(softcpt, method, words, message):
    with pytest.raises(InputError, match=message):
        softcpt.evaluate("run", method, "other", *words, **SHORT)


@pytest.fixture(scope="module")
def softcpt(tmp_path_factory, checkpoint):
    """A place with a run of SoftCPT-NATA, which tests only read."""
    place = Workplace(tmp_path_factory.mktemp("softcpt"), checkpoint)
    place.run("SoftCPT", **SHORT)
    return place


def test_settings_of_training_alone_may_differ_and_without_settings_shapes_count(workplace):
    trained = workplace.run("SoftCPT", **SHORT)
    sampled = ("TRAINER.SOFTCPT.CLASS_SAMPLE_RATE", "0.5")
    assert workplace.evaluate("run", "SoftCPT", "sampled", *sampled)["tasks"] == trained["tasks"]
    (workplace.output / "run" / "config.yaml").unlink()
    with pytest.raises(InputError, match="does not fit"):
        workplace.evaluate("run", "CoOp", "other")


def test_a_tower_is_known_by_its_content(workplace, tmp_path):
    """Evaluation accepts a copy of the checkpoint file and refuses another tower in its place."""
    trained = workplace.run("CoOp", **SHORT)
    copy = tmp_path / "elsewhere.pt"
    copy.write_bytes(workplace.checkpoint.read_bytes())
    other = tmp_path / "other.pt"
    torch.save(random_clip(seed=5).state_dict(), other)
    evaluated = workplace.evaluate("run", "CoOp", "copy", "MODEL.BACKBONE.NAME", str(copy))
    assert evaluated["tasks"] == trained["tasks"]
    with pytest.raises(InputError, match="MODEL.BACKBONE.DIGEST"):
        workplace.evaluate("run", "CoOp", "other", "MODEL.BACKBONE.NAME", str(other))

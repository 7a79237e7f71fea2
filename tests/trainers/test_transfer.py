"""Parameters on other tasks and classes than those they were learned on: where they can be used, and what is said."""

import json

import pytest
import torch

import train
from common.errors import InputError
from prompting.tasks import Task, TaskLayout
from trainers.engine.resuming import checkpoint_of
from trainers.engine.transfer import check_tied, note_tasks, noted_tasks

SHORT = {"epochs": 1}
NOTHING = [
    ("SoftCPT", ()),
    ("SoftCPT", ("TRAINER.SOFTCPT.VARIANT", "CATA")),
    ("SoftCPT", ("TRAINER.SOFTCPT.VARIANT", "STAR")),
    ("CoOp", ("TRAINER.COOP.CONTEXT", "shared")),
]
TASKS = [
    ("CoOp", ()),
    ("KgCoOp", ()),
    ("ProGrad", ()),
    ("PLOT", ("TRAINER.PLOT.N", "2")),
    ("CoCoOp", ()),
    ("SoftCPT", ("TRAINER.SOFTCPT.VARIANT", "NATS")),
    ("SoftCPT", ("TRAINER.SOFTCPT.VARIANT", "CATS")),
]
CLASSES = [
    ("CoOp", ("TRAINER.COOP.CONTEXT", "class")),
    ("SoftCPT", ("TRAINER.SOFTCPT.VARIANT", "CSTA")),
    ("SoftCPT", ("TRAINER.SOFTCPT.VARIANT", "CSTS")),
    ("LinearProbe", ("TRAINER.LINEARPROBE.C", "1.0")),
    ("ProtoNet", ()),
    ("TipAdapter", ()),
]


def evaluate(workplace, trainer, opts, *more):
    flags = ["--eval-only", "--model-dir", str(workplace.output / "run")]
    return train.run([*flags, *workplace.flags(trainer, "tested", *opts, *more, **SHORT)], brief=True)


@pytest.mark.parametrize(("trainer", "opts"), NOTHING)
def test_what_is_tied_to_nothing_is_used_on_other_tasks(workplace, trainer, opts):
    trained = workplace.run(trainer, "run", *opts, "DATASET.SUBSAMPLE_TASKS", "task0", **SHORT)
    tested = evaluate(workplace, trainer, opts, "DATASET.SUBSAMPLE_TASKS", "task1")
    assert [task["name"] for task in tested["tasks"]] == ["colour"]
    assert tested["checkpoint"] == trained["checkpoint"]
    built = workplace.trainer(trainer, *opts, "DATASET.SUBSAMPLE_TASKS", "task1")
    built.load_model(str(workplace.output / "run"))
    saved = torch.load(checkpoint_of(workplace.output / "run"), weights_only=False)["state_dict"]
    assert all(torch.equal(value, saved[key]) for key, value in built.model.state_dict().items())


@pytest.mark.parametrize(("trainer", "opts"), [*TASKS[1:], *NOTHING])
def test_what_is_tied_to_tasks_is_used_on_new_classes_but_not_on_other_tasks(workplace, trainer, opts):
    base = ("DATASET.SUBSAMPLE_CLASSES", "base")
    workplace.run(trainer, "run", *opts, *base, **SHORT)
    tested = evaluate(workplace, trainer, opts, "DATASET.SUBSAMPLE_CLASSES", "new")
    assert [task["classes"] for task in tested["tasks"]] == [1, 1]
    if (trainer, opts) in TASKS:
        with pytest.raises(
            InputError, match="is tied to its tasks, 'kind of flower', 'colour', .* for 'colour'; train"
        ):
            evaluate(workplace, trainer, opts, "DATASET.SUBSAMPLE_TASKS", "task1")


@pytest.mark.parametrize(("trainer", "opts"), CLASSES)
def test_what_is_tied_to_classes_is_used_on_these_alone(workplace, trainer, opts, capsys):
    trained = workplace.run(trainer, "run", *opts, **SHORT)
    assert evaluate(workplace, trainer, opts)["tasks"] == trained["tasks"]
    for key in ("DATASET.SUBSAMPLE_CLASSES", "DATASET.SUBSAMPLE_TASKS"):
        with pytest.raises(
            InputError, match=r"is tied to its classes, 'kind of flower' \(3 classes\), 'colour' \(2"
        ) as e:
            evaluate(workplace, trainer, opts, key, "new")
        assert "\n" not in str(e.value)
    assert not (workplace.output / "tested" / "results.json").exists()


def test_shapes_do_not_tell_but_names_do(workplace):
    """One task's context has the shape of another's, a renamed task is another, and a single one is like any single
    one: that is how the literature tests on the variants of ImageNet."""
    workplace.run("CoOp", **SHORT)
    text = workplace.declaration.read_text()
    workplace.declaration.write_text(text.replace("name: colour", "name: hue"))
    with pytest.raises(InputError, match="cannot be used for 'kind of flower', 'hue'"):
        evaluate(workplace, "CoOp", ())
    with pytest.raises(InputError, match="tied to its tasks"):
        train.run(["--resume", str(workplace.output / "run"), *workplace.flags("CoOp", "on", epochs=2)], brief=True)
    (workplace.output / "run" / "tasks.json").write_text("{")
    with pytest.raises(InputError, match=r"tasks\.json is damaged"):
        evaluate(workplace, "CoOp", ())
    (workplace.output / "run" / "tasks.json").unlink()
    assert evaluate(workplace, "CoOp", ())["finished"]  # what wrote nothing down is judged by its shapes
    workplace.run("CoOp", "one", "DATASET.SUBSAMPLE_TASKS", "task0", **SHORT)
    flags = ["--eval-only", "--model-dir", str(workplace.output / "one")]
    one = train.run([*flags, *workplace.flags("CoOp", "t", "DATASET.SUBSAMPLE_TASKS", "task1")], brief=True)
    assert one["finished"]


def test_many_tasks_are_told_in_few_words(tmp_path):
    layout = TaskLayout(tuple(Task(f"t{i}", ("x",)) for i in range(44)))
    note_tasks(tmp_path, layout)
    assert noted_tasks(tmp_path)[43] == ("t43", ["x"])
    with pytest.raises(InputError, match="'t0', 't1', 't2' and 41 more tasks, and cannot be used for 't0'; train"):
        check_tied(tmp_path, TaskLayout(layout.tasks[:1]), "tasks", "CoOp-CA")
    check_tied(tmp_path, TaskLayout(layout.tasks[:1]), "nothing", "CoOp-MT")
    check_tied(tmp_path, layout, "classes", "CoOp-CS")


def test_without_an_epoch_it_is_what_the_run_ended_with(workplace):
    trained = workplace.run("CoOp", epochs=3)
    folder = workplace.output / "run"
    assert checkpoint_of(folder).name == "model.pth.tar-3" and checkpoint_of(folder, 2).name == "model.pth.tar-2"
    flags = ["--eval-only", "--model-dir", str(folder), *workplace.flags("CoOp", "tested")]
    assert train.run(flags, brief=True)["tasks"] == trained["tasks"]
    assert (
        json.loads((workplace.output / "tested" / "evaluation.json").read_text())["checkpoint"] == trained["checkpoint"]
    )
    workplace.run("CoOp", "best", "TEST.FINAL_MODEL", "best_val")
    assert checkpoint_of(workplace.output / "best").name == "model-best.pth.tar"
    with pytest.raises(InputError, match="No trained model at .*none"):
        train.run(["--eval-only", "--model-dir", "none", *workplace.flags("CoOp", "other")], brief=True)


def test_the_names_of_tasks_without_a_run(workplace, capsys):
    assert train.task_names(workplace.flags("SoftCPT")) == ["kind of flower", "colour"]
    assert train.task_names(workplace.flags("CoOp", "run", "DATASET.SUBSAMPLE_TASKS", "task1")) == ["colour"]
    assert capsys.readouterr().out == "" and not workplace.output.exists()

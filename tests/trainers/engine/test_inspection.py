"""What results.json says about a run besides accuracies: similarities of tasks, nearest words, mistakes."""

import json

import pytest
import torch

from prompting.tasks import Task, TaskLayout
from trainers.engine.contexts import ContextTable
from trainers.engine.inspection import by_task, describe, owners

LAYOUT = TaskLayout((Task("colour", ("red", "blue")), Task("shape", ("round", "long", "flat"))))


def test_whose_contexts_they_are():
    assert owners(1, LAYOUT) == ["all tasks"] and owners(2, LAYOUT) == ["colour", "shape"]
    assert owners(5, LAYOUT, class_specific=True) == ["red", "blue", "round", "long", "flat"]
    assert owners(4, LAYOUT) == [f"{name}, context {k}" for name in ("colour", "shape") for k in (1, 2)]
    one = TaskLayout((Task("colour", ("red", "blue")),))
    assert owners(2, one) == ["colour, context 1", "colour, context 2"] and owners(2, one, True) == ["red", "blue"]
    contexts = torch.arange(5.0).reshape(5, 1, 1)
    assert by_task(contexts, LAYOUT, class_specific=True).tolist() == [[0.5], [3.0]]  # means of the tasks' classes
    assert by_task(contexts[:4], LAYOUT).tolist() == [[0.0, 1.0], [2.0, 3.0]]  # several side by side
    assert by_task(contexts[:1], LAYOUT) is None


def test_nearest_words_of_a_context_made_of_words(tower):
    text = tower.text
    tokens = [text.vocabulary.encode(word)[0] for word in ("flower", "photo")]
    start = text.token_embedding.weight.detach()[tokens].float()
    described = describe(ContextTable(2, 2, text.width, start=torch.stack([start, start + 1e-3])), LAYOUT, text)
    assert [row["of"] for row in described["words"]] == ["colour", "shape"]
    for row in described["words"]:
        assert [nearest[0][0] for nearest in row["nearest"]] == ["flower", "photo"]
        assert all(len(nearest) == 3 and nearest[0][1] <= nearest[1][1] <= nearest[2][1] for nearest in row["nearest"])
    assert described["task_similarity"]["contexts"][0][1] == pytest.approx(1, abs=1e-2)
    assert "task features" not in described["task_similarity"]


@pytest.mark.parametrize(
    ("trainer", "opts", "similar", "of"),
    [
        ("SoftCPT", (), {"task features", "contexts"}, ["kind of flower", "colour"]),
        ("SoftCPT", ("TRAINER.SOFTCPT.VARIANT", "CSTA"), {"task features", "contexts"}, None),
        ("CoOp", ("TRAINER.COOP.CONTEXT", "shared"), set(), ["all tasks"]),
        ("PLOT", ("TRAINER.PLOT.N", "2"), {"contexts"}, None),
        ("CoCoOp", (), None, None),
        ("ZeroshotCLIP", (), None, None),
        ("LinearProbe", ("TRAINER.LINEARPROBE.C", "1.0"), None, None),
    ],
)
def test_results_describe_contexts_and_mistakes(workplace, trainer, opts, similar, of):
    results = workplace.run(trainer, "run", *opts)
    stored = json.loads((workplace.output / "run" / "results.json").read_text())
    assert stored == results
    if similar is None:
        assert stored["contexts"] is None
    else:
        assert set(stored["contexts"]["task_similarity"]) == similar
        for matrix in stored["contexts"]["task_similarity"].values():
            assert [len(row) for row in matrix] == [2, 2] and matrix[0][0] == pytest.approx(1, abs=1e-3)
        names = [row["of"] for row in stored["contexts"]["words"]]
        assert names == of if of else len(names) > 2
    for task in stored["tasks"]:
        assert sum(count for _, _, count in task["confusion"]) == task["total"]
        assert sum(count for true, guess, count in task["confusion"] if true == guess) == task["correct"]
        wrong = task["total"] - task["correct"]
        assert len(task["examples"]) <= wrong and bool(task["examples"]) == bool(wrong)
        for example in task["examples"]:
            image = workplace.root / example["image"]
            assert image.is_file() and example["true"] != example["predicted"] and 0 <= example["confidence"] <= 1
            assert stored["data_root"] == str(workplace.root)

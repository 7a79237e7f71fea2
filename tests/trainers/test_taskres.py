"""TaskRes from first principles in float64."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from common import catalogue
from common.paths import REPOSITORY
from prompting.prompts import sentence
from prompting.reference import encode_plain
from tests.support.methods import batch, batch_of_task, handwritten, layout_of_sizes, loss_by_tasks


def in_float64(trainer, tower64):
    """The trainer with the float64 tower and random residuals, about as large as the features they are added to."""
    trainer.tower = tower64
    trainer.model = trainer.build_learner().double()
    torch.manual_seed(3)
    for residuals in trainer.model:
        torch.nn.init.normal_(residuals)
    return trainer


@pytest.fixture(params=["0.5", "1.0"])
def trainer(request, workplace, tower64):
    return in_float64(workplace.trainer("TaskRes", "TRAINER.TASKRES.ALPHA", request.param), tower64)


def plain_features(trainer, residuals):
    """t + alpha x of all classes, t with the norm that the text tower gives it."""
    layout, text = trainer.layout, trainer.tower.text
    prompts = [
        sentence(text.vocabulary, task.template.replace("{}", name.replace("_", " ")))
        for task in layout.tasks
        for name in task.classnames
    ]
    t = encode_plain(text, prompts)
    assert (t.norm(dim=1) > 2).all()  # far from unit norm, so that normalising t beforehand would be noticed
    return t + trainer.cfg.TRAINER.TASKRES.ALPHA * residuals


def test_loss_and_gradients(trainer, tower64):
    layout = trainer.layout
    image_features, label, task = batch(layout, tower64.text.feature_dim)
    loss, logits, column = trainer.loss(image_features, label, task)
    x = torch.cat([residuals.detach() for residuals in trainer.model]).requires_grad_()
    expected = loss_by_tasks(tower64, layout, plain_features(trainer, x), image_features, label, task)
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(F.cross_entropy(logits, column), expected, rtol=1e-9, atol=1e-9)
    got = torch.cat(torch.autograd.grad(loss, list(trainer.model)))
    (gradient,) = torch.autograd.grad(expected, x)
    assert (gradient.abs().amax(1) > 0).all()
    torch.testing.assert_close(got, gradient, rtol=1e-7, atol=1e-10)


def test_predictions(trainer, tower64):
    image_features, label, task = batch(trainer.layout, tower64.text.feature_dim)
    features = plain_features(trainer, torch.cat(list(trainer.model)))
    cosine = F.cosine_similarity(image_features.unsqueeze(1), features.unsqueeze(0), dim=-1)
    torch.testing.assert_close(trainer.classifier()(image_features, task), tower64.logit_scale * cosine)


@pytest.mark.parametrize("task", [0, 1])
def test_a_batch_gives_other_tasks_no_gradient(trainer, task):
    image_features, label, tasks = batch_of_task(trainer.layout, trainer.tower.text.feature_dim, task)
    loss, _, _ = trainer.loss(image_features, label, tasks)
    got = torch.autograd.grad(loss, list(trainer.model), allow_unused=True)
    assert got[1 - task] is None and got[task].abs().max() > 0


def test_it_starts_as_zero_shot_clip(workplace, tower):
    trainer = workplace.trainer("TaskRes")
    assert trainer.knobs.ALPHA == 0.5 and [tuple(p.shape) for p in trainer.model] == [(3, 48), (2, 48)]
    image_features = F.normalize(torch.randn(4, 48), dim=-1)
    expected = tower.logit_scale * image_features @ handwritten(trainer.layout, tower.text).t()
    torch.testing.assert_close(trainer.classifier()(image_features, None), expected, rtol=1e-4, atol=1e-3)


def test_each_task_is_trained_as_if_alone(workplace, tmp_path):
    """Neither Adam's averages nor its weight decay mix the tasks. Batches of 256 hold all images of a task."""
    joint = workplace.trainer("TaskRes", "DATALOADER.TRAIN_X.BATCH_SIZE", "256")
    shots = joint.dm.dataset.train_x
    assert [len({shots[i].domain for i in rows}) for rows in joint.train_loader_x.batch_sampler] == [1, 1]
    joint.train()
    for task in (0, 1):
        words = ("DATALOADER.TRAIN_X.BATCH_SIZE", "256", "DATASET.SUBSAMPLE_TASKS", f"task{task}")
        alone = workplace.trainer("TaskRes", *words, "OUTPUT_DIR", str(tmp_path / str(task)))
        alone.train()
        moved = alone.model[0].detach()
        assert moved.abs().max() > 0
        # The order of images in a batch changes the last bits of sums.
        tolerance = float(moved.abs().max()) * 1e-3
        torch.testing.assert_close(joint.model[task].detach(), moved, rtol=0, atol=tolerance)


def test_the_recipe_is_the_authors(workplace):
    cfg = workplace.config("TaskRes")
    optim = (cfg.OPTIM.NAME, cfg.OPTIM.LR, cfg.OPTIM.WEIGHT_DECAY, cfg.OPTIM.WARMUP_EPOCH, cfg.OPTIM.WARMUP_CONS_LR)
    assert optim == ("adam", 0.002, 5e-4, 1, 1e-5)


def test_imagenet_has_as_many_parameters_as_published(workplace):
    trainer = workplace.trainer("TaskRes")
    trainer.tower = SimpleNamespace(text=SimpleNamespace(feature_dim=1024))
    trainer.layout = layout_of_sizes([1000])
    assert sum(p.numel() for p in trainer.build_learner().parameters()) == 1_024_000


def test_the_page_on_adding_a_method_shows_this_file():
    page = (REPOSITORY / "docs" / "adding_a_method.md").read_text("utf-8")
    trainer = (REPOSITORY / "trainers" / "taskres.py").read_text("utf-8")
    entry = re.search(r' {8}Method\(\n {12}"TaskRes",.*?\n {8}\),\n', Path(catalogue.__file__).read_text("utf-8"), re.S)
    recipe = (REPOSITORY / "configs" / "trainers" / "TaskRes" / "_recipe.yaml").read_text("utf-8")
    assert trainer[trainer.index("from __future__") :] in page
    assert entry and entry.group() in page
    assert recipe[recipe.index("DATALOADER") :] in page

"""MVLPT: both stages from first principles, how the run goes from one to the other, and what it refuses."""

import copy

import pytest
import torch
from dassl.optim import build_lr_scheduler

from common.errors import InputError
from prompting.prompts import lay_out
from prompting.reference import encode_plain
from tests.support.methods import COLLECTIONS, batch, in_float64, loss_by_tasks
from trainers.mvlpt import SharedThenOwn


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_parameters_are_the_shared_context_and_a_copy_for_each_task(collection):
    n_tasks = len(COLLECTIONS[collection])
    learner = SharedThenOwn(n_tasks, 16, 512)
    assert sum(p.numel() for p in learner.parameters()) == (n_tasks + 1) * 16 * 512


@pytest.mark.parametrize("stage", [1, 2])
def test_mvlpt_from_first_principles(workplace, tower64, stage):
    trainer = in_float64(workplace.trainer("MVLPT"), tower64)
    layout, text, learner = trainer.layout, tower64.text, trainer.model
    if stage == 2:
        learner.adapting.fill_(True)
    image_features, label, task = batch(layout, text.feature_dim)
    loss, _, _ = trainer.loss(image_features, label, task)
    of = [learner.shared] if stage == 1 else list(learner.ctx)
    got = torch.stack(torch.autograd.grad(loss, of))

    v = torch.stack([p.detach() for p in of]).requires_grad_()
    prompts = [
        lay_out(text.vocabulary, name, i if stage == 2 else 0, 16, "middle")
        for i, t in enumerate(layout.tasks)
        for name in t.classnames
    ]
    expected = loss_by_tasks(tower64, layout, encode_plain(text, prompts, v), image_features, label, task)
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(got, torch.autograd.grad(expected, v)[0], rtol=1e-7, atol=1e-10)


def test_a_run_of_the_first_stage_alone_is_shared_coop(workplace):
    same = ("TRAINER.COOP.CONTEXT", "shared", "TRAINER.COOP.CLASS_TOKEN_POSITION", "middle")
    coop = workplace.trainer("CoOp", *same)
    other = ("OUTPUT_DIR", str(workplace.output / "mvlpt"))
    mvlpt = workplace.trainer("MVLPT", "TRAINER.MVLPT.SHARED_SHARE", "1.0", *other)
    assert torch.equal(coop.model.ctx[0], mvlpt.model.shared)  # drawn alike
    start = coop.model.ctx[0].detach().clone()
    coop.train()
    mvlpt.train()
    moved = (coop.model.ctx[0] - start).abs().max().item()
    assert moved > 0 and not mvlpt.model.adapting
    torch.testing.assert_close(mvlpt.model.shared, coop.model.ctx[0], rtol=0, atol=1e-3 * moved)
    for split in ("val", "test"):
        assert mvlpt.test(split) == coop.test(split)


def test_the_second_stage_starts_from_the_first_ones_context(workplace, monkeypatch):
    """Mixed batches and one context first, batches of one task and a context each then."""
    trainer, seen = workplace.trainer("MVLPT", epochs=4), []
    original = type(trainer).forward_backward

    def watched(self, batch):
        before = copy.deepcopy(self.model.state_dict())
        summary = original(self, batch)
        after = self.model.state_dict()
        moved = {key for key in after if not torch.equal(before[key], after[key])}
        seen.append((self.epoch, set(batch["domain"].tolist()), moved, before))
        return summary

    monkeypatch.setattr(type(trainer), "forward_backward", watched)
    trainer.train()
    first, second = [s for s in seen if s[0] < 2], [s for s in seen if s[0] >= 2]
    assert all(moved == {"shared"} for _, _, moved, _ in first)
    assert any(tasks == {0, 1} for _, tasks, _, _ in first)
    assert all(moved == {f"ctx.{min(tasks)}"} and len(tasks) == 1 for _, tasks, moved, _ in second)
    assert {tuple(tasks) for _, tasks, _, _ in second} == {(0,), (1,)}
    start = second[0][3]
    assert start["adapting"] and torch.equal(start["ctx.0"], start["shared"])
    assert torch.equal(start["ctx.1"], start["shared"])
    assert torch.equal(trainer.model.shared, start["shared"])


@pytest.mark.parametrize("steps", [1, 3])
def test_each_stage_has_a_schedule_of_its_own(workplace, steps):
    trainer = workplace.trainer("MVLPT", "OPTIM.STEPS_PER_EPOCH", str(steps), epochs=10)
    rates = []
    for _ in range(10 * steps):
        rates.append(trainer.optim.param_groups[0]["lr"])
        trainer.optim.step()
        trainer.sched.step()
    optim = trainer.cfg.OPTIM.clone()
    optim.defrost()
    optim.MAX_EPOCH = 5
    optimizer = torch.optim.SGD(trainer.model.parameters(), lr=optim.LR)
    schedule, alone = build_lr_scheduler(optimizer, optim), []
    for _ in range(5 * steps):
        alone.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == alone + alone and rates[0] == 1e-5


@pytest.mark.parametrize("killed_at", [1, 2, 3])
def test_a_killed_run_resumes_to_the_very_same_result(workplace, killed_at):
    """In the first stage, between both and in the second."""
    workplace.killed_and_resumed("MVLPT", at=killed_at)


@pytest.mark.parametrize("opts", [(), ("BANK.TRAIN", "False"), ("TRAINER.MVLPT.CTX_INIT", "a photo of a")])
def test_whole_runs(workplace, opts):
    results = workplace.run("MVLPT", "run", *opts, epochs=2)
    n_ctx = 4 if "TRAINER.MVLPT.CTX_INIT" in opts else 16
    assert results["method"] == "MVLPT" and results["counts"]["trainable_parameters"] == 3 * n_ctx * 64


def test_a_checkpoint_knows_its_stage(workplace):
    """The best on validation may be of the first stage, whose tests use the shared context."""
    workplace.run("MVLPT", "run", "TRAIN.CHECKPOINT_FREQ", "1", epochs=4)
    for epoch, adapting in ((1, False), (2, False), (3, True), (4, True)):
        workplace.evaluate("run", "MVLPT", "again", epoch=epoch, epochs=4)
        assert bool(workplace.learned("run", epoch)["adapting"]) == adapting
    assert workplace.run("MVLPT", "best", "TEST.FINAL_MODEL", "best_val", epochs=4)["finished"]


def test_a_share_outside_0_to_1_is_refused(workplace):
    with pytest.raises(InputError, match="SHARED_SHARE is 1.5; it must be at least 0 and at most 1"):
        workplace.trainer("MVLPT", "TRAINER.MVLPT.SHARED_SHARE", "1.5")
    assert workplace.trainer("MVLPT", "TRAINER.MVLPT.SHARED_SHARE", "0.0").batch_has_one_task

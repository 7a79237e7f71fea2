"""Methods whose parameters belong to one task each: joint training gives what training on each task alone gives."""

import copy

import pytest
import torch

METHODS = ["CoOp-CA", "CoOp-CS", "KgCoOp", "ProGrad"]


@pytest.mark.parametrize("method", METHODS)
def test_each_task_is_trained_as_if_alone(workplace, tmp_path, method):
    whole = ("DATALOADER.TRAIN_X.BATCH_SIZE", "32")  # so that both batch the same images
    joint = workplace.trainer(method, *whole)
    start = copy.deepcopy(joint.model.state_dict())
    joint.train()
    for task in (0, 1):
        words = (*whole, "DATASET.SUBSAMPLE_TASKS", f"task{task}", "OUTPUT_DIR", str(tmp_path / str(task)))
        alone = workplace.trainer(method, *words)
        assert len(alone.layout) == 1
        alone.model.load_state_dict({"ctx.0": start[f"ctx.{task}"]})
        alone.train()
        moved = (alone.model.ctx[0] - start[f"ctx.{task}"]).detach()
        assert moved.abs().max() > 0
        tolerance = float(moved.abs().max()) * 1e-3  # the order of images in a batch changes the last bits of sums
        torch.testing.assert_close(joint.model.ctx[task], alone.model.ctx[0], rtol=0, atol=tolerance)


@pytest.mark.parametrize("method", METHODS[1:])
def test_a_batch_moves_the_contexts_of_its_task_alone(workplace, method):
    """Neither momentum nor weight decay reaches another task's contexts, and the batch's own all move."""
    trainer = workplace.trainer(method, "BANK.TRAIN", "False", "OPTIM.WEIGHT_DECAY", "0.1")
    trainer.set_model_mode("train")
    trainer.num_batches, trainer.epoch = 100, 0
    trainer.optim.param_groups[0]["lr"] = 0.01
    by_task = {}
    for wanted in (0, 1):
        label = torch.tensor(list(trainer.layout.classes_of(wanted)))
        by_task[wanted] = {"img": torch.randn(len(label), 3, 32, 32), "label": label}
    for step, moving in enumerate((0, 1, 1, 0)):
        trainer.batch_idx = step
        before = copy.deepcopy(list(trainer.model.parameters()))
        trainer.forward_backward(by_task[moving])
        for task, (a, b) in enumerate(zip(before, trainer.model.parameters(), strict=True)):
            moved = (a != b).flatten(-2).any(-1)  # one flag a context
            assert moved.all() if task == moving else not moved.any()

"""Training: views that are encoded ahead, batches of some tasks, worker processes, images without augmentation."""

import pytest
import torch

from datasets.images import SeededImages
from tests.support.training import same_state
from trainers.engine.task_trainer import TaskTrainer

STILL = ("INPUT.TRANSFORMS", "('normalize',)")


def test_learning_lowers_the_loss(workplace):
    """Without augmentation and with every image in every batch, the few shots must be fitted."""
    losses = []
    opts = ("OPTIM.LR", "0.01", "INPUT.TRANSFORMS", "('normalize',)", "DATALOADER.TRAIN_X.BATCH_SIZE", "32")
    trainer = workplace.trainer("SoftCPT", *opts, epochs=30)
    trainer.watch.epoch = lambda done, total, loss: losses.append(loss)
    trainer.train()
    assert losses[-1] < 0.75 * losses[0]


def test_a_batch_without_some_tasks_gives_the_same_loss(workplace):
    """Encoding only the tasks of a batch, or all of them, gives the same loss and gradients."""
    trainer = workplace.trainer("SoftCPT")
    torch.manual_seed(0)
    features = torch.nn.functional.normalize(torch.randn(4, 48), dim=-1)
    label = torch.tensor([3, 4, 4, 3])
    task = trainer.task_of_class[label]
    assert trainer.tasks_to_encode(task) == [1]
    few, _, column = trainer.loss(features, label, task)
    gradients = torch.autograd.grad(few, list(trainer.model.parameters()))
    trainer.tasks_to_encode = lambda task: [0, 1]
    all_tasks, _, flat = trainer.loss(features, label, task)
    assert column.tolist() == [0, 1, 1, 0] and flat.tolist() == [3, 4, 4, 3]
    torch.testing.assert_close(few, all_tasks)
    for a, b in zip(gradients, torch.autograd.grad(all_tasks, list(trainer.model.parameters())), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("method", ["SoftCPT-NATA", "SoftCPT-NATS", "CoOp-CA", "MVLPT"])
def test_views_encoded_ahead_train_step_for_step_as_on_the_fly(workplace, method, monkeypatch):
    """Same views, same batches, same losses at every step, whether images are encoded ahead or when they are needed."""
    losses = {}
    original = TaskTrainer.forward_backward
    for name, ahead in (("ahead", "True"), ("fly", "False")):
        seen = losses[name] = []

        def watched(self, batch, seen=seen):
            summary = original(self, batch)
            seen.append((self.epoch, batch["index"].tolist(), summary["loss"]))
            return summary

        monkeypatch.setattr(TaskTrainer, "forward_backward", watched)
        workplace.run(method, name, "BANK.TRAIN", ahead, "BANK.TEST", ahead)
    assert len(losses["fly"]) >= 6
    for (epoch, batch, loss), (epoch_fly, batch_fly, loss_fly) in zip(losses["ahead"], losses["fly"], strict=True):
        assert (epoch, batch) == (epoch_fly, batch_fly)
        assert loss == pytest.approx(loss_fly, rel=1e-5)


def test_worker_processes_do_not_change_the_result(workplace):
    bank = ("BANK.DIR", str(workplace.output / "other bank"))
    alone = workplace.run("SoftCPT", "alone")
    workers = workplace.run("SoftCPT", "workers", "DATALOADER.NUM_WORKERS", "2", *bank)
    assert same_state(workplace.learned("alone", 3), workplace.learned("workers", 3))
    assert alone["tasks"] == workers["tasks"]


def test_images_that_are_not_augmented_are_encoded_once(workplace):
    """As they are tested: resized and cropped, not squashed; with and without the bank it is the same run."""
    banked = workplace.run("SoftCPT", "banked", *STILL)
    assert len(list((workplace.output / ".bank").glob("*.features"))) == 3  # training, validation and test images
    plain = workplace.run("SoftCPT", "plain", *STILL, "BANK.TRAIN", "False", "BANK.TEST", "False")
    assert banked["tasks"] == plain["tasks"]
    learned = [workplace.learned(name, 3)["sub_network.weight"] for name in ("banked", "plain")]
    torch.testing.assert_close(*learned, rtol=1e-4, atol=1e-6)
    trainer = workplace.trainer("SoftCPT", *STILL)
    train, test = trainer.train_loader_x.dataset, trainer.test_loader.dataset
    test.data_source = train.data_source
    assert torch.equal(train.view(0, epoch=0), train.view(0, epoch=1))
    assert torch.equal(train.view(0, epoch=0), test.view(0, epoch=0))


@pytest.mark.parametrize("method", ["PLOT", "MaPLe"])
def test_still_images_are_read_once_by_methods_without_the_bank(workplace, method, monkeypatch):
    """The learner stays the same, bit for bit. Augmented images, and images that do not fit into memory, are read again
    in every epoch."""
    still = ("INPUT.TRANSFORMS", "('normalize',)", "TRAINER.PLOT.N_CTX", "2", "TRAINER.MAPLE.PROMPT_DEPTH", "2")
    read, view = [], SeededImages.view
    monkeypatch.setattr(SeededImages, "view", lambda self, *a: read.append(self.is_train) or view(self, *a))

    def reads(name, *opts):
        read.clear()
        workplace.run(method, name, *opts)  # 3 epochs of 10 images
        return sum(read)

    assert reads("once", *still) == 10
    assert reads("again", *still, "BANK.TRAIN", "False") > 20 < reads("augmented", *still[2:])
    assert same_state(workplace.learned("once", 3), workplace.learned("again", 3))
    monkeypatch.setattr("trainers.engine.image_features.ONCE_BYTES", 100)
    assert reads("large", *still) > 20


def test_the_best_on_validation_can_be_deployed(workplace):
    results = workplace.run("CoOp", "run", "TEST.FINAL_MODEL", "best_val")
    assert results["finished"] and (workplace.output / "run" / "prompt_learner" / "model-best.pth.tar").exists()

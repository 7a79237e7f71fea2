"""NaN and infinity: what is not finite never finishes a run, and one line says where it is."""

import pytest
import torch

from common.errors import InputError
from prompting.towers import load_tower
from tests.support.towers import needs_on_cpu, random_clip
from trainers.engine.evaluator import wrong_logit


def broken_tower(path, name, value):
    state = random_clip().state_dict()
    state[name].view(-1)[0] = value
    torch.save(state, path)
    return str(path)


@pytest.mark.parametrize("method", ["ZeroshotCLIP", "CoOp", "LP-CLIP"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["visual.proj", "token_embedding.weight", "text_projection", "logit_scale"])
def test_a_tower_that_is_not_finite_is_refused(workplace, tmp_path, method, name, value):
    tower = broken_tower(tmp_path / "broken.pt", name, value)
    with pytest.raises(InputError, match="broken.pt are not finite") as error:
        workplace.run(method, "run", "MODEL.BACKBONE.NAME", tower)
    assert "\n" not in str(error.value) and name.split(".")[-1] in str(error.value)
    assert not (workplace.output / "run").exists()


def test_a_resnets_running_means_count_too(resnet, tmp_path):
    state = torch.load(resnet, weights_only=True)
    state["visual.bn1.running_var"][0] = float("nan")
    torch.save(state, tmp_path / "resnet.pt")
    with pytest.raises(InputError, match="running_var"):
        load_tower(str(tmp_path / "resnet.pt"))


def test_weights_too_large_for_half_precision(tmp_path):
    path = broken_tower(tmp_path / "large.pt", "visual.proj", 1e6)
    load_tower(path)
    with pytest.raises(InputError, match="visual.proj.*fp32"):
        load_tower(path, dtype=torch.float16)


def test_an_overflow_of_an_image_feature_names_the_image(workplace, monkeypatch):
    encode = "prompting.towers.Tower.encode_image"

    def overflow(self, images, normalize=True):
        return torch.full((len(images), 48), float("inf"))

    monkeypatch.setattr(encode, overflow)
    for bank, what in (
        ("True", "features of tiny/kinds/.* are not finite"),
        ("False", "logit of tiny/kinds/.* is nan"),
    ):
        with pytest.raises(InputError, match=what):
            workplace.run("ZeroshotCLIP", "run", "BANK.TEST", bank)
    assert not list((workplace.output / ".bank").glob("*.features"))


def test_a_class_feature_that_overflows_at_test_in_half_precision(workplace, monkeypatch):
    needs_on_cpu(torch.float16)
    trainer = workplace.trainer("ZeroshotCLIP")
    features = trainer.handwritten_features.clone()
    features[1] = float("nan")
    monkeypatch.setattr("trainers.zsclip.template_features", lambda *_: features)
    with pytest.raises(InputError, match="tiny/kinds/.* and class 'rose' is nan.*no result"):
        trainer.test()
    with pytest.raises(InputError, match="class 'rose' is nan"):
        workplace.run("ZeroshotCLIP")
    assert not (workplace.output / "run").exists()


@pytest.mark.parametrize("method", ["CoOp", "SoftCPT", "MaPLe", "Tip-Adapter-F"])
def test_a_run_that_diverges_ends_in_one_line(workplace, method):
    words = ("TRAINER.MAPLE.PROMPT_DEPTH", "2", "TRAINER.TIPADAPTER.STEPS_BETA", "2")
    huge = ("OPTIM.LR", "1e6", "OPTIM.WARMUP_CONS_LR", "1e6", "OPTIM.WEIGHT_DECAY", "1e6", "OPTIM.MAX_EPOCH", "40")
    with pytest.raises(InputError, match="not finite.*OPTIM.LR") as error:
        workplace.run(method, "run", *words, *huge)
    assert "\n" not in str(error.value)
    assert not (workplace.output / "run" / "results.json").exists()


def test_parameters_after_the_last_step_are_checked(workplace, monkeypatch):
    from trainers.engine.task_trainer import TaskTrainer

    original = TaskTrainer.forward_backward

    def last(self, batch):
        summary = original(self, batch)
        if self.epoch == 2 and self.batch_idx + 1 == self.num_batches:
            next(self.model.parameters()).data.view(-1)[0] = float("nan")
        return summary

    monkeypatch.setattr(TaskTrainer, "forward_backward", last)
    with pytest.raises(InputError, match="CoOp-CA learned in epoch 3 is not finite: ctx.0"):
        workplace.run("CoOp", epochs=3)
    folder = workplace.output / "run"
    assert not (folder / "results.json").exists() and not (folder / "prompt_learner" / "model.pth.tar-3").exists()
    assert (folder / "prompt_learner" / "model.pth.tar-2").exists()  # still good: it is resumed
    monkeypatch.setattr(TaskTrainer, "forward_backward", original)
    assert workplace.run("CoOp", epochs=3)["resumed_from_epoch"] == 2


def test_what_is_fitted_is_checked(workplace, monkeypatch):
    monkeypatch.setattr("trainers.protonet.Prototypes.fit", lambda self, x, y: self.prototypes.fill_(float("inf")))
    with pytest.raises(InputError, match="not finite: prototypes"):
        workplace.run("ProtoNet")


def test_logits_of_other_tasks_may_be_infinite():
    task_of_class, task = torch.tensor([0, 0, 1]), torch.tensor([0, 1])
    inf, nan = float("inf"), float("nan")
    assert wrong_logit(torch.tensor([[1.0, 2, -inf], [-inf, nan, 3]]), task, task_of_class) is None
    assert wrong_logit(torch.tensor([[1.0, 2, -inf], [-inf, -inf, -inf]]), task, task_of_class) == (1, 2)
    assert wrong_logit(torch.tensor([[1.0, nan, -inf], [-inf, -inf, 1]]), task, task_of_class) == (0, 1)

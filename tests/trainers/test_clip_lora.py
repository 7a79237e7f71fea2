"""CLIP-LoRA from first principles, its batches, and runs with one tower tuned."""

import copy

import pytest
import torch
from torch import nn

from common.errors import InputError
from prompting.losses import within_task
from prompting.prompts import sentence
from prompting.reference import encode_plain
from prompting.towers import load_tower
from tests.support.methods import in_float64, loss_by_tasks
from trainers.clip_lora import TowerUpdates

FEW = ("TRAINER.CLIPLORA.ITERATIONS", "2", "OPTIM.NAME", "adamw", "OPTIM.LR", "0.001", "OPTIM.WARMUP_EPOCH", "-1")
EXACT = ("TRAINER.CLIPLORA.DROPOUT", "0.0")


def only(encoder: str) -> tuple[str, str]:
    return "TRAINER.CLIPLORA.ENCODER", encoder


class Texts(nn.Module):
    """A text tower with a forward pass: prompts padded to its length, attention by PyTorch's own module."""

    def __init__(self, tower, prompts):
        super().__init__()
        self.tower, self.prompts = tower, prompts

    def forward(self):
        return encode_plain(self.tower, self.prompts)


def changed(module, name, updates, *args):
    """What a module gives when every attention layer has the matrix W + (B_q A_q; B_k A_k; B_v A_v) / sqrt(2)."""
    weights = {
        f"{name}.{layer}.attn.in_proj_weight": module.get_parameter(f"{name}.{layer}.attn.in_proj_weight")
        + torch.cat([b[i] @ a[i] for i in range(3)]) / 2**0.5
        for layer, (a, b) in enumerate(zip(*updates, strict=True))
    }
    return torch.func.functional_call(module, weights, args)


@pytest.mark.parametrize("encoder", ["both", "text", "vision"])
def test_clip_lora_from_first_principles(workplace, tower64, encoder):
    trainer = in_float64(workplace.trainer("CLIPLoRA", *EXACT, *only(encoder)), tower64)
    layout, text, learner = trainer.layout, tower64.text, trainer.model
    torch.manual_seed(4)
    images, label = torch.randn(6, 3, 32, 32, dtype=torch.float64), torch.tensor([0, 4, 2, 3, 1, 4])
    task = layout.task_of_class[label]
    given = trainer.encode_images(images)
    loss, _, _ = trainer.loss(given, label, task)
    got = dict(zip(dict(learner.named_parameters()), torch.autograd.grad(loss, [*learner.parameters()]), strict=True))

    mine = {name: p.detach().clone().requires_grad_() for name, p in learner.named_parameters()}
    w, x = [], torch.zeros(6, 48, dtype=torch.float64)
    for t, entry in enumerate(layout.tasks):
        prompts = [sentence(text.vocabulary, entry.template.replace("{}", n)) for n in entry.classnames]
        update = [(mine[f"{side}.{t}.a"], mine[f"{side}.{t}.b"]) if f"{side}.{t}.a" in mine else ((), ())
                  for side in ("text", "image")]  # fmt: skip
        w.append(changed(Texts(text, prompts), "tower.blocks", update[0]))
        features = changed(tower64.visual, "transformer.resblocks", update[1], images[task == t])
        x = x.index_put(((task == t).nonzero().squeeze(1),), features)
    expected = loss_by_tasks(tower64, layout, torch.cat(w), x, label, task)
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)
    assert len(mine) == (8 if encoder == "both" else 4)
    wanted = dict(zip(mine, torch.autograd.grad(expected, [*mine.values()]), strict=True))
    for name, gradient in wanted.items():
        assert gradient.abs().amax((2, 3)).min() > 0
        torch.testing.assert_close(got[name], gradient, rtol=1e-6, atol=1e-10)


def test_it_starts_as_zero_shot_clip(workplace):
    trainer, zero_shot = workplace.trainer("CLIPLoRA"), workplace.trainer("ZeroshotCLIP")
    trainer.set_model_mode("eval")
    images, task = torch.randn(3, 3, 32, 32), torch.tensor([0, 1, 0])
    with torch.no_grad():
        got, expected = (
            within_task(part.classifier()(part.encode_images(images), task), task, part.task_of_class)
            for part in (trainer, zero_shot)
        )
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def test_parameters_are_counted_by_layer_and_task(workplace):
    """6 r width a layer; ViT-B/16 has twelve layers of width 768 and twelve of 512."""
    assert sum(p.numel() for p in workplace.trainer("CLIPLoRA").model.parameters()) == 2 * (2 + 2) * 6 * 2 * 64
    with torch.device("meta"):
        tower = nn.Module()
        tower.text, tower.visual = nn.Module(), nn.Module()
        block = [nn.Module() for _ in range(2)]
        block[0].attn, block[1].attn = nn.MultiheadAttention(512, 8), nn.MultiheadAttention(768, 12)
        tower.text.blocks = nn.ModuleList(copy.deepcopy(block[0]) for _ in range(12))
        tower.visual.transformer = nn.Module()
        tower.visual.transformer.resblocks = nn.ModuleList(copy.deepcopy(block[1]) for _ in range(12))
        learner = TowerUpdates(tower, 1, "both", 2, 1.0, 0.25)
    assert sum(p.numel() for p in learner.parameters()) == 12 * 6 * 2 * (512 + 768) == 184320


def test_tuning_the_text_tower_alone_leaves_the_towers_bit_identical(workplace):
    trainer = workplace.trainer("CLIPLoRA", *FEW, *only("text"), epochs=2)
    before, start = copy.deepcopy(trainer.tower.state_dict()), copy.deepcopy(trainer.model.state_dict())
    trainer.train()
    after = trainer.tower.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(value, before[key]) for key, value in after.items())
    assert not any(p.requires_grad or p.grad is not None for p in trainer.tower.parameters())
    assert not any(torch.equal(value, start[key]) for key, value in trainer.model.state_dict().items())


def test_every_task_has_the_published_number_of_steps(workplace):
    """5 steps a shot at 2 shots in 2 epochs: 5 batches of every task in each, whatever its size."""
    opts = ("TRAINER.CLIPLORA.ITERATIONS", "5", "DATALOADER.TRAIN_X.BATCH_SIZE", "4")
    loader = workplace.trainer("CLIPLoRA", *opts, epochs=2).train_loader_x
    batches = [batch["domain"].tolist() for batch in loader]
    assert len(loader) == len(batches) == 10 and all(len(set(batch)) == 1 for batch in batches)
    sizes = {t: sorted(len(batch) for batch in batches if batch[0] == t) for t in (0, 1)}
    assert sizes == {0: [2, 2, 4, 4, 4], 1: [4] * 5}  # 6 and 4 images; a pass over the 6 has an incomplete batch
    trainer = workplace.trainer("CLIPLoRA", *opts, epochs=4)  # 10 steps are dealt out as 2 3 2 3
    counts = []
    for trainer.epoch in range(4):
        trainer.before_epoch()
        counts.append(len(list(trainer.train_loader_x)))
        assert counts[-1] == len(trainer.train_loader_x)
    assert counts == [4, 6, 4, 6]
    epochs = workplace.trainer("CLIPLoRA", "TRAINER.CLIPLORA.ITERATIONS", "0").train_loader_x
    assert len(epochs) == 2  # one batch of 4 each: an incomplete batch is dropped, as for other methods


def test_each_task_is_trained_as_if_alone(workplace, tmp_path):
    opts = (*EXACT, "DATALOADER.TRAIN_X.BATCH_SIZE", "32", "TRAINER.CLIPLORA.ITERATIONS", "3", "OPTIM.NAME", "adamw")
    joint = workplace.trainer("CLIPLoRA", *opts)
    start = copy.deepcopy(joint.model.state_dict())
    joint.train()
    for task in (0, 1):
        words = (*opts, "DATASET.SUBSAMPLE_TASKS", f"task{task}", "OUTPUT_DIR", str(tmp_path / str(task)))
        alone = workplace.trainer("CLIPLoRA", *words)
        alone.model.load_state_dict({k.replace(f".{task}.", ".0."): v for k, v in start.items() if f".{task}." in k})
        alone.train()
        for side in ("text", "image"):
            for name in "ab":
                ours, theirs = (getattr(getattr(m, side)[i], name) for m, i in ((joint.model, task), (alone.model, 0)))
                moved = (theirs - start[f"{side}.{task}.{name}"]).abs().max().item()
                assert moved > 0
                # Batches hold the same images in another order; AdamW makes much of the last bits at first.
                torch.testing.assert_close(ours, theirs, rtol=0, atol=0.02 * moved)


@pytest.mark.parametrize("opts", [only("text"), only("vision")])
def test_runs_with_one_tower_tuned(workplace, opts):
    results = workplace.run("CLIPLoRA", "run", *FEW, *opts, epochs=1)
    assert results["method"] == "CLIP-LoRA" and results["counts"]["trainable_parameters"] == 3072
    assert bool(list(workplace.output.glob(".bank/*.features"))) == (opts == only("text"))


def test_a_resnet_can_have_its_text_tower_tuned_alone(workplace, resnet):
    opts = ("MODEL.BACKBONE.NAME", str(resnet), "INPUT.SIZE", "(64, 64)", *FEW)
    with pytest.raises(InputError, match="vision transformer.* TRAINER.CLIPLORA.ENCODER text"):
        workplace.trainer("CLIPLoRA", *opts)
    results = workplace.run("CLIPLoRA", "run", *opts, *only("text"), epochs=1)
    assert results["counts"]["trainable_parameters"] == 2 * 2 * 6 * 2 * 64
    assert load_tower(str(resnet)).visual.attnpool is not None


@pytest.mark.parametrize(
    ("opts", "message"),
    [
        (only("image"), "TRAINER.CLIPLORA.ENCODER 'image' is unknown"),
        (("TRAINER.CLIPLORA.RANK", "0"), "RANK is 0; it must be at least 1"),
        (("TRAINER.CLIPLORA.DROPOUT", "1.0"), "DROPOUT is 1.0; it must be at least 0 and below 1"),
        (("TRAINER.CLIPLORA.ITERATIONS", "-1"), "ITERATIONS is -1"),
        (("TRAINER.CLIPLORA.ITERATIONS", "1"), "ITERATIONS 1 .* 2 steps.*OPTIM.MAX_EPOCH 3"),
        (("MODEL.COMPILE", "True"), "MODEL.COMPILE False"),
    ],
)
def test_bad_settings_are_one_line(workplace, opts, message):
    with pytest.raises(InputError, match=message):
        workplace.trainer("CLIPLoRA", *opts)


def test_images_are_compared_with_their_own_tasks_towers(workplace, tower64):
    """Mixed batches: the feature of an image is that of a batch of its task alone."""
    trainer = in_float64(workplace.trainer("CLIPLoRA", *EXACT), tower64)
    images, task = torch.randn(5, 3, 32, 32, dtype=torch.float64), torch.tensor([1, 0, 1, 1, 0])
    with torch.no_grad():
        mixed = trainer.adapted_features(images, task)
        for t in (0, 1):
            alone = trainer.adapted_features(images[task == t], task[task == t])
            torch.testing.assert_close(mixed[task == t], alone)
            other = trainer.adapted_features(images[task == t], 1 - task[task == t])
            assert ((alone - other).abs().amax(1) > 1e-4).all()

"""Checkpoints of CoOp's repository and its kin, in its format, tested and trained further here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from common.errors import InputError
from prompting.reference import encode_plain
from tests.support.training import Workplace
from trainers.engine.saved_prompts import read_saved

ONE_TASK = ("DATASET.SUBSAMPLE_TASKS", "task0")


def saved_by_coop(workplace: Workplace, name: str, ctx: Tensor, names: Sequence[str] = (), **more: Tensor) -> Path:
    """The checkpoint of a run of CoOp's repository on classes of these names, float16 as on its GPUs."""
    text = workplace.trainer("CoOp").tower.text
    embedding, v = text.token_embedding.weight.detach(), text.vocabulary
    names = names or ("rose", "tulip")
    tokens = [[*v.encode(f"{name}."), *v.end] for name in names]
    padded = torch.tensor([row + [0] * (60 - len(row)) for row in tokens])
    prefix = embedding[v.start[0]].expand(len(names), 1, -1)
    state = {"ctx": ctx, "token_prefix": prefix, "token_suffix": embedding[padded], **more}
    path = workplace.output / name / "prompt_learner" / "model.pth.tar-50"
    path.parent.mkdir(parents=True)
    half = {key: value.half().clone() for key, value in state.items()}
    torch.save({"state_dict": half, "epoch": 50, "optimizer": None, "scheduler": None, "val_result": None}, path)
    (path.parent / "checkpoint").write_text("model.pth.tar-50\n")
    return path


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(7)) * 0.2


def loaded(workplace: Workplace, path: Path | str, method: str, *words: str) -> Any:
    trainer = workplace.trainer(method, *words)
    trainer.load_model(str(path))
    return trainer


@pytest.mark.parametrize("position", ["end", "middle", "front"])
def test_a_context_classifies_as_in_its_own_repository(workplace, position):
    ctx = noise(16, 64)
    path = saved_by_coop(workplace, "theirs", ctx)
    words = (*ONE_TASK, "TRAINER.COOP.CLASS_TOKEN_POSITION", position)
    trainer = loaded(workplace, path.parent.parent, "CoOp", *words)
    text = trainer.tower.text
    v = text.vocabulary
    prompts = []
    for name in trainer.layout.classnames:  # laid out as upstream's PromptLearner.forward does
        tokens, slots = v.encode(name.replace("_", " ")), [-1 - k for k in range(16)]
        order = {"end": slots + tokens, "middle": slots[:8] + tokens + slots[8:], "front": tokens + slots}[position]
        prompts.append([*v.start, *order, *v.encode("."), *v.end])
    expected = F.normalize(encode_plain(text, prompts, ctx.half().float()[None]), dim=-1)
    torch.testing.assert_close(trainer.text_features([0])[0].detach(), expected, rtol=1e-4, atol=1e-5)


def test_a_run_is_evaluated_from_its_folder_or_its_file(workplace, capsys):
    path = saved_by_coop(workplace, "theirs", noise(16, 64))
    first = workplace.evaluate("theirs", "CoOp", "tested", *ONE_TASK, epoch=50)
    again = workplace.evaluate(str(path), "CoOp", "again", *ONE_TASK)
    assert first["tasks"] == again["tasks"] and first["checkpoint"] == again["checkpoint"] is not None
    assert "trained on one task" not in capsys.readouterr().err
    both = workplace.evaluate("theirs", "CoOp", "both", epoch=50)
    assert "all 2 tasks use its context" in capsys.readouterr().err
    assert both["tasks"][0]["accuracy"] == first["tasks"][0]["accuracy"]
    shared = workplace.evaluate("theirs", "CoOp-MT", "shared", epoch=50)
    assert [task["accuracy"] for task in shared["tasks"]] == [task["accuracy"] for task in both["tasks"]]


def test_a_context_per_class(workplace, capsys):
    ctx = noise(5, 16, 64)
    names = ("tulip", "crimson", "rose", "blue", "ox-eye daisy")  # in another order than here
    path = saved_by_coop(workplace, "theirs", ctx, names)
    trainer = loaded(workplace, path, "CoOp-CS")
    assert trainer.layout.classnames == ("ox-eye daisy", "rose", "tulip", "blue", "crimson")
    assert torch.equal(torch.cat(list(trainer.model.ctx)), ctx[[4, 2, 0, 3, 1]].half().float())
    others = saved_by_coop(workplace, "others", ctx, ("tulip", "crimson", "rose", "blue", "daisy"))
    with pytest.raises(InputError, match="has 0 contexts for the class 'ox-eye daisy'"):
        loaded(workplace, others, "CoOp-CS")
    checkpoint = torch.load(path, weights_only=True)
    del checkpoint["state_dict"]["token_suffix"]
    torch.save(checkpoint, path)
    trainer = loaded(workplace, path, "CoOp-CS")
    assert torch.equal(torch.cat(list(trainer.model.ctx)), ctx.half().float())
    assert "does not say which classes" in capsys.readouterr().err
    with pytest.raises(InputError, match="5 contexts, and here every class needs its own"):
        loaded(workplace, path, "CoOp-CS", *ONE_TASK)
    with pytest.raises(InputError, match=r"shape \(5, 16, 64\), here \(16, 64\); .*TRAINER.COOP.CONTEXT class"):
        loaded(workplace, path, "CoOp")
    one = saved_by_coop(workplace, "one", noise(16, 64))
    with pytest.raises(InputError, match="one context for all classes, and here every class"):
        loaded(workplace, one, "CoOp-CS")


def test_what_other_methods_add(workplace):
    net = {
        "meta_net.linear1.weight": noise(3, 48),
        "meta_net.linear1.bias": noise(3),
        "meta_net.linear2.weight": noise(64, 3),
        "meta_net.linear2.bias": noise(64),
    }
    path = saved_by_coop(workplace, "cocoop", noise(4, 64), **net)
    learner = loaded(workplace, path, "CoCoOp", *ONE_TASK).model
    own = learner.tasks[0]
    assert torch.equal(own.ctx, noise(4, 64).half().float())
    assert torch.equal(own.linear2.weight, net["meta_net.linear2.weight"].half().float())
    with pytest.raises(InputError, match="does not fit this one: it holds meta_net.linear1.weight"):
        loaded(workplace, path, "KgCoOp", *ONE_TASK)
    plain = saved_by_coop(workplace, "coop", noise(4, 64))
    with pytest.raises(InputError, match="does not fit this one: it lacks meta_net.linear1.weight"):
        loaded(workplace, plain, "CoCoOp", *ONE_TASK)
    for method in ("SoftCPT-NATA", "MVLPT"):
        with pytest.raises(InputError, match="does not fit this one: it holds ctx"):
            loaded(workplace, plain, method, *ONE_TASK)
    assert torch.equal(loaded(workplace, plain, "KgCoOp", *ONE_TASK).model.ctx[0], noise(4, 64).half().float())


def test_another_clip_or_size_is_refused(workplace, capsys):
    path = saved_by_coop(workplace, "theirs", noise(16, 64))
    with pytest.raises(InputError, match="it has 16 context vectors, here 4; set N_CTX"):
        loaded(workplace, path, "CoOp", "TRAINER.COOP.N_CTX", "4")
    checkpoint = torch.load(path, weights_only=True)
    state = checkpoint["state_dict"]
    state["token_prefix"] = noise(3, 1, 64).half()
    torch.save(checkpoint, path)
    with pytest.raises(InputError, match="another CLIP: its start token"):
        loaded(workplace, path, "CoOp")
    del state["token_prefix"]
    torch.save(checkpoint, path)
    loaded(workplace, path, "CoOp")
    assert "does not say which CLIP" in capsys.readouterr().err
    state["ctx"] = noise(16, 512)
    torch.save(checkpoint, path)
    with pytest.raises(InputError, match=r"another width \(512, here 64\)"):
        loaded(workplace, path, "CoOp")


def test_training_starts_from_it(workplace, capsys):
    ctx = noise(16, 64)
    path = saved_by_coop(workplace, "theirs", ctx)
    trainer = workplace.trainer("CoOp", "MODEL.INIT_WEIGHTS", str(path))
    assert all(torch.equal(own.detach(), ctx.half().float()) for own in trainer.model.ctx)
    with pytest.raises(InputError, match="INIT_WEIGHTS cannot be used.*does not fit|does not fit this one"):
        workplace.trainer("SoftCPT-NATA", "MODEL.INIT_WEIGHTS", str(path))
    own = workplace.output / "own.pt"
    torch.save({"ctx.0": ctx}, own)
    with pytest.raises(InputError, match="own.pt has ctx.0, and this method has tasks.0.ctx"):
        workplace.trainer("CoCoOp", "MODEL.INIT_WEIGHTS", str(own))
    half = workplace.trainer("CoOp", "MODEL.INIT_WEIGHTS", str(own))
    assert torch.equal(half.model.ctx[0].detach(), ctx) and not torch.equal(half.model.ctx[1].detach(), ctx)
    assert "starts 1 of 2 parameters" in capsys.readouterr().err


def test_files_without_parameters(workplace, tmp_path):
    path = tmp_path / "model.pth"
    torch.save({"epoch": 3, "state_dict": {}}, path)
    with pytest.raises(InputError, match="holds no learned parameters"):
        read_saved(path)
    torch.save({"module.prompt_learner.ctx": noise(4, 64), "module.logit_scale": torch.zeros(())}, path)
    state, epoch = read_saved(path)
    assert list(state) == ["ctx"] and epoch is None
    with pytest.raises(InputError, match="No trained model at .*model.pth.tar-3; .*has model.pth.tar-50"):
        saved_by_coop(workplace, "theirs", noise(16, 64))
        workplace.evaluate("theirs", "CoOp", "tested", epoch=3)

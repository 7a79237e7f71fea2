"""MaPLe and PromptSRC from first principles, what they learn and leave alone, and whole runs of both."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F

import train
from common.errors import InputError
from prompting.prompts import lay_out, sentence
from prompting.reference import encode_plain
from prompting.templates import IMAGENET_60
from prompting.towers import load_tower
from tests.support.towers import in_double, random_clip
from tests.support.towers import prompted_features as features
from tests.trainers.test_methods import in_float64
from trainers.maple import CoupledPromptsOfTasks
from trainers.promptsrc import IndependentPrompts, gaussian_weights

DEPTHS = {
    "MaPLe": ("TRAINER.MAPLE.PROMPT_DEPTH", "3"),
    "PromptSRC": ("TRAINER.PROMPTSRC.PROMPT_DEPTH_TEXT", "3", "TRAINER.PROMPTSRC.PROMPT_DEPTH_VISION", "2"),
}
SIZES = {"MaPLe": 2 * 3 * (2 * 64 + 64 * 64 + 64), "PromptSRC": 2 * (3 + 2) * 4 * 64}


@pytest.fixture(scope="module")
def tower_path(tmp_path_factory):
    """A checkpoint whose towers have three blocks each, of different widths."""
    path = tmp_path_factory.mktemp("three") / "three.pt"
    torch.save(random_clip(vision_layers=3, text_layers=3).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def three64(tower_path):
    return in_double(load_tower(str(tower_path)))


@pytest.fixture
def place(workplace, tower_path):
    workplace.checkpoint = tower_path
    return workplace


def opts_of(method, *more):
    return (*DEPTHS[method], *more)


def pixels_of(layout, task):
    label = torch.tensor([0, 2, 1, 0] if task == 0 else [4, 3, 3, 4])
    torch.manual_seed(5)
    return torch.randn(4, 3, 32, 32, dtype=torch.float64), label, layout.task_of_class[label]


def class_features(tower, task, words, n_ctx, prompts):
    """(classes, d) of one task under (depth, n_ctx, ctx_dim) prompts, ``words`` between context and name."""
    text = tower.text
    laid_out = [lay_out(text.vocabulary, words + name, 0, n_ctx) for name in task.classnames]
    return F.normalize(encode_plain(text, laid_out, prompts[:1], [p.unsqueeze(0) for p in prompts[1:]]), dim=-1)


@pytest.mark.parametrize("task", [0, 1])
def test_maple_from_first_principles(place, three64, task):
    trainer = in_float64(place.trainer("MaPLe", *opts_of("MaPLe")), three64)
    images, label, tasks = pixels_of(trainer.layout, task)
    loss, _, _ = trainer.loss(images, label, tasks)
    mine = [trainer.model.tasks[task].text, trainer.model.tasks[task].weight, trainer.model.tasks[task].bias]
    p, weight, bias = (q.detach().clone().requires_grad_() for q in mine)
    vision = [p[i] @ weight[i] + bias[i] for i in range(3)]
    w = class_features(three64, trainer.layout.tasks[task], "of a ", 2, p)
    logits = three64.logit_scale * features(three64, images, vision) @ w.t()
    expected = F.cross_entropy(logits, label - trainer.layout.offsets[task])
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)
    wanted = torch.autograd.grad(expected, [p, weight, bias])
    got = torch.autograd.grad(loss, [*mine, trainer.model.tasks[1 - task].text], allow_unused=True)
    assert got[3] is None or not got[3].any()
    for a, b in zip(got, wanted, strict=False):
        assert b.flatten(1).abs().amax(1).min() > 0
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("task", [0, 1])
def test_promptsrc_from_first_principles(place, three64, task):
    trainer = in_float64(place.trainer("PromptSRC", *opts_of("PromptSRC")), three64)
    images, label, tasks = pixels_of(trainer.layout, task)
    loss, got_logits, column = trainer.loss(images, label, tasks)
    mine = [trainer.model.text[task], trainer.model.vision[task]]
    p, v = (q.detach().clone().requires_grad_() for q in mine)
    names = trainer.layout.tasks[task].classnames
    w = class_features(three64, trainer.layout.tasks[task], "", 4, p)
    x = features(three64, images, v)
    assert len(set(IMAGENET_60)) == 60
    vocabulary = three64.text.vocabulary
    frozen_w = torch.stack(
        [
            encode_plain(three64.text, [sentence(vocabulary, t.format(name.replace("_", " "))) for t in IMAGENET_60])
            for name in names
        ]
    ).mean(1)
    frozen_w, frozen_x = F.normalize(frozen_w, dim=-1), features(three64, images, [])
    logits, frozen = (three64.logit_scale * a @ b.t() for a, b in ((x, w), (frozen_x, frozen_w)))
    y = label - trainer.layout.offsets[task]
    torch.testing.assert_close(got_logits, logits, rtol=1e-9, atol=1e-9)
    assert column.tolist() == y.tolist()
    q = frozen.softmax(1)
    pairs = zip(q.flatten(), logits.log_softmax(1).flatten(), strict=True)
    divergence = sum(qi * (math.log(qi) - li) for qi, li in pairs)
    expected = F.cross_entropy(logits, y) + divergence / logits.numel()
    expected = expected + 25 * (w - frozen_w).abs().mean() + 10 * (x - frozen_x).abs().mean()
    torch.testing.assert_close(loss, expected, rtol=1e-8, atol=1e-9)
    wanted = torch.autograd.grad(expected, [p, v])
    for a, b in zip(torch.autograd.grad(loss, mine), wanted, strict=True):
        assert b.flatten(1).abs().amax(1).min() > 0
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("method", DEPTHS)
def test_a_test_batch_of_several_tasks(place, three64, method):
    """Every image is encoded with its own task's prompts, in whatever order images come."""
    trainer = in_float64(place.trainer(method, *opts_of(method)), three64)
    parts = [pixels_of(trainer.layout, task) for task in (0, 1)]
    order = torch.tensor([3, 5, 0, 7, 2, 1, 4, 6])
    images, label, task = (torch.cat([a, b])[order] for a, b in zip(*parts, strict=True))
    with torch.no_grad():
        together = trainer.classifier()(images, task)
        for row, image, t in zip(together, images, task.tolist(), strict=True):
            alone, _ = trainer.class_logits(image.unsqueeze(0), torch.tensor([t]))
            torch.testing.assert_close(row, alone[0], rtol=1e-9, atol=1e-9)
            assert torch.isfinite(row).sum() == len(trainer.layout.classes_of(t))


def test_what_the_context_starts_from(place):
    """'a photo of a': the first words become vectors, the others stay; too few words leave noise."""
    trainer = place.trainer("MaPLe", *opts_of("MaPLe"))
    text = trainer.tower.text
    words = text.vocabulary.encode("a photo of a")
    for task in (0, 1):
        start = trainer.model.tasks[task].text[0]
        torch.testing.assert_close(start, text.token_embedding.weight[torch.tensor(words[:2])])
    first, second, third = trainer.model.tasks[0].weight
    assert torch.equal(second, third) and not torch.equal(first, second)
    rose = text.vocabulary.encode("rose.")
    assert trainer.class_prompts()[trainer.layout.classnames.index("rose")][1:-1] == [-1, -2, *words[2:], *rose]
    for n_ctx in ("5", "2"):
        opts = ("TRAINER.MAPLE.N_CTX", n_ctx, "TRAINER.MAPLE.CTX_INIT", "" if n_ctx == "2" else "a photo of a")
        trainer = place.trainer("MaPLe", *opts_of("MaPLe", *opts))
        assert trainer.class_prompts()[0][1 + int(n_ctx) : -1] == text.vocabulary.encode(
            trainer.layout.classnames[0].replace("_", " ") + "."
        )
        assert trainer.model.tasks[0].text[0].std() < 0.04


def test_parameter_counts_are_the_published_ones():
    """On ViT-B/16: MaPLe's 3.55 million; PromptSRC's 9 x 4 vectors of 512 and as many of 768."""
    maple = CoupledPromptsOfTasks(1, 9, 2, 512, 768)
    assert sum(p.numel() for p in maple.parameters()) == 9 * (2 * 512 + 512 * 768 + 768) == 3_555_072
    src = IndependentPrompts(2, (9, 4, 512), (9, 4, 768))
    assert sum(p.numel() for p in src.parameters()) == 2 * 46_080


def test_gaussian_weights():
    got = gaussian_weights(5, 2.0, 1.5)
    wanted = [math.exp(-((e - 2) ** 2) / (2 * 1.5**2)) for e in range(1, 6)]
    torch.testing.assert_close(got, torch.tensor(wanted, dtype=torch.float64) / sum(wanted))
    assert gaussian_weights(3, 500.0, 0.1).tolist() == [0, 0, 1]


def test_the_deployed_prompts_are_the_average_over_epochs(place, monkeypatch):
    seen, remember = [], IndependentPrompts.remember

    def watched(self, weight):
        seen.append((weight, [p.detach().clone() for p in self.parameters()]))
        remember(self, weight)

    monkeypatch.setattr(IndependentPrompts, "remember", watched)
    more = ("TRAINER.PROMPTSRC.GPA_MEAN", "2.0", "OPTIM.LR", "0.1")
    trainer = place.trainer("PromptSRC", *opts_of("PromptSRC", *more), epochs=3)
    trainer.train()
    assert [weight for weight, _ in seen] == gaussian_weights(3, 2.0, 1.0).tolist()
    for i, got in enumerate(trainer.model.parameters()):
        torch.testing.assert_close(got.detach(), sum(weight * prompts[i] for weight, prompts in seen))
        assert (got - seen[-1][1][i]).abs().max() > 0


@pytest.mark.parametrize("method", DEPTHS)
def test_a_whole_run(place, method):
    results = place.run(method, "run", *opts_of(method), epochs=2)
    assert results["counts"]["trainable_parameters"] == SIZES[method]
    assert not list(place.output.glob(".bank/*.features"))
    evaluate = ["--eval-only", "--model-dir", str(place.output / "run"), "--load-epoch", "2"]
    again = train.run([*evaluate, *place.flags(method, "again", *opts_of(method), epochs=2)], brief=True)
    assert again["tasks"] == results["tasks"]


@pytest.mark.parametrize("method", DEPTHS)
def test_a_killed_run_resumes_to_the_very_same_result(place, method):
    more = ("TRAINER.PROMPTSRC.GPA_MEAN", "2.0") if method == "PromptSRC" else ()
    place.killed_and_resumed(method, *opts_of(method, *more), epochs=3)


@pytest.mark.parametrize("method", DEPTHS)
def test_training_leaves_the_towers_bit_identical(place, method):
    trainer = place.trainer(method, *opts_of(method), epochs=1)
    before, start = copy.deepcopy(trainer.tower.state_dict()), copy.deepcopy(trainer.model.state_dict())
    trainer.train()
    assert all(torch.equal(value, before[key]) for key, value in trainer.tower.state_dict().items())
    assert not any(p.requires_grad for p in trainer.tower.parameters())
    assert all(p.requires_grad and not torch.equal(p, start[key]) for key, p in trainer.model.named_parameters())


@pytest.mark.parametrize("method", DEPTHS)
def test_a_run_in_bfloat16(place, method):
    prec = (f"TRAINER.{method.upper()}.PREC", "bf16")
    assert place.run(method, "half", *opts_of(method, *prec), epochs=1)["mean"] >= 0


@pytest.mark.parametrize(
    ("method", "opts", "said"),
    [
        ("MaPLe", ("PROMPT_DEPTH", "9"), "MAPLE.PROMPT_DEPTH is 9, but the text tower of '.*' has 3 blocks"),
        ("MaPLe", ("PROMPT_DEPTH", "0"), "it must be from 1 to that"),
        ("MaPLe", ("N_CTX", "0", "PROMPT_DEPTH", "1"), "MAPLE.N_CTX is 0; it must be at least 1"),
        ("PromptSRC", ("PROMPT_DEPTH_TEXT", "1"), "PROMPT_DEPTH_VISION is 9, but the image tower of '.*' has 3 blocks"),
        ("PromptSRC", ("GPA_STD", "0.0"), "PROMPTSRC.GPA_STD is 0.0; it must be above 0"),
        ("PromptSRC", ("N_CTX_VISION", "0"), "N_CTX_VISION is 0; it must be at least 1"),
    ],
)
def test_what_cannot_be_done_is_one_line(place, method, opts, said):
    pairs = [f"TRAINER.{method.upper()}.{word}" if i % 2 == 0 else word for i, word in enumerate(opts)]
    with pytest.raises(InputError, match=said):
        place.trainer(method, *pairs)


@pytest.mark.parametrize("method", DEPTHS)
def test_a_resnet_is_refused_in_one_line(place, method, tmp_path):
    path = tmp_path / "resnet.pt"
    torch.save(random_clip(vision_layers=(1, 1, 1, 1), image_size=64).state_dict(), path)
    place.checkpoint = path
    with pytest.raises(InputError, match="takes no prompt tokens; OpenAI's vision transformers do"):
        place.trainer(method, *opts_of(method), "INPUT.SIZE", "(64, 64)")


def test_promptsrc_refuses_to_deploy_one_epoch(place):
    with pytest.raises(InputError, match="deploys the average over all epochs; set TEST.FINAL_MODEL last_step"):
        place.trainer("PromptSRC", *opts_of("PromptSRC"), "TEST.FINAL_MODEL", "best_val")

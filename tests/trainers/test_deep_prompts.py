"""MaPLe and PromptSRC from first principles, on towers whose widths differ."""

import math

import pytest
import torch
import torch.nn.functional as F

from common.errors import InputError
from prompting.prompts import lay_out, sentence
from prompting.reference import encode_plain
from prompting.templates import IMAGENET_60
from prompting.towers import load_tower
from tests.support.methods import in_float64
from tests.support.towers import in_double, random_clip
from tests.support.towers import prompted_features as features
from trainers.maple import CoupledPromptsOfTasks
from trainers.promptsrc import IndependentPrompts, gaussian_weights

DEPTHS = {
    "MaPLe": ("TRAINER.MAPLE.PROMPT_DEPTH", "3"),
    "PromptSRC": ("TRAINER.PROMPTSRC.PROMPT_DEPTH_TEXT", "3", "TRAINER.PROMPTSRC.PROMPT_DEPTH_VISION", "2"),
}
SIZES = {"MaPLe": 2 * 3 * (2 * 128 + 128 * 64 + 64), "PromptSRC": 2 * 4 * (3 * 128 + 2 * 64)}


@pytest.fixture(scope="module")
def tower_path(tmp_path_factory):
    """A checkpoint whose towers have three blocks each, of widths 64 (images) and 128 (text)."""
    path = tmp_path_factory.mktemp("three") / "three.pt"
    torch.save(random_clip(vision_layers=3, text_layers=3, text_width=128).state_dict(), path)
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
    seen, add_to_average = [], IndependentPrompts.add_to_average

    def watched(self, weight):
        seen.append((weight, [p.detach().clone() for p in self.parameters()]))
        add_to_average(self, weight)

    monkeypatch.setattr(IndependentPrompts, "add_to_average", watched)
    more = ("TRAINER.PROMPTSRC.GPA_MEAN", "2.0", "TRAINER.PROMPTSRC.GPA_STD", "1.0", "OPTIM.LR", "0.1")
    trainer = place.trainer("PromptSRC", *opts_of("PromptSRC", *more), epochs=3)
    trainer.train()
    assert [weight for weight, _ in seen] == gaussian_weights(3, 2.0, 1.0).tolist()
    for i, got in enumerate(trainer.model.parameters()):
        torch.testing.assert_close(got.detach(), sum(weight * prompts[i] for weight, prompts in seen))
        assert (got - seen[-1][1][i]).abs().max() > 0


@pytest.mark.parametrize("method", DEPTHS)
def test_a_run_on_a_tower_of_different_widths(place, method):
    """A killed run resumes to the same result; nothing goes into the bank."""
    more = ("TRAINER.PROMPTSRC.GPA_MEAN", "2.0", "TRAINER.PROMPTSRC.GPA_STD", "1.0") if method == "PromptSRC" else ()
    results = place.killed_and_resumed(method, *opts_of(method, *more), epochs=3)
    assert results["counts"]["trainable_parameters"] == SIZES[method]
    assert not list(place.output.glob(".bank/*.features"))


@pytest.mark.parametrize(
    ("method", "opts", "message"),
    [
        ("MaPLe", ("PROMPT_DEPTH", "9"), "MAPLE.PROMPT_DEPTH is 9, .*text tower of '.*' has 3 blocks"),
        ("MaPLe", ("PROMPT_DEPTH", "0"), "MAPLE.PROMPT_DEPTH is 0, .* 3 blocks"),
        ("MaPLe", ("N_CTX", "0", "PROMPT_DEPTH", "1"), "MAPLE.N_CTX is 0; it must be at least 1"),
        ("PromptSRC", ("PROMPT_DEPTH_TEXT", "1"), "PROMPT_DEPTH_VISION is 9, .*image tower of '.*' has 3 blocks"),
        ("PromptSRC", ("GPA_STD", "0.0"), "PROMPTSRC.GPA_STD is 0.0; it must be above 0"),
        ("PromptSRC", ("N_CTX_VISION", "0"), "N_CTX_VISION is 0; it must be at least 1"),
    ],
)
def test_bad_settings_are_one_line(place, method, opts, message):
    pairs = [f"TRAINER.{method.upper()}.{word}" if i % 2 == 0 else word for i, word in enumerate(opts)]
    with pytest.raises(InputError, match=message):
        place.trainer(method, *pairs)


@pytest.mark.parametrize("method", DEPTHS)
def test_a_resnet_is_refused_in_one_line(place, method, tmp_path):
    path = tmp_path / "resnet.pt"
    torch.save(random_clip(vision_layers=(1, 1, 1, 1), image_size=64).state_dict(), path)
    place.checkpoint = path
    with pytest.raises(InputError, match="prompt tokens.*ViT-B/32"):
        place.trainer(method, *opts_of(method), "INPUT.SIZE", "(64, 64)")


def test_promptsrc_refuses_to_deploy_one_epoch(place):
    with pytest.raises(InputError, match="set TEST.FINAL_MODEL last_step"):
        place.trainer("PromptSRC", *opts_of("PromptSRC"), "TEST.FINAL_MODEL", "best_val")

"""CoOp with a context per class and from words, KgCoOp and ProGrad: from first principles in float64, runs, and what
they refuse."""

import copy

import pytest
import torch
import torch.nn.functional as F
from scripts.launch_plan import make_plan
from scripts.launch_words import ROOT

from common.errors import InputError
from prompting.prompts import lay_out, sentence
from prompting.reference import encode_plain
from prompting.templates import template_features, words_before_name
from tests.trainers.test_methods import batch, in_float64, loss_by_tasks
from trainers.engine.contexts import word_vectors
from trainers.prograd import divergence, project

CS = ("CoOp", ("TRAINER.COOP.CONTEXT", "class"))
KIN = [CS, ("KgCoOp", ()), ("ProGrad", ())]


@pytest.mark.parametrize(("trainer", "n_ctx"), [("KgCoOp", 4), ("ProGrad", 16)])
def test_the_built_learner_counts_per_task(workplace, trainer, n_ctx):
    learner = workplace.trainer(trainer).model
    assert [tuple(p.shape) for p in learner.parameters()] == [(n_ctx, 64)] * 2


@pytest.mark.parametrize("position", ["end", "middle", "front"])
def test_class_specific_coop_from_first_principles(workplace, tower64, position):
    opts = (*CS[1], "TRAINER.COOP.CLASS_TOKEN_POSITION", position)
    trainer = in_float64(workplace.trainer("CoOp", *opts), tower64)
    layout, text = trainer.layout, tower64.text
    assert [tuple(p.shape) for p in trainer.model.parameters()] == [(3, 16, 64), (2, 16, 64)]
    image_features, label, task = batch(layout, text.feature_dim)
    loss, _, _ = trainer.loss(image_features, label, task)
    got = torch.cat(torch.autograd.grad(loss, list(trainer.model.parameters())))
    v = torch.cat([p.detach() for p in trainer.model.parameters()]).requires_grad_()
    prompts = [lay_out(text.vocabulary, name, c, 16, position) for c, name in enumerate(layout.classnames)]
    expected = loss_by_tasks(tower64, layout, encode_plain(text, prompts, v), image_features, label, task)
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(got, torch.autograd.grad(expected, v)[0], rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize(("name", "opts"), KIN)
def test_a_batch_moves_the_contexts_of_its_task_alone(workplace, name, opts):
    """Neither momentum nor weight decay reaches another task's contexts, and the batch's own all move."""
    trainer = workplace.trainer(name, *opts, "BANK.TRAIN", "False", "OPTIM.WEIGHT_DECAY", "0.1")
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


def test_a_context_starts_from_words(workplace, tower):
    text = tower.text
    words = text.vocabulary.encode("a photo of a")
    expected = text.token_embedding.weight[words]
    assert len(words) == 4 and torch.equal(word_vectors(text, " a_photo of a"), expected)
    assert word_vectors(text, "  ") is None
    for context, shape in (("task", (4, 64)), ("shared", (4, 64)), ("class", (3, 4, 64))):
        opts = ("TRAINER.COOP.CONTEXT", context, "TRAINER.COOP.CTX_INIT", "a photo of a")
        trainer = workplace.trainer("CoOp", *opts)
        first = next(iter(trainer.model.parameters()))
        assert first.shape == shape and torch.equal(first.detach(), expected.expand(shape))
        features, _ = trainer.text_features([0, 1])
        said = [sentence(text.vocabulary, f"a photo of a {n.replace('_', ' ')}.") for n in trainer.layout.classnames]
        torch.testing.assert_close(features, F.normalize(encode_plain(text, said), dim=-1), rtol=1e-4, atol=1e-5)


def test_kgcoop_starts_as_its_words_do_and_draws_without_them(workplace, tower):
    expected = tower.text.token_embedding.weight[tower.text.vocabulary.encode("a photo of a")]
    assert all(torch.equal(p.detach(), expected) for p in workplace.trainer("KgCoOp").model.parameters())
    drawn = workplace.trainer("KgCoOp", "TRAINER.KGCOOP.CTX_INIT", "", "TRAINER.KGCOOP.N_CTX", "6").model
    assert drawn.n_ctx == 6 and float(drawn.ctx[0].detach().std()) == pytest.approx(0.02, rel=0.2)


def handwritten(layout, text):
    prompts = [
        sentence(text.vocabulary, task.template.replace("{}", name.replace("_", " ")))
        for task in layout.tasks
        for name in task.classnames
    ]
    return F.normalize(encode_plain(text, prompts), dim=-1)


def one_task(layout, feature_dim, task=0):
    """A batch of one task, as these methods get it."""
    torch.manual_seed(5)
    label = torch.tensor(list(layout.classes_of(task)) * 2)
    features = F.normalize(torch.randn(len(label), feature_dim, dtype=torch.float64), dim=-1)
    return features, label, layout.task_of_class[label]


def plain_features(trainer, text, contexts, n_ctx):
    layout = trainer.layout
    names = zip(layout.task_of_class.tolist(), layout.classnames, strict=True)
    prompts = [lay_out(text.vocabulary, name, t, n_ctx) for t, name in names]
    return F.normalize(encode_plain(text, prompts, contexts), dim=-1)


@pytest.mark.parametrize("task", [0, 1])
def test_kgcoop_from_first_principles(workplace, tower64, task):
    trainer = in_float64(workplace.trainer("KgCoOp", "TRAINER.KGCOOP.W", "3.0"), tower64)
    layout, text, mine = trainer.layout, tower64.text, slice(*trainer.layout.offsets[task : task + 2])
    images, label, tasks = one_task(layout, text.feature_dim, task)
    loss, _, _ = trainer.loss(images, label, tasks)
    got = torch.autograd.grad(loss, list(trainer.model.parameters()), allow_unused=True)
    v = torch.stack([p.detach() for p in trainer.model.parameters()]).requires_grad_()
    w, clip = plain_features(trainer, text, v, 4)[mine], handwritten(layout, text)[mine]
    expected = F.cross_entropy(tower64.logit_scale * images @ w.t(), label - mine.start)
    expected = expected + 3.0 * ((w - clip) ** 2).sum(-1).mean() / 2  # squared distance: 2 (1 - cos)
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)
    assert got[1 - task] is None
    torch.testing.assert_close(got[task], torch.autograd.grad(expected, v)[0][task], rtol=1e-7, atol=1e-10)
    assert trainer.knobs.W == 3.0 and workplace.trainer("KgCoOp").knobs.W == 8.0


def prograd_step(workplace, tower64, task, conflict, **settings):
    """A ProGrad step's gradient, and the two that it is made of by plain autograd.

    Labels are the classes that zero-shot CLIP thinks less (``conflict``) or more likely than the model does.
    """
    opts = [word for key, value in settings.items() for word in (f"TRAINER.PROGRAD.{key}", str(value))]
    trainer = in_float64(workplace.trainer("ProGrad", *opts), tower64)
    layout, text, mine = trainer.layout, tower64.text, slice(*trainer.layout.offsets[task : task + 2])
    images, _, tasks = one_task(layout, text.feature_dim, task)
    v = torch.stack([p.detach() for p in trainer.model.parameters()]).requires_grad_()
    logits = tower64.logit_scale * images @ plain_features(trainer, text, v, 16)[mine].t()
    zero_shot, t = tower64.logit_scale * images @ handwritten(layout, text)[mine].t(), trainer.knobs.T
    more = (zero_shot.softmax(-1) - logits.softmax(-1)).detach()
    label = mine.start + (more.argmin(-1) if conflict else more.argmax(-1))
    trainer.model_zero_grad()
    loss, _, _ = trainer.loss(images, label, tasks)
    trainer.model_backward(loss)
    kl = F.kl_div((logits / t).log_softmax(-1), (zero_shot / t).softmax(-1), reduction="batchmean") * t * t
    (g_g,) = torch.autograd.grad(kl, v, retain_graph=True)
    cross_entropy = F.cross_entropy(logits, label - mine.start)
    (g_d,) = torch.autograd.grad(cross_entropy, v)
    torch.testing.assert_close(loss, cross_entropy, rtol=1e-9, atol=1e-9)
    assert trainer.model.ctx[1 - task].grad is None
    return trainer.model.ctx[task].grad, g_d[task], g_g[task]


@pytest.mark.parametrize("task", [0, 1])
@pytest.mark.parametrize("settings", [{}, {"LAMBDA": 0.8}, {"T": 2.0}])
def test_prograd_conflicting(workplace, tower64, task, settings):
    got, g_d, g_g = prograd_step(workplace, tower64, task, True, **settings)
    assert (g_d * g_g).sum() < 0
    share = settings.get("LAMBDA", 1.0)
    expected = g_d - share * (g_d * g_g).sum() / (g_g * g_g).sum() * g_g
    torch.testing.assert_close(got, expected, rtol=1e-7, atol=1e-10)
    assert not torch.allclose(got, g_d, rtol=1e-3)
    along = (got * g_g).sum() / (g_d * g_g).sum()
    assert float(along) == pytest.approx(1 - share, abs=1e-9)


@pytest.mark.parametrize("task", [0, 1])
def test_prograd_agreeing(workplace, tower64, task):
    got, g_d, g_g = prograd_step(workplace, tower64, task, False)
    assert (g_d * g_g).sum() > 0
    torch.testing.assert_close(got, g_d, rtol=1e-7, atol=1e-10)


def test_projection_by_hand():
    d, g = torch.tensor([1.0, 2.0]), torch.tensor([-3.0, 0.0])
    assert project(d, g).tolist() == [0.0, 2.0] and project(d, g, 0.5).tolist() == [0.5, 2.0]
    assert project(d, -g).tolist() == [1.0, 2.0]
    assert project(d, torch.zeros(2)).tolist() == [1.0, 2.0]  # zero-shot CLIP has nothing to say


def test_divergence_leaves_classes_of_other_tasks_out():
    logits = torch.tensor([[1.0, 2.0, -torch.inf]], requires_grad=True)
    zero_shot = torch.tensor([[0.5, 0.0, -torch.inf]])
    value = divergence(logits, zero_shot)
    torch.testing.assert_close(value, divergence(logits[:, :2], zero_shot[:, :2]))
    (gradient,) = torch.autograd.grad(value, logits)
    torch.testing.assert_close(gradient[0, :2], logits.detach()[0, :2].softmax(0) - zero_shot[0, :2].softmax(0))
    assert gradient[0, 2] == 0


def test_words_of_templates():
    assert words_before_name("a photo of a {}.") == "a photo of a"
    assert words_before_name("a photo of a {}, a type of pet.") == "a type of pet, a photo of a"
    assert words_before_name("{} texture.") == "texture" and words_before_name("{}") == ""


def test_prograd_starts_from_zeros_and_the_template(workplace, tower):
    text = tower.text
    first, second = workplace.trainer("ProGrad").model.parameters()
    words = text.token_embedding.weight[text.vocabulary.encode("a type of flower, a photo of a")]
    assert len(words) == 9 and torch.equal(first[7:], words) and not first[:7].any()
    assert not second[:12].any() and second[12:].any(-1).all()
    drawn = next(iter(workplace.trainer("ProGrad", "TRAINER.PROGRAD.CTX_INIT", "False").model.parameters()))
    assert float(drawn.detach().std()) == pytest.approx(0.02, rel=0.2)


def test_handwritten_features_are_those_of_zero_shot_clip(workplace, tower):
    features, _ = workplace.trainer("ZeroshotCLIP").text_features([0, 1])
    layout = workplace.trainer("KgCoOp").layout
    torch.testing.assert_close(template_features(tower.text, layout), features)
    torch.testing.assert_close(features, handwritten(layout, tower.text), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "opts"), KIN)
def test_training_leaves_the_towers_bit_identical(workplace, name, opts):
    trainer = workplace.trainer(name, *opts)
    before = copy.deepcopy(trainer.tower.state_dict())
    start = copy.deepcopy(list(trainer.model.parameters()))
    trainer.train()
    after = trainer.tower.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert not any(p.requires_grad for p in trainer.tower.parameters())
    assert all(p.grad is None for p in trainer.tower.parameters())
    assert all(not torch.equal(a, b) for a, b in zip(start, trainer.model.parameters(), strict=True))


@pytest.mark.parametrize(("name", "opts"), KIN)
def test_each_task_trains_as_if_by_itself(workplace, tmp_path, name, opts):
    whole = ("DATALOADER.TRAIN_X.BATCH_SIZE", "32", *opts)  # so that both paths batch the same images
    joint = workplace.trainer(name, *whole)
    start = copy.deepcopy(joint.model.state_dict())
    joint.train()
    text = workplace.declaration.read_text()
    second = text.index("  - name: colour")
    for task, part in enumerate((text[:second], "folder: tiny\ntasks:\n" + text[second:])):
        workplace.declaration.write_text(part)
        alone = workplace.trainer(name, *whole, "OUTPUT_DIR", str(tmp_path / str(task)))
        workplace.declaration.write_text(text)
        alone.model.load_state_dict({"ctx.0": start[f"ctx.{task}"]})
        alone.train()
        moved = (alone.model.ctx[0] - start[f"ctx.{task}"]).detach()
        assert moved.abs().max() > 0
        tolerance = float(moved.abs().max()) * 1e-3  # batches hold the same images in another order
        torch.testing.assert_close(joint.model.ctx[task], alone.model.ctx[0], rtol=0, atol=tolerance)


@pytest.mark.parametrize(("name", "opts"), KIN)
@pytest.mark.parametrize("bank", ["True", "False"])
def test_a_whole_run(workplace, name, opts, bank):
    results = workplace.run(name, "run", *opts, "BANK.TRAIN", bank, "TRAINER." + name.upper() + ".PREC", "bf16")
    assert results["finished"] and results["method"] == {"CoOp": "CoOp-CS"}.get(name, name)
    count = {"CoOp": 5 * 16 * 64, "KgCoOp": 2 * 4 * 64, "ProGrad": 2 * 16 * 64}[name]
    assert results["counts"]["trainable_parameters"] == count


@pytest.mark.parametrize(
    ("name", "opts", "told"),
    [
        ("CoOp", ("TRAINER.COOP.CONTEXT", "clas"), "did you mean 'class'"),
        ("CoOp", ("TRAINER.COOP.CTX_INIT", "rose " * 80), "but the tower has 77 positions"),
        ("KgCoOp", ("TRAINER.KGCOOP.PREC", "fp8"), "TRAINER.KGCOOP.PREC is 'fp8'"),
        ("ProGrad", ("TRAINER.PROGRAD.N_CTX", "4"), "has 9 tokens beside the name, but TRAINER.PROGRAD.N_CTX is 4"),
        ("ProGrad", ("TRAINER.PROGRAD.T", "0.0"), "TRAINER.PROGRAD.T is 0.0"),
        ("ProGrad", ("TRAINER.PROGRAD.CLASS_TOKEN_POSITION", "top"), "Name position 'top' is unknown"),
    ],
)
def test_refusals_take_one_line(workplace, name, opts, told):
    with pytest.raises(InputError, match=told) as error:
        workplace.run(name, "run", *opts)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("command", "method", "trainer"),
    [("coop --context class", "CoOp-CS", "CoOp"), ("kgcoop", "KgCoOp", "KgCoOp"), ("prograd", "ProGrad", "ProGrad")],
)
def test_the_launcher_knows_them(command, method, trainer, tmp_path):
    name, *flags = command.split()
    plan = make_plan(name, ["garden8", "4", *flags, "--output", str(tmp_path)])
    assert plan.methods == [method] and len(plan.jobs) == 3
    assert plan.jobs[0].argv[plan.jobs[0].argv.index("--trainer") + 1] == trainer
    assert (ROOT / "scripts" / name / "main.sh").exists()
    towers = {path.name for path in (ROOT / "configs/trainers/CoOp").glob("*.yaml")}
    assert towers <= {path.name for path in (ROOT / f"configs/trainers/{trainer}").glob("*.yaml")}

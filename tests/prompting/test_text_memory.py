"""Prompts that are encoded in parts give the features and gradients of prompts that are encoded at once."""

from functools import partial

import pytest
import torch

from prompting import text_memory
from prompting.low_rank import LowRank, updated
from prompting.prompts import POSITIONS, lay_out, sentence
from prompting.text_encoder import SplitPrompts, encode, pack_for
from prompting.text_memory import TextMemory, free_bytes, saved_bytes
from prompting.towers import load_tower
from tests.support.text_families import write_tower

NAMES = ["rose", "tulip", "a rather long name of some flower", "u.s.", "daisy (white)", "lily_of_the_valley"] * 4


@pytest.fixture
def limited(monkeypatch):
    """Return a function that packs prompts in parts of at most ``most`` tokens."""
    monkeypatch.setattr("prompting.text_encoder.SMALL", 0)

    def pack(text, prompts, most):
        monkeypatch.setattr(text, "memory", TextMemory(1, most))
        packed = pack_for(text, prompts)
        monkeypatch.setattr(text, "memory", None)
        return packed

    return pack


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("n_contexts", [1, 3, len(NAMES)])
@pytest.mark.parametrize("most", [1, 40, 90])
def test_features_and_gradients_of_parts(tower64, limited, position, n_contexts, most):
    text = tower64.text
    prompts = [lay_out(text.vocabulary, n, i * n_contexts // len(NAMES), 5, position) for i, n in enumerate(NAMES)]
    torch.manual_seed(0)
    contexts = torch.randn(n_contexts, 5, text.width, dtype=torch.float64).mul_(0.02).requires_grad_()
    deep = torch.randn(n_contexts, 5, text.width, dtype=torch.float64).mul_(0.02).requires_grad_()
    split = limited(text, prompts, most)
    assert isinstance(split, SplitPrompts) and len(split.parts) > 1
    if most == 1:
        assert len(split.parts) == len(prompts)
    found, expected = (encode(text, packed, contexts, [deep]) for packed in (split, pack_for(text, prompts)))
    weights = torch.randn_like(expected)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    ours, plain = (torch.autograd.grad((f * weights).sum(), [contexts, deep]) for f in (found, expected))
    assert min(gradient.abs().max() for gradient in plain) > 1e-6
    torch.testing.assert_close(ours, plain, rtol=1e-11, atol=1e-13)


def test_gradients_in_float32_agree_to_a_millionth(tower, limited):
    text = tower.text
    prompts = [lay_out(text.vocabulary, n, i % 3, 5) for i, n in enumerate(NAMES)]
    torch.manual_seed(0)
    contexts = torch.randn(3, 5, text.width).mul_(0.02).requires_grad_()
    split, whole = (encode(text, packed, contexts) for packed in (limited(text, prompts, 60), pack_for(text, prompts)))
    weights = torch.randn_like(whole)
    ours, plain = (torch.autograd.grad((f * weights).sum(), contexts)[0] for f in (split, whole))
    assert (ours - plain).norm() <= 1e-6 * plain.norm()


def test_the_gradient_is_computed_twice_from_one_graph(tower, limited):
    """ProGrad needs the gradients of two losses."""
    text = tower.text
    prompts = [lay_out(text.vocabulary, n, 0, 5) for n in NAMES]
    contexts = torch.randn(1, 5, text.width).mul_(0.02).requires_grad_()
    features = encode(text, limited(text, prompts, 60), contexts)
    first = torch.autograd.grad(features.sum(), contexts, retain_graph=True)[0]
    assert torch.equal(torch.autograd.grad(features.sum(), contexts)[0], first)


def test_updated_layers_and_their_dropout(tower, limited):
    """The backward pass encodes with the same updates and drops the same values."""
    text = tower.text
    torch.manual_seed(0)
    updates = LowRank(len(text.blocks), text.width, 2, 1.0, 0.5)
    torch.nn.init.normal_(updates.b, std=0.1)
    prompts = [sentence(text.vocabulary, f"a photo of a {n}.") for n in NAMES]
    found = []
    # The same parts are encoded with and without keeping activations, since the order of random draws depends on them.
    split = limited(text, prompts, 60)
    for packed in ([split], split.parts):
        torch.manual_seed(1)
        features = torch.cat([encode(text, part, within=partial(updated, text.blocks, updates)) for part in packed])
        gradients = torch.autograd.grad(features.square().sum(), [updates.a, updates.b])
        found.append((features.detach(), *gradients))
    for ours, plain in zip(*found, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-6)
    assert not any(hasattr(block.attn, "updates") for block in text.blocks)


def test_padded_prompts_in_parts(tmp_path, limited):
    pytest.importorskip("open_clip")
    name, _ = write_tower(tmp_path, "siglip")
    text = load_tower(name).text.double()
    prompts = [lay_out(text.vocabulary, n, i % 2, 3) for i, n in enumerate(["rose", "tulip", "oak"] * 2)]
    contexts = torch.randn(2, 3, text.width, dtype=torch.float64).requires_grad_()
    split = limited(text, prompts, 2 * text.vocabulary.length)
    assert isinstance(split, SplitPrompts) and len(split.parts) == 3
    found, expected = (encode(text, packed, contexts) for packed in (split, pack_for(text, prompts)))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    ours, plain = (torch.autograd.grad(f.square().sum(), contexts)[0] for f in (found, expected))
    torch.testing.assert_close(ours, plain, rtol=1e-9, atol=1e-11)


def test_parts_keep_no_activations(tower, limited):
    text = tower.text
    prompts = [lay_out(text.vocabulary, n, i, 5) for i, n in enumerate(NAMES)]
    contexts = torch.zeros(len(NAMES), 5, text.width, requires_grad=True)
    whole, split = (
        saved_bytes(lambda packed=packed: encode(text, packed, contexts), text)
        for packed in (pack_for(text, prompts), limited(text, prompts, 60))
    )
    assert split < whole / 20


def test_prompts_are_split_by_measured_memory(tower, monkeypatch):
    """The activations of a part fit in the limit, and the limit is used."""
    text = tower.text
    monkeypatch.setattr("prompting.text_encoder.SMALL", 0)
    monkeypatch.setattr(text_memory, "SMALL", 0)
    prompts = [lay_out(text.vocabulary, n, i, 16) for i, n in enumerate(NAMES * 3)]
    contexts = torch.zeros(len(prompts), 16, text.width, requires_grad=True)
    needed = saved_bytes(lambda: encode(text, pack_for(text, prompts), contexts), text)
    for share in (3, 10):
        monkeypatch.setattr(text, "memory", TextMemory(int(needed / share)))
        split = pack_for(text, prompts)
        assert isinstance(split, SplitPrompts) and share <= len(split.parts) <= 2.5 * share
        largest = max(saved_bytes(lambda part=part: encode(text, part, contexts), text) for part in split.parts)
        assert 0.3 * needed / share < largest <= needed / share


def test_prompts_that_fit_are_not_split(tower, monkeypatch, capsys):
    text = tower.text
    prompts = [lay_out(text.vocabulary, n, i, 16) for i, n in enumerate(NAMES * 9)]
    for limit in (0, 8 << 30):
        monkeypatch.setattr(text, "memory", TextMemory(limit))
        assert not isinstance(pack_for(text, prompts), SplitPrompts)
    assert not capsys.readouterr().out
    monkeypatch.setattr(text, "memory", TextMemory(1))
    assert isinstance(pack_for(text, prompts), SplitPrompts) and isinstance(pack_for(text, prompts), SplitPrompts)
    assert capsys.readouterr().out.count("MODEL.TEXT_MEMORY_GB") == 1
    assert not isinstance(pack_for(text, prompts[:40]), SplitPrompts)  # few tokens always fit


def test_memory_is_measured_once():
    memory, calls = TextMemory(16 << 20), []

    def measure():
        calls.append(1)
        return 1 << 10

    assert [memory.tokens(torch.device("cpu"), measure) for _ in range(2)] == [10 << 10] * 2 and len(calls) == 1


def test_free_memory_respects_control_groups(tmp_path, monkeypatch):
    free = free_bytes(torch.device("cpu"))
    assert 1 << 28 < free < 1 << 45
    for name, text in (
        ("most", "1000000"),
        ("used", "900000"),
        ("memory.stat", "inactive_anon 5\ninactive_file 50000"),
    ):
        (tmp_path / name).write_text(text + "\n")
    group = (str(tmp_path), "most", "used", "inactive_file")
    monkeypatch.setattr(text_memory, "CONTROL_GROUPS", (group,))
    assert free_bytes(torch.device("cpu")) == 150_000
    (tmp_path / "most").write_text("max\n")
    assert free_bytes(torch.device("cpu")) > 1 << 28


def test_checkpoint_is_given_a_tensor_on_the_device(tower, limited, monkeypatch):
    """Otherwise it would not repeat a GPU's random draws, and dropout would differ in the backward pass."""
    text, seen = tower.text, []

    def watched(run, *args, **kwargs):
        seen.append([arg for arg in args if isinstance(arg, torch.Tensor)])
        return run(*args)

    monkeypatch.setattr("prompting.text_encoder.checkpoint", watched)
    encode(text, limited(text, [sentence(text.vocabulary, name) for name in NAMES], 40))
    assert len(seen) > 1 and all(tensors and tensors[0].device == text.device for tensors in seen)


def test_parts_are_not_compiled(tower, limited):
    """A CUDA graph would overwrite the features of the part before."""
    text = tower.text
    prompts = [sentence(text.vocabulary, name) for name in NAMES]
    expected = encode(text, pack_for(text, prompts))

    def compiled(*_):
        raise AssertionError("it was called")

    torch.testing.assert_close(encode(text, limited(text, prompts, 40), compiled=compiled), expected)
    with pytest.raises(AssertionError):
        encode(text, pack_for(text, prompts), compiled=compiled)

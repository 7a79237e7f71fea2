"""The fast text encoder equals CLIP's own, for all positions of the name and all ways of sharing contexts."""

import pytest
import torch

from common.errors import InputError
from prompting.losses import unit
from prompting.prompts import POSITIONS, Vocabulary, lay_out, sentence
from prompting.reference import encode_plain
from prompting.text_encoder import encode, encode_whole, pack
from prompting.text_tower import TextTower
from prompting.towers import import_clip, load_tower
from tests.support.towers import in_double, needs_on_cpu, random_clip

NAMES = ["rose", "tulip", "a rather long name of some flower", "u.s.", "daisy (white)", "lily_of_the_valley"] * 4


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("sharing", ["shared", "task", "class"])
def test_features_and_gradients_equal_the_plain_path(tower64, position, sharing):
    n_contexts = {"shared": 1, "task": 3, "class": len(NAMES)}[sharing]
    prompts = [lay_out(tower64.text.vocabulary, n, i % n_contexts, 5, position) for i, n in enumerate(NAMES)]
    torch.manual_seed(0)
    contexts = (torch.randn(n_contexts, 5, tower64.text.width, dtype=torch.float64) * 0.02).requires_grad_()
    fast = encode(tower64.text, pack(prompts), contexts)
    plain = encode_plain(tower64.text, prompts, contexts)
    weights = torch.randn_like(plain)
    torch.testing.assert_close(fast, plain, rtol=1e-10, atol=1e-10)
    fast_grad, plain_grad = (torch.autograd.grad((f * weights).sum(), contexts)[0] for f in (fast, plain))
    assert plain_grad.abs().max() > 1e-6
    torch.testing.assert_close(fast_grad, plain_grad, rtol=1e-9, atol=1e-12)


def test_equal_calls_give_equal_bits(tower):
    prompts = [lay_out(tower.text.vocabulary, n, i % 3, 5) for i, n in enumerate(NAMES)]
    contexts = torch.randn(3, 5, tower.text.width, requires_grad=True)
    first, second = (encode(tower.text, pack(prompts), contexts) for _ in range(2))
    assert torch.equal(first, second)
    gradients = [torch.autograd.grad(f.square().sum(), contexts)[0] for f in (first, second)]
    assert torch.equal(*gradients)


def test_the_encoder_is_one_graph_for_torch_compile(tower):
    """Captured as one graph, without graph breaks; the choice of backend does not matter here."""
    prompts = [lay_out(tower.text.vocabulary, n, i % 3, 5) for i, n in enumerate(NAMES)]
    packed, contexts = pack(prompts), torch.randn(3, 5, tower.text.width)
    compiled = torch.compile(encode_whole, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(tower.text, packed, contexts), encode(tower.text, packed, contexts))


def test_several_contexts_per_class_as_in_plot(tower64):
    prompts = [lay_out(tower64.text.vocabulary, n, c, 4) for c in range(4) for n in NAMES[:6]]
    contexts = torch.randn(4, 4, tower64.text.width, dtype=torch.float64) * 0.02
    torch.testing.assert_close(
        encode(tower64.text, pack(prompts), contexts), encode_plain(tower64.text, prompts, contexts)
    )


def test_sentences_equal_clips_encode_text(tower):
    texts = ["a photo of a rose.", "tulip", "hello, world: a longer sentence about flowers (and bees)."]
    expected = random_clip().encode_text(import_clip().tokenize(texts))
    prompts = [sentence(tower.text.vocabulary, text) for text in texts]
    torch.testing.assert_close(encode(tower.text, pack(prompts)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("row_tokens", [1, 8, 1000])
def test_the_row_width_does_not_change_features(tower64, row_tokens):
    prompts = [lay_out(tower64.text.vocabulary, n, i % 2, 3) for i, n in enumerate(NAMES)]
    contexts = torch.randn(2, 3, tower64.text.width, dtype=torch.float64) * 0.02
    expected = encode_plain(tower64.text, prompts, contexts)
    torch.testing.assert_close(encode(tower64.text, pack(prompts, row_tokens), contexts), expected)


def test_shared_beginnings_are_computed_once(tower):
    """Far fewer positions than 77 per prompt, which is why the encoder is fast."""
    names = ["apple leaf with rust", "rose", "apple leaf with scab", "apple", "rose"]
    packed = pack([lay_out(tower.text.vocabulary, name, task, 16) for task in range(2) for name in names])
    per_task = 16 + 4 + 2 * 3 + 2 + 3  # context; apple leaf with; rust . EOT and scab . EOT; . EOT; rose . EOT
    assert len(packed.tokens) == 1 + 2 * per_task
    assert packed.ends.tolist()[1] == packed.ends.tolist()[4]


@pytest.mark.parametrize("row_tokens", [0, 20])
def test_prompts_that_share_beginnings_across_rows(tower64, row_tokens):
    """Long names that share their first words, not sorted by them, against the plain path."""
    names = [f"{plant} leaf with {disease}" for disease in ("rust", "black rot", "scab") for plant in ("apple", "fig")]
    prompts = [lay_out(tower64.text.vocabulary, name, task, 3) for name in names for task in range(2)]
    contexts = (torch.randn(2, 3, tower64.text.width, dtype=torch.float64) * 0.02).requires_grad_()
    fast = encode(tower64.text, pack(prompts, row_tokens), contexts)
    plain = encode_plain(tower64.text, prompts, contexts)
    torch.testing.assert_close(fast, plain, rtol=1e-10, atol=1e-10)
    gradients = [torch.autograd.grad(f.pow(3).sum(), contexts)[0] for f in (fast, plain)]
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-12)


def test_prompts_have_coops_layout(tower):
    """The tokens of `clip.tokenize("X X X X name.")`, with slots instead of X."""
    vocabulary = tower.text.vocabulary
    for name in NAMES[:6]:
        tokens = import_clip().tokenize("X X X X " + name.replace("_", " ") + ".")[0]
        prompt = lay_out(vocabulary, name, 2, 4)
        assert prompt[1:5] == [-9, -10, -11, -12]
        assert prompt[5:] == tokens[5 : len(prompt)].tolist()
        assert prompt[0] == tokens[0] and tokens.argmax() == len(prompt) - 1
    middle = lay_out(vocabulary, "rose", 0, 5, "middle")
    front = lay_out(vocabulary, "rose", 0, 5, "front")
    rose, stop = vocabulary.encode("rose"), vocabulary.encode(".")
    assert middle[1:-1] == [-1, -2, *rose, -3, -4, -5, *stop]
    assert front[1:-1] == [*rose, -1, -2, -3, -4, -5, *stop]


def test_too_long_names_and_unknown_positions(tower):
    with pytest.raises(InputError, match="makes a prompt of 92 tokens .16 of them context.*77 positions"):
        lay_out(tower.text.vocabulary, "rose " * 73, 0, 16)
    with pytest.raises(InputError, match="Name position 'centre' is unknown"):
        lay_out(tower.text.vocabulary, "rose", 0, 16, "centre")


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 4e-3), (torch.bfloat16, 4e-2)])
def test_half_precisions(checkpoint, tower, dtype, tolerance):
    """Features and gradients in fp16 and bf16 are as close to those in float32 as the plain path's."""
    needs_on_cpu(dtype)
    half = load_tower(str(checkpoint), dtype=dtype)
    prompts = [lay_out(tower.text.vocabulary, n, i % 3, 5) for i, n in enumerate(NAMES)]
    torch.manual_seed(0)
    contexts = (torch.randn(3, 5, tower.text.width) * 0.02).requires_grad_()
    weights = torch.randn(len(NAMES), tower.text.feature_dim)

    def features_and_gradient(features):
        assert features.dtype in (dtype, torch.float32)
        features = unit(features)
        return features.detach(), torch.autograd.grad((features * weights).sum(), contexts)[0]

    expected = features_and_gradient(encode(tower.text, pack(prompts), contexts))
    fast = features_and_gradient(encode(half.text, pack(prompts), contexts))
    plain = features_and_gradient(encode_plain(half.text, prompts, contexts))
    for value, reference, true in zip(fast, plain, expected, strict=True):
        assert value.dtype == torch.float32
        error, plain_error = ((x - true).norm() / true.norm() for x in (value, reference))
        assert error < 5 * tolerance and error < 2 * plain_error + tolerance


def test_a_context_per_image_is_shared_by_its_classes(tower64):
    """As in CoCoOp: every image has its own context, which all class names follow."""
    images, names = 3, NAMES[:4]
    prompts = [lay_out(tower64.text.vocabulary, name, image, 4) for image in range(images) for name in names]
    contexts = torch.randn(images, 4, tower64.text.width, dtype=torch.float64) * 0.02
    packed = pack(prompts)
    assert len(packed.tokens) == 1 + images * (4 + sum(len(prompt) - 5 for prompt in prompts[:4]))
    torch.testing.assert_close(encode(tower64.text, packed, contexts), encode_plain(tower64.text, prompts, contexts))


@pytest.fixture(scope="module")
def four_blocks():
    """A text tower in float64 with four blocks."""
    model = random_clip(text_layers=4)
    tokenizer = import_clip().clip._tokenizer
    return in_double(TextTower(model, Vocabulary(tokenizer.encode, (49406,), (49407,), 77))).requires_grad_(False)


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("sets", [1, 2, 3])
def test_deep_contexts_equal_the_plain_path(four_blocks, position, sets):
    prompts = [lay_out(four_blocks.vocabulary, name, i % 3, 5, position) for i, name in enumerate(NAMES)]
    torch.manual_seed(0)
    contexts, *deep = (torch.randn(1 + sets, 3, 5, 64, dtype=torch.float64) * 0.1).requires_grad_().unbind()
    fast = encode(four_blocks, pack(prompts), contexts, deep)
    plain = encode_plain(four_blocks, prompts, contexts, deep)
    torch.testing.assert_close(fast, plain, rtol=1e-10, atol=1e-10)
    weights = torch.randn_like(plain)
    gradients = [torch.autograd.grad((f * weights).sum(), [contexts, *deep]) for f in (fast, plain)]
    for gradient, expected in zip(*gradients, strict=True):
        assert expected.flatten(1).abs().amax(1).min() > 1e-6
        torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-12)


def test_deep_contexts_are_one_graph_for_torch_compile(tower):
    packed = pack([lay_out(tower.text.vocabulary, name, i % 3, 5) for i, name in enumerate(NAMES)])
    contexts, deep = torch.randn(2, 3, 5, tower.text.width).unbind()
    compiled = torch.compile(encode_whole, backend="eager", fullgraph=True)
    args = (tower.text, packed, contexts, [deep])
    torch.testing.assert_close(compiled(*args), encode(*args))

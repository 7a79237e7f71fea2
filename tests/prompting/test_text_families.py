"""Every family of text towers: features equal OpenCLIP's own, and learned vectors work in front of any of them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

open_clip = pytest.importorskip("open_clip")
pytest.importorskip("transformers")

from common.errors import InputError  # noqa: E402  after what the tests need
from prompting.padded_text import PaddedText  # noqa: E402
from prompting.prompts import lay_out, sentence  # noqa: E402
from prompting.text_encoder import blocks_of, encode, pack_for  # noqa: E402
from prompting.text_tower import TextTower  # noqa: E402
from prompting.towers import load_tower  # noqa: E402
from tests.support.text_families import FAMILIES, write_tower  # noqa: E402

SENTENCES = ["a photo of a rose.", "oak tree leaf", "a tulip, a type of disease"]
TREES = {"worldwide"}


@pytest.fixture(scope="module")
def towers(tmp_path_factory):
    """name of a family -> (our tower, OpenCLIP's own features of SENTENCES)."""
    found = {}

    def tower(family):
        if family not in found:
            spec, model = write_tower(tmp_path_factory.mktemp(family), family)
            rows = open_clip.get_tokenizer(f"{spec.partition(':')[2].partition('@')[0]}_")(SENTENCES)
            with torch.no_grad():
                found[family] = load_tower(spec), model.encode_text(rows, normalize=False), model
        return found[family]

    return tower


@pytest.mark.parametrize("family", FAMILIES)
def test_features_of_text_are_the_models_own(towers, family, capsys):
    tower, expected, model = towers(family)
    text = tower.text
    assert isinstance(text, TextTower if family in TREES else PaddedText)
    got = encode(text, pack_for(text, [sentence(text.vocabulary, words) for words in SENTENCES]))
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
    assert text.feature_dim == expected.shape[1] == 48 and text.width == 64
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        own = model.encode_image(images, normalize=False)
    torch.testing.assert_close(tower.encode_image(images, normalize=False), own, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("position", ["end", "middle", "front"])
@pytest.mark.parametrize("family", FAMILIES)
def test_words_as_learned_vectors_and_gradients_to_each(towers, family, position):
    """Vectors that are the embeddings of words give the features of these words, at every place of the name."""
    text = towers(family)[0].text
    v = text.vocabulary
    words, name = v.encode("a photo of many"), "oak tree"
    context = text.word_vectors(words).detach().clone()
    contexts = torch.stack([torch.randn_like(context), context]).requires_grad_()
    packed = pack_for(text, [lay_out(v, name, c, len(words), position) for c in (1, 0)])
    got = encode(text, packed, contexts)
    body = lay_out(v, name)[len(v.start) : len(lay_out(v, name)) - len(v.end)]
    n_name = len(v.encode(name))
    half = len(words) // 2
    inner = {
        "end": [*words, *body],
        "middle": [*words[:half], *body[:n_name], *words[half:], *body[n_name:]],
        "front": [*body[:n_name], *words, *body[n_name:]],
    }[position]
    expected = encode(text, pack_for(text, [[*v.start, *inner, *v.end]]))
    torch.testing.assert_close(got[:1], expected, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(got[1:], expected, atol=1e-3)
    (gradient,) = torch.autograd.grad(got.square().sum(), contexts)
    assert bool((gradient.abs().amax(-1) > 0).all())


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_are_those_of_the_tokenizer(towers, family):
    tower, _, _ = towers(family)
    text = tower.text
    if isinstance(text, PaddedText):
        spec = tower.name.partition(":")[2].partition("@")[0]
        rows = open_clip.get_tokenizer(f"{spec}_")(SENTENCES)
        assert torch.equal(text.pack([sentence(text.vocabulary, words) for words in SENTENCES]).tokens, rows)
    with pytest.raises(InputError, match=f"the tower has {text.vocabulary.length} positions"):
        sentence(text.vocabulary, "a photo " * 60)


def test_a_row_with_a_token_in_its_last_place():
    """As in OpenCLIP's mode "clips": [start] text [end] padding [class]."""
    from prompting.vocabularies import of_rows

    def encode_(text: str) -> list[int]:
        return [10 + ord(letter) for letter in text]

    def rows(texts: list[str]) -> Tensor:
        made = [[1, *encode_(text), 2] for text in texts]
        return torch.tensor([[*row, *[0] * (31 - len(row)), 9] for row in made])

    v = of_rows("clips", rows, encode_, 32, {})
    assert (v.start, v.end, v.pad, v.last) == ((1,), (2,), 0, 9)
    with pytest.raises(InputError, match="positions"):
        sentence(v, "x" * 30)
    assert len(sentence(v, "x" * 29)) == 31
    with pytest.raises(InputError, match="does not keep a text's tokens together"):
        of_rows("odd", lambda texts: torch.zeros(len(texts), 32, dtype=torch.long), encode_, 32, {})


def test_methods_that_change_blocks_refuse_in_one_line(towers):
    text = towers("siglip")[0].text
    with pytest.raises(InputError, match="MaPLe changes the blocks of a causal text tower.*choose") as error:
        blocks_of(text, "MaPLe")
    assert "\n" not in str(error.value)
    assert blocks_of(towers("worldwide")[0].text, "MaPLe")

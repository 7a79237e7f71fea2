"""Low-rank updates of attention layers against PyTorch's own attention with changed matrices."""

import copy

import pytest
import torch
from torch import nn

from prompting.low_rank import LowRank, UpdatedAttention, image_blocks, updated
from prompting.prompts import sentence
from prompting.reference import encode_plain
from prompting.text_encoder import encode, pack


def random_updates(layers=1, width=64, dropout=0.0) -> LowRank:
    torch.manual_seed(7)
    updates = LowRank(layers, width, 2, 1.0, dropout)
    nn.init.normal_(updates.b, std=0.1)
    return updates


@torch.no_grad()
def add_to_weights(attention: nn.MultiheadAttention, updates: LowRank, layer: int) -> None:
    """Add B A / sqrt(2) to the query, key and value matrices."""
    products = [b @ a for a, b in zip(updates.a[layer], updates.b[layer], strict=True)]
    attention.in_proj_weight.add_(torch.cat(products) / 2**0.5)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_an_updated_attention_equals_one_with_changed_matrices(batch_first, masked):
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(64, 4, batch_first=batch_first)
    nn.init.normal_(attention.in_proj_bias)
    updates = random_updates()
    x = torch.randn(5, 3, 64)
    length = 3 if batch_first else 5
    mask = torch.full((length, length), float("-inf")).triu(1) if masked else None
    output, _ = UpdatedAttention(attention, updates, 0)(x, x, x, need_weights=False, attn_mask=mask)
    add_to_weights(attention, updates, 0)
    expected, _ = attention(x, x, x, need_weights=False, attn_mask=mask)
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)


def test_updates_start_at_zero_and_a_like_a_linear_layer():
    updates = LowRank(3, 64, 2, 1.0, 0.25)
    assert updates.a.shape == (3, 3, 2, 64) and updates.b.shape == (3, 3, 64, 2)
    assert not updates.b.any() and 0.11 < updates.a.abs().max() <= 1 / 8
    assert not updates(0, torch.randn(4, 64)).any()


def test_query_key_and_value_have_separate_dropout():
    updates = random_updates(dropout=0.5)
    with torch.no_grad():  # every matrix returns the first input
        updates.a.zero_()
        updates.b.fill_(1.0)
        updates.a[:, :, 0, 0] = 1.0
    x = torch.ones(1000, 64)
    kept = updates(0, x).unflatten(1, (3, 64))[:, :, 0] * 2**0.5
    assert sorted(set(kept.round(decimals=4).flatten().tolist())) == [0.0, 2.0]
    assert all(0.4 < float((kept[:, i] == kept[:, j]).float().mean()) < 0.6 for i, j in ((0, 1), (0, 2), (1, 2)))
    updates.eval()
    torch.testing.assert_close(updates(0, x), torch.full((1000, 192), 2**-0.5))


def test_a_tower_is_restored_after_an_error(tower):
    blocks, images = image_blocks(tower.visual), torch.randn(2, 3, 32, 32)
    before, names = tower.visual(images), [*tower.state_dict()]
    with pytest.raises(RuntimeError), updated(blocks, random_updates(2)):
        assert not torch.equal(tower.visual(images), before)
        raise RuntimeError
    assert torch.equal(tower.visual(images), before) and [*tower.state_dict()] == names
    with pytest.raises(ValueError), updated(blocks, random_updates(2)), updated(blocks[:1], random_updates(1)):
        raise ValueError
    assert torch.equal(tower.visual(images), before)


def test_the_text_encoder_uses_the_updates(tower64):
    """Against the plain encoder with changed matrices; the updates of each of the two blocks must matter."""
    text = tower64.text
    prompts = [sentence(text.vocabulary, words) for words in ("a photo of a rose.", "a photo of a tulip.")]
    updates, changed = random_updates(2).double(), copy.deepcopy(text)
    for layer, block in enumerate(changed.blocks):
        before = encode_plain(changed, prompts)
        add_to_weights(block.attn, updates, layer)
        assert (encode_plain(changed, prompts) - before).abs().max() > 1e-3
    expected = encode_plain(changed, prompts)
    with updated(text.blocks, updates):
        torch.testing.assert_close(encode(text, pack(prompts)), expected, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(encode_plain(text, prompts), expected, rtol=1e-10, atol=1e-10)


def test_new_updates_do_not_change_the_text_feature(tower):
    prompts = [sentence(tower.text.vocabulary, text) for text in ("a photo of a rose.", "a photo of a tulip.")]
    with updated(tower.text.blocks, LowRank(2, 64, 2, 1.0, 0.0)):
        features = encode(tower.text, pack(prompts))
    torch.testing.assert_close(features, encode_plain(tower.text, prompts))


def test_only_vision_transformers_have_blocks(tower):
    assert len(image_blocks(tower.visual)) == 2
    assert image_blocks(nn.Linear(1, 1)) is None

"""Loading towers: all sources give the same CLIP, and errors are one line."""

import math
import warnings

import pytest
import torch
from safetensors.torch import save_file

from common.errors import InputError
from prompting.towers import import_clip, load_tower
from tests.support.towers import needs_on_cpu, random_clip


@pytest.mark.parametrize("vision_layers", [2, (1, 1, 1, 1)], ids=["vit", "resnet"])
@pytest.mark.parametrize("kind", ["pt", "script", "safetensors", "partial"])
def test_all_kinds_of_checkpoints_give_the_same_clip(tmp_path, vision_layers, kind):
    model = random_clip(vision_layers, image_size=64).eval()
    if kind == "partial":
        full = torch.randn(49408, 64, generator=torch.Generator().manual_seed(0)) * 0.02
        full[[5, 7, 49406]] = 1.5
        model.token_embedding.weight.data = full
    state = model.state_dict()
    path = tmp_path / f"clip.{'pt' if kind in ('pt', 'script') else 'safetensors'}"
    images, tokens = torch.randn(2, 3, 64, 64), import_clip().tokenize(["a rose", "a tulip"])
    if kind == "pt":
        torch.save(state, path)
    elif kind == "script":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.trace(model, (images, tokens), check_trace=False).save(str(path))
    elif kind == "safetensors":
        save_file(state, path)
    else:
        rows = torch.tensor([5, 7, 49406])
        kept = {**state, "token_embedding.weight": state["token_embedding.weight"][rows], "token_embedding.rows": rows}
        save_file(kept, path)
    tower = load_tower(str(path))
    with torch.no_grad():
        features = model.encode_image(images)
    torch.testing.assert_close(
        tower.encode_image(images), features / features.norm(dim=-1, keepdim=True), rtol=1e-5, atol=1e-6
    )
    assert torch.equal(tower.text.token_embedding.weight, model.token_embedding.weight)
    assert tower.logit_scale == pytest.approx(math.exp(float(model.logit_scale.detach())))
    assert tower.preprocessing.size == 64


def test_the_tower_is_frozen_and_stays_in_eval_mode(tower):
    assert not any(parameter.requires_grad for parameter in tower.parameters())
    tower.train()
    assert not any(module.training for module in tower.modules())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "truncated or not a checkpoint"),
        (b"no checkpoint at all", "truncated or not a checkpoint"),
        ("half", "truncated or not a checkpoint"),
        ("other", "not a CLIP checkpoint in OpenAI's layout"),
        ("objects", "truncated or not a checkpoint|holds no state dict"),
    ],
)
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_bad_checkpoints(tmp_path, checkpoint, content, message, suffix):
    path = tmp_path / f"bad.{suffix}"
    if content == "half":
        path.write_bytes(checkpoint.read_bytes()[:10_000])
    elif content == "other":
        if suffix == "pt":
            torch.save({"fc.weight": torch.zeros(2, 2)}, path)
        else:
            save_file({"fc.weight": torch.zeros(2, 2)}, path)
    elif content == "objects":
        torch.save({"epoch": 3}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        load_tower(str(path))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_checkpoint_lists_the_paths_tried(tmp_path):
    with pytest.raises(InputError, match="is missing; looked at: .*nowhere/none.pt.*first.*second"):
        load_tower("nowhere/none.pt", search=(tmp_path / "first", tmp_path / "second"))


def test_an_unknown_name_gets_a_suggestion():
    with pytest.raises(InputError, match="'ViT-B/61' is unknown; did you mean 'ViT-B/16'"):
        load_tower("ViT-B/61")
    with pytest.raises(InputError, match="MODEL.BACKBONE.NAME is empty"):
        load_tower("")


def test_open_clip_by_architecture_and_file(tmp_path):
    """A toy OpenCLIP model with its config next to it gives the same features as OpenCLIP's own encoders."""
    open_clip = pytest.importorskip("open_clip")
    (tmp_path / "toy.json").write_text(
        '{"embed_dim": 32, "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 8},'
        '"text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2}}'
    )
    open_clip.add_model_config(tmp_path)
    model = open_clip.create_model("toy").eval()
    save_file(model.state_dict(), tmp_path / "toy.safetensors")
    tower = load_tower(f"open_clip:toy@{tmp_path / 'toy.safetensors'}")

    from prompting.prompts import sentence
    from prompting.text_encoder import encode, pack

    images, texts = torch.randn(2, 3, 32, 32), ["a rose", "a photo of a tulip, in a pot."]
    with torch.no_grad():
        expected = model.encode_image(images, normalize=True)
        words = model.encode_text(open_clip.get_tokenizer("toy")(texts))
    torch.testing.assert_close(tower.encode_image(images), expected, rtol=1e-4, atol=1e-5)
    prompts = [sentence(tower.text.vocabulary, text) for text in texts]
    torch.testing.assert_close(encode(tower.text, pack(prompts)), words, rtol=1e-4, atol=1e-5)
    for spec, message in [
        ("toy", "names no weights"),
        (f"toi@{tmp_path / 'toy.safetensors'}", "'toi' is unknown"),
        ("toy@gone.safetensors", "is missing; looked at"),
    ]:
        with pytest.raises(InputError, match=message):
            load_tower(f"open_clip:{spec}")


@pytest.mark.parametrize("vision_layers", [2, (1, 1, 1, 1)], ids=["vit", "resnet"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_towers(tmp_path, vision_layers, dtype):
    needs_on_cpu(dtype)
    path = tmp_path / "clip.pt"
    torch.save(random_clip(vision_layers, image_size=64).state_dict(), path)
    whole, half = load_tower(str(path)), load_tower(str(path), dtype=dtype)
    images = torch.randn(4, 3, 64, 64)
    assert half.dtype == dtype and half.visual.conv1.weight.dtype == dtype
    assert half.encode_image(images).dtype == torch.float32
    close = 2e-2 if dtype == torch.float16 else 1e-1
    assert (half.encode_image(images) - whole.encode_image(images)).abs().max() < close


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_of_an_open_clip_tower(tmp_path, dtype):
    """A timm image tower has other kinds of parameters; all must have one dtype."""
    needs_on_cpu(dtype)
    open_clip = pytest.importorskip("open_clip")
    pytest.importorskip("timm")
    (tmp_path / "toynext.json").write_text(
        '{"embed_dim": 32, "vision_cfg": {"timm_model_name": "test_convnext", "timm_model_pretrained": false,'
        '"timm_pool": "", "timm_proj": "linear", "image_size": 64},'
        '"text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2}}'
    )
    open_clip.add_model_config(tmp_path)
    save_file(open_clip.create_model("toynext").state_dict(), tmp_path / "toynext.safetensors")
    name, images = f"open_clip:toynext@{tmp_path / 'toynext.safetensors'}", torch.randn(2, 3, 64, 64)
    whole, half = load_tower(name), load_tower(name, dtype=dtype)
    assert (half.encode_image(images) - whole.encode_image(images)).abs().max() < 0.1
    from prompting.prompts import lay_out
    from prompting.text_encoder import encode, pack

    packed, contexts = pack([lay_out(half.text.vocabulary, "rose", 0, 4)]), torch.randn(1, 4, 64)
    assert encode(half.text, packed, contexts).dtype == dtype

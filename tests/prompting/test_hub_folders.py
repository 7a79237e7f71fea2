"""Towers in folders: as OpenCLIP writes them, and as Hugging Face's transformers saves them."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
import torch.nn.functional as F

open_clip = pytest.importorskip("open_clip")
transformers = pytest.importorskip("transformers")

from common.errors import InputError  # noqa: E402  after what the tests need
from prompting.padded_text import PaddedText  # noqa: E402
from prompting.prompts import sentence  # noqa: E402
from prompting.text_encoder import encode, pack_for  # noqa: E402
from prompting.towers import checkpoint_file, load_tower  # noqa: E402
from tests.support.text_families import LENGTH, sentence_pieces, write_tower  # noqa: E402

SENTENCES = ["a photo of a rose.", "oak tree leaf", "a tulip, a type of disease"]
SIZE = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}


@pytest.fixture
def written(tmp_path):
    """A folder as OpenCLIP pushes it to a hub, of a SigLIP; and OpenCLIP's own model."""
    spec, model = write_tower(tmp_path / "made", "siglip")
    name = spec.partition(":")[2].partition("@")[0]
    folder = tmp_path / "hub"
    shutil.copytree(tmp_path / "made" / "tokenizer", folder)
    config = json.loads((tmp_path / "made" / f"{name}.json").read_text())
    config["text_cfg"]["hf_tokenizer_name"] = "somebody/tokenizer"  # a name on the hub; the folder has the files
    pixels = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": pixels}))
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    return folder, model


def features(tower):
    return encode(tower.text, pack_for(tower.text, [sentence(tower.text.vocabulary, words) for words in SENTENCES]))


@pytest.mark.parametrize("prefix", ["local-dir:", "open_clip:local-dir:"])
def test_a_folder_that_openclip_wrote(written, prefix):
    folder, model = written
    tower = load_tower(f"{prefix}{folder}")
    rows = open_clip.get_tokenizer(f"local-dir:{folder}")(SENTENCES)
    with torch.no_grad():
        torch.testing.assert_close(features(tower), model.encode_text(rows), rtol=1e-5, atol=1e-5)
    pixels = tower.preprocessing
    assert (pixels.mean, pixels.resize_mode) == ((0.5,) * 3, "squash") and "open_clip_config.json" in pixels.source
    assert checkpoint_file(f"{prefix}{folder}") == folder / "open_clip_pytorch_model.bin"


def test_folders_that_lack_something(written):
    folder, _ = written
    (folder / "open_clip_pytorch_model.bin").unlink()
    with pytest.raises(InputError, match="hub has no weights that OpenCLIP wrote; .*open_clip_model.safetensors"):
        load_tower(f"local-dir:{folder}")
    (folder / "open_clip_config.json").write_text("{}")
    with pytest.raises(InputError, match="has no open_clip_config.json with a model_cfg"):
        load_tower(f"local-dir:{folder}")


def save(folder, kind):
    """Save a toy CLIPModel or SiglipModel with its tokenizer; returns the model."""
    n = sentence_pieces(folder, start=kind == "clip")
    text = {**SIZE, "vocab_size": n, "max_position_embeddings": LENGTH}
    vision = {**SIZE, "image_size": 32, "patch_size": 16}
    torch.manual_seed(0)
    if kind == "clip":
        ids = {"pad_token_id": 2, "bos_token_id": 0, "eos_token_id": 1}
        config = transformers.CLIPConfig(text_config={**text, **ids}, vision_config=vision, projection_dim=48)
        model = transformers.CLIPModel(config).eval()
    else:
        config = transformers.SiglipConfig(text_config=text, vision_config=vision)
        model = transformers.SiglipModel(config).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.1)
    model.save_pretrained(folder)
    size = {"shortest_edge": 32} if kind == "clip" else {"height": 32, "width": 32}
    processor = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3, "resample": 2, "size": size, "do_normalize": True}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return model


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_a_folder_of_transformers(tmp_path, kind, capsys):
    folder = tmp_path / kind
    model = save(folder, kind)
    tower = load_tower(str(folder))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    made = tokenizer(SENTENCES, padding="max_length", max_length=LENGTH, return_tensors="pt")
    images = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        expected = model(input_ids=made.input_ids, pixel_values=images)
    assert isinstance(tower.text, PaddedText)
    torch.testing.assert_close(F.normalize(features(tower), dim=-1), expected.text_embeds, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(tower.encode_image(images), expected.image_embeds, rtol=1e-4, atol=1e-5)
    scaled = tower.logit_scale * expected.image_embeds @ expected.text_embeds.t()
    bias = model.logit_bias.item() if kind == "siglip" else 0.0
    torch.testing.assert_close(scaled + bias, expected.logits_per_image, rtol=1e-3, atol=1e-4)
    pixels = tower.preprocessing
    assert pixels.size == 32 and pixels.std == (0.25,) * 3 and pixels.interpolation == "bilinear"
    assert pixels.resize_mode == ("shortest" if kind == "clip" else "squash")
    assert checkpoint_file(str(folder)) == folder / "model.safetensors"
    assert tower.activation == ("QuickGELU" if kind == "clip" else "GELU (tanh)")
    assert "because transformers' " in capsys.readouterr().out


def test_other_folders_of_transformers_are_refused(tmp_path):
    save(tmp_path / "clip", "clip")
    path = tmp_path / "clip" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "model_type": "bert"}))
    with pytest.raises(InputError, match="model of type 'bert'.*CLIPModel and SiglipModel"):
        load_tower(str(tmp_path / "clip"))
    path.write_text(json.dumps(config))
    (tmp_path / "clip" / "model.safetensors").write_bytes(b"short")
    with pytest.raises(InputError, match="clip could not be loaded") as error:
        load_tower(str(tmp_path / "clip"))
    assert "\n" not in str(error.value)


def test_weights_that_are_missing_are_not_drawn_at_random(tmp_path):
    from safetensors.torch import load_file, save_file

    save(tmp_path / "clip", "clip")
    path = tmp_path / "clip" / "model.safetensors"
    state = load_file(path)
    del state["visual_projection.weight"]
    save_file(state, path, metadata={"format": "pt"})
    with pytest.raises(InputError, match="lack visual_projection.weight"):
        load_tower(str(tmp_path / "clip"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_mean": "x"}, "'mean' (has 1 values|is 'x')"),
        ({"image_mean": ["a", 1, 2]}, "'mean' is .*three numbers"),
        ({"size": {"shortest_edge": 40}}, "resizes the shortest side to 40 and crops, but the tower takes 32"),
        ({"do_center_crop": False}, "does not crop"),
        ({"do_rescale": False}, "do_rescale is false"),
        ({"resample": 1}, "'interpolation' is 'lanczos'"),
    ],
)
def test_pictures_that_are_prepared_otherwise_are_refused(tmp_path, change, message):
    save(tmp_path / "clip", "clip")
    path = tmp_path / "clip" / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match=message) as error:
        load_tower(str(tmp_path / "clip"))
    assert "\n" not in str(error.value)


def test_a_folders_name_means_nothing(tmp_path, monkeypatch):
    """OpenCLIP chooses a tokenizer by the word siglip in a name; a folder may be called as it likes."""
    from prompting.hugging_face_towers import hugging_face_folder
    from prompting.open_clip_towers import OPEN_CLIP
    from tests.support.text_families import TEXT, VISION

    folder = tmp_path / "siglip_vs_clip"
    folder.mkdir()
    config = {"embed_dim": 48, "vision_cfg": VISION, "text_cfg": {**TEXT, "context_length": 77, "vocab_size": 49408}}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "plain_toy.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "made")
    torch.save(open_clip.create_model("plain_toy").state_dict(), folder / "open_clip_pytorch_model.bin")
    tower = load_tower(f"{OPEN_CLIP}local-dir:{folder}")
    assert tower.text.vocabulary.of_clip and not isinstance(tower.text, PaddedText)
    with pytest.raises(InputError, match=f"name it local-dir:{folder}"):
        load_tower(str(folder))
    with pytest.raises(InputError, match="There is no folder 'nowhere'"):
        load_tower("local-dir:nowhere")
    (tmp_path / "RN50").mkdir()
    (tmp_path / "RN50" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert hugging_face_folder("RN50", ()) is None and hugging_face_folder("./RN50", ()) is not None

"""Checkpoints of many programs: the same CLIP is read from each, or one line says what is wrong."""

import argparse
import gzip
import pickle
import warnings
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from common.errors import InputError
from prompting.checkpoints import find_file, read_checkpoint
from prompting.towers import checkpoint_file, import_clip, load_tower
from tests.support.towers import random_clip


@pytest.fixture(scope="module")
def model():
    return random_clip(2).eval()


@pytest.fixture(scope="module")
def weights(model):
    return model.state_dict()


def prefixed(weights, prefix):
    return {prefix + name: tensor for name, tensor in weights.items()}


WRAPPED = {
    "state_dict": lambda w: {"epoch": 3, "state_dict": w, "optimizer": {"state": {0: {"step": torch.ones(1)}}}},
    "model_state_dict": lambda w: {"epoch": 3, "model_state_dict": w, "loss": torch.tensor(0.2)},
    "model": lambda w: {"model": w, "model_ema": {name: tensor + 1 for name, tensor in w.items()}},
    "nested": lambda w: {"model": {"state_dict": w}},
    "another name": lambda w: {"epoch": 3, "my_clip": w},
    "average alone": lambda w: {"state_dict_ema": prefixed(w, "module.")},
    "data parallel": lambda w: prefixed(w, "module."),
    "compiled": lambda w: prefixed(w, "_orig_mod.module."),
    "lightning": lambda w: {
        "state_dict": {**prefixed(w, "model."), "loss.weight": torch.ones(2)},
        "hyper_parameters": {},
    },
    "with its average": lambda w: {**prefixed(w, "model."), **prefixed({n: t + 1 for n, t in w.items()}, "ema_model.")},
    "numbers": lambda w: {**w, "input_resolution": 32, "context_length": 77, "vocab_size": 49408},
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_wrappers_and_prefixes_are_taken_off(tmp_path, weights, kind):
    path = tmp_path / "clip.ckpt"
    torch.save(WRAPPED[kind](weights), path)
    found = read_checkpoint(path)
    assert set(found.weights) == set(weights)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in found.weights.items())
    assert all(str(path) in note for note in found.notes)
    noted = {"model": "model_ema", "another name": "my_clip", "average alone": "state_dict_ema"}
    noted |= {"lightning": "loss.weight", "with its average": "ema_model."}
    assert len(found.notes) == (kind in noted) and noted.get(kind, "") in " ".join(found.notes)


@pytest.mark.parametrize("suffix", ["pt", "bin", "safetensors"])
@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_the_format_is_told_by_content_and_not_by_suffix(tmp_path, weights, form, suffix):
    path = tmp_path / f"clip.{suffix}"
    if form == "safetensors":
        save_file(weights, path)
    else:
        torch.save(weights, path, _use_new_zipfile_serialization=form == "zip")
    assert torch.equal(read_checkpoint(path).weights["logit_scale"], weights["logit_scale"])
    assert set(read_checkpoint(path).weights) == set(weights)


IMPOSTORS = {
    "empty": (b"", "empty"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    "page": (b"\n <!DOCTYPE html><html></html>", "web page"),
    "error": (b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>", "XML"),
    "index": (b'{"weight_map": {}}', "JSON"),
    "gzip": (gzip.compress(b"weights"), "gzip"),
    "text": (b"no checkpoint at all", "torch.save"),
    "pickle": (pickle.dumps({"logit_scale": 1.0}, protocol=4), "torch.save"),
}


@pytest.mark.parametrize("kind", IMPOSTORS)
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_files_that_are_no_checkpoints(tmp_path, kind, suffix):
    content, word = IMPOSTORS[kind]
    path = tmp_path / f"clip.{suffix}"
    path.write_bytes(content)
    assert word in refusal(path)


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_truncated_files(tmp_path, weights, form):
    path = tmp_path / "clip.pt"
    if form == "safetensors":
        save_file(weights, path)
    else:
        torch.save(weights, path, _use_new_zipfile_serialization=form == "zip")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "truncated" in refusal(path) and "download it again" in refusal(path)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("extra", "word"),
    [
        ({"best": np.float64(0.3)}, "(numpy scalar)"),
        ({"curve": np.ones(3)}, "(numpy array)"),
        ({"args": argparse.Namespace(lr=1)}, "(argparse.Namespace)"),
    ],
)
def test_python_objects_besides_tensors(tmp_path, weights, extra, word, zipped):
    path = tmp_path / "clip.pt"
    torch.save({"epoch": 3, **extra, "state_dict": weights}, path, _use_new_zipfile_serialization=zipped)
    message = refusal(path)
    assert word in message and "state_dict" in message


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickled_module(tmp_path, model, zipped):
    path = tmp_path / "clip.pt"
    torch.save(model, path, _use_new_zipfile_serialization=zipped)
    assert "clip.model.CLIP" in refusal(path) and "state_dict()" in refusal(path)


FOREIGN = {
    "hugging face": (["text_model.x", "vision_model.x", "logit_scale"], "text_model.*"),
    "its text alone": (["text_model.x"], "has no vision_model"),
    "prompts": (["prompt_learner.ctx"], "prompt_learner"),
    "adapter": (["base_model.model.x.lora_A.weight"], "lora_"),
    "open_clip, own text": (["text.positional_embedding", "logit_scale"], "open_clip:<architecture>@"),
    "timm": (["visual.trunk.conv.weight", "positional_embedding", "logit_scale"], "visual.trunk"),
    "image tower": (["visual.conv1.weight", "visual.proj"], "'token_embedding.weight'"),
    "language model": (["model.layers.0.weight", "model.norm.weight"], "'visual.conv1.weight'"),
    "two": (["a.logit_scale", "b.logit_scale"], "(a., b.)"),
}


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_other_layouts(tmp_path, kind, suffix):
    names, word = FOREIGN[kind]
    path = tmp_path / f"clip.{suffix}"
    state = {name: torch.zeros(2, 2) for name in names}
    if suffix == "pt":
        torch.save(state, path)
    else:
        save_file(state, path)
    assert word in refusal(path)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda w: w.pop("ln_final.bias"), "it has no 'ln_final.bias'"),
        (lambda w: w.pop("visual.ln_post.bias"), "it has no 'visual.ln_post.bias'"),
        (lambda w: w.update({"extra.weight": torch.ones(1)}), "has no 'extra.weight'"),
        (lambda w: w.update({"ln_final.bias": torch.ones(3)}), "'ln_final.bias' has the shape [3]"),
        (lambda w: w.update({"visual.class_embedding": torch.ones(1280)}), "1280 wide"),
    ],
)
def test_the_first_name_that_does_not_fit_is_named(tmp_path, weights, change, word):
    state = dict(weights)
    change(state)
    torch.save(state, tmp_path / "clip.pt")
    assert word in refusal(tmp_path / "clip.pt")


@pytest.mark.parametrize(
    ("content", "word"),
    [({"epoch": 3}, "epoch"), ([1], "list"), ({}, "nothing"), (torch.ones(3), "Tensor"), ("ab", "(a, b)")],
)
def test_files_without_weights(tmp_path, weights, content, word):
    torch.save({"a": weights, "b": weights} if content == "ab" else content, tmp_path / "clip.pt")
    assert word in refusal(tmp_path / "clip.pt")


def test_archives_and_folders(tmp_path, weights):
    with zipfile.ZipFile(tmp_path / "clip.zip.pt", "w") as archive:
        archive.writestr("clip/model.pt", b"x")
    assert "clip/model.pt" in refusal(tmp_path / "clip.zip.pt")
    with pytest.raises(InputError, match="is a folder .*clip.zip.pt"):
        find_file(str(tmp_path))
    with pytest.raises(InputError, match="is a folder .*clip.zip.pt"):
        load_tower(tmp_path.name, search=(tmp_path.parent,))


def test_the_file_of_a_name(tmp_path, weights):
    """The config records the file's digest, whatever the file is called."""
    path = tmp_path / "model.pth.tar-50"
    torch.save(weights, path)
    assert checkpoint_file(str(path)) == checkpoint_file(f"open_clip:x@{path}") == path
    assert checkpoint_file("RN50") is None and checkpoint_file("open_clip:ViT-B-32@laion2b_e16") is None
    with pytest.raises(InputError, match="is missing"):
        checkpoint_file("open_clip:x@gone.ckpt")


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("hf-hub:laion/CLIP-ViT-B-32", "hf-hub:"),
        ("local-dir:/models/clip", "no folder '/models/clip'"),
        ("open_clip:local-dir:/models/clip", "no folder '/models/clip'"),
        ("openai/clip-vit-base-patch16", "ViT-B/16"),
        ("https://example.org/clip.pt", "download"),
        ("ViT-B/32@laion2b_s34b_b79k", "open_clip:ViT-B-32@laion2b_s34b_b79k"),
        ("ViT-B-32", "did you mean 'ViT-B/32'"),
    ],
)
def test_names_of_other_programs(name, word):
    with pytest.raises(InputError) as caught:
        load_tower(name)
    assert word in str(caught.value) and "\n" not in str(caught.value)


def test_the_activation_is_reported(tmp_path, model, weights, capsys):
    """Weights in OpenAI's layout get QuickGELU: known from OpenAI's entries and TorchScript, else assumed and said."""
    archive = {**weights, "input_resolution": torch.tensor(32), "context_length": torch.tensor(77)}
    torch.save({**archive, "vocab_size": torch.tensor(49408)}, tmp_path / "archive.pt")
    torch.save(weights, tmp_path / "plain.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inputs = (torch.randn(2, 3, 32, 32), import_clip().tokenize(["a", "b"]))
        torch.jit.trace(model, inputs, check_trace=False).save(str(tmp_path / "script.pt"))
        for block in [*model.transformer.resblocks, *model.visual.transformer.resblocks]:
            block.mlp.gelu = torch.nn.GELU()
        torch.jit.trace(model, inputs, check_trace=False).save(str(tmp_path / "gelu.pt"))
    for name, source in (("archive", "as in OpenAI's archives"), ("script", "TorchScript"), ("plain", "assumed")):
        tower = load_tower(str(tmp_path / f"{name}.pt"))
        assert tower.activation == "QuickGELU" and source in tower.activation_source
        out = capsys.readouterr().out
        assert f"activation QuickGELU ({tower.activation_source})" in out and out.count("\n") == 2
        assert ("open_clip:<architecture>@" in out) == (name == "plain")
    assert "GELU" in refusal(tmp_path / "gelu.pt") and "open_clip:<architecture>@" in refusal(tmp_path / "gelu.pt")


def test_openclips_own_checkpoints_are_not_read_as_openais(tmp_path, weights):
    torch.save({"epoch": 1, "name": "run", "state_dict": prefixed(weights, "module.")}, tmp_path / "epoch_1.pt")
    assert "open_clip:<architecture>@" in refusal(tmp_path / "epoch_1.pt")
    torch.save(weights, tmp_path / "open_clip_pytorch_model.bin")
    config = tmp_path / "open_clip_config.json"
    config.write_text('{"model_cfg": {"embed_dim": 48}, "preprocess_cfg": {"mean": [0.5, 0.5, 0.5]}}', encoding="utf-8")
    assert "has GELU" in refusal(tmp_path / "open_clip_pytorch_model.bin")
    config.write_text('{"model_cfg": {"quick_gelu": true}, "preprocess_cfg": {"std": [1, 1, 1]}}', encoding="utf-8")
    tower = load_tower(str(tmp_path / "open_clip_pytorch_model.bin"))
    assert tower.preprocessing.std == (1, 1, 1) and "open_clip_config.json" in tower.preprocessing.source
    config.write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="open_clip_config.json cannot be read as JSON"):
        load_tower(str(tmp_path / "open_clip_pytorch_model.bin"))


def refusal(path):
    """The message with which a tower is refused, for either kind of name."""
    with pytest.raises(InputError) as caught:
        load_tower(str(path))
    message = str(caught.value)
    assert "\n" not in message and "\x1b" not in message and str(path) in message
    return message

"""OpenCLIP's towers: tags, architectures, files and activations, right or refused in one line."""

import json
import shutil
import warnings

import pytest
import torch

from common.errors import InputError
from prompting.pixels import Preprocessing
from prompting.towers import load_tower

open_clip = pytest.importorskip("open_clip")

TOY = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2},
}
IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a toy's weights and its configs: tower_a has GELU, tower_b and tower_a-quickgelu QuickGELU."""
    path = tmp_path_factory.mktemp("toys")
    for name, quick in (("tower_a", False), ("tower_b", True), ("tower_a-quickgelu", True)):
        (path / f"{name}.json").write_text(json.dumps({**TOY, "quick_gelu": quick}), encoding="utf-8")
    torch.manual_seed(0)
    torch.save(open_clip.CLIP(**TOY).state_dict(), path / "weights.pt")
    return path


def features(folder, quick):
    model = open_clip.CLIP(**TOY, quick_gelu=quick).eval()
    model.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    with torch.no_grad():
        return model.encode_image(IMAGES, normalize=True)


def close(tower, expected):
    return torch.allclose(tower.encode_image(IMAGES), expected, rtol=1e-4, atol=1e-5)


def refusal(spec):
    with pytest.raises(InputError) as caught:
        load_tower(f"open_clip:{spec}")
    message = str(caught.value)
    assert "\n" not in message and "\x1b" not in message
    return message


def test_the_activation_is_the_architectures_and_reported(folder, capsys):
    quick, gelu = features(folder, True), features(folder, False)
    assert not torch.allclose(quick, gelu, rtol=1e-4, atol=1e-5)
    for name, activation, expected in (("tower_a", "GELU", gelu), ("tower_b", "QuickGELU", quick)):
        tower = load_tower(f"open_clip:{name}@{folder / 'weights.pt'}")
        printed = capsys.readouterr()
        out = printed.out + printed.err
        assert tower.activation == activation and close(tower, expected)
        assert f"activation {activation} (as {name}.json says)" in out
        assert ("tower_a-quickgelu@" in out) == (name == "tower_a")  # that there is one with the other activation
        assert out.count("\n") == 2 + (name == "tower_a")


WRAPPED = {
    "model_state_dict": lambda w: {"epoch": 3, "model_state_dict": w, "loss": 0.2},
    "data parallel": lambda w: {"state_dict": {f"module.{n}": t for n, t in w.items()}, "epoch": 1, "name": "run"},
    "lightning": lambda w: {"state_dict": {**{f"model.{n}": t for n, t in w.items()}, "loss.x": torch.ones(1)}},
    "numbers": lambda w: {**w, "input_resolution": 32},
}


@pytest.mark.parametrize("kind", [*WRAPPED, "script"])
def test_any_wrapper_gives_the_same_features(folder, tmp_path, kind):
    shutil.copy(folder / "tower_a.json", tmp_path)
    weights, path = torch.load(folder / "weights.pt", weights_only=True), tmp_path / "clip.pt"
    if kind == "script":
        model = open_clip.CLIP(**TOY).eval()
        model.load_state_dict(weights)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tokens = open_clip.SimpleTokenizer()(["a", "b"])
            torch.jit.trace(model, (IMAGES, tokens), check_trace=False).save(str(path))
    else:
        torch.save(WRAPPED[kind](weights), path)
    tower = load_tower(f"open_clip:tower_a@{path}")
    assert close(tower, features(folder, False))
    assert ("TorchScript" in tower.activation_source) == (kind == "script")


def test_weights_that_record_another_activation_are_refused(folder, tmp_path):
    weights = torch.load(folder / "weights.pt", weights_only=True)
    entries = {"input_resolution": 32, "context_length": 77, "vocab_size": 49408}
    torch.save({**weights, **{k: torch.tensor(v) for k, v in entries.items()}}, tmp_path / "openai.pt")
    shutil.copy(folder / "tower_a.json", tmp_path)
    shutil.copy(folder / "tower_b.json", tmp_path)
    assert "quick_gelu" in refusal(f"tower_a@{tmp_path / 'openai.pt'}")
    shutil.copy(folder / "tower_a-quickgelu.json", tmp_path)
    assert "open_clip:tower_a-quickgelu@" in refusal(f"tower_a@{tmp_path / 'openai.pt'}")
    assert "open_clip:ViT-B-32-quickgelu@" in refusal(f"ViT-B-32@{tmp_path / 'openai.pt'}")
    tower = load_tower(f"open_clip:tower_b@{tmp_path / 'openai.pt'}")
    assert close(tower, features(folder, True)) and tower.preprocessing.source == "as in OpenAI's archives"


@pytest.fixture
def published(folder, monkeypatch):
    """Publish the toy's weights as `tower_tagged@tag`, with the keyword arguments of its entry."""
    config = folder / "tagged"
    config.mkdir(exist_ok=True)
    (config / "tower_tagged.json").write_text(json.dumps(TOY), encoding="utf-8")
    open_clip.add_model_config(config)
    monkeypatch.setattr("open_clip.factory.download_pretrained", lambda *_, **__: str(folder / "weights.pt"))

    def publish(**tags):
        for tag, entry in tags.items():
            known = open_clip.pretrained._PRETRAINED.setdefault("tower_tagged", {})
            monkeypatch.setitem(known, tag, {"url": "x", "hf_hub": "", **entry})

    yield publish
    del open_clip.pretrained._PRETRAINED["tower_tagged"]


MOBILE = {"mean": (0.0,) * 3, "std": (1.0,) * 3, "interpolation": "bilinear", "resize_mode": "shortest"}


def test_a_tags_pixels_and_activation(folder, published):
    published(mobile=MOBILE, quick={"quick_gelu": True, "resize_mode": "squash"})
    tower = load_tower("open_clip:tower_tagged@mobile")
    source = "as OpenCLIP's tag mobile says"
    assert tower.preprocessing == Preprocessing(32, (0.0,) * 3, (1.0,) * 3, "bilinear", source=source)
    assert tower.activation == "GELU" and close(tower, features(folder, False))
    tower = load_tower("open_clip:tower_tagged@quick")  # OpenCLIP itself warns and computes with GELU
    assert tower.preprocessing == Preprocessing(32, resize_mode="squash", source="as OpenCLIP's tag quick says")
    assert tower.activation == "QuickGELU" and close(tower, features(folder, True))


def test_pixels_of_weights_on_disk(folder, tmp_path, published, capsys):
    """Those next to the file, else those of all published weights, else OpenAI's; only the last are assumed."""
    shutil.copy(folder / "weights.pt", tmp_path)
    spec = f"open_clip:tower_tagged@{tmp_path / 'weights.pt'}"
    assert load_tower(spec).preprocessing == Preprocessing(32)
    published(mobile=MOBILE)
    found = load_tower(spec).preprocessing
    assert (found.mean, found.interpolation) == ((0.0,) * 3, "bilinear") and "tower_tagged" in found.source
    published(half={"mean": (0.5,) * 3, "std": (0.5,) * 3})
    capsys.readouterr()
    assert load_tower(spec).preprocessing == Preprocessing(32)
    assert "mobile of tower_tagged takes" in capsys.readouterr().err  # they do not agree
    config = {"model_cfg": TOY, "preprocess_cfg": {"mean": [0.5] * 3, "resize_mode": "squash"}}
    (tmp_path / "tower_hub.json").write_text(json.dumps(config), encoding="utf-8")
    found = load_tower(f"open_clip:tower_hub@{tmp_path / 'weights.pt'}").preprocessing
    assert (found.mean, found.resize_mode, found.source) == ((0.5,) * 3, "squash", "as tower_hub.json says")
    config["preprocess_cfg"] = {"mean": [0.25] * 3}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    found = load_tower(spec).preprocessing
    assert found.mean == (0.25,) * 3 and "open_clip_config.json" in found.source


def test_every_published_tag_has_pixels_that_can_be_checked():
    from prompting.pixels import preprocessing_of

    expected = {
        ("ViT-B-32", "laion2b_s34b_b79k"): Preprocessing(224),
        ("ViT-L-14", "laion2b_s32b_b82k"): Preprocessing(224, (0.5,) * 3, (0.5,) * 3),
    }
    for architecture, tag in open_clip.list_pretrained():
        entry = {**open_clip.get_pretrained_cfg(architecture, tag), "size": 224}
        found = preprocessing_of(architecture, entry, "")
        assert found == expected.get((architecture, tag), found)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("ViT-B-32@laion2b", ["ViT-B-32 has no tag 'laion2b'; it has laion2b_e16, "]),
        ("ViT-B-32@laion2b_s34b_b88k", ["has no tag", "one of ViT-B-16", "laion2b_s34b_b79k"]),
        ("ViT-B-32-quickgelu@laion2b_s34b_b79k", ["has no tag", "one of ViT-B-32", "openai"]),
        ("ViT-B/32@laion2b_s34b_b79k", ["'ViT-B/32' is unknown", "did you mean 'ViT-B-32'"]),
        ("vit-b-32@laion2b_s34b_b79k", ["did you mean 'ViT-B-32'"]),
        ("ViT-S-32@laion2b", ["no published weights"]),
        ("ViT-B-32@weights/gone", ["is missing; looked at"]),
        ("hf-hub:laion/CLIP-ViT-L-14-laion2B-s32B-b82K", ["hf-hub:", "open_clip:ViT-L-14@laion2b_s32b_b82k"]),
        ("local-dir:nowhere", ["There is no folder 'nowhere'"]),
    ],
)
def test_names(spec, words):
    message = refusal(spec)
    assert all(word in message for word in words) and len(message) < 500


def test_files_of_other_architectures(folder, tmp_path):
    shutil.copy(folder / "weights.pt", tmp_path)
    for name, change in (
        ("deep", {"vision_cfg": {**TOY["vision_cfg"], "layers": 2}}),
        ("narrow", {"embed_dim": 16}),
        ("large", {"vision_cfg": {**TOY["vision_cfg"], "image_size": 64}}),
        ("wide", {"vision_cfg": {**TOY["vision_cfg"], "image_size": [32, 64]}}),
        ("ViT-B-32", {}),
    ):
        (tmp_path / f"{name}.json").write_text(json.dumps({**TOY, **change}), encoding="utf-8")
    (tmp_path / "part.json").write_text('{"embed_dim": 16}', encoding="utf-8")
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    path = tmp_path / "weights.pt"
    assert "it has no 'visual.transformer.resblocks.1." in refusal(f"deep@{path}")
    assert "[64, 32], but the architecture's has [64, 16]" in refusal(f"narrow@{path}")
    assert "64 x 32" in refusal(f"wide@{path}")
    assert "ViT-B-32.json is ignored" in refusal(f"ViT-B-32@{path}")
    assert "'vision_cfg'" in refusal(f"part@{path}")
    assert "cannot be read as JSON" in refusal(f"broken@{path}")
    torch.save({"text_model.x": torch.ones(1), "vision_model.x": torch.ones(1)}, path)
    assert "text_model.*" in refusal(f"large@{path}")


def test_interpolated_positions_are_reported(folder, tmp_path, capsys):
    shutil.copy(folder / "weights.pt", tmp_path)
    config = {**TOY, "vision_cfg": {**TOY["vision_cfg"], "image_size": 64}}
    (tmp_path / "large.json").write_text(json.dumps(config), encoding="utf-8")
    assert load_tower(f"open_clip:large@{tmp_path / 'weights.pt'}").preprocessing.size == 64
    assert "17 positions, but large has 65" in capsys.readouterr().err


def test_a_config_is_that_of_its_own_folder(folder, tmp_path):
    """Two folders may describe an architecture of the same name."""
    for name, quick in (("one", True), ("two", False)):
        (tmp_path / name).mkdir()
        shutil.copy(folder / "weights.pt", tmp_path / name)
        config = json.dumps({**TOY, "quick_gelu": quick})
        (tmp_path / name / "same.json").write_text(config, encoding="utf-8")
        tower = load_tower(f"open_clip:same@{tmp_path / name / 'weights.pt'}")
        assert close(tower, features(folder, quick))
    shutil.copy(folder / "weights.pt", tmp_path)
    assert "'same' is unknown" in refusal(f"same@{tmp_path / 'weights.pt'}")

"""Image towers in bfloat16: which machines and towers get them, what is recorded, and how close features stay."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from prompting import image_precision
from prompting.feature_bank import tower_digest
from prompting.image_precision import LONG, advise, bfloat16_units, choose_image_dtype, cpu_name, in_bfloat16, measure
from prompting.towers import Tower, import_clip, load_tower
from tests.support.towers import random_clip

AMX = "processor\t: 0\nmodel name\t: A CPU\nflags\t\t: fpu avx512f avx512_bf16 amx_bf16 amx_tile\n"
FOUND = {"speedup": 3.0, "cosine": 0.9999, "problem": ""}
IMAGES = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def forget_the_machine() -> Iterator[None]:
    for function in (bfloat16_units, cpu_name):
        function.cache_clear()
    yield
    for function in (bfloat16_units, cpu_name):
        function.cache_clear()


@pytest.fixture
def loaded(checkpoint: Path) -> Tower:
    """A tower that a test may change."""
    return load_tower(str(checkpoint))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A CPU with the units on which every measurement finds FOUND."""
    monkeypatch.setattr(image_precision, "bfloat16_units", lambda: "amx_bf16")
    monkeypatch.setattr(image_precision, "measure", lambda tower: dict(FOUND))
    return monkeypatch


def chosen(tower: Tower, folder: Path, capsys: pytest.CaptureFixture[str], **args: Any) -> str:
    """The one line that says what was chosen."""
    capsys.readouterr()
    choose_image_dtype(tower, folder, **args)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Images:")]
    return line


def resnet_visual() -> nn.Module:
    """A ResNet whose BatchNorm has statistics and factors that folding must not lose."""
    visual = random_clip((1, 1, 1, 1), image_size=64).visual.eval().requires_grad_(False)
    for norm in visual.modules():
        if isinstance(norm, nn.BatchNorm2d):
            assert norm.running_mean is not None and norm.running_var is not None
            norm.running_mean.normal_(0, 0.5)
            norm.running_var.uniform_(0.5, 2)
            norm.weight.uniform_(0.5, 2)
    return visual


def test_the_flags_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {}, raising=False)
    for text, units in (
        (AMX, "amx_bf16"),
        (AMX.replace(" amx_bf16", ""), "avx512_bf16"),
        ("flags : fpu avx512f", ""),
        ("Features : fp asimd bf16 i8mm", "bf16"),
        ("", ""),
    ):
        monkeypatch.setattr(Path, "read_text", lambda self, text=text, **_: text)
        bfloat16_units.cache_clear()
        assert bfloat16_units() == units
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True, "amx_bf16": False}, raising=False)
    bfloat16_units.cache_clear()
    assert bfloat16_units() == "avx512_bf16"
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    bfloat16_units.cache_clear()
    assert bfloat16_units() == ""


def test_the_cpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda self, **_: AMX)
    assert cpu_name() == "A CPU"

    def missing(self: Path, **_: Any) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    cpu_name.cache_clear()
    assert isinstance(cpu_name(), str)


def test_a_fast_cpu_gets_bfloat16_and_its_record_is_reused(loaded, checkpoint, tmp_path, machine, capsys):
    before, exact = tower_digest(loaded.visual), loaded.encode_image(IMAGES[:, :, :32, :32])
    line = chosen(loaded, tmp_path / "bank", capsys)
    assert "bfloat16, 3.0 times" in line and "measured now" in line and "amx_bf16" in line
    assert (loaded.dtype, loaded.image_dtype) == (torch.float32, torch.bfloat16)
    assert tower_digest(loaded.visual) != before  # so the bank keeps them apart
    got = loaded.encode_image(IMAGES[:, :, :32, :32])
    assert got.dtype == torch.float32 and (got * exact).sum(1).min() > 0.999

    machine.setattr(image_precision, "measure", lambda tower: pytest.fail("measured again"))
    again = load_tower(str(checkpoint))
    assert "measured now" not in chosen(again, tmp_path / "bank", capsys)
    assert again.image_dtype == torch.bfloat16 and tower_digest(again.visual) == tower_digest(loaded.visual)


@pytest.mark.parametrize("change", ["cpu", "torch", "tower"])
def test_another_machine_version_or_tower_is_measured(checkpoint, tmp_path, machine, capsys, change):
    chosen(load_tower(str(checkpoint)), tmp_path, capsys)
    tower = load_tower(str(checkpoint))
    if change == "cpu":
        machine.setattr(image_precision, "cpu_name", lambda: "another")
    elif change == "torch":
        machine.setattr(torch, "__version__", "9.9")
    else:
        tower.visual.proj.data.add_(1)
    assert "measured now" in chosen(tower, tmp_path, capsys)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("damage", ["flip", "cut", "other", "empty"])
def test_a_damaged_record_is_measured_again(checkpoint, tmp_path, machine, capsys, damage):
    chosen(load_tower(str(checkpoint)), tmp_path, capsys)
    (path,) = tmp_path.iterdir()
    text = path.read_text(encoding="utf-8")
    if damage == "other":
        from common.files import write_record

        write_record(path, {"found": {"speedup": "fast", "cosine": 1.0, "problem": ""}})
    else:
        path.write_text({"flip": text.replace("3.0", "9.0"), "cut": text[:50], "empty": ""}[damage], encoding="utf-8")
    choose_image_dtype(load_tower(str(checkpoint)), tmp_path)
    assert str(path) in capsys.readouterr().out
    assert json.loads(path.read_text(encoding="utf-8"))["found"] == FOUND


@pytest.mark.parametrize(
    ("found", "part"),
    [
        ({**FOUND, "speedup": 1.49}, "1.49 times"),
        ({**FOUND, "cosine": 0.9994}, "0.9994"),
        ({**FOUND, "problem": "no kernel"}, "no kernel"),
    ],
)
def test_float32_with_the_reason(loaded, tmp_path, machine, capsys, found, part):
    machine.setattr(image_precision, "measure", lambda tower: found)
    before = tower_digest(loaded.visual)
    line = chosen(loaded, tmp_path, capsys)
    assert line.startswith("Images: float32") and part in line
    assert loaded.image_dtype == torch.float32 and tower_digest(loaded.visual) == before


def test_nothing_is_measured_where_float32_is_certain(loaded, tmp_path, machine, capsys):
    machine.setattr(image_precision, "measure", lambda tower: pytest.fail("measured"))
    assert "float32" in chosen(loaded, tmp_path, capsys, features_only=False)
    machine.setattr(image_precision, "bfloat16_units", lambda: "")
    assert "float32" in chosen(loaded, tmp_path, capsys)
    assert loaded.image_dtype == torch.float32 and not list(tmp_path.iterdir())


def test_a_tower_in_float16_keeps_it(checkpoint, tmp_path, machine, capsys):
    """As on a GPU."""
    machine.setattr(image_precision, "measure", lambda tower: pytest.fail("measured"))
    tower = load_tower(str(checkpoint), dtype=torch.float16)
    assert "float16" in chosen(tower, tmp_path, capsys) and tower.image_dtype == torch.float16


def test_a_folder_that_cannot_be_written(loaded, tmp_path, machine, capsys):
    (tmp_path / "file").write_text("")
    line = chosen(loaded, tmp_path / "file" / "bank", capsys)
    assert "bfloat16" in line and "not recorded" in line


def test_a_measurement(loaded) -> None:
    threads = torch.get_num_threads()
    found = measure(loaded)
    assert found["speedup"] > 0 and 0.999 < found["cosine"] <= 1.0001 and found["problem"] == ""
    assert torch.get_num_threads() == threads and loaded.image_dtype == torch.float32

    class OnlyFloat32(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.dtype != torch.float32:
                raise RuntimeError("not implemented for 'BFloat16'")
            return super().forward(x.flatten(1)[:, :4])

    loaded.visual = OnlyFloat32(4, 4)
    assert "'BFloat16'" in measure(loaded)["problem"]


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_the_copy_has_close_features_and_the_tower_is_unchanged(kind: str) -> None:
    visual = resnet_visual() if kind == "resnet" else random_clip(2, image_size=64).visual.eval()
    before = tower_digest(visual)
    half = in_bfloat16(visual, 64)
    assert tower_digest(visual) == before != tower_digest(half)
    with torch.no_grad():
        exact, got = visual(IMAGES), half(IMAGES.bfloat16())
    assert got.dtype == torch.bfloat16
    assert F.cosine_similarity(exact, got.float()).min() > 0.999
    assert not any(parameter.requires_grad for parameter in half.parameters())
    names = {type(module).__name__ for module in half.modules()}
    assert names.isdisjoint({"BatchNorm2d", "QuickGELU"})
    assert all(m.weight.dtype == torch.float32 for m in half.modules() if isinstance(m, nn.LayerNorm))


def test_folding_is_exact_in_float32() -> None:
    visual = resnet_visual()
    with torch.no_grad():
        torch.testing.assert_close(image_precision._with_folded_norms(visual, 64)(IMAGES), visual(IMAGES))
    block = import_clip().model.ResidualAttentionBlock(64, 1).mlp
    x = torch.randn(5, 64)
    expected = block(x)
    image_precision._fold_quick_gelu(block)
    assert isinstance(block.gelu, nn.SiLU)
    torch.testing.assert_close(block(x), expected)


def test_an_output_that_is_read_twice_is_not_folded() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
            nn.init.constant_(self.norm.bias, 3.0)
            nn.init.normal_(self.norm.weight)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.conv(x)
            return torch.cat([self.norm(x), x], dim=1).mean((2, 3))

    torch.manual_seed(0)
    visual = Both().eval()
    copied = image_precision._with_folded_norms(visual, 64)
    with torch.no_grad():
        assert torch.equal(copied(IMAGES), visual(IMAGES))


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_vit", "test_efficientnet"])
def test_timm_towers(name: str) -> None:
    """Random weights of timm's smallest models."""
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    visual = timm.create_model(name, num_classes=16).eval().requires_grad_(False)
    size = visual.default_cfg["input_size"][-1]
    images = torch.randn(2, 3, size, size)
    half = in_bfloat16(visual, size)
    with torch.no_grad():
        exact, got = visual(images), half(images.bfloat16()).float()
    assert F.cosine_similarity(exact, got).min() > 0.99
    assert not any(isinstance(m, nn.BatchNorm2d) for m in half.modules())


@pytest.mark.parametrize("layers", [2, [1, 1, 1, 1]], ids=["vit", "resnet"])
def test_open_clip_towers(layers: Any) -> None:
    open_clip = pytest.importorskip("open_clip")
    torch.manual_seed(0)
    vision = {"image_size": 64, "layers": layers, "width": 64, "patch_size": 16, "head_width": 32}
    text = {"context_length": 8, "vocab_size": 16, "width": 64, "heads": 2, "layers": 1}
    visual = open_clip.CLIP(32, vision, text, quick_gelu=True).visual.eval().requires_grad_(False)
    half = in_bfloat16(visual, 64)
    with torch.no_grad():
        exact, got = visual(IMAGES), half(IMAGES.bfloat16()).float()
    assert F.cosine_similarity(exact, got).min() > 0.999
    assert {type(m).__name__ for m in half.modules()}.isdisjoint({"BatchNorm2d", "QuickGELU"})


def test_advice_is_for_long_encoding_on_cpus_that_have_the_units(loaded, machine, capsys):
    key = "TRAINER.SOFTCPT.PREC"
    advise(loaded, key, LONG - 1)
    advise(loaded, "", LONG)
    machine.setattr(image_precision, "bfloat16_units", lambda: "")
    advise(loaded, key, LONG)
    assert capsys.readouterr().err == ""
    machine.setattr(image_precision, "bfloat16_units", lambda: "amx_bf16")
    advise(loaded, key, 150.0)
    line = capsys.readouterr().err
    assert f"{key} auto" in line and "3 min" in line and line.count("\n") == 1
    loaded.encode_images_with(in_bfloat16(loaded.visual, 32), torch.bfloat16)
    advise(loaded, key, 300.0)
    assert capsys.readouterr().err == ""

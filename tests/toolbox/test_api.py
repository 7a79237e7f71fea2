"""Properties of backbones, networks and operations (test_side_by_side.py compares them with upstream's)."""

from __future__ import annotations

import random

import dassl
import pytest
import torch
from dassl.metrics import euclidean_squared_distance
from dassl.modeling import build_backbone, build_network, ops
from dassl.modeling.backbone.resnet import ResNet, init_pretrained_weights, model_urls
from dassl.modeling.backbone.wide_resnet import WideResNet
from dassl.modeling.network.ddaig_fcn import FCN, get_norm_layer
from dassl.modeling.ops import utils
from torch.nn import functional as F


def test_version():
    assert dassl.__version__ == "0.7.0"


def test_unknown_names_raise_ordinary_errors():
    assert not hasattr(dassl.engine, "Nothing")
    with pytest.raises(ImportError, match="cannot import name"):
        exec("from dassl.modeling.backbone import nothing")


@pytest.mark.parametrize("name", ["resnet18", "resnet18_ms_l12", "resnet18_efdmix_l1", "torchvision:squeezenet1_0"])
def test_backbones(name):
    if "squeezenet" in name:
        with pytest.raises(ValueError, match="squeezenet1_0 has no linear classifier"):
            build_backbone(name, pretrained=False)
        return
    backbone = build_backbone(name, pretrained=False)
    backbone.train()
    assert backbone(torch.rand(4, 3, 32, 32)).shape == (4, backbone.out_features)
    assert backbone.out_features == 512
    assert "layer4.1.bn2.running_var" in backbone.state_dict()
    assert not any(key.startswith(("fc", "net")) for key in backbone.state_dict())


def test_any_torchvision_model(capsys):
    backbone = build_backbone("torchvision:mobilenet_v3_small", pretrained=False)
    assert backbone.eval()(torch.rand(2, 3, 32, 32)).shape == (2, backbone.out_features)
    assert capsys.readouterr().out == "Backbone: torchvision:mobilenet_v3_small\n"
    with pytest.raises(ValueError, match="no model 'resnet19'"):
        build_backbone("torchvision:resnet19")


def test_any_timm_model():
    pytest.importorskip("timm")
    backbone = build_backbone("timm:resnet10t", pretrained=False)
    assert backbone.eval()(torch.rand(2, 3, 32, 32)).shape == (2, backbone.out_features)


def test_unknown_backbones_and_networks():
    with pytest.raises(ValueError, match=r"\[resnet19\]"):
        build_backbone("resnet19")
    with pytest.raises(ValueError, match=r"\[fcn_3x32\].*fcn_3x32_gctx"):
        build_network("fcn_3x32")


def test_a_custom_block():
    class Block(torch.nn.Module):
        expansion = 2

        def __init__(self, inplanes, planes, stride=1, downsample=None):
            super().__init__()
            self.conv = torch.nn.Conv2d(inplanes, 2 * planes, 3, stride, 1)
            self.downsample = downsample or torch.nn.Identity()

        def forward(self, x):
            return self.conv(x) + self.downsample(x)

    backbone = ResNet(Block, [1, 1, 2, 1], ms_class=ops.MixStyle, ms_layers=["layer2"], ms_p=1.0)
    assert backbone(torch.rand(2, 3, 64, 32)).shape == (2, backbone.out_features) == (2, 1024)
    assert backbone.featuremaps(torch.rand(2, 3, 64, 32)).shape == (2, 1024, 2, 1)
    with pytest.raises(ValueError, match="layer4 .*choose from layer1, layer2, layer3"):
        ResNet(Block, [1, 1, 1, 1], ms_class=ops.MixStyle, ms_layers=["layer4"])


def test_published_weights(tmp_path, monkeypatch):
    """A classifier in the file is ignored; parameters that the file lacks are reported."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    source = build_backbone("cnn_digitsdg", verbose=False)
    torch.save({**source.state_dict(), "fc.weight": torch.ones(2, 2)}, tmp_path / "whole.pth")
    torch.save({"conv1.conv.bias": torch.ones(64)}, tmp_path / "part.pth")
    target = build_backbone("cnn_digitsdg", verbose=False)
    init_pretrained_weights(target, (tmp_path / "whole.pth").as_uri())
    assert torch.equal(source.conv3.conv.weight, target.conv3.conv.weight)
    with pytest.raises(ValueError, match=r"part.pth lacks 7 parameters of ConvNet.* conv1.conv.weight"):
        init_pretrained_weights(target, (tmp_path / "part.pth").as_uri())
    assert set(model_urls) == {"resnet18", "resnet34", "resnet50", "resnet101", "resnet152"}


IMAGES = torch.rand(3, 3, 28, 28)


@pytest.mark.parametrize(
    "make, pattern",
    [
        (lambda: build_backbone("cnn_digitsdg")(IMAGES), "32x32 pixels, but got 28x28"),
        (lambda: build_backbone("cnn_digitsingle")(IMAGES), "32x32 pixels, but got 28x28"),
        (lambda: WideResNet(27, 2), "6 n [+] 4 layers .* not 27"),
        (lambda: ops.Attention(8, 4), "8 channels .* squeeze"),
        (lambda: ops.Conv2dDynamic(3, 4, 4, 1, 2), "odd, but is 4"),
        (lambda: ops.Conv2dDynamic(3, 4, 3, 1, 0), "kernel_size // 2 = 1, but is 0"),
        (lambda: ops.TransNorm2d(3)(IMAGES), "batch of 3 cannot be halved"),
        (lambda: ops.TransNorm1d(3)(IMAGES), "2-D .* got 4-D"),
        (lambda: ops.SinkhornDivergence("l1")(IMAGES[0, 0], IMAGES[0, 1]), 'euclidean.* is "l1"'),
        (lambda: ops.MinibatchEnergyDistance()(IMAGES[:, 0, 0], IMAGES[:, 0, 0]), "3 and 3 cannot be halved"),
        (lambda: FCN(3, 3, padding_type="mirror"), 'reflect, replicate, zero, not "mirror"'),
        (lambda: get_norm_layer("layer"), 'batch, instance, none, not "layer"'),
    ],
)
def test_invalid_arguments_are_reported(make, pattern):
    with pytest.raises((ValueError, NotImplementedError), match=pattern) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_transport_plans():
    """In double precision and with many iterations, the plan has uniform marginals and the cost of sorting."""
    x = torch.tensor([[0.0], [0.5], [1.0]], dtype=torch.float64)
    y = torch.tensor([[1.2], [-0.1], [0.4]], dtype=torch.float64)
    sinkhorn = ops.SinkhornDivergence("euclidean", eps=0.01, max_iter=500)
    sinkhorn.thre = 1e-9
    cost, plan = sinkhorn.transport_cost(x, y, return_pi=True)
    third = torch.full((3,), 1 / 3, dtype=torch.float64)
    assert torch.allclose(plan.sum(0), third, atol=1e-3) and torch.allclose(plan.sum(1), third, atol=1e-3)
    assert cost.item() == pytest.approx((0.1**2 + 0.1**2 + 0.2**2) / 3, abs=1e-3)
    assert sinkhorn(x, x).item() == pytest.approx(0, abs=1e-9)


def test_dynamic_convolution_equals_its_parts():
    """In double precision, it equals one convolution whose kernel is the weighted sum of all padded kernels."""
    conv = ops.Conv2dDynamic(16, 4, 3, 2, 1).double()
    x = torch.randn(1, 16, 9, 9, dtype=torch.float64)
    small = conv.kernel_templates
    spread = torch.block_diag(*[torch.ones(1, 4) for _ in range(4)]).double()  # 4 groups: 4 inputs per output
    grouped = torch.einsum("oi,oihw->oihw", spread, small["conv_nn"].weight.repeat(1, 4, 1, 1))
    kernels = [
        grouped,
        F.pad(small["conv_11"].weight, (1, 1, 1, 1)),
        F.pad(small["conv_n1"].weight, (1, 1)),
        F.pad(small["conv_1n"].weight, (0, 0, 1, 1)),
    ]
    weights = conv.attention(x)[0]
    assert weights.sum().item() == pytest.approx(1)
    kernel = conv.conv.weight + sum(weight * part for weight, part in zip(weights, kernels, strict=True))
    bias = conv.conv.bias + sum(weight * part.bias for weight, part in zip(weights, small.values(), strict=True))
    assert torch.allclose(conv(x), F.conv2d(x, kernel, bias, stride=2, padding=1))


def test_transnorm_is_batch_norm_of_each_half():
    x = torch.randn(6, 3, 4, 4, dtype=torch.float64) * 3 + 1
    plain = ops.TransNorm2d(3, eps=0, adaptive_alpha=False).double()(x)
    for half in plain.chunk(2):
        assert torch.allclose(half.mean((0, 2, 3)), torch.zeros(3).double(), atol=1e-12)
        assert torch.allclose(half.std((0, 2, 3)), torch.ones(3).double())
    norm = ops.TransNorm2d(3).double()
    assert torch.allclose(
        norm(torch.cat([x, x])) / ops.TransNorm2d(3, adaptive_alpha=False).double()(torch.cat([x, x])),
        torch.tensor(2.0).double(),
    )
    norm.resnet_running_stats()
    assert norm.running_var_t.tolist() == [1, 1, 1] and norm.running_mean_s.tolist() == [0, 0, 0]


@pytest.mark.parametrize("mix", ["random", "crossdomain"])
def test_style_mixing(mix):
    x = torch.rand(6, 2, 4, 4)
    for kind in (ops.MixStyle, ops.EFDMix):
        layer = kind(p=1.0, mix=mix).train()
        torch.manual_seed(0)
        layer.beta = torch.distributions.Beta(1e6, 1.0)  # weight 1 for the sample itself: nothing changes
        assert torch.allclose(layer(x), x, atol=1e-3)
        layer.beta = torch.distributions.Beta(1.0, 1e6)  # weight 1 for the partner: the sorted values are the partner's
        mixed = layer(x)
        assert not torch.allclose(mixed, x, atol=1e-3)
        means = sorted(x.mean((2, 3)).flatten().tolist())
        assert sorted(mixed.mean((2, 3)).flatten().tolist()) == pytest.approx(means, abs=1e-3)
        if mix == "crossdomain":  # partners of the first half come from the second
            order = x.mean((1, 2, 3))
            for row in mixed.mean((1, 2, 3))[:3]:
                assert (order - row).abs().argmin() >= 3
        assert layer.eval()(x) is x
    layer.train()
    with ops.run_without_efdmix(layer):
        assert layer(x) is x
    assert layer(x) is not x
    with ops.run_with_efdmix(layer, mix="random"):
        assert layer(x) is not x and layer.mix == "random"
    assert layer(x) is x


def test_other_operations():
    logits, labels = torch.rand(5, 4), torch.tensor([0, 1, 2, 3, 0])
    assert torch.allclose(ops.cross_entropy(logits, labels), F.cross_entropy(logits, labels))
    x = torch.ones(2, requires_grad=True)
    ops.ReverseGrad()(x, 0.5).sum().backward()
    assert x.grad.tolist() == [-0.5, -0.5]
    norm = ops.DSBN2d(3, 2)
    norm.select_bn(1)
    norm(torch.rand(2, 3, 4, 4) + 5)
    assert (norm.bn[0].running_mean == 0).all() and (norm.bn[1].running_mean > 0.4).all()
    with pytest.raises(ValueError, match="Domain 2"):
        norm.select_bn(2)
    mixed, targets = ops.mixup(torch.zeros(3, 1, 2, 2), torch.ones(3, 1, 2, 2), torch.eye(3), torch.eye(3), 0.5, True)
    assert (mixed <= 0.5).all() and torch.allclose(targets, torch.eye(3))
    assert ops.Sequential2(ops.Sequential2(torch.nn.Identity()))(torch.ones(1)).item() == 1


def test_mmd_is_small_for_equal_and_large_for_different_distributions():
    torch.manual_seed(0)
    a, b, c = torch.randn(200, 3), torch.randn(200, 3), torch.randn(200, 3) + 3
    for kernel in ("linear", "poly", "rbf"):
        mmd = ops.MaximumMeanDiscrepancy(kernel)
        assert abs(mmd(a, b)) < 0.2 * mmd(a, c)
    x, y = a[:3], b[:2]
    pairs = [(0, 1), (0, 2), (1, 2)]
    distance = euclidean_squared_distance

    def kernel_mean(one, two):
        return sum(torch.exp(-distance(one, two) / (2 * w * w)) for w in (1, 5, 10))

    within_x = sum(kernel_mean(x, x)[i, j] for i, j in pairs) / 3
    by_hand = within_x + kernel_mean(y, y)[0, 1] - 2 * kernel_mean(x, y).mean()
    assert ops.MaximumMeanDiscrepancy()(x, y).item() == pytest.approx(by_hand.item(), abs=1e-5)


def test_small_functions():
    random.seed(0)
    assert utils.sharpen_prob(torch.tensor([[0.2, 0.8]]), 2)[0].tolist() == pytest.approx([0.04 / 0.68, 0.64 / 0.68])
    assert utils.reverse_index(torch.arange(3), torch.arange(3))[1].tolist() == [2, 1, 0]
    data, label = utils.shuffle_index(torch.arange(9), torch.arange(9))
    assert torch.equal(data, label) and sorted(data.tolist()) == list(range(9))
    assert utils.create_onehot(torch.tensor([1]), 3).tolist() == [[0.0, 1.0, 0.0]]
    assert [utils.linear_rampup(i, 4) for i in (-1, 0, 1, 4, 9)] == [0, 0, 0.25, 1, 1]
    assert utils.sigmoid_rampup(0, 4) == pytest.approx(0.0067379, abs=1e-6) and utils.sigmoid_rampup(8, 4) == 1.0
    with pytest.raises(ValueError, match="rampup_length"):
        utils.linear_rampup(1, 0)
    one, two = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    expected = 0.9 * two.weight.item() + 0.1 * one.weight.item()
    utils.ema_model_update(one, two, 0.9)
    assert two.weight.item() == pytest.approx(expected)

"""The names that plugins import, backbones and operations, and what is said of those not carried."""

from __future__ import annotations

import importlib
import random

import dassl
import pytest
import torch
from dassl.metrics import euclidean_squared_distance
from dassl.modeling import build_backbone, build_network, ops
from dassl.modeling.ops import utils
from torch.nn import functional as F

NAMES = {
    "dassl.config": "get_cfg_default clean_cfg",
    "dassl.config.defaults": "_C",
    "dassl.data": "DataManager DatasetWrapper",
    "dassl.data.data_manager": "DataManager DatasetWrapper build_data_loader",
    "dassl.data.datasets": "DATASET_REGISTRY build_dataset Datum DatasetBase",
    "dassl.data.datasets.base_dataset": "Datum DatasetBase",
    "dassl.data.datasets.build": "DATASET_REGISTRY build_dataset",
    "dassl.data.samplers": "RandomDomainSampler SeqDomainSampler RandomClassSampler build_sampler",
    "dassl.data.transforms": "INTERPOLATION_MODES build_transform",
    "dassl.data.transforms.autoaugment": "ImageNetPolicy CIFAR10Policy SVHNPolicy",
    "dassl.data.transforms.randaugment": "RandAugment RandAugment2 RandAugmentFixMatch",
    "dassl.data.transforms.transforms": "AVAI_CHOICES INTERPOLATION_MODES Random2DTranslation InstanceNormalization "
    "Cutout GaussianNoise build_transform",
    "dassl.engine": "TRAINER_REGISTRY build_trainer TrainerX TrainerXU TrainerBase SimpleTrainer SimpleNet",
    "dassl.engine.build": "TRAINER_REGISTRY build_trainer",
    "dassl.engine.trainer": "TrainerX TrainerXU TrainerBase SimpleTrainer SimpleNet",
    "dassl.evaluation": "EVALUATOR_REGISTRY build_evaluator EvaluatorBase Classification",
    "dassl.evaluation.build": "EVALUATOR_REGISTRY build_evaluator",
    "dassl.evaluation.evaluator": "EvaluatorBase Classification",
    "dassl.metrics": "compute_accuracy cosine_distance compute_distance_matrix euclidean_squared_distance",
    "dassl.metrics.accuracy": "compute_accuracy",
    "dassl.metrics.distance": "cosine_distance compute_distance_matrix euclidean_squared_distance",
    "dassl.modeling": "HEAD_REGISTRY build_head NETWORK_REGISTRY build_network BACKBONE_REGISTRY Backbone "
    "build_backbone",
    "dassl.modeling.backbone": "BACKBONE_REGISTRY Backbone build_backbone resnet18 resnet50_ms_l12 "
    "resnet101_efdmix_l123 vgg16 alexnet efficientnet_b7",
    "dassl.modeling.backbone.build": "BACKBONE_REGISTRY",
    "dassl.modeling.backbone.backbone": "Backbone",
    "dassl.modeling.backbone.resnet": "ResNet resnet18",
    "dassl.modeling.head": "HEAD_REGISTRY build_head mlp",
    "dassl.modeling.network": "NETWORK_REGISTRY build_network",
    "dassl.modeling.ops": "MixStyle EFDMix mixup cross_entropy ReverseGrad DSBN1d DSBN2d Sequential2 "
    "MaximumMeanDiscrepancy run_with_mixstyle run_without_mixstyle activate_mixstyle deactivate_mixstyle "
    "random_mixstyle crossdomain_mixstyle run_with_efdmix run_without_efdmix",
    "dassl.modeling.ops.utils": "sharpen_prob reverse_index shuffle_index create_onehot sigmoid_rampup linear_rampup "
    "ema_model_update",
    "dassl.optim": "build_optimizer build_lr_scheduler",
    "dassl.optim.lr_scheduler": "AVAI_SCHEDS _BaseWarmupScheduler ConstantWarmupScheduler LinearWarmupScheduler "
    "build_lr_scheduler",
    "dassl.optim.optimizer": "AVAI_OPTIMS build_optimizer",
    "dassl.optim.radam": "RAdam",
    "dassl.utils": "mkdir_if_missing check_isfile read_json write_json set_random_seed download_url read_image "
    "collect_env_info listdir_nohidden get_most_similar_str_to_a_from_b check_availability tolist_if_not Logger "
    "setup_logger AverageMeter MetricMeter Registry save_checkpoint load_checkpoint resume_from_checkpoint "
    "open_all_layers open_specified_layers count_num_param load_pretrained_weights init_network_weights",
    "dassl.utils.logger": "Logger setup_logger",
    "dassl.utils.meters": "AverageMeter MetricMeter",
    "dassl.utils.registry": "Registry",
    "dassl.utils.tools": "read_image",
    "dassl.utils.torchtools": "adjust_learning_rate set_bn_to_eval load_checkpoint",
}


@pytest.mark.parametrize("module", NAMES)
def test_names_are_where_upstream_has_them(module):
    imported = importlib.import_module(module)
    assert [name for name in NAMES[module].split() if not hasattr(imported, name)] == []


def test_version():
    assert dassl.__version__ == "0.7.0"


@pytest.mark.parametrize(
    "statement",
    [
        "import dassl.engine.da",
        "import dassl.engine.dg.vanilla",
        "from dassl.engine import FixMatch",
        "from dassl.engine.ssl import FixMatch",
        "import dassl.data.datasets.dg",
        "from dassl.data.datasets.da.visda17 import VisDA17",
        "from dassl.data.datasets import PACS",
        "from dassl.modeling.ops import TransNorm2d",
        "from dassl.modeling.network import fcn_3x32_gctx",
        "from dassl.modeling.backbone import preact_resnet18",
    ],
)
def test_what_is_not_carried_says_so_in_one_line(statement):
    with pytest.raises(ImportError, match="not carried .*upstream Dassl 0.6.3") as caught:
        exec(statement)
    assert "\n" not in str(caught.value)


def test_names_that_nobody_has_are_ordinary_errors():
    assert not hasattr(dassl.engine, "Nothing")
    with pytest.raises(ImportError, match="cannot import name"):
        exec("from dassl.modeling.backbone import nothing")


@pytest.mark.parametrize("name", ["resnet18", "resnet18_ms_l12", "resnet18_efdmix_l1", "torchvision:squeezenet1_0"])
def test_backbones(name):
    if "squeezenet" in name:
        with pytest.raises(ValueError, match="no linear classifier"):
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
    with pytest.raises(ValueError, match="wide_resnet_28_2 is not carried"):
        build_backbone("wide_resnet_28_2")
    with pytest.raises(ValueError, match="fcn_3x32_gctx is not carried"):
        build_network("fcn_3x32_gctx")


@pytest.mark.parametrize("mix", ["random", "crossdomain"])
def test_style_mixing(mix):
    x = torch.rand(6, 2, 4, 4)
    for kind in (ops.MixStyle, ops.EFDMix):
        layer = kind(p=1.0, mix=mix).train()
        torch.manual_seed(0)
        layer.beta = torch.distributions.Beta(1e6, 1.0)  # weight 1 for the sample itself: nothing changes
        assert torch.allclose(layer(x), x, atol=1e-3)
        layer.beta = torch.distributions.Beta(1.0, 1e6)  # weight 1 for the partner: its values, sorted, are taken over
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


def test_mmd_is_small_for_equal_and_large_for_different():
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

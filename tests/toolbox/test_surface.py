"""Every public name of upstream 0.6.3 is where it was and takes what it took, but for a list of differences.

``upstream_surface.json`` holds upstream's names, signatures and attributes, read from its source without running it.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from pathlib import Path

import pytest
from dassl.data import DataManager
from dassl.data.datasets import build_dataset
from dassl.engine import build_trainer
from dassl.evaluation import build_evaluator
from dassl.utils import AverageMeter, Logger, MetricMeter

UPSTREAM = json.loads((Path(__file__).parent / "upstream_surface.json").read_text())

# What is not as upstream has it, by module or name, and why; toolbox/README.md lists the same.
TORCHVISION = "torchvision's, under torchvision's names"
DIFFERENCES = {
    "dassl.data.transforms.autoaugment.SubPolicy": TORCHVISION,
    "dassl.modeling.backbone.efficientnet": TORCHVISION,
    "dassl.modeling.backbone.resnet_dynamic.ResNet": "is a ResNet of dassl.modeling.backbone.resnet, never with fc",
    "dassl.modeling.backbone.resnet_dynamic.BasicBlockDynamic": "takes what a ResNet hands a block, no dilation",
    "dassl.modeling.backbone.resnet_dynamic.BottleneckDynamic": "takes what a ResNet hands a block, no dilation",
    "dassl.modeling.backbone.resnet_dynamic.load_state_dict": "init_pretrained_weights does it for all backbones",
}


def differs(full_name: str) -> bool:
    return any(full_name == known or full_name.startswith(f"{known}.") for known in DIFFERENCES)


def find(module: str, name: str) -> object:
    """What ``name`` is, dots and all; a static method or property as it stands in its class."""
    found = importlib.import_module(module)
    for part in name.split("."):
        try:
            found = inspect.getattr_static(found, part)
        except AttributeError:
            found = getattr(found, part)
    return found


def same_value(text: str, value: object) -> bool:
    """Whether upstream's default, as written in its source, is ``value``; a list may have become a tuple."""
    try:
        wanted = ast.literal_eval(text)
    except ValueError:  # a class, or a member of an enumeration
        return text.rpartition(".")[2] == getattr(value, "__name__", str(value).rpartition(".")[2])
    as_tuple = [tuple(v) if isinstance(v, list) else v for v in (wanted, value)]
    return as_tuple[0] == as_tuple[1]


def misfit(signature: str, found: object) -> str | None:
    """What ``found`` does not take of a call that upstream's ``signature`` takes."""
    kind, _, listed = signature.partition("(")
    if kind == "property ":
        return None if isinstance(found, property) else "no property"
    if kind == "staticmethod " and not isinstance(found, staticmethod):
        return "no static method"
    ours = list(inspect.signature(getattr(found, "__func__", found)).parameters.values())
    takes_any = {parameter.kind for parameter in ours}
    arguments = ast.parse(f"def f({listed}: pass").body[0].args
    defaults = [None] * (len(arguments.args) - len(arguments.defaults)) + arguments.defaults
    for place, (argument, default) in enumerate(zip(arguments.args, defaults, strict=True)):
        if place >= len(ours) or ours[place].kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            if inspect.Parameter.VAR_POSITIONAL not in takes_any:
                return f"no {argument.arg}"
            continue
        if ours[place].name != argument.arg:
            return f"{ours[place].name} in the place of {argument.arg}"
        if default is not None and not same_value(ast.unparse(default), ours[place].default):
            return f"{argument.arg}={ours[place].default!r}"
    for parameter in ours[len(arguments.args) :]:
        if parameter.default is parameter.empty and parameter.kind == parameter.POSITIONAL_OR_KEYWORD:
            return f"wants {parameter.name}"
    if arguments.kwarg and inspect.Parameter.VAR_KEYWORD not in takes_any:
        return f"no **{arguments.kwarg.arg}"
    return None


@pytest.mark.parametrize("module", [module for module in UPSTREAM["public"] if not differs(module)])
def test_names_and_signatures(module):
    wrong = {}
    for name, what in UPSTREAM["public"][module].items():
        if differs(f"{module}.{name}"):
            continue
        try:
            found = find(module, name)
        except AttributeError:
            wrong[name] = "missing"
            continue
        if what == "class" and not inspect.isclass(found):
            wrong[name] = "no class"
        elif what.endswith(")") and (problem := misfit(what, found)):
            wrong[name] = problem
    assert wrong == {}


def test_the_comparison_finds_what_it_should():
    def found(a, b=(1, 2), *, c=3):
        pass

    for signature, problem in {
        "(a, b=[1, 2])": None,
        "(a, b=[1, 3])": "b=(1, 2)",
        "(b, a)": "a in the place of b",
        "(a, b=(1, 2), d=1)": "c in the place of d",
        "(a, **kwargs)": "no **kwargs",
        "staticmethod (a)": "no static method",
    }.items():
        assert misfit(signature, found) == problem
    assert misfit("()", found) == "wants a"


def test_every_difference_is_one():
    """An entry that nothing needs any more must go; all are names of upstream's."""
    listed = [f"{module}.{name}" for module, names in UPSTREAM["public"].items() for name in names]
    for known in DIFFERENCES:
        mine = [name for name in listed if name == known or name.startswith(f"{known}.")]
        assert mine
        problems = 0
        for module, names in UPSTREAM["public"].items():
            for name, what in names.items():
                if f"{module}.{name}" in mine:
                    try:
                        found = find(module, name)
                        problems += what.endswith(")") and misfit(what, found) is not None
                    except (AttributeError, ImportError):
                        problems += 1
        assert problems, known


def test_attributes(cfg):
    """What upstream's objects carry, and plugins reach for."""
    cfg.TEST.PER_CLASS_RESULT = True
    trainer = build_trainer(cfg)
    trainer.train()
    manager = DataManager(cfg)
    dataset = build_dataset(cfg)
    meters = MetricMeter()
    objects = {
        "SimpleNet": trainer.model,
        "TrainerBase": trainer,
        "SimpleTrainer": trainer,
        "TrainerX": trainer,
        "DataManager": manager,
        "DatasetWrapper": manager.test_loader.dataset,
        "DatasetBase": dataset,
        "Datum": dataset.test[0],
        "Classification": build_evaluator(cfg, lab2cname=manager.lab2cname),
        "AverageMeter": AverageMeter(),
        "MetricMeter": meters,
        "Logger": Logger(),
    }
    listed = {name.rpartition(".")[2]: attributes for name, attributes in UPSTREAM["attributes"].items()}
    assert set(listed) == set(objects)
    missing = {
        f"{name}.{attribute}"
        for name, attributes in listed.items()
        for attribute in attributes
        if not hasattr(objects[name], attribute)
    }
    assert missing == set()


# Parts of trainers and data sets, which upstream's packages do not offer.
MODULE_ONLY = {"AAC", "Experts", "PairClassifiers", "Prototypes", "WILDSBase"}
LINE = r"is not carried by this distribution of dassl; it is in upstream Dassl 0\.6\.3 \(github\.com/\S+\)"


@pytest.mark.parametrize("module", UPSTREAM["not carried"])
def test_what_is_not_carried_says_so_in_one_line(module):
    package = "dassl.engine" if module.startswith("dassl.engine") else "dassl.data.datasets"
    statements = [f"import {module}", f"import {module} as m"]
    for name in UPSTREAM["not carried"][module]:
        statements.append(f"from {module} import {name}")
        if name not in MODULE_ONLY:
            statements += [f"from {module.rpartition('.')[0]} import {name}", f"from {package} import {name}"]
    for statement in statements:
        with pytest.raises(ImportError) as caught:
            exec(statement)
        assert re.fullmatch(rf"dassl[\w.]+ {LINE}", str(caught.value)), statement


def test_a_registry_says_so_too(cfg):
    for section, name, build in (("TRAINER", "DANN", build_trainer), ("DATASET", "PACS", build_dataset)):
        cfg[section].NAME = name
        with pytest.raises(ValueError, match=f"{name} {LINE}"):
            build(cfg)

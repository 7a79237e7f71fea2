"""All public names of upstream 0.6.3 are in the same place with a compatible signature, except for listed differences.

``upstream_surface.json`` has upstream's names, signatures and attributes, read from its source without running it.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from pathlib import Path
from typing import Any

import dassl.data.datasets
import pytest
from dassl.data import DataManager
from dassl.data.datasets import DATASET_REGISTRY, build_dataset
from dassl.engine import build_trainer
from dassl.evaluation import build_evaluator
from dassl.utils import AverageMeter, Logger, MetricMeter

UPSTREAM = json.loads((Path(__file__).parent / "upstream_surface.json").read_text())

# Modules and names that differ from upstream, and why; toolbox/README.md lists the same.
TORCHVISION = "torchvision's, with torchvision's names"
DIFFERENCES = {
    "dassl.data.transforms.autoaugment.SubPolicy": TORCHVISION,
    "dassl.modeling.backbone.efficientnet": TORCHVISION,
    "dassl.modeling.backbone.resnet_dynamic.ResNet": "is the ResNet of dassl.modeling.backbone.resnet, without fc",
    "dassl.modeling.backbone.resnet_dynamic.BasicBlockDynamic": "takes only the arguments that ResNet passes",
    "dassl.modeling.backbone.resnet_dynamic.BottleneckDynamic": "takes only the arguments that ResNet passes",
    "dassl.modeling.backbone.resnet_dynamic.load_state_dict": "init_pretrained_weights replaces it for all backbones",
}


def differs(full_name: str) -> bool:
    return any(full_name == known or full_name.startswith(f"{known}.") for known in DIFFERENCES)


def find(module: str, name: str) -> object:
    """Return the object ``name``, which may have dots; static methods and properties are returned unbound."""
    found = importlib.import_module(module)
    for part in name.split("."):
        try:
            found = inspect.getattr_static(found, part)
        except AttributeError:
            found = getattr(found, part)
    return found


def same_value(text: str, value: object) -> bool:
    """Return whether upstream's default, given as source text, equals ``value``; a list equals a tuple."""
    try:
        expected = ast.literal_eval(text)
    except ValueError:  # a class, or a member of an enumeration
        return text.rpartition(".")[2] == getattr(value, "__name__", str(value).rpartition(".")[2])
    as_tuple = [tuple(v) if isinstance(v, list) else v for v in (expected, value)]
    return as_tuple[0] == as_tuple[1]


def incompatibility(signature: str, found: object) -> str | None:
    """Return why a call that upstream's ``signature`` accepts fails with ``found``, or None."""
    kind, _, arguments_text = signature.partition("(")
    if kind == "property ":
        return None if isinstance(found, property) else "not a property"
    if kind == "staticmethod " and not isinstance(found, staticmethod):
        return "not a static method"
    function: Any = getattr(found, "__func__", found)
    ours = list(inspect.signature(function).parameters.values())
    kinds = {parameter.kind for parameter in ours}
    definition = ast.parse(f"def f({arguments_text}: pass").body[0]
    assert isinstance(definition, ast.FunctionDef)
    arguments = definition.args
    defaults = [None] * (len(arguments.args) - len(arguments.defaults)) + arguments.defaults
    for place, (argument, default) in enumerate(zip(arguments.args, defaults, strict=True)):
        if place >= len(ours) or ours[place].kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            if inspect.Parameter.VAR_POSITIONAL not in kinds:
                return f"does not accept {argument.arg}"
            continue
        if ours[place].name != argument.arg:
            return f"{ours[place].name} instead of {argument.arg}"
        if default is not None and not same_value(ast.unparse(default), ours[place].default):
            return f"{argument.arg}={ours[place].default!r}"
    for parameter in ours[len(arguments.args) :]:
        if parameter.default is parameter.empty and parameter.kind == parameter.POSITIONAL_OR_KEYWORD:
            return f"requires {parameter.name}"
    if arguments.kwarg and inspect.Parameter.VAR_KEYWORD not in kinds:
        return f"does not accept **{arguments.kwarg.arg}"
    return None


@pytest.mark.parametrize("module", [module for module in UPSTREAM["public"] if not differs(module)])
def test_names_and_signatures(module):
    problems = {}
    for name, kind in UPSTREAM["public"][module].items():
        if differs(f"{module}.{name}"):
            continue
        try:
            found = find(module, name)
        except AttributeError:
            problems[name] = "missing"
            continue
        if kind == "class" and not inspect.isclass(found):
            problems[name] = "not a class"
        elif kind.endswith(")") and (problem := incompatibility(kind, found)):
            problems[name] = problem
    assert problems == {}


def test_the_comparison_finds_differences():
    def found(a, b=(1, 2), *, c=3):
        pass

    for signature, problem in {
        "(a, b=[1, 2])": None,
        "(a, b=[1, 3])": "b=(1, 2)",
        "(b, a)": "a instead of b",
        "(a, b=(1, 2), d=1)": "c instead of d",
        "(a, **kwargs)": "does not accept **kwargs",
        "staticmethod (a)": "not a static method",
    }.items():
        assert incompatibility(signature, found) == problem
    assert incompatibility("()", found) == "requires a"


def test_all_listed_differences_exist():
    """The entries are upstream's names, and an outdated entry fails."""
    upstream_names = [f"{module}.{name}" for module, names in UPSTREAM["public"].items() for name in names]
    for known in DIFFERENCES:
        covered = [name for name in upstream_names if name == known or name.startswith(f"{known}.")]
        assert covered
        problems = 0
        for module, names in UPSTREAM["public"].items():
            for name, kind in names.items():
                if f"{module}.{name}" in covered:
                    try:
                        found = find(module, name)
                        problems += kind.endswith(")") and incompatibility(kind, found) is not None
                    except (AttributeError, ImportError):
                        problems += 1
        assert problems, known


def test_attributes(cfg):
    """Attributes of upstream's objects that plugins may use."""
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
    expected = {name.rpartition(".")[2]: attributes for name, attributes in UPSTREAM["attributes"].items()}
    assert set(expected) == set(objects)
    missing = {
        f"{name}.{attribute}"
        for name, attributes in expected.items()
        for attribute in attributes
        if not hasattr(objects[name], attribute)
    }
    assert missing == set()


# Parts of trainers that upstream's packages do not export.
MODULE_ONLY = {"AAC", "Experts", "PairClassifiers", "Prototypes"}
LINE = r"is not included .*upstream Dassl 0\.6\.3 \(github\.com/\S+\)"


@pytest.mark.parametrize("module", UPSTREAM["not included"])
def test_importing_a_name_that_is_not_included_raises_a_one_line_error(module):
    statements = [f"import {module}", f"import {module} as m"]
    for name in UPSTREAM["not included"][module]:
        statements.append(f"from {module} import {name}")
        if name not in MODULE_ONLY:
            statements += [f"from {module.rpartition('.')[0]} import {name}", f"from dassl.engine import {name}"]
    for statement in statements:
        with pytest.raises(ImportError) as caught:
            exec(statement)
        assert re.fullmatch(rf"dassl[\w.]+ {LINE}", str(caught.value)), statement


def test_building_a_name_that_is_not_included_raises_a_one_line_error(cfg):
    cfg.TRAINER.NAME = "DANN"
    with pytest.raises(ValueError, match=f"DANN {LINE}"):
        build_trainer(cfg)


def test_all_of_upstreams_data_sets_are_registered():
    names = [
        name
        for module in ("da", "dg", "dg.wilds", "ssl")
        for name in UPSTREAM["public"][f"dassl.data.datasets.{module}"]
    ]
    assert len(set(names)) == 21 and set(names) <= set(DATASET_REGISTRY.registered_names())
    for name in names:
        assert DATASET_REGISTRY.get(name) is getattr(dassl.data.datasets, name)

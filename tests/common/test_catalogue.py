"""The catalogue of methods: names, labels and commands, and that it agrees with trainers/."""

import ast
from dataclasses import replace
from itertools import combinations

import pytest

from common import catalogue
from common.catalogue import CHOICES, METHODS, Method
from common.errors import InputError
from common.paths import CONFIGS, REPOSITORY
from launcher.plan import method_plan


@pytest.fixture
def restored():
    """The catalogue, which a test may change."""
    before = dict(METHODS)
    yield METHODS
    METHODS.clear()
    METHODS.update(before)


def classes_with_knobs() -> dict[str, str]:
    """The trainers of trainers/: class -> file; read, not imported."""
    found = {}
    for path in sorted((REPOSITORY / "trainers").glob("*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and any(isinstance(d, ast.Call) for d in node.decorator_list):
                if any("TRAINER_REGISTRY" in ast.unparse(decorator) for decorator in node.decorator_list):
                    found[node.name] = path.stem
    return found


def test_names_labels_and_commands_are_unique():
    methods = list(METHODS.values())
    for value in (lambda m: m.name, lambda m: m.label, lambda m: (m.command, m.choice), lambda m: (m.trainer, m.keys)):
        assert len({value(method) for method in methods}) == len(methods)
    assert all(name == method.name for name, method in METHODS.items())
    lower = [name.lower() for name in METHODS] + [m.label.lower() for m in methods if m.label != m.name]
    assert len(lower) == len(set(lower))  # `named` ignores capitals


def test_settings_choose_one_method_of_a_trainer():
    """`find` takes the first entry whose keys agree, so entries of a trainer must differ in a key that they share."""
    for first, second in combinations(METHODS.values(), 2):
        if first.trainer == second.trainer:
            ours, theirs = dict(first.keys), dict(second.keys)
            assert any(ours[key] != theirs[key] for key in ours.keys() & theirs.keys())


def test_every_trainer_is_in_the_catalogue_and_every_entry_has_its_trainer():
    assert {method.trainer for method in METHODS.values()} == classes_with_knobs().keys()


@pytest.mark.parametrize("name", METHODS)
def test_an_entry_is_complete(name):
    method = METHODS[name]
    assert method.about.endswith(".") and "\n" not in method.about and method.examples
    assert bool(method.ties) == (method.tied_to != "nothing")
    assert bool(method.towers) == bool(method.needs)
    assert method.learns or method.tied_to == "nothing"
    assert (method.choice != "") == (method.command in CHOICES)
    assert (REPOSITORY / method.script.split()[0]).is_file()
    if method.towers:
        assert any(method.can_use(path.stem) for path in (CONFIGS / "trainers").glob("*.yaml"))


@pytest.mark.parametrize("name", METHODS)
def test_its_command_plans_the_method(name, tmp_path):
    """The words that choose it, its examples, and its name itself make runs of this method."""
    method = METHODS[name]
    choice = [CHOICES[method.command].flag, method.choice] if method.choice else []
    place = ["--output", str(tmp_path)]
    for plan in (
        method_plan(method.command, ["garden8", "4", *choice, *place]),
        method_plan(method.command, ["garden8", "4", *place], method),
    ):
        assert plan.methods == [method] and len(plan.jobs) == (3 if method.learns else 1)
        command = plan.jobs[0].command()
        assert command[command.index("--trainer") + 1] == method.trainer
        pairs = list(zip(command, command[1:], strict=False))
        assert all(pair in pairs for pair in method.keys)
        assert all(path.is_file() for path in plan.jobs[0].files)


def test_the_first_method_of_a_command_is_its_default(tmp_path):
    for command in catalogue.commands():
        plan = method_plan(command, ["garden8", "4", "--output", str(tmp_path)])
        assert plan.methods == catalogue.methods_of(command)[:1]
    assert catalogue.commands() == list(dict.fromkeys(method.command for method in METHODS.values()))


def test_find_by_trainer_and_settings():
    def found(trainer, **values):
        method = catalogue.find(trainer, lambda key: values[key.rsplit(".", 1)[1]])
        return method and method.name

    assert found("CoOp", CONTEXT="task") == "CoOp-CA" and found("CoOp", CONTEXT="shared") == "CoOp-MT"
    assert found("CoOp", CONTEXT="planet") is None and found("NoTrainer") is None
    assert found("TipAdapter", FINETUNE=True) == "Tip-Adapter-F"  # values are compared as text
    assert found("TipAdapter", FINETUNE=False) == "Tip-Adapter"
    assert found("PLOT") == "PLOT"


def test_named_by_name_label_or_command():
    for text in ("CoOp-CA", "coop-ca", " CoOp-CA (per task) ", "COOP"):
        assert catalogue.named(text).name == "CoOp-CA"
    assert catalogue.named("softcpt*").name == "SoftCPT-STAR"
    assert catalogue.named("linear_probe").name == "LP-CLIP"
    with pytest.raises(InputError, match="Method 'CoOp-CB' is unknown; did you mean 'CoOp-C"):
        catalogue.named("CoOp-CB")


def test_chosen_by_a_commands_flag():
    assert catalogue.chosen("softcpt", "nats").name == "SoftCPT-NATS"
    assert catalogue.chosen("softcpt", "*").name == catalogue.chosen("softcpt", "Star").name == "SoftCPT-STAR"
    assert catalogue.chosen("coop", "CLASS").name == "CoOp-CS"
    with pytest.raises(InputError, match="Variant 'NATX' is unknown; did you mean 'NAT"):
        catalogue.chosen("softcpt", "NATX")
    with pytest.raises(InputError, match=r"Context '\*' is unknown"):
        catalogue.chosen("coop", "*")


def method(name="Mine", label="Mine (new)", command="mine", choice=""):
    return Method(name, label, "MyTrainer", command, "Trains mine.", choice=choice)


def test_methods_can_be_added(restored):
    catalogue.add([method()])
    assert list(restored)[-1] == "Mine" and catalogue.named("mine (NEW)") is restored["Mine"]
    catalogue.add([method()])  # twice is once
    assert list(restored).count("Mine") == 1


@pytest.mark.parametrize(
    ("entry", "what", "other"),
    [
        (method(name="CoOp-CA"), "name", "CoOp-CA"),
        (method(label="SoftCPT*"), "label", "SoftCPT-STAR"),
        (method(command="coop", choice="task"), "command", "CoOp-CA"),
    ],
)
def test_what_another_method_has_is_refused(restored, entry, what, other):
    before = dict(restored)
    with pytest.raises(InputError, match=f"^Method {entry.name} .*{what} of {other}, ") as error:
        catalogue.add([entry])
    assert "\n" not in str(error.value) and restored == before


def test_scripts_are_found():
    assert catalogue.script_of("coop") == "scripts/coop/main.sh"
    assert catalogue.script_of("mine") == "scripts/train.sh mine"


def test_methods_are_entered_all_or_none():
    good = Method("Fine", "Fine", "FineTrainer", "fine", "Trains.")
    with pytest.raises(InputError, match="has the name of CoOp-CA"):
        catalogue.add((good, replace(good, name="coop-ca", label="L", command="c", trainer="T")))
    assert "Fine" not in METHODS


def test_methods_of_one_trainer_need_a_key_that_differs():
    one = Method("One", "One", "Own", "one", "Trains.", keys=(("A.B", "1"),))
    with pytest.raises(InputError, match="One.*Two.*Own|Two.*One.*Own"):
        catalogue.add((one, replace(one, name="Two", label="Two", command="two", keys=())))
    assert not {"One", "Two"} & METHODS.keys()

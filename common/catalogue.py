"""The catalogue of methods: one entry each, in display order, and everything else derives from it.

An entry says what a method is called, which trainer runs it and with which settings, and how far its parameters reach.
The launcher plans from it before PyTorch is installed, trainers look themselves up in it (`find`), and tables and
figures take labels, order and colours from it. It stands on the lowest floor because all of these import it.

A new method is a file in trainers/ and an entry here; docs/adding_a_method.md walks through one. A method in a file
outside the repository brings its own entries, see common/plugins.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from common.errors import InputError, unknown
from common.paths import REPOSITORY

Reach = Literal["nothing", "tasks", "classes"]
Candidate = Literal["", "default", "seconds", "minutes"]


@dataclass(frozen=True)
class Method:
    """One method.

    Args:
        name: what its run folders are called.
        label: its row in a table.
        trainer: name of the class in trainers/.
        command: its word on command lines, such as "coop": scripts/coop/main.sh, or else scripts/train.sh coop.
            Methods may share one, see `Choice`.
        about: one sentence for --help.
        examples: arguments of calls, for --help.
        choice: among methods that share a command, the value of the command's flag that chooses this one.
        keys: settings that make the trainer this method, beside its config.
        tied_to: what the learned parameters belong to. Parameters tied to classes cannot be tested on other classes,
            those tied to tasks cannot be tested on other tasks.
        ties: these parameters in words, to complete "it has ...".
        family: methods of a family share a colour.
        learns: False for zero-shot methods: they read no training image and run once.
        compared: part of the default comparison.
        residual: its prompts may carry a residual of the images: its command takes --residual.
        candidate: not empty if `train.sh <dataset> <shots>` may choose the method. "seconds" or "minutes": what a run
            costs; those of minutes are given up once they are clearly behind. "default": the one, of seconds, that is
            taken where the shots do not tell.
        towers: beginnings of the names of shared configs that the method can use (configs/trainers/<tower>_....yaml);
            empty: all.
        needs: what these towers are, to complete "it needs ...".
    """

    name: str
    label: str
    trainer: str
    command: str
    about: str
    examples: tuple[str, ...] = ("garden8 4", "garden8 4 --seeds 1")
    choice: str = ""
    keys: tuple[tuple[str, str], ...] = ()
    tied_to: Reach = "nothing"
    ties: str = ""
    family: str = "other"
    learns: bool = True
    compared: bool = False
    residual: bool = False
    candidate: Candidate = ""
    towers: tuple[str, ...] = ()
    needs: str = ""

    @property
    def script(self) -> str:
        """What a user calls, from the repository on."""
        return script_of(self.command)

    def can_use(self, config: str) -> bool:
        """True if the method supports the tower of a shared config."""
        return not self.towers or config.startswith(self.towers)


@dataclass(frozen=True)
class Choice:
    """The flag of a command that several methods share; without it, the first of them is meant."""

    flag: str
    kind: str  # what its values are called in an error
    help: str


CHOICES = {
    "zsclip": Choice(
        "--templates",
        "Set of templates",
        "task: each task's own template (default); imagenet: the mean with seven general ones",
    ),
    "tip_adapter": Choice(
        "--finetune",
        "Choice of --finetune",
        "no: Tip-Adapter (default); yes: Tip-Adapter-F, which trains the keys",
    ),
    "coop": Choice(
        "--context",
        "Context",
        "task: a context for every task (default); class: one for every class; shared: one for all tasks",
    ),
    "softcpt": Choice(
        "--variant",
        "Variant",
        "NATA (default), R, which is NATA with --residual, NATS, CATA, CATS, CSTA, CSTS, or STAR, which is SoftCPT*",
    ),
}

_zero_shot = partial(
    Method,
    trainer="ZeroshotCLIP",
    command="zsclip",
    about="Tests zero-shot CLIP, which learns nothing, and prints accuracy by task.",
    examples=("garden8", "garden8 --templates imagenet", "plants7 --data ~/data"),
    family="zero-shot",
    learns=False,
)
_tip_adapter = partial(
    Method,
    trainer="TipAdapter",
    command="tip_adapter",
    about="Fits Tip-Adapter or Tip-Adapter-F, and prints accuracy by task.",
    examples=("garden8 4", "garden8 4 --finetune yes --seeds 1,2"),
    tied_to="classes",
    ties="a cache of every class's images",
    family="cache",
)
_coop = partial(
    Method,
    residual=True,
    trainer="CoOp",
    command="coop",
    about="Trains and tests CoOp, once per seed, and prints accuracy by task.",
    examples=("garden8 4", "garden8 4 --context shared --seeds 1,2", "garden8 4 -- OPTIM.MAX_EPOCH 10"),
    family="context",
)
_softcpt = partial(
    Method,
    residual=True,
    trainer="SoftCPT",
    command="softcpt",
    about="Trains and tests SoftCPT, once per seed, and prints accuracy by task.",
    examples=(
        "garden8 4",
        "garden8 4 --variant NATS --seeds 1,2",
        "plants7 4 --data ~/data",
        "garden8 4 -- OPTIM.MAX_EPOCH 10 OPTIM.LR 0.005",
    ),
    family="softcpt",
)
_VISION_TRANSFORMERS = ("garden_vit", "vit_")


RESIDUAL = ("RESIDUAL.FIT", "True")  # the setting that adds a residual of the images to a method's prompts

METHODS: dict[str, Method] = {}  # by name, in display order; plug-ins add theirs


def add(methods: Iterable[Method]) -> None:
    """Enter methods, all or none.

    Raises:
        InputError: a name, label or command is another method's, in capitals or not, or two methods of one trainer have
            no key with different values, so that a run could be of either.
    """
    new: dict[str, Method] = {}
    for method in methods:
        if METHODS.get(method.name) == method:  # a plug-in that is loaded twice
            continue
        for other in (*METHODS.values(), *new.values()):
            _check_apart(method, other)
        new[method.name] = method
    METHODS.update(new)


def _check_apart(method: Method, other: Method) -> None:
    """InputError if a method cannot be told from another one by its names or by its settings."""
    words = {other.name.lower(), other.label.lower(), other.command.lower()}
    for what in ("name", "label", "command"):
        word = getattr(method, what).lower()
        shares = what == "command" and method.command == other.command and method.choice != other.choice
        # A method may be called as its own command is, such as CoOp's "coop"; others' words are taken.
        if word in words and not shares:
            raise InputError(
                f"Method {method.name} has the {what} of {other.name}, '{getattr(method, what)}'; "
                f"give it another {what}."
            )
    apart = any(dict(other.keys).get(key, value) != value for key, value in method.keys)
    if method.trainer == other.trainer and not apart:
        raise InputError(
            f"Methods {method.name} and {other.name} are both trainer {method.trainer}; give them a key with different "
            "values."
        )


add(
    (
        _zero_shot(
            "ZeroshotCLIP",
            "Zero-shot CLIP",
            choice="task",
            keys=(("TRAINER.ZEROSHOT.TEMPLATES", "task"),),
            compared=True,
            candidate="seconds",
        ),
        _zero_shot(
            "ZeroshotCLIP-ensemble",
            "Zero-shot CLIP (ensemble)",
            choice="imagenet",
            keys=(("TRAINER.ZEROSHOT.TEMPLATES", "imagenet"),),
        ),
        Method(
            "Residual",
            "Residual",
            "Residual",
            "residual",
            "Adjusts zero-shot CLIP's class weights with what the training images say, and prints accuracy by task.",
            ("garden8 4", "plants7 4 --data ~/data"),
            keys=(RESIDUAL,),
            family="probe",
            candidate="default",
        ),
        Method(
            "LP-CLIP",
            "LP-CLIP",
            "LinearProbe",
            "linear_probe",
            "Fits LP-CLIP, a linear probe, and prints accuracy by task.",
            ("garden8 4", "plants7 4 --data ~/data"),
            tied_to="classes",
            ties="weights for every class",
            family="probe",
            candidate="seconds",
        ),
        Method(
            "ProtoNet",
            "ProtoNet",
            "ProtoNet",
            "protonet",
            "Fits ProtoNet, class means of image features, and prints accuracy by task.",
            ("garden8 4", "garden8 4 -- TRAINER.PROTONET.DISTANCE cosine"),
            tied_to="classes",
            ties="a mean feature for every class",
            family="probe",
            candidate="seconds",
        ),
        Method(
            "LPPlusPlus",
            "LP++",
            "LPPlusPlus",
            "lp_plus_plus",
            "Fits LP++, a linear probe that blends images and text, and prints accuracy by task.",
            ("garden8 4", "plants7 4 --data ~/data", "garden8 4 -- TRAINER.LPPLUSPLUS.MOMENTUM 0.0"),
            tied_to="classes",
            ties="weights for every class",
            family="probe",
            candidate="seconds",
        ),
        _tip_adapter(
            "Tip-Adapter",
            "Tip-Adapter",
            choice="no",
            keys=(("TRAINER.TIPADAPTER.FINETUNE", "False"),),
            candidate="seconds",
        ),
        _tip_adapter(
            "Tip-Adapter-F",
            "Tip-Adapter-F",
            choice="yes",
            keys=(("TRAINER.TIPADAPTER.FINETUNE", "True"),),
            candidate="seconds",
        ),
        Method(
            "CLAP",
            "CLAP",
            "CLAP",
            "clap",
            "Fits CLAP, a linear probe kept close to zero-shot CLIP, and prints accuracy by task.",
            ("garden8 4", "plants7 4 --data ~/data", "garden8 4 -- TRAINER.CLAP.PENALTY 0.0"),
            tied_to="classes",
            ties="weights for every class",
            family="probe",
            candidate="seconds",
        ),
        Method(
            "CLIP-Adapter",
            "CLIP-Adapter",
            "ClipAdapter",
            "clip_adapter",
            "Trains and tests CLIP-Adapter, once per seed, and prints accuracy by task.",
            ("garden8 4", "garden8 4 -- TRAINER.CLIPADAPTER.RATIO 0.4"),
            tied_to="tasks",
            ties="an adapter for every task",
            family="cache",
        ),
        Method(
            "TaskRes",
            "TaskRes",
            "TaskRes",
            "taskres",
            "Trains and tests TaskRes, once per seed, and prints accuracy by task.",
            ("garden8 4", "garden8 4 --seeds 1", "garden8 16 -- OPTIM.MAX_EPOCH 200"),
            tied_to="classes",
            ties="a residual for every class",
            family="cache",
        ),
        _coop(
            "CoOp-CA",
            "CoOp-CA (per task)",
            choice="task",
            keys=(("TRAINER.COOP.CONTEXT", "task"),),
            tied_to="tasks",
            ties="a context for every task",
            compared=True,
        ),
        _coop(
            "CoOp-CS",
            "CoOp-CS (per class)",
            choice="class",
            keys=(("TRAINER.COOP.CONTEXT", "class"),),
            tied_to="classes",
            ties="a context for every class",
        ),
        _coop(
            "CoOp-MT",
            "CoOp-MT (shared)",
            choice="shared",
            keys=(("TRAINER.COOP.CONTEXT", "shared"),),
            compared=True,
        ),
        Method(
            "CoCoOp",
            "CoCoOp",
            "CoCoOp",
            "cocoop",
            "Trains and tests CoCoOp, once per seed, and prints accuracy by task.",
            ("garden8 4", "garden8 4 --seeds 1", "garden8 4 -- DATALOADER.TRAIN_X.BATCH_SIZE 4"),
            tied_to="tasks",
            ties="a context and a meta-net for every task",
            family="context-variant",
        ),
        Method(
            "ProGrad",
            "ProGrad",
            "ProGrad",
            "prograd",
            "Trains and tests ProGrad, once per seed, and prints accuracy by task.",
            ("garden8 4", "garden8 4 -- TRAINER.PROGRAD.LAMBDA 0.8"),
            tied_to="tasks",
            ties="a context for every task",
            family="context-variant",
            residual=True,
        ),
        Method(
            "KgCoOp",
            "KgCoOp",
            "KgCoOp",
            "kgcoop",
            "Trains and tests KgCoOp, once per seed, and prints accuracy by task.",
            ("garden8 4", "garden8 4 -- TRAINER.KGCOOP.W 4.0"),
            tied_to="tasks",
            ties="a context for every task",
            family="context-variant",
            residual=True,
        ),
        Method(
            "PLOT",
            "PLOT",
            "PLOT",
            "plot",
            "Trains and tests PLOT, once per seed, and prints accuracy by task.",
            ("garden8 4", "garden8 4 --seeds 1", "garden8 4 -- TRAINER.PLOT.N 2"),
            tied_to="tasks",
            ties="contexts for every task",
            family="context-variant",
        ),
        Method(
            "MaPLe",
            "MaPLe",
            "MaPLe",
            "maple",
            "Trains and tests MaPLe, once per seed, and prints accuracy by task.",
            ("garden8 4", "garden8 4 --seeds 1", "dtd 16 --cfg vit_b16_c2_ep5_batch4_2ctx --data ~/data"),
            tied_to="tasks",
            ties="prompts of both towers for every task",
            family="both-towers",
            towers=_VISION_TRANSFORMERS,
            needs="a vision transformer",
        ),
        Method(
            "PromptSRC",
            "PromptSRC",
            "PromptSRC",
            "promptsrc",
            "Trains and tests PromptSRC, once per seed, and prints accuracy by task.",
            ("garden8 4", "garden8 4 --seeds 1", "dtd 16 --cfg vit_b16_c2_ep20_batch4_4+4ctx --data ~/data"),
            tied_to="tasks",
            ties="prompts of both towers for every task",
            family="both-towers",
            towers=_VISION_TRANSFORMERS,
            needs="a vision transformer",
        ),
        Method(
            "CLIP-LoRA",
            "CLIP-LoRA",
            "CLIPLoRA",
            "clip_lora",
            "Trains and tests CLIP-LoRA, once per seed, and prints accuracy by task.",
            ("garden8 4", "garden8 4 --seeds 1", "garden8 4 -- TRAINER.CLIPLORA.ENCODER text"),
            tied_to="tasks",
            ties="updates of the towers for every task",
            family="both-towers",
        ),
        Method(
            "MVLPT",
            "MVLPT",
            "MVLPT",
            "mvlpt",
            "Trains and tests MVLPT, once per seed, and prints accuracy by task.",
            ("garden8 4", "garden8 4 --seeds 1,2", "garden8 4 -- TRAINER.MVLPT.SHARED_SHARE 0.2"),
            tied_to="tasks",
            ties="a context for every task",
            family="multitask",
            residual=True,
        ),
        _softcpt(
            "SoftCPT-NATA",
            "SoftCPT-NATA",
            choice="NATA",
            keys=(("TRAINER.SOFTCPT.VARIANT", "NATA"), ("RESIDUAL.FIT", "False")),
            compared=True,
        ),
        _softcpt(
            "SoftCPT-R",
            "SoftCPT-R",
            choice="R",
            keys=(("TRAINER.SOFTCPT.VARIANT", "NATA"), RESIDUAL),
            candidate="minutes",
        ),
        _softcpt(
            "SoftCPT-NATS",
            "SoftCPT-NATS",
            choice="NATS",
            keys=(("TRAINER.SOFTCPT.VARIANT", "NATS"),),
            tied_to="tasks",
            ties="a task context for every task",
        ),
        _softcpt("SoftCPT-CATA", "SoftCPT-CATA", choice="CATA", keys=(("TRAINER.SOFTCPT.VARIANT", "CATA"),)),
        _softcpt(
            "SoftCPT-CATS",
            "SoftCPT-CATS",
            choice="CATS",
            keys=(("TRAINER.SOFTCPT.VARIANT", "CATS"),),
            tied_to="tasks",
            ties="a task context for every task",
        ),
        _softcpt(
            "SoftCPT-CSTA",
            "SoftCPT-CSTA",
            choice="CSTA",
            keys=(("TRAINER.SOFTCPT.VARIANT", "CSTA"),),
            tied_to="classes",
            ties="a class context for every class",
        ),
        _softcpt(
            "SoftCPT-CSTS",
            "SoftCPT-CSTS",
            choice="CSTS",
            keys=(("TRAINER.SOFTCPT.VARIANT", "CSTS"),),
            tied_to="classes",
            ties="a class context for every class",
        ),
        _softcpt("SoftCPT-STAR", "SoftCPT*", choice="STAR", keys=(("TRAINER.SOFTCPT.VARIANT", "STAR"),)),
    )
)


def commands() -> list[str]:
    """The words by which command lines name methods, in display order."""
    return list(dict.fromkeys(method.command for method in METHODS.values()))


def methods_of(command: str) -> list[Method]:
    """The methods behind a command; the first is its default."""
    return [method for method in METHODS.values() if method.command == command]


def script_of(command: str) -> str:
    """What a user calls for a method's command: a script of its own, or the one that serves all."""
    own = f"scripts/{command}/main.sh"
    return own if (REPOSITORY / own).is_file() else f"scripts/train.sh {command}"


def chosen(command: str, choice: str) -> Method:
    """The method of a command that a value of its flag chooses, in capitals or not; InputError for another value."""
    by_choice = {method.choice: method for method in methods_of(command)}
    lower = {name.lower(): method for name, method in by_choice.items()} | (
        {"*": by_choice["STAR"]} if "STAR" in by_choice else {}
    )
    if choice.lower() not in lower:
        raise unknown(CHOICES[command].kind, choice, by_choice)
    return lower[choice.lower()]


def with_residual(method: Method) -> Method:
    """The entry of a method with a residual, if it has one of its own; else the method, to which RESIDUAL is added."""
    keys = dict(method.keys) | dict([RESIDUAL])
    return next(
        (other for other in METHODS.values() if other.trainer == method.trainer and dict(other.keys) == keys), method
    )


def named(name: str) -> Method:
    """A method by its name, its label or its command, in capitals or not; InputError for another name."""
    known = {command: methods_of(command)[0] for command in commands()}
    known |= {method.label.lower(): method for method in METHODS.values()}
    known |= {method.name.lower(): method for method in METHODS.values()}
    if name.strip().lower() not in known:
        raise unknown("Method", name.strip(), METHODS)
    return known[name.strip().lower()]


def find(trainer: str, value_of: Callable[[str], object]) -> Method | None:
    """The method that a trainer is under some settings; None if the catalogue does not list it.

    Args:
        trainer: the class's name.
        value_of: gives the value of a dotted key.
    """
    for method in METHODS.values():
        if method.trainer == trainer and all(str(value_of(key)) == value for key, value in method.keys):
            return method
    return None

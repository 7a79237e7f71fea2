"""The catalogue of tables: each one's collection, methods, shots, seeds, and what varies in it."""

from __future__ import annotations

from dataclasses import dataclass

from common.catalogue import METHODS

# The published main table's rows, in its order (arXiv 2208.13474).
PUBLISHED = (
    "ZeroshotCLIP",
    "ProtoNet",
    "LP-CLIP",
    "CoOp-CA",
    "CoOp-CS",
    "CoOp-MT",
    "CoCoOp",
    "ProGrad",
    "KgCoOp",
    "PLOT",
    "SoftCPT-STAR",
    "SoftCPT-NATS",
    "SoftCPT-NATA",
)
VARIANTS = tuple(f"SoftCPT-{name}" for name in ("NATA", "NATS", "CATA", "CATS", "CSTA", "CSTS"))
NAMES = {
    "general10": "General-10",
    "plant6": "Plant-6",
    "rs8": "RS-8",
    "fashion20": "Fashion-20",
    "garden8": "Garden-8",
}
N_TASKS = {"general10": 10, "plant6": 6, "rs8": 8, "fashion20": 20, "garden8": 8}

# The collection of a table that could have any. By the authors' minutes, Plant-6 trains faster than all but Fashion-20,
# in a tenth of General-10's time, and its tasks differ more in size and kind of picture than Fashion-20's do.
ANY = "plant6"

L, M = "TRAINER.SOFTCPT.N_CTX", "TRAINER.SOFTCPT.TASK_N_CTX"


@dataclass(frozen=True)
class Variation:
    """One column or row of a table that varies something. ``config``: None for the collection's own."""

    label: str = ""
    config: str | None = None
    pairs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Declared:
    """A table. ``kind`` is how it is laid out: "methods" as rows and shots as columns, "backbones" as columns,
    "lengths" as rows, or one of the two protocols. ``fixed``: the table cannot have another collection."""

    kind: str
    about: str
    methods: tuple[str, ...]
    collection: str = ANY
    fixed: bool = False
    shots: tuple[int, ...] = (1, 2, 4, 8, 16)
    seeds: tuple[int, ...] = (1, 2, 3)
    variations: tuple[Variation, ...] = (Variation(),)
    examples: tuple[str, ...] = ()


def _collection(name: str) -> Declared:
    what = "Every method of the published table" if name == "garden8" else "The published table"
    about = f"{what} on {NAMES[name]}, at 1 to 16 shots with seeds 1 2 3."
    if name == "rs8":
        about += " Its tasks are our interpretation: the paper does not name them."
    examples: tuple[str, ...] = ("--dry-run", "--methods CoOp-CA,SoftCPT-NATA --shots 4,16", "--seeds 1 --jobs 2")
    if name != "garden8":
        examples += ("--data ~/data --launcher slurm --slurm-partition gpu",)
    return Declared("methods", about, PUBLISHED, name, fixed=True, examples=examples)


def _length(key: str, value: int) -> Variation:
    default = {L: 16, M: 4}[key]
    pairs = () if value == default else ((key, str(value)),)  # one run serves both halves of the table
    return Variation(f"L = {value}, M = 4" if key == L else f"L = 16, M = {value}", pairs=pairs)


OTHERS = ("--dry-run", "garden8", "garden8 --shots 4 --seeds 1")

DECLARED = {
    **{name: _collection(name) for name in NAMES},
    "variants": Declared(
        "methods",
        "SoftCPT's variants NATA, NATS, CATA, CATS, CSTA and CSTS, at 1 to 16 shots with seeds 1 2 3.",
        VARIANTS,
        examples=(*OTHERS, "general10 --methods SoftCPT-CSTA,SoftCPT-NATA --data ~/data"),
    ),
    # The tables from here on are not among the known published figures: methods, shots and lengths are our choice.
    "backbones": Declared(
        "backbones",
        "Methods on CLIP's towers RN50, RN101, ViT-B/32 and ViT-B/16, at 16 shots with seeds 1 2 3. Methods and shots "
        "are our choice.",
        tuple(method.name for method in METHODS.values() if method.compared),
        shots=(16,),
        variations=(
            Variation("RN50", "rn50_ep50"),
            Variation("RN101", "rn101_ep50"),
            Variation("ViT-B/32", "vit_b32_ep50"),
            Variation("ViT-B/16", "vit_b16_ep50"),
        ),
        examples=(*OTHERS, "plant6 --cfg vit_b16_ep50 --methods SoftCPT-NATA,MaPLe"),
    ),
    "base_to_new": Declared(
        "base_to_new",
        "Methods trained on the first half of every task's classes and tested on both halves, at 16 shots with seeds "
        "1 2 3. Methods are our choice: those without parameters for single classes.",
        ("ZeroshotCLIP", "CoOp-CA", "CoOp-MT", "CoCoOp", "ProGrad", "KgCoOp", "SoftCPT-NATA", "SoftCPT-NATS"),
        shots=(16,),
        examples=(*OTHERS, "garden8 --shots 4 --methods CoOp-CA,SoftCPT-NATA"),
    ),
    "context_length": Declared(
        "lengths",
        "SoftCPT with L context vectors in a class prompt and M in a task prompt, at 16 shots with seeds 1 2 3. The "
        "values of L and M are our choice, around the released runs' L = 16, M = 4.",
        ("SoftCPT-NATA",),
        shots=(16,),
        variations=(*(_length(L, n) for n in (2, 4, 8, 16, 32)), *(_length(M, n) for n in (1, 2, 8, 16))),
        examples=(*OTHERS, "garden8 --shots 1,16 --methods SoftCPT-NATS"),
    ),
    "new_tasks": Declared(
        "new_tasks",
        "Methods trained on half of a collection's tasks and tested on the other half, and the other way round, at 16 "
        "shots with seeds 1 2 3, beside zero-shot CLIP. Methods and halves are our choice.",
        ("CoOp-MT", "SoftCPT-NATA", "SoftCPT-STAR"),
        shots=(16,),
        examples=(*OTHERS, "garden8 --shots 4 --methods SoftCPT-NATA"),
    ),
}

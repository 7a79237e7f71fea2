"""Settings of the public repositories that users come from: CoOp's, the released SoftCPT code's and their kin's.

A key that has the same meaning here under another name is taken; for any other, an error names what replaces it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from common.errors import InputError

Pairs = list[tuple[str, Any]]


def _coop_csc(value: Any) -> Pairs:
    return [("TRAINER.COOP.CONTEXT", "class")] if _truth("TRAINER.COOP.CSC", value) else []


def _plot_csc(value: Any) -> Pairs:
    if _truth("TRAINER.PLOT.CSC", value):
        raise InputError("TRAINER.PLOT.CSC True is not supported: PLOT has contexts for every task; leave it False.")
    return []


def _per_task(value: Any) -> Pairs:
    _truth("TEST.PER_TASK_RESULT", value)
    return []  # every run reports its tasks


def _evaluator(value: Any) -> Pairs:
    # The released SoftCPT code's evaluator of several tasks; every trainer here has one of its own.
    return [("TEST.EVALUATOR", "Classification" if value == "ClassificationMT" else value)]


TAKEN: dict[str, Callable[[Any], Pairs]] = {
    "TRAINER.COOP.CSC": _coop_csc,
    "TRAINER.PLOT.CSC": _plot_csc,
    "TEST.PER_TASK_RESULT": _per_task,
    "TEST.EVALUATOR": _evaluator,
}
_VARIANT = "TRAINER.SOFTCPT.VARIANT (NATA, NATS, CATA, CATS, CSTA, CSTS or STAR)"
_COOP = "trainer CoOp with TRAINER.COOP.CONTEXT (task, class or shared)"
REPLACED = {
    "TRAINER.MTCOOP.N_CTX": "TRAINER.SOFTCPT.N_CTX",
    "TRAINER.MTCOOP.TASK_N_CTX": "TRAINER.SOFTCPT.TASK_N_CTX",
    "TRAINER.MTCOOP.CLASS_N_CTX": "TRAINER.SOFTCPT.CLASS_N_CTX",
    "TRAINER.MTCOOP.CLS_SAMPLE_RATE": "TRAINER.SOFTCPT.CLASS_SAMPLE_RATE",
    "TRAINER.MTCOOP.TOKEN_POSITION": "TRAINER.SOFTCPT.CLASS_TOKEN_POSITION",
    "TRAINER.MTCOOP.PREC": "TRAINER.SOFTCPT.PREC",
    "TRAINER.MTCOOP.CSC": _VARIANT,
    "TRAINER.MTCOOP.CLASS_CSC": _VARIANT,
    "TRAINER.MTCOOP.TASK_CSC": _VARIANT,
    "TRAINER.MTCOOP.PG_TYPE": f"{_VARIANT} and TRAINER.SOFTCPT.SUB_NETWORK",
    "TRAINER.MTCOOPH.N_CTX": "TRAINER.COOP.N_CTX",
    "TRAINER.MTCOOPH.CTX_INIT": "TRAINER.COOP.CTX_INIT",
    "TRAINER.MTCOOPH.TOKEN_POSITION": "TRAINER.COOP.CLASS_TOKEN_POSITION",
    "TRAINER.MTCOOPH.PREC": "TRAINER.COOP.PREC",
    "TRAINER.MTCOOPH.CSC": _COOP,
    "TRAINER.MTCOOPH.TSC": _COOP,
    "TRAINER.COOP.W": "trainer KgCoOp with TRAINER.KGCOOP.W",
    "LOSS.NAME": "trainer ProGrad",
    "LOSS.T": "TRAINER.PROGRAD.T",
    "LOSS.LAMBDA": "TRAINER.PROGRAD.LAMBDA",
}
TRAINERS = {
    "MTCoOp": "SoftCPT",
    "MTCoOpHard": "CoOp",
    "ZeroshotCLIP2": "ZeroshotCLIP with TRAINER.ZEROSHOT.TEMPLATES imagenet",
}


def translate(settings: Mapping[str, Any], prefix: str = "") -> tuple[dict[str, Any], Pairs]:
    """Split settings into ours, nested as they were, and the pairs that foreign keys mean.

    Raises:
        InputError: a key of another repository that is replaced by something else here.
    """
    ours: dict[str, Any] = {}
    pairs: Pairs = []
    for name, value in settings.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping):
            inner, more = translate(value, f"{key}.")
            pairs += more
            if inner or not value:
                ours[name] = inner
        elif key in TAKEN:
            pairs += TAKEN[key](value)
        elif key in REPLACED:
            raise InputError(f"Config key '{key}' is another repository's; here it is {REPLACED[key]}.")
        else:
            ours[name] = value
    return ours, pairs


def _truth(key: str, value: Any) -> bool:
    if str(value) not in ("True", "False"):
        raise InputError(f"{key} is '{value}'; it must be True or False.")
    return str(value) == "True"

"""The trainer registry, and the base classes of trainers."""

from dassl import not_included

from .build import TRAINER_REGISTRY, build_trainer
from .trainer import SimpleNet, SimpleTrainer, TrainerBase, TrainerX, TrainerXU

__all__ = [
    "TRAINER_REGISTRY",
    "SimpleNet",
    "SimpleTrainer",
    "TrainerBase",
    "TrainerX",
    "TrainerXU",
    "build_trainer",
]


def __getattr__(name: str) -> None:
    not_included.missing_attribute(__name__, name)

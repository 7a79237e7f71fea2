"""Trainers: their registry, and the classes that new ones derive from."""

from dassl import not_carried

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
    not_carried.attribute(__name__, name, not_carried.TRAINERS)

"""Every method on a pretend device: no operation mixes devices, and a step waits for the device at most once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dassl.engine import TRAINER_REGISTRY

from common.catalogue import METHODS
from tests.support.images import write_images
from tests.support.pretend_device import DEVICE, OnDevice, PretendDevice, Trip
from tests.support.training import AT_ONCE, SETTINGS, Workplace
from trainers.engine.task_trainer import TaskTrainer

EPOCHS = 2  # the first one fills caches, and trips are counted in the last one
WITHOUT_BANK = ("BANK.TRAIN", "False", "BANK.TEST", "False")
NOT_AUGMENTED = ("INPUT.TRANSFORMS", "('normalize',)")
SAMPLED = "SoftCPT-CSTA, classes sampled"
SAMPLE_RATE = ("TRAINER.SOFTCPT.CLASS_SAMPLE_RATE", "0.5")

# Largest numbers of trips per step, syncs and blocking uploads, of the published methods that are trained in steps.
LIMITS = {
    "CoOp-CA": (1, 0),
    "CoOp-CS": (1, 0),
    "CoOp-MT": (1, 0),
    "CoCoOp": (1, 0),
    "ProGrad": (1, 0),
    "KgCoOp": (1, 0),
    "PLOT": (1, 0),
    "SoftCPT-NATA": (1, 0),
    "SoftCPT-NATS": (1, 0),
    "SoftCPT-CATA": (1, 0),
    "SoftCPT-CATS": (1, 0),
    "SoftCPT-CSTA": (1, 0),
    "SoftCPT-CSTS": (1, 0),
    "SoftCPT-STAR": (1, 0),
    SAMPLED: (1, 0),
}


@dataclass
class Observed:
    """A run on the pretend device, and the trips of the steps of its last epoch."""

    name: str
    trainer: Any
    steps: int = 0
    trips: Counter[Trip] | None = None

    def per_step(self, kind: str) -> float:
        """Return the mean number of trips of a kind."""
        assert self.trips is not None
        return sum(number for trip, number in self.trips.items() if trip.kind == kind) / self.steps

    def offenders(self) -> str:
        """Return one line per place that causes trips."""
        assert self.trips is not None
        rows = sorted(self.trips.items(), key=lambda row: (row[0].kind, -row[1], row[0]))
        return "\n".join(f"{number / self.steps:8.2f} a step  {trip}" for trip, number in rows)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Workplace:
    """A collection of three tasks."""
    place = Workplace(tmp_path_factory.mktemp("device"), checkpoint)
    place.declaration.write_text(place.declaration.read_text() + "  - name: shape\n    folder: shapes\n")
    for number, name in enumerate(("round", "square")):
        write_images(place.root / "tiny" / "shapes" / name, 10, seed=100 + number)
    return place


def observe(place: Workplace, name: str, ahead: bool) -> Observed:
    """Train and test a method on the pretend device. With ``ahead``, images are encoded before training."""
    method = METHODS["SoftCPT-CSTA" if name == SAMPLED else name]
    kind = TRAINER_REGISTRY.get(method.trainer)
    words = (*SETTINGS.get(name, ()), *(SAMPLE_RATE if name == SAMPLED else ()))
    if kind.uses_bank(place.config(method.name, "run", *words)) != ahead:
        words = (*words, *(NOT_AUGMENTED if ahead else WITHOUT_BANK))
    folder = place.output / f"{name} {ahead}"
    precision = (f"TRAINER.{kind.section}.PREC", "fp32")  # CPUs compute float16 slowly, or not at all
    with pytest.MonkeyPatch.context() as patch, PretendDevice() as device:
        patch.setattr(TaskTrainer, "device", property(lambda self: DEVICE, lambda self, value: None), raising=False)
        trainer = place.trainer(method.name, *words, *precision, "OUTPUT_DIR", str(folder), epochs=EPOCHS)
        observed = Observed(name, trainer)
        run_epoch = trainer.run_epoch

        def counted() -> None:
            device.trips.clear()
            run_epoch()
            observed.steps, observed.trips = trainer.num_batches, device.trips.copy()

        patch.setattr(trainer, "run_epoch", counted)
        trainer.train()
    return observed


@pytest.fixture(
    scope="module",
    params=[(name, ahead) for name in (*METHODS, SAMPLED) for ahead in (True, False)],
    ids=lambda param: f"{param[0]}-{'encoded ahead' if param[1] else 'encoded at every step'}",
)
def observed(request: pytest.FixtureRequest, place: Workplace) -> Iterator[Observed]:
    """A run of every method, shared by all checks. It raises DeviceMistake if an operation mixes devices."""
    yield observe(place, *request.param)


def test_a_run_leaves_nothing_on_the_cpu(observed: Observed) -> None:
    assert bool(observed.steps) == (observed.name not in AT_ONCE)
    for module in (observed.trainer.model, observed.trainer.tower):
        for key, value in module.state_dict(keep_vars=True).items():
            assert isinstance(value, OnDevice), key
    for key, parameter in observed.trainer.model.named_parameters():
        assert parameter.grad is None or isinstance(parameter.grad, OnDevice), key


def test_a_step_waits_for_the_device_at_most_once(observed: Observed) -> None:
    if observed.name not in LIMITS:
        pytest.skip("not trained in steps" if observed.name in AT_ONCE else "not in the published table")
    found, limits = (observed.per_step("sync"), observed.per_step("upload")), LIMITS[observed.name]
    assert found[0] <= limits[0] and found[1] <= limits[1], (
        f"A step of {observed.name} takes {found[0]:.2f} syncs and {found[1]:.2f} blocking uploads; at most "
        f"{limits[0]} and {limits[1]} are allowed. Places that cause them:\n{observed.offenders()}"
    )

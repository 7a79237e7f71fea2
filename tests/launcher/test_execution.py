"""Loading what needs PyTorch, and whether the invented runs of these tests stand for the real ones."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Sequence

import pytest

from runs import config, run
from tests.support import fake_runs
from tests.support.launching import Launch


def test_the_invented_runs_have_the_interface_of_the_real_ones() -> None:
    def fields(kind: type) -> list[tuple[str, object]]:
        return [(field.name, field.default) for field in dataclasses.fields(kind)]

    assert fields(fake_runs.Request) == fields(run.Request)
    for real, fake in (
        (config.load_config, fake_runs.load_config),
        (run.run, fake_runs.run),
        (run.task_names, fake_runs.task_names),
    ):
        assert len(inspect.signature(real).parameters) == len(inspect.signature(fake).parameters)


@pytest.mark.parametrize(
    ("words", "script"),
    [
        (["softcpt", "tiny8", "4"], "scripts/softcpt/main.sh"),
        (["train", "SoftCPT-NATS", "tiny8", "4"], "scripts/train.sh"),
        (["taskres", "tiny8", "4"], "scripts/train.sh"),
        (["compare", "tiny8", "4"], "scripts/compare.sh"),
        (["new_tasks", "softcpt", "tiny8", "4"], "scripts/new_tasks.sh"),
        (["table", "variants", "tiny8"], "scripts/tables/variants.sh"),
    ],
)
def test_a_python_without_pytorch(
    launch: Launch,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: Sequence[str],
    script: str,
) -> None:
    monkeypatch.setitem(sys.modules, "runs.config", None)
    assert launch(*words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "no module 'runs.config'" in error and f"call bash {script}, which" in error

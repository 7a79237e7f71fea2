"""A run's number of threads, and the line that reports it."""

from __future__ import annotations

import pytest
import torch

from common import threads
from runs.threads import threads_for
from tests.support.training import Workplace


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let `choose` answer 1, without a setting of the user's; holds what it was asked for."""
    asked: list[int] = []

    def choose(most: int) -> threads.Choice:
        asked.append(most)
        return threads.Choice(1, "2 processors, of which others use 1.5")

    for name in threads.GIVEN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "choose", choose)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return asked


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_it_holds_during_a_run_alone(workplace: Workplace, free: list[int], three_threads, capsys) -> None:
    with pytest.raises(KeyError), threads_for(workplace.config("CoOp")):
        assert torch.get_num_threads() == 1
        raise KeyError
    assert torch.get_num_threads() == 3 and free == [3]
    assert capsys.readouterr().out.splitlines()[-1] == "Threads: 1 (2 processors, of which others use 1.5)"


def test_the_users_number_wins(workplace: Workplace, free: list[int], three_threads, capsys, monkeypatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with threads_for(workplace.config("CoOp")):
        assert torch.get_num_threads() == 3
    assert capsys.readouterr().out.splitlines()[-1] == "Threads: 3 (OMP_NUM_THREADS=3)" and not free


def test_a_gpu_needs_no_choice(workplace: Workplace, free: list[int], three_threads, monkeypatch) -> None:
    cfg = workplace.config("CoOp", "run", "USE_CUDA", "True")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with threads_for(cfg):
        assert torch.get_num_threads() == 3 and not free


def test_it_is_in_the_log(workplace: Workplace, free: list[int]) -> None:
    workplace.run("SoftCPT-NATA", "run")
    assert "Threads: 1 (2 processors, of which others use 1.5)" in (workplace.output / "run" / "log.txt").read_text()

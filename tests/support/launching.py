"""Command lines for tests: over small configs and invented runs in this process, or in a small clone of the repository.

`launch` calls launcher.main here; `clone` is a folder for what is started as a process, such as the shell scripts.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from common import paths, plugins
from common.catalogue import METHODS
from common.paths import REPOSITORY
from launcher.main import main
from tests.support import fake_runs
from tests.support.fake_runs import FakeRuns

ROOT = "my clone"
CODE = ("common", "launcher", "reporting", "scripts")  # what a clone has of the repository
CONFIGS = {
    "datasets/tiny8.yaml": "config: small\nDATASET:\n  NAME: Tiny8\n",
    "datasets/plain.yaml": "DATASET:\n  NAME: Plain\n",
    "collections/plants7.yaml": "config: lite  # its tower is OpenCLIP's\ntasks: []\n",
    # The collections of tables.
    **{f"datasets/{name}.yaml": f"DATASET:\n  NAME: {name}\n" for name in ("general10", "plant6", "rs8", "fashion20")},
    "datasets/garden8.yaml": "config: small\nDATASET:\n  NAME: Garden8\n",
    # Shared by all methods.
    "trainers/small.yaml": "# not open_clip: at all\n",
    "trainers/_lite.yaml": 'MODEL:\n  BACKBONE:\n    NAME: "open_clip:lite@x"\n',
    "trainers/lite.yaml": "_BASE_: _lite.yaml\n",
    **{f"trainers/{name}_ep50.yaml": "\n" for name in ("rn50", "rn101", "vit_b32", "vit_b16")},
    # A method's own.
    "trainers/SoftCPT/_recipe.yaml": "\n",
    "trainers/SoftCPT/special.yaml": "\n",
    "trainers/CoOp/lite.yaml": "_BASE_: [../lite.yaml]\n",
}
PLUGIN = '''
"""A method outside the repository."""

from common.catalogue import Method
from common.knobs import Knob

METHODS = (
    Method(
        "Mine", "Mine (a plug-in)", "MineTrainer", "mine", "Trains and tests Mine.",
        tied_to="classes", ties="a wish for every class",
    ),
)


class MineTrainer:
    section = "MINE"
    KNOBS = (Knob("WISHES", 3, "how many", least=1),)
'''


def write_configs(root: Path) -> None:
    """Write the small configs below ``root``/configs."""
    for name, text in CONFIGS.items():
        file = root / "configs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def write_plugin(folder: Path) -> Path:
    """Write a plug-in with a method called Mine."""
    file = folder / "my plug-in.py"
    file.write_text(PLUGIN)
    return file


def copy_code(root: Path, folders: tuple[str, ...]) -> None:
    """Copy launch.py and folders of the repository, without the training of the garden tower."""
    for folder in folders:
        skip = shutil.ignore_patterns("__pycache__", "garden8")
        shutil.copytree(REPOSITORY / folder, root / folder, ignore=skip)
    shutil.copy(REPOSITORY / "launch.py", root / "launch.py")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The root of a small clone, with a space in its path, since users have those."""
    root = tmp_path / ROOT
    copy_code(root, CODE)
    (root / "runs").mkdir()
    for name in ("__init__", "results", "status", "pictures"):
        shutil.copy(REPOSITORY / "runs" / f"{name}.py", root / "runs" / f"{name}.py")
    for name in ("config", "run"):
        shutil.copy(fake_runs.__file__, root / "runs" / f"{name}.py")
    (root / "requirements.txt").write_text("# the tests' own environment has this\npytest\n")
    (root / "requirements-openclip.txt").write_text("no-such-distribution>=2\n")
    write_configs(root)
    return root


class Launch:
    """Calls a command in this process, over the small configs in ``root`` and invented runs.

    launch("softcpt", "tiny8", 4) gives its exit status.
    """

    def __init__(self, root: Path, fake: FakeRuns):
        self.root, self.fake = root, fake

    def __call__(self, *words: object) -> int:
        return main([str(word) for word in words])

    @property
    def calls(self) -> list[fake_runs.Call]:
        """The runs that were asked for so far."""
        return self.fake.calls

    @property
    def output(self) -> Path:
        return self.root / "output"


@pytest.fixture
def restored_methods(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Plug-ins that the test loads are forgotten after it."""
    monkeypatch.setenv(plugins.VARIABLE, "")
    methods, modules = dict(METHODS), set(sys.modules)
    yield
    METHODS.clear()
    METHODS.update(methods)
    for name in set(sys.modules) - modules:
        if name.startswith("softcpt_plugin_"):
            del sys.modules[name]


@pytest.fixture
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restored_methods: None) -> Launch:
    """The command line over small configs and invented runs; with `clone`, over the configs of the clone."""
    root = tmp_path / ROOT
    write_configs(root)
    monkeypatch.setattr(paths, "CONFIGS", root / "configs")
    monkeypatch.setattr(paths, "DATA", root / "data")
    monkeypatch.setattr(paths, "OUTPUT", root / "output")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    fake = FakeRuns()
    for name in ("config", "run"):
        module = types.ModuleType(f"runs.{name}")
        vars(module).update(Request=fake_runs.Request, load_config=fake.load_config, run=fake.run)
        vars(module).update(task_names=fake.task_names)
        monkeypatch.setitem(sys.modules, f"runs.{name}", module)
    return Launch(root, fake)


def run_folder(
    output: Path,
    *parts: str,
    dataset: str = "tiny8",
    method: str = "SoftCPT-NATA",
    config: str = "small",
    shots: int = 4,
    seed: int = 1,
) -> Path:
    """The folder of a run."""
    return output.joinpath(dataset, method, config, f"{shots}shots", f"seed{seed}", *parts)


def start(root: Path, *words: object, **env: str) -> subprocess.Popen[str]:
    """Start launch.py of a clone as a process."""
    command = [sys.executable, str(root / "launch.py"), *map(str, words)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""} | env,
    )


def rows_of(out: str) -> dict[str, list[str]]:
    """A table's rows as lists of cells, by their first."""
    lines = [re.split(r"\s{2,}", line.strip()) for line in out.splitlines()]
    return {line[0]: line[1:] for line in lines if len(line) > 2}


def raises(error: BaseException) -> Callable[..., NoReturn]:
    """A function that raises an error whatever its arguments are."""

    def function(*_: object, **__: object) -> NoReturn:
        raise error

    return function

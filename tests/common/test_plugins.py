"""Methods in files outside the repository: loaded, planned, trained; and the errors."""

import json
import os
import subprocess
import sys

import pytest
from dassl.engine import TRAINER_REGISTRY

import train
from common import plugins
from common.catalogue import METHODS
from common.errors import InputError
from common.files import digest
from common.paths import REPOSITORY
from launcher import frame, main

PLUGIN = '''
"""CoOp with a context that is half as long."""

from dassl.engine import TRAINER_REGISTRY

from common.catalogue import Method
from common.knobs import Knob
from trainers.engine.contexts import ContextTable
from trainers.engine.prompt_trainer import PromptTrainer


@TRAINER_REGISTRY.register()
class Half(PromptTrainer):
    section = "HALF"
    KNOBS = (Knob("N_CTX", 8, "context vectors", least=1),)

    def build_learner(self):
        return ContextTable(1, self.knobs.N_CTX, self.tower.text.width)


METHODS = (
    Method("Half", "Half a CoOp", "Half", "half", "Trains Half.", keys=(("TRAINER.HALF.N_CTX", "8"),)),
    Method("Half-1", "Half (1)", "Half", "half-1", "Trains it.", keys=(("TRAINER.HALF.N_CTX", "1"),)),
)
'''
BARE = """
from common.catalogue import Method

METHODS = (Method("Bare", "Bare", "NoTrainer", "bare", "Does nothing."),)
"""


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    """The catalogue, the modules and the environment, as they were."""
    methods, modules = dict(METHODS), set(sys.modules)
    monkeypatch.setenv(plugins.VARIABLE, "")
    yield
    METHODS.clear()
    METHODS.update(methods)
    for name in set(sys.modules) - modules:
        if name.startswith("softcpt_plugin_"):
            del sys.modules[name]


def write(folder, text, name="mine.py"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_plug_in_is_listed_once(tmp_path):
    path = write(tmp_path, BARE)
    plugins.load(plugins.named([str(path)]))
    plugins.load(plugins.named([str(path)]))
    assert METHODS["Bare"].trainer == "NoTrainer" and list(METHODS).count("Bare") == 1
    assert plugins.paths() == [path] and os.environ[plugins.VARIABLE] == str(path)


def test_plug_ins_of_the_environment_come_first(tmp_path, monkeypatch):
    first, second = write(tmp_path, BARE, "first.py"), write(tmp_path, BARE, "second.py")
    monkeypatch.setenv(plugins.VARIABLE, f"{first}{os.pathsep}{os.pathsep}")
    monkeypatch.chdir(tmp_path)
    assert plugins.named(["second.py", str(first)]) == [first, second] == plugins.paths()


def test_a_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert plugins.named(["~/mine.py"]) == [tmp_path / "mine.py"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("gone.py", None, "gone.py is missing.*--plugin"),
        ("empty.py", "", "empty.py .*METHODS"),
        ("list.py", "METHODS = []\n", "list.py .*METHODS"),
        ("words.py", "METHODS = ('CoOp',)\n", "words.py .*METHODS"),
        ("broken.py", "def\n", "broken.py cannot be imported: SyntaxError"),
        ("failing.py", "1 / 0\n", "failing.py cannot be imported: ZeroDivisionError: division by zero"),
        ("lines.py", "raise ValueError('one\\ntwo')\n", "lines.py cannot be imported: ValueError: one"),
        ("text.txt", BARE, "text.txt .*\\.py"),
        ("taken.py", BARE.replace('"Bare", "Bare"', '"CoOp-CA", "Mine"'), "CoOp-CA has the name of CoOp-CA"),
        ("label.py", BARE.replace('"Bare", "Bare"', '"Bare", "PLOT"'), "Bare has the label of PLOT"),
        ("command.py", BARE.replace('"bare"', '"plot"'), "Bare has the command of PLOT"),
    ],
)
def test_what_cannot_be_loaded_is_an_error(tmp_path, name, text, message):
    path = write(tmp_path, text, name) if text is not None else tmp_path / name
    before = dict(METHODS)
    with pytest.raises(InputError, match=message):
        plugins.load(plugins.named([str(path)]))
    assert METHODS == before and f"softcpt_plugin_{path.stem}" not in sys.modules


def test_an_import_that_fails_is_left_to_the_caller(tmp_path):
    """Before the set-up it may be PyTorch, which the set-up installs."""
    path = write(tmp_path, f"import no_such_package\n{BARE}")
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        plugins.load([path])
    assert "Bare" not in METHODS


def test_two_files_of_one_name_are_an_error(tmp_path):
    plugins.load([write(tmp_path, BARE, "a/mine.py")])
    with pytest.raises(InputError, match="b/mine.py .* a/mine.py|b/mine.py .*/a/mine.py"):
        plugins.load([write(tmp_path, BARE.replace("Bare", "Other"), "b/mine.py")])


@pytest.mark.parametrize("call", [train.answer, lambda words: main.answer(["train", "coop", *words])])
def test_mistakes_are_one_line(tmp_path, capsys, call):
    """On both command lines."""
    for path, message in (
        (tmp_path / "gone.py", "gone.py is missing"),
        (write(tmp_path, "1 / 0\n", "failing.py"), "ZeroDivisionError"),
        (write(tmp_path, "raise ValueError('one\\ntwo')\n", "lines.py"), "ValueError: one two"),
        (write(tmp_path, "import no_such_package\n", "needs.py"), "no_such_package"),
        (write(tmp_path, BARE.replace('"Bare", "Bare"', '"Bare", "PLOT"'), "taken.py"), "label of PLOT"),
    ):
        os.environ[plugins.VARIABLE] = ""
        assert frame.run(call, ["--plugin", str(path)]) == 2
        output = capsys.readouterr()
        assert output.err.count("\n") == 1 and message in output.err and output.out == ""


# -- from one end to the other, in processes of their own --

CONFIG = """
MODEL: {BACKBONE: {NAME: %s}}
INPUT: {SIZE: [32, 32], TRANSFORMS: [normalize]}
DATALOADER: {NUM_WORKERS: 0, TRAIN_X: {BATCH_SIZE: 4}}
OPTIM: {MAX_EPOCH: 1}
"""


def python(*words, **environment):
    """Run a script of the repository."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def read(path):
    return json.loads((path / "results.json").read_text())


def test_train_py_trains_it(workplace, tmp_path):
    plugin = write(tmp_path, PLUGIN)
    python("train.py", "--plugin", plugin, *workplace.flags("Half", "run", epochs=1))
    results = read(workplace.output / "run")
    assert (results["method"], results["trainer"]) == ("Half", "Half") and results["finished"]
    assert results["counts"]["trainable_parameters"] == 8 * 64
    assert results["plugins"] == {str(plugin): digest(plugin)}


def test_the_launcher_lists_plans_and_trains_it(workplace, tmp_path):
    plugin = write(tmp_path, PLUGIN)
    config = write(tmp_path, CONFIG % workplace.checkpoint, "own.yaml")
    words = ["Half-1", workplace.declaration, "2", "--seeds", "1", "--cfg", config]
    words += ["--data", workplace.root, "--output", workplace.output]
    assert "\n  half-1 " in python("launch.py", "train", "--help", "--plugin", plugin)
    python("launch.py", "train", *words, **{plugins.VARIABLE: str(plugin)})
    results = read(workplace.output / "tiny/Half-1/own/2shots/seed1")
    assert results["method"] == "Half-1" and results["counts"]["trainable_parameters"] == 64
    assert results["plugins"] == {str(plugin): digest(plugin)}


def test_the_registry_is_as_it_was():
    """The plug-in that registers a trainer ran in other processes."""
    assert "Half" not in TRAINER_REGISTRY.registered_names()

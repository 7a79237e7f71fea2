"""Where things are: the repository, and the names of the files in a run's folder."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
CONFIGS = REPOSITORY / "configs"
DATA, OUTPUT = REPOSITORY / "data", REPOSITORY / "output"  # the defaults of --data and --output
BANK = ".bank"  # within the output folder: image features

# In a run's folder.
CONFIG = "config.yaml"  # the settings that it was begun with
LOG = "log.txt"
CHECKPOINTS = "prompt_learner"  # a folder; its name is also the learner's in Dassl's list of models
TASKS = "tasks.json"  # the tasks and classes that the checkpoints were trained on
CLASSIFIER = "classifier.json"  # what was tested, in use; see `classifier.bundle`
WEIGHTS = "classifier.safetensors"  # its tensors
TOGETHER = "together.json"  # beside the folders of seeds: what they reach as one classifier
RESULTS = "results.json"  # written last: its mark says that the run is finished
EVALUATION = "evaluation.json"  # the same of an evaluation of another run's checkpoint
TESTED = "tested"  # a folder: evaluations of this run's checkpoint
FOLDS = "folds"  # a folder beside those of seeds: runs that hold some of the shots out
TRACEBACK = "traceback.txt"  # of the error that ended it
INPUTS = "configs.sha256"  # hashes of the config files, and of what it started from, that it was made from
TENSORBOARD = "tensorboard"  # a folder
LOCK = ".lock"  # held by the process that works in the folder
# A folder with any of these is a run's, whether or not the run finished.
TRACES = (RESULTS, CONFIG, LOG, TRACEBACK)


def expanded(path: Path | str) -> Path:
    """``path`` with ~ as the home folder; that of an unknown user stays as it is."""
    return Path(os.path.expanduser(path))

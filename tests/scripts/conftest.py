"""A small clone of the repository: the real scripts, invented configs, and a train.py that only writes results."""

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

FAKE_TRAIN = """
import json
from pathlib import Path

METHODS = {"NATA": "SoftCPT-NATA", "NATS": "SoftCPT-NATS", "task": "CoOp-CA", "shared": "CoOp-MT"}
TASKS = [{"name": "petal colour", "metric": "A"}, {"name": "leaf shape", "metric": "C"}]
PARTS = {"all": TASKS, "base": TASKS[:1], "new": TASKS[1:], "task0": TASKS[:1], "task1": TASKS[1:]}
calls = []


def task_names(argv):
    calls.append("names")
    return [task["name"] for task in TASKS]


def run(argv, brief=False):
    calls.append(argv)
    tested = argv[2] if argv[0] == "--eval-only" else None
    argv = argv[3:] if tested else argv
    flags = dict(zip(argv[:12:2], argv[1:12:2]))
    keys = dict(zip(argv[12::2], argv[13::2]))
    folder, seed = Path(flags["--output-dir"]), int(flags["--seed"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "log.txt").write_text("log")
    if keys.get("FAKE.INTERRUPT") == str(seed):
        raise KeyboardInterrupt
    if keys.get("FAKE.FAIL") == str(seed):
        raise RuntimeError("out of memory\\nand more")
    if keys.get("FAKE.BAD") == str(seed):
        from common.errors import InputError
        raise InputError("Image x.jpg is corrupt; replace it.")
    if keys.get("FAKE.REFUSE") == flags["--trainer"]:
        from common.errors import InputError
        raise InputError(f"{flags['--trainer']} cannot do this tower; take another.")
    run_folder = folder.parents[1] if tested else folder
    method = next((METHODS[v] for v in keys.values() if v in METHODS), run_folder.parents[2].name)
    gain = seed - 10 * bool(tested) + int(keys.get("FAKE.GAIN", 0))
    record = {
        "finished": True, "method": method, "trainer": flags["--trainer"], "dataset": "Tiny8", "backbone": "ViT",
        "config": Path(flags["--config-file"]).stem, "seed": seed, "shots": int(keys.get("DATASET.NUM_SHOTS", -1)),
        "tasks": [task | {"accuracy": (50.0 if task["metric"] == "A" else 60.0) + gain}
                  for task in PARTS[keys.get("DATASET.SUBSAMPLE_TASKS", "all")]],
        "mean": 0.0, "counts": {"trainable_parameters": 4096},
        "seconds": {"train": 3.0, "test": 1.0, "total": 4.5},
    }
    if tested:
        record["checkpoint"] = json.loads((Path(tested) / "results.json").read_text()).get("checkpoint")
    else:
        record["checkpoint"] = f"{folder} {len(calls)}"
    (folder / ("evaluation.json" if tested else "results.json")).write_text(json.dumps(record))
    return record
"""


@pytest.fixture
def clone(tmp_path) -> Path:
    """The clone's root; a space in its path, since users have those."""
    root = tmp_path / "my clone"
    skip = shutil.ignore_patterns("__pycache__", "garden8")
    for folder in ("scripts", "reporting"):
        shutil.copytree(ROOT / folder, root / folder, ignore=skip)
    (root / "prompting").mkdir()
    for name in ("__init__.py", "errors.py", "files.py"):
        shutil.copy(ROOT / "prompting" / name, root / "prompting" / name)
    (root / "train.py").write_text(FAKE_TRAIN)
    (root / "requirements.txt").write_text("# the tests' own environment has this\npytest\n")
    (root / "requirements-openclip.txt").write_text("no-such-distribution>=2\n")
    files = {
        "configs/datasets/tiny8.yaml": "# default config: small\nDATASET:\n  NAME: Tiny8\n",
        "configs/datasets/plain.yaml": "DATASET:\n  NAME: Plain\n",
        "configs/collections/plants7.yaml": "config: lite  # its tower is OpenCLIP's\ntasks: []\n",
        "configs/trainers/lite.yaml": 'MODEL:\n  BACKBONE:\n    NAME: "open_clip:lite@x"\n',
    }
    for trainer in ("SoftCPT", "CoOp", "ZeroshotCLIP"):
        files[f"configs/trainers/{trainer}/small.yaml"] = "# not open_clip: at all\n"
        files[f"configs/trainers/{trainer}/rn50_ep50.yaml"] = "\n"
        files[f"configs/trainers/{trainer}/lite.yaml"] = "_BASE_: ../lite.yaml\n"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def load(path: Path, name: str):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def launch(clone, monkeypatch):
    """scripts/launch.py over the clone's configs and fake train module; call launch("softcpt", "tiny8", "4")."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("launch_plan", "protocols"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    module = load(ROOT / "scripts" / "launch.py", "launch_under_test")
    monkeypatch.setattr("scripts.launch_words.ROOT", clone)
    fake = load(clone / "train.py", "fake_train")
    monkeypatch.setitem(sys.modules, "train", fake)
    call = lambda *words: module.main([str(word) for word in words])  # noqa: E731
    call.train, call.protocols = fake, sys.modules["protocols"]
    return call

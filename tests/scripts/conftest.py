"""A small clone of the repository: the real scripts, invented configs, and a train.py that only writes results."""

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

FAKE_TRAIN = """
import json
from pathlib import Path

METHODS = {"NATA": "SoftCPT-NATA", "NATS": "SoftCPT-NATS", "task": "CoOp-CA", "shared": "CoOp-MT"}
calls = []


def run(argv, brief=False):
    calls.append(argv)
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
        from prompting.errors import InputError
        raise InputError("Image x.jpg is corrupt; replace it.")
    if keys.get("FAKE.REFUSE") == flags["--trainer"]:
        from prompting.errors import InputError
        raise InputError(f"{flags['--trainer']} cannot do this tower; take another.")
    method = next((METHODS[v] for v in keys.values() if v in METHODS), folder.parents[2].name)
    record = {
        "finished": True, "method": method, "trainer": flags["--trainer"], "dataset": "Tiny8", "backbone": "ViT",
        "config": Path(flags["--config-file"]).stem, "seed": seed, "shots": int(keys.get("DATASET.NUM_SHOTS", -1)),
        "tasks": [{"name": "petal colour", "metric": "A", "accuracy": 50.0 + seed},
                  {"name": "leaf shape", "metric": "C", "accuracy": 60.0 + seed}],
        "mean": 0.0, "counts": {"trainable_parameters": 4096},
        "seconds": {"train": 3.0, "test": 1.0, "total": 4.5},
    }
    (folder / "results.json").write_text(json.dumps(record))
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
    for name in ("__init__.py", "errors.py"):
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

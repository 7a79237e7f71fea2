"""Whoever has upstream Dassl 0.6.3 keeps it: nothing here uses a name of `dassl` that upstream lacks.

The lists were compared with upstream's source. A name that is new here is added only after a look that upstream has it,
and means the same by it.
"""

from __future__ import annotations

from collections.abc import Iterator

from dassl.config import get_cfg_default
from dassl.data import DataManager, DatasetWrapper
from dassl.data.datasets import DatasetBase
from dassl.engine import TrainerX
from dassl.evaluation.evaluator import EvaluatorBase
from yacs.config import CfgNode

from tests.upstream_names import Uses, collect

IMPORTS = """
dassl.config.get_cfg_default
dassl.data.DataManager
dassl.data.data_manager.DatasetWrapper
dassl.data.datasets.DATASET_REGISTRY dassl.data.datasets.DatasetBase dassl.data.datasets.Datum
dassl.data.datasets.build_dataset
dassl.data.transforms.build_transform
dassl.engine.TRAINER_REGISTRY dassl.engine.TrainerX dassl.engine.build_trainer
dassl.evaluation.evaluator.EvaluatorBase
dassl.metrics.compute_accuracy
dassl.optim.build_lr_scheduler dassl.optim.build_optimizer
dassl.utils.collect_env_info dassl.utils.count_num_param dassl.utils.load_checkpoint
dassl.utils.load_pretrained_weights dassl.utils.set_random_seed
"""
# Upstream lacks it. Whoever has upstream is told what to do when a downloaded archive is to be unpacked.
DOWNLOADER, UNPACKING = "scripts/datasets/fetch.py", "dassl.data.datasets.archives.extract_archive"

KEYWORDS = """
DataManager(custom_tfm_train) DataManager(dataset_wrapper)
Datum(impath) Datum(label) Datum(domain) Datum(classname)
build_transform(is_train)
"""

ATTRIBUTES = {
    "TrainerX": """
        __init__ check_cfg build_data_loader build_model register_model
        train before_train before_epoch after_epoch after_train test forward_backward parse_batch_train
        detect_anomaly model_backward model_backward_and_update update_lr set_model_mode write_scalar
        save_model load_model resume_model_if_exist
        cfg device output_dir start_epoch max_epoch batch_idx num_batches
    """,
    "DataManager": """
        dataset num_classes num_source_domains lab2cname train_loader_x train_loader_u val_loader test_loader
    """,
    "DatasetWrapper": "__init__ __getitem__ data_source is_train transform",
    "DatasetBase": "__init__",
    "EvaluatorBase": "__init__ evaluate process reset",
}

KEYS = """
OUTPUT_DIR RESUME SEED USE_CUDA VERBOSE
DATALOADER.NUM_WORKERS DATALOADER.TEST.BATCH_SIZE DATALOADER.TRAIN_X.BATCH_SIZE
DATASET.NAME DATASET.NUM_SHOTS DATASET.ROOT DATASET.SOURCE_DOMAINS DATASET.TARGET_DOMAINS
INPUT.SIZE INPUT.TRANSFORMS
MODEL.BACKBONE.NAME MODEL.HEAD.NAME MODEL.INIT_WEIGHTS
OPTIM.MAX_EPOCH
TEST.FINAL_MODEL TEST.NO_TEST TEST.SPLIT
TRAIN.CHECKPOINT_FREQ
TRAINER.NAME
"""


def leaves(node: CfgNode, above: str = "") -> Iterator[str]:
    """The dotted keys of all values."""
    for key, value in node.items():
        if isinstance(value, CfgNode):
            yield from leaves(value, f"{above}{key}.")
        else:
            yield above + key


def used() -> Uses:
    classes = (TrainerX, DataManager, DatasetWrapper, DatasetBase, EvaluatorBase)
    defined = {cls.__name__: {name for name in dir(cls) if "__" not in name} | {"__init__"} for cls in classes}
    defined["DatasetWrapper"].add("__getitem__")
    return collect(defined, set(leaves(get_cfg_default())))


def same(found: dict[str, set[str]], listed: str, what: str) -> None:
    """Found and listed are the same; otherwise say which name, and where it stands."""
    names = listed.split()
    assert len(names) == len(set(names)), f"{what}: listed twice"
    extra = {name: sorted(files) for name, files in found.items() if name not in names}
    assert not extra, f"{what}: not listed, so upstream may lack it: {extra}"
    assert not set(names) - set(found), f"{what}: listed and used nowhere: {sorted(set(names) - set(found))}"


def test_no_name_of_dassl_is_used_that_upstream_lacks():
    uses = used()
    assert uses.imports.pop(UNPACKING) == {DOWNLOADER}
    same(uses.imports, IMPORTS, "imports")
    same(uses.keywords, KEYWORDS, "keyword arguments")
    same(uses.keys, KEYS, "configuration keys")
    assert uses.attributes.keys() == ATTRIBUTES.keys()
    for name, listed in ATTRIBUTES.items():
        same(uses.attributes[name], listed, name)

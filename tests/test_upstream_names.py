"""The repository also runs with upstream Dassl 0.6.3: it uses only names of `dassl` that upstream has.

The lists were compared with upstream's source. Before you add a name, check that upstream has it and that it means the
same there.
"""

from __future__ import annotations

from collections.abc import Iterator

from dassl.config import get_cfg_default
from dassl.data import DataManager, DatasetWrapper
from dassl.data.datasets import DatasetBase
from dassl.engine import TrainerX
from dassl.evaluation.evaluator import EvaluatorBase
from yacs.config import CfgNode

from tests.support.upstream_names import Uses, collect

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
dassl.utils.set_random_seed
"""
# Upstream lacks extract_archive. With upstream, the downloader raises an error that says what to do instead.
DOWNLOADER, EXTRACTION = "launcher/data/fetch.py", "dassl.data.datasets.archives.extract_archive"

KEYWORDS = """
DataManager(custom_tfm_train) DataManager(custom_tfm_test) DataManager(dataset_wrapper)
Datum(impath) Datum(label) Datum(domain) Datum(classname)
build_transform(is_train)
"""

ATTRIBUTES = {
    "TrainerX": """
        __init__ check_cfg build_data_loader build_model register_model
        train before_train before_epoch after_epoch after_train test forward_backward
        detect_anomaly model_backward model_backward_and_update model_update update_lr set_model_mode write_scalar
        save_model load_model resume_model_if_exist
        device output_dir start_epoch epoch max_epoch batch_idx num_batches
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
DATALOADER.NUM_WORKERS DATALOADER.TEST.BATCH_SIZE DATALOADER.TEST.SAMPLER
DATALOADER.TRAIN_X.BATCH_SIZE DATALOADER.TRAIN_X.N_DOMAIN DATALOADER.TRAIN_X.N_INS
DATASET.NAME DATASET.NUM_SHOTS DATASET.ROOT DATASET.SOURCE_DOMAINS DATASET.TARGET_DOMAINS
INPUT.SIZE INPUT.INTERPOLATION INPUT.TRANSFORMS INPUT.NO_TRANSFORM INPUT.PIXEL_MEAN INPUT.PIXEL_STD
INPUT.CROP_PADDING INPUT.RRCROP_SCALE INPUT.CUTOUT_N INPUT.CUTOUT_LEN INPUT.GN_MEAN INPUT.GN_STD
INPUT.RANDAUGMENT_N INPUT.RANDAUGMENT_M INPUT.COLORJITTER_B INPUT.COLORJITTER_C INPUT.COLORJITTER_S
INPUT.COLORJITTER_H INPUT.RGS_P INPUT.GB_P INPUT.GB_K
MODEL.BACKBONE.NAME MODEL.HEAD.NAME MODEL.INIT_WEIGHTS
OPTIM.MAX_EPOCH OPTIM.NAME OPTIM.LR OPTIM.WEIGHT_DECAY OPTIM.MOMENTUM OPTIM.SGD_DAMPNING OPTIM.RMSPROP_ALPHA
OPTIM.ADAM_BETA1 OPTIM.ADAM_BETA2 OPTIM.STAGED_LR OPTIM.LR_SCHEDULER OPTIM.STEPSIZE OPTIM.GAMMA
OPTIM.WARMUP_EPOCH OPTIM.WARMUP_TYPE OPTIM.WARMUP_CONS_LR OPTIM.WARMUP_MIN_LR
TEST.EVALUATOR TEST.FINAL_MODEL TEST.NO_TEST TEST.SPLIT
TRAIN.CHECKPOINT_FREQ TRAIN.PRINT_FREQ
TRAINER.NAME
"""


def leaves(node: CfgNode, above: str = "") -> Iterator[str]:
    """Yield the dotted keys of all values."""
    for key, value in node.items():
        if isinstance(value, CfgNode):
            yield from leaves(value, f"{above}{key}.")
        else:
            yield above + key


def used() -> Uses:
    """Collect the names of dassl that the repository uses."""
    classes = (TrainerX, DataManager, DatasetWrapper, DatasetBase, EvaluatorBase)
    defined = {cls.__name__: {name for name in dir(cls) if "__" not in name} | {"__init__"} for cls in classes}
    defined["DatasetWrapper"].add("__getitem__")
    return collect(defined, set(leaves(get_cfg_default())))


def check_names(found: dict[str, set[str]], listed: str, kind: str) -> None:
    """Fail with the names, and the files that use them, unless ``found`` and ``listed`` are the same."""
    names = listed.split()
    assert len(names) == len(set(names)), f"{kind}: listed twice"
    extra = {name: sorted(files) for name, files in found.items() if name not in names}
    assert not extra, f"{kind}: not listed, so upstream may lack it: {extra}"
    assert not set(names) - set(found), f"{kind}: listed but not used: {sorted(set(names) - set(found))}"


def test_all_names_of_dassl_in_use_exist_in_upstream():
    uses = used()
    assert uses.imports.pop(EXTRACTION) == {DOWNLOADER}
    check_names(uses.imports, IMPORTS, "imports")
    check_names(uses.keywords, KEYWORDS, "keyword arguments")
    check_names(uses.keys, KEYS, "configuration keys")
    assert uses.attributes.keys() == ATTRIBUTES.keys()
    for name, listed in ATTRIBUTES.items():
        check_names(uses.attributes[name], listed, name)

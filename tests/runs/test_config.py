"""The settings of a run: what overrides what, how values are read, and the errors."""

from pathlib import Path

import pytest
from dassl.engine import TRAINER_REGISTRY

from common import configs
from common.catalogue import METHODS
from common.errors import InputError
from common.files import digest
from common.paths import REPOSITORY
from runs.config import load_config
from tests.support.limits import in_time, make_pipe

CONFIGS = REPOSITORY / "configs"
TOWER = ("MODEL.BACKBONE.NAME", "ViT-B/32")  # a checkpoint on disk need not be there


def settings(tmp_path: Path, text: str, name: str = "mine.yaml") -> Path:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


# -- precedence --


def test_later_settings_override_earlier_ones(tmp_path):
    """Dassl's defaults, the data set's file, the config, the method's recipe, the method's keys, the overrides."""
    dataset = settings(
        tmp_path, "DATASET:\n  NAME: DescribableTextures\nOPTIM:\n  LR: 0.1\n  MAX_EPOCH: 7\n", "set.yaml"
    )

    def found(method, *overrides, config=None):
        cfg = load_config(dataset, method, [TOWER, *overrides], config)
        return cfg.OPTIM.LR, cfg.OPTIM.MAX_EPOCH, cfg.DATALOADER.TRAIN_X.BATCH_SIZE

    assert found("CoCoOp") == (0.1, 7, 32)
    config = settings(tmp_path, "OPTIM:\n  LR: 0.2\n", "config.yaml")
    assert found("CoCoOp", config=config) == (0.2, 7, 32)  # a file elsewhere has no recipe laid over it
    assert found("CoOp-CA", config="rn50_ep50") == (0.002, 50, 32)
    assert found("CoCoOp", config="rn50_ep50") == (0.002, 10, 1)
    assert found("CoCoOp", ("OPTIM.MAX_EPOCH", "3"), config="rn50_ep50") == (0.002, 3, 1)
    assert found("CoCoOp", ("OPTIM.MAX_EPOCH", "3"), ("OPTIM.MAX_EPOCH", "4"), config="rn50_ep50") == (0.002, 4, 1)


def test_keys_of_a_method_override_its_config_and_not_the_command_line(tmp_path):
    config = settings(tmp_path, "TRAINER:\n  COOP:\n    CONTEXT: class\n")
    assert load_config("dtd", "CoOp", [TOWER], config).TRAINER.COOP.CONTEXT == "class"
    assert load_config("dtd", "CoOp-MT", [TOWER], config).TRAINER.COOP.CONTEXT == "shared"
    assert load_config("dtd", "CoOp-MT", [TOWER, ("TRAINER.COOP.CONTEXT", "task")]).TRAINER.COOP.CONTEXT == "task"


def test_base_files_come_before_the_file_that_names_them(tmp_path):
    settings(tmp_path, "OPTIM:\n  LR: 0.1\n  MAX_EPOCH: 1\n  WEIGHT_DECAY: 0.5\n", "parts/first.yaml")
    settings(tmp_path, "OPTIM:\n  LR: 0.2\n  MAX_EPOCH: 2\n", "parts/second.yaml")
    config = settings(tmp_path, "_BASE_: [parts/first.yaml, parts/second.yaml]\nOPTIM:\n  LR: 0.3\n")
    optim = load_config("dtd", "CoOp", [TOWER], config).OPTIM
    assert (optim.LR, optim.MAX_EPOCH, optim.WEIGHT_DECAY) == (0.3, 2, 0.5)
    assert [path.name for path in configs.chain(config)] == ["mine.yaml", "first.yaml", "second.yaml"]
    settings(tmp_path, "_BASE_: ../mine.yaml\n", "parts/first.yaml")
    with pytest.raises(InputError, match="_BASE_"):
        load_config("dtd", "CoOp", [TOWER], config)


def test_the_config_that_a_data_set_asks_for_is_no_setting_of_its_runs(tmp_path):
    dataset = settings(tmp_path, "config: rn50_ep50\nDATASET:\n  NAME: DescribableTextures\n")
    cfg = load_config(dataset, "CoOp", [TOWER])
    assert "config" not in cfg and cfg.OPTIM.MAX_EPOCH != 50
    assert configs.default_config(dataset) == "rn50_ep50"


def test_a_trainer_can_be_named_by_the_settings():
    """As in CoOp: --trainer is optional where the command line sets TRAINER.NAME."""
    cfg = load_config("dtd", "", [TOWER, ("TRAINER.NAME", "CoCoOp")], CONFIGS / "trainers/rn50_ep50.yaml")
    assert (cfg.TRAINER.NAME, cfg.DATALOADER.TRAIN_X.BATCH_SIZE) == ("CoCoOp", 1)


# -- values --


@pytest.mark.parametrize("name", ["1", "None", "[1]", "1e3", "(1, 2)", "true"])
def test_paths_are_not_read_as_literals(tmp_path, name):
    overrides = [TOWER, ("DATASET.ROOT", Path(name)), ("OUTPUT_DIR", tmp_path / name)]
    cfg = load_config("dtd", "CoOp", overrides)
    assert (cfg.DATASET.ROOT, cfg.OUTPUT_DIR) == (name, str(tmp_path / name))
    key = ("DATASET.ROOOT", Path(name))
    with pytest.raises(InputError, match="'DATASET.ROOOT' is unknown .*did you mean 'DATASET.ROOT'"):
        load_config("dtd", "CoOp", [TOWER, key])


def test_text_is_read_as_on_a_command_line():
    cfg = load_config("dtd", "CoOp", [TOWER, ("OPTIM.LR", "0.1"), ("INPUT.SIZE", "(64, 64)"), ("SEED", "7")])
    assert (cfg.OPTIM.LR, cfg.INPUT.SIZE, cfg.SEED) == (0.1, (64, 64), 7)
    assert load_config("dtd", "CoOp", [TOWER, ("SEED", 8)]).SEED == 8


def test_a_data_folder_called_1(workplace, monkeypatch):
    """A whole run with relative paths that look like numbers."""
    monkeypatch.chdir(workplace.output.parent)
    workplace.root, workplace.output = workplace.root.rename("1"), Path("2")
    results = workplace.run("CoOp", "7", epochs=1)
    assert results["finished"] and Path("2/7/results.json").is_file()


def test_settings_are_frozen_and_know_the_tower(workplace):
    cfg = workplace.config("CoOp")
    assert cfg.is_frozen() and len(cfg.MODEL.BACKBONE.DIGEST) == 16
    assert load_config("dtd", "CoOp", [TOWER]).MODEL.BACKBONE.DIGEST == ""


# -- files that are missing or wrong --


def test_a_shared_config_is_refused_where_the_trainer_has_its_own():
    """SoftCPT needs its own config for this tower: the shared one would train something else under its name."""
    shared = CONFIGS / "trainers/garden_vit_ep50.yaml"
    with pytest.raises(InputError, match="SoftCPT/garden_vit_ep50.yaml") as error:
        load_config("garden8", "SoftCPT", config=shared)
    assert "\n" not in str(error.value) and str(shared) in str(error.value)
    assert load_config("garden8", "SoftCPT", config="garden_vit_ep50").TRAINER.SOFTCPT.FEATURES == "standard"
    assert load_config("garden8", "CoOp", config=shared).TRAINER.NAME == "CoOp"


def test_a_config_may_be_named_in_a_methods_folder_as_in_coops_repository():
    """There every trainer has a copy of every config; here most are shared, and a trainer lays its recipe over them."""
    for trainer in ("CoOp", "CoCoOp", "SoftCPT"):
        gone = CONFIGS / f"trainers/{trainer}/rn50_ep50.yaml"
        assert not gone.exists()
        assert load_config("dtd", trainer, config=gone) == load_config("dtd", trainer, config="rn50_ep50")
    with pytest.raises(InputError, match="'nowhere' is unknown in configs/trainers and configs/trainers/PLOT"):
        load_config("dtd", "PLOT", config=CONFIGS / "trainers/PLOT/nowhere.yaml")
    elsewhere = CONFIGS / "trainers/PLOT/rn50_ep50.yaml"  # of another method than the run's
    with pytest.raises(InputError, match="configs/trainers/rn50_ep50.yaml") as error:
        load_config("dtd", "CoOp", config=elsewhere)
    assert str(elsewhere) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- OPTIM\n", "mine.yaml .*list"),
        ("OPTIM: {\n", "mine.yaml .*YAML"),
        ("OPTIM:\n  MAX_EPOCHS: 3\n", "'OPTIM.MAX_EPOCHS' is unknown .*mine.yaml.*did you mean 'OPTIM.MAX_EPOCH'"),
        ("OPTIM:\n  MAX_EPOCH: two\n", "OPTIM.MAX_EPOCH is 'two' in .*mine.yaml; it must be a whole number"),
        ("_BASE_: gone.yaml\n", "gone.yaml is missing"),
    ],
)
def test_bad_files_are_one_line(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as error:
        load_config("dtd", "CoOp", [TOWER], settings(tmp_path, text))
    assert "\n" not in str(error.value)


ALIASES = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{now}: &{now} [{', '.join([f'*{before}'] * 9)}]\n" for before, now in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ALIASES.encode(), "with its aliases written out"),
        (b"a: &a [*a]\n", "contains itself"),
        (b"x: " + b"[" * 100_000, "nested too deeply"),
        (b"OPTIM: " + b"{a: " * 5_000 + b"1" + b"}" * 5_000, "nested too deeply"),
        ("OPTIM: {LR: 1}  # größer\n".encode("latin-1"), "not text in UTF-8"),
        (b"\xff\xfeO\0P\0", "not text in UTF-8"),
        (b"OPTIM:\n", "OPTIM is empty in .*mine.yaml"),
        (b"OPTIM: {LR: null}\n", "OPTIM.LR is None or empty"),
        (b"OPTIM: 3\n", "OPTIM is '3' in .*mine.yaml"),
        (b"MODEL: {BACKBONE: [1]}\n", "MODEL.BACKBONE is .* in .*mine.yaml"),
        (b"1: 2\n", "mine.yaml"),
        (b"null: {a: 1}\n", "mine.yaml"),
        (b"[1, 2]: 3\n", "mine.yaml"),
        (b"OPTIM: {LR: 2020-01-01}\n", "OPTIM|mine.yaml"),
        (b"OPTIM: {LR: !!python/object/apply:os.getcwd []}\n", "mine.yaml"),
        (b"OPTIM: {MAX_EPOCH: !!int two}\n", "mine.yaml"),
        (b"OPTIM: {LR: " + b"9" * 400 + b"}\n", "OPTIM.LR"),
        (b"OPTIM: {LR: " + b"9" * 9000 + b"}\n", "mine.yaml"),
        (b"_BASE_: mine.yaml\n", "builds on itself"),
        (b"_BASE_: 'a\\0b'\n", "missing"),
        (b"_BASE_: [" + b"x" * 300 + b".yaml]\n", "missing"),
    ],
)
def test_hostile_files_are_one_line_and_soon(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_bytes(text)
    with pytest.raises(InputError, match=message) as error:
        in_time(lambda: load_config("dtd", "CoOp", [TOWER], path))
    assert "\n" not in str(error.value) and len(str(error.value)) < 1000


def test_base_files_that_name_each_other_twice_over_end_soon(tmp_path):
    """Merged as often as they are named, 60 files would be 2^60 merges."""
    for number in range(60):
        settings(tmp_path, f"_BASE_: [{number + 1}.yaml, {number + 1}.yaml]\n", f"{number}.yaml")
    settings(tmp_path, "OPTIM:\n  LR: 0.1\n", "60.yaml")
    with pytest.raises(InputError, match="more than 100 files by _BASE_"):
        in_time(lambda: load_config("dtd", "CoOp", [TOWER], tmp_path / "0.yaml"))


@pytest.mark.parametrize("make", [make_pipe, lambda path: path.symlink_to(path), lambda path: path.mkdir()])
def test_only_regular_files_are_settings(tmp_path, make):
    make(tmp_path / "odd.yaml")
    base = settings(tmp_path, "_BASE_: odd.yaml\n")
    for dataset, config in ((tmp_path / "odd.yaml", None), ("dtd", tmp_path / "odd.yaml"), ("dtd", base)):
        with pytest.raises(InputError, match="odd.yaml is not a regular file"):
            in_time(lambda dataset=dataset, config=config: load_config(dataset, "CoOp", [TOWER], config))
    assert in_time(lambda: digest(tmp_path / "odd.yaml")) is None


@pytest.mark.parametrize(
    "value", ["None", "(" * 10_000, "{[]: 1}", "[" * 200 + "]" * 200, "\0", "9" * 5000, "nan", "1e999"]
)
def test_hostile_values_are_one_line(value):
    with pytest.raises(InputError, match="OPTIM.LR|WARMUP") as error:
        in_time(lambda: load_config("dtd", "CoOp", [TOWER, ("OPTIM.LR", value)]))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (("OPTIM.LRR", "1"), "Config key 'OPTIM.LRR' is unknown .*did you mean 'OPTIM.LR'"),
        (("OPTIM.LR", "fast"), "^OPTIM.LR is 'fast' .*; it must be a number, such as 0.0"),
        (("OPTIM.MAX_EPOCH", "two"), "^OPTIM.MAX_EPOCH is 'two' .*; it must be a whole number"),
        (("OPTIM.MAX_EPOCH", "0"), "OPTIM.MAX_EPOCH is 0; it must be at least 1"),
        (("OPTIM", "1"), "Config key 'OPTIM' is unknown"),
        (("DATASET.NAME", ""), "DATASET: NAME"),
        (("DATASET.NAME", "DescribableTexture"), "Dataset 'DescribableTexture' is unknown; did you mean 'Describ"),
        (("DATASET.NUM_SHOTS", "0"), "DATASET.NUM_SHOTS is 0; it must be at least 1, or -1"),
        (("TRAINER.SOFTCPT.VARIANT", "NATTA"), "TRAINER.SOFTCPT.VARIANT 'NATTA' is unknown; did you mean 'NATA'"),
        (("TRAINER.SOFTCPT.N_CTX", "0"), "TRAINER.SOFTCPT.N_CTX is 0; it must be at least 1"),
        (
            ("TRAINER.SOFTCPT.CLASS_TOKEN_POSITION", "centre"),
            "TRAINER.SOFTCPT.CLASS_TOKEN_POSITION 'centre' is unknown",
        ),
        (("DATALOADER.TRAIN_X.BATCH_SIZE", "0"), "BATCH_SIZE is 0; it must be at least 1"),
        (("DATALOADER.TEST.BATCH_SIZE", "0"), "BATCH_SIZE is 0; it must be at least 1"),
        (("TEST.SPLIT", "vall"), "TEST.SPLIT '?.*vall"),
        (("SEED", str(1 << 32)), "SEED is 4294967296; it must be .*below 4294967296"),
    ],
)
def test_bad_overrides_are_one_line(override, message):
    with pytest.raises(InputError, match=message) as error:
        load_config("dtd", "SoftCPT", [TOWER, override])
    assert "\n" not in str(error.value)


def test_unknown_names():
    with pytest.raises(InputError, match="Trainer 'SoftCTP' is unknown; did you mean 'SoftCPT'"):
        load_config("dtd", "SoftCTP")
    with pytest.raises(InputError, match="Dataset 'dtdd' is unknown in configs/datasets and .*did you mean 'dtd'"):
        load_config("dtdd", "CoOp")
    with pytest.raises(InputError, match="Config 'rn50_ep5' is unknown .*did you mean 'rn50_ep50'"):
        load_config("dtd", "CoOp", config="rn50_ep5")
    with pytest.raises(InputError, match="MaPLe .* vision transformer.* 'rn50_ep50'.* vit_b16_ep50"):
        load_config("dtd", "MaPLe", config="rn50_ep50")
    with pytest.raises(InputError, match="Config '_ep50' is unknown"):
        load_config("dtd", "CoOp", config="_ep50")
    with pytest.raises(InputError, match="names no data set"):
        load_config("", "CoOp")


# -- the repository's own files --


@pytest.mark.parametrize("trainer", sorted({method.trainer for method in METHODS.values()}))
def test_every_config_can_be_used(trainer):
    """Every shared config of a tower that the method supports, and every one of its own, found by name and by path."""
    method = next(m for m in METHODS.values() if m.trainer == trainer)
    shared = [path.stem for path in configs.choosable(CONFIGS / "trainers") if method.can_use(path.stem)]
    own = [path.stem for path in configs.choosable(CONFIGS / "trainers" / trainer)]
    assert shared
    kind = TRAINER_REGISTRY.get(trainer)
    overrides = [TOWER, ("SEED", 1)]
    for name in {*shared, *own}:
        cfg = load_config("garden8", method.name, overrides, name)
        assert kind.label(cfg) == method.name
        kind.check_cfg(kind.__new__(kind), cfg)
        assert cfg == load_config("garden8", method.name, overrides, configs.find_config(name, method))


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("datasets/*.yaml")) + sorted(CONFIGS.glob("collections/*.yaml")))
def test_every_dataset_can_be_used(file):
    cfg = load_config(file.stem, "CoOp-CA", [TOWER], "rn50_ep50")
    assert cfg.DATASET.NAME and cfg == load_config(file, "CoOp-CA", [TOWER], CONFIGS / "trainers/rn50_ep50.yaml")

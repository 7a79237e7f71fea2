"""Finding config files: data sets, shared configs, those of a method, and what they build on."""

import pytest

from common import configs, paths
from common.catalogue import METHODS
from common.errors import InputError
from tests.support.limits import in_time, make_pipe

FILES = {
    "datasets/flowers.yaml": "DATASET:\n  NAME: Flowers\n",
    "datasets/leaves.yaml": "config: vit_small  # its pictures are small\nDATASET:\n  NAME: Leaves\n",
    "collections/both.yaml": 'config: "rn50_short"\ntasks: []\n',
    "collections/_part.yaml": "tasks: []\n",
    "trainers/_short.yaml": "OPTIM:\n",
    "trainers/rn50_ep50.yaml": "\n",
    "trainers/rn50_short.yaml": "_BASE_: _short.yaml  # not open_clip:this\n",
    "trainers/vit_small.yaml": '_BASE_: [_short.yaml, "rn50_short.yaml"]\nMODEL:\n  NAME: "open_clip:x@y"\n',
    "trainers/CoOp/_recipe.yaml": "_BASE_: ../_short.yaml\n",
    "trainers/CoOp/rn50_long.yaml": "_BASE_: ../rn50_short.yaml\n",
    "trainers/PLOT/rn50_short.yaml": "\n",
    "trainers/MaPLe/rn50_short.yaml": "\n",
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder of configs."""
    folder = tmp_path / "configs"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.setattr(paths, "CONFIGS", folder)
    return folder


def test_datasets_and_collections_are_found_by_name_or_path(folder, tmp_path):
    assert configs.find_dataset("flowers") == folder / "datasets/flowers.yaml"
    assert configs.find_dataset("both") == folder / "collections/both.yaml"
    mine = tmp_path / "mine.yml"
    mine.write_text("tasks: []\n")
    assert configs.find_dataset(str(mine)) == mine
    with pytest.raises(InputError, match="Dataset 'flower' is unknown in configs/datasets .*did you mean 'flowers'"):
        configs.find_dataset("flower")
    with pytest.raises(InputError, match="Dataset ./gone.yaml"):
        configs.find_dataset("./gone.yaml")
    with pytest.raises(InputError, match="Dataset '_part' is unknown"):
        configs.find_dataset("_part")


def test_a_config_is_the_methods_own_or_a_shared_one(folder, tmp_path):
    own, shared = METHODS["PLOT"], METHODS["CoOp-MT"]
    assert configs.find_config("rn50_short", own) == folder / "trainers/PLOT/rn50_short.yaml"
    assert configs.find_config("rn50_short", shared) == folder / "trainers/rn50_short.yaml"
    assert configs.find_config("rn50_long", shared) == folder / "trainers/CoOp/rn50_long.yaml"
    mine = tmp_path / "mine.yaml"
    mine.write_text("")
    assert configs.find_config(str(mine), own) == mine
    assert (
        configs.find_config(str(folder / "trainers/CoOp/vit_small.yaml"), shared) == folder / "trainers/vit_small.yaml"
    )
    with pytest.raises(InputError, match="there is no such file"):
        configs.find_config(str(folder / "trainers/PLOT/vit_small.yaml"), shared)
    with pytest.raises(InputError, match="Config 'rn50_long' is unknown in configs/trainers.*Known: .*rn50_short"):
        configs.find_config("rn50_long", own)  # another method's
    for part in ("_short", "_recipe"):
        with pytest.raises(InputError, match=f"Config '{part}' is unknown"):
            configs.find_config(part, shared)
        assert part not in configs.shared()


def test_a_method_that_needs_a_tower_gets_no_other(folder):
    maple = METHODS["MaPLe"]
    assert configs.find_config("vit_small", maple) == folder / "trainers/vit_small.yaml"
    assert configs.find_config("rn50_short", maple) == folder / "trainers/MaPLe/rn50_short.yaml"  # its own is meant
    with pytest.raises(InputError, match="MaPLe .*vision transformer.*'rn50_ep50'.* rn50_short, vit_small") as error:
        configs.find_config("rn50_ep50", maple)
    assert "\n" not in str(error.value)


def test_a_recipe_is_laid_over_shared_configs_alone(folder, tmp_path):
    shared, own = folder / "trainers/rn50_short.yaml", folder / "trainers/CoOp/rn50_long.yaml"
    assert configs.is_shared(shared) and not configs.is_shared(own)
    assert configs.recipe_over(shared, "CoOp") == folder / "trainers/CoOp/_recipe.yaml"
    assert configs.recipe_over(own, "CoOp") is configs.recipe_over(shared, "PLOT") is None
    mine = tmp_path / "rn50_short.yaml"
    mine.write_text("")
    assert not configs.is_shared(mine) and configs.recipe_over(mine, "CoOp") is None


def test_the_config_that_a_dataset_asks_for(folder):
    assert configs.default_config(folder / "datasets/flowers.yaml") == configs.FALLBACK == "rn50_ep50"
    assert configs.default_config(folder / "datasets/leaves.yaml") == "vit_small"
    assert configs.default_config(folder / "collections/both.yaml") == "rn50_short"


def test_the_files_that_a_config_reads(folder):
    def names(name, trainer=""):
        return [path.relative_to(folder / "trainers").as_posix() for path in configs.chain(folder / name, trainer)]

    assert names("trainers/rn50_short.yaml") == ["rn50_short.yaml", "_short.yaml"]
    assert names("trainers/rn50_short.yaml", "CoOp") == ["rn50_short.yaml", "CoOp/_recipe.yaml", "_short.yaml"]
    assert names("trainers/CoOp/rn50_long.yaml", "CoOp") == ["CoOp/rn50_long.yaml", "rn50_short.yaml", "_short.yaml"]
    assert set(names("trainers/vit_small.yaml")) == {"vit_small.yaml", "rn50_short.yaml", "_short.yaml"}
    assert names("trainers/gone.yaml") == []
    (folder / "trainers/_short.yaml").write_text("_BASE_: rn50_short.yaml\n")  # a circle ends
    assert names("trainers/rn50_short.yaml") == ["rn50_short.yaml", "_short.yaml"]


def test_openclip_is_needed_where_a_config_names_its_tower(folder):
    assert configs.names_openclip(folder / "trainers/vit_small.yaml")
    assert not configs.names_openclip(folder / "trainers/rn50_short.yaml")  # in a comment
    (folder / "trainers/rn50_ep50.yaml").write_text("_BASE_: vit_small.yaml\n")
    assert configs.names_openclip(folder / "trainers/rn50_ep50.yaml")


# -- files that are something else --


@pytest.mark.parametrize("make", [make_pipe, lambda path: path.symlink_to(path), lambda path: path.mkdir()])
def test_only_regular_files_are_opened(folder, make):
    """A named pipe would block for ever; a link to itself and a folder have no text."""
    for name in ("datasets/odd.yaml", "trainers/odd.yaml", "trainers/_odd.yaml"):
        make(folder / name)
    (folder / "trainers/rn50_ep50.yaml").write_text("_BASE_: [_odd.yaml, _short.yaml]\n")
    found = in_time(lambda: configs.chain(folder / "trainers/rn50_ep50.yaml"))
    assert [path.name for path in found] == ["rn50_ep50.yaml", "_short.yaml"]
    for read in (configs.default_config, configs.bases_of, configs.read_config):
        with pytest.raises(InputError, match="odd.yaml") as error:
            in_time(lambda read=read: read(folder / "datasets/odd.yaml"))
        assert "\n" not in str(error.value)
    for name in ("odd.yaml", str(folder / "datasets/odd.yaml")):
        with pytest.raises(InputError):
            in_time(lambda name=name: configs.find_dataset(name))


def test_text_in_another_encoding_is_one_line(folder):
    path = folder / "datasets/latin.yaml"
    path.write_bytes("config: größe\n".encode("latin-1"))
    for read in (configs.default_config, configs.bases_of, configs.names_openclip):
        with pytest.raises(InputError, match=r"latin.yaml is not text in UTF-8") as error:
            read(path)
        assert "\n" not in str(error.value)
    path.write_bytes(b"\xef\xbb\xbfconfig: vit_small\n")  # a byte order mark, as Windows' editors write
    assert configs.default_config(path) == "vit_small"
    path.write_bytes(b"#" * (configs.LIMIT_BYTES + 1))
    with pytest.raises(InputError, match="latin.yaml cannot be read: it has more than 2,097,152 bytes"):
        configs.default_config(path)


@pytest.mark.parametrize("name", ["x" * 300, f"{'x' * 300}.yaml", f"~nobody-here/{'x' * 300}.yaml", "a\0.yaml"])
def test_names_that_no_file_can_have_are_unknown(name):
    for find in (configs.find_dataset, lambda name: configs.find_config(name, METHODS["CoOp-CA"])):
        with pytest.raises(InputError):
            find(name)


def test_a_config_builds_on_a_limited_number_of_files(folder):
    for number in range(configs.LIMIT_FILES + 1):
        (folder / f"trainers/_{number}.yaml").write_text(f"_BASE_: _{number + 1}.yaml\n")
    with pytest.raises(InputError, match="more than 100 files by _BASE_"):
        configs.chain(folder / "trainers/_0.yaml")

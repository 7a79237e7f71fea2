"""Checkpoints that were changed: a flipped bit is noticed wherever one is read, and a state that no run can have."""

import os
import random
import shutil

import pytest
import torch

from common.errors import InputError
from tests.support.flipped import flip_bit_of
from tests.support.towers import random_clip
from tests.support.training import Workplace, same_state

EPOCHS = 4
BEST = ("TEST.FINAL_MODEL", "best_val")


@pytest.fixture(scope="module")
def killed(tmp_path_factory, checkpoint):
    """A place with runs of CoOp that were killed after two epochs, in the folders "last" and "best"."""
    place = Workplace(tmp_path_factory.mktemp("killed"), checkpoint)
    place.killed_run("CoOp", "last", at=2, epochs=EPOCHS)
    place.killed_run("CoOp", "best", *BEST, at=2, epochs=EPOCHS)
    return place


@pytest.fixture
def copy(killed):
    """copy(name) copies a run's folder to "copy" and returns its folder of checkpoints."""

    def make(name="last"):
        shutil.rmtree(killed.output / "copy", ignore_errors=True)
        shutil.copytree(killed.output / name, killed.output / "copy")
        return killed.output / "copy" / "prompt_learner"

    return make


def change(path, **entries):
    """Save a checkpoint again with some entries replaced; None removes one."""
    state = torch.load(path, weights_only=True)
    state |= entries
    torch.save({key: value for key, value in state.items() if value is not None}, path)


def refused(place, *words, match=""):
    with pytest.raises(InputError, match=match) as error:
        place.run("CoOp", "copy", *words, epochs=EPOCHS)
    assert "\n" not in str(error.value) and "--redo" in str(error.value)
    assert not (place.output / "copy" / "results.json").exists()


def test_every_flipped_bit_is_refused_or_harmless(killed, copy, tmp_path):
    """At 150 places of the file and in all of its last kilobyte: the state that is read is the one that was saved."""
    trainer = killed.trainer("CoOp", epochs=EPOCHS)
    path = copy() / "model.pth.tar-2"
    intact, saved = path.read_bytes(), torch.load(path, weights_only=True)
    draw = random.Random(1)
    places = [draw.randrange(len(intact)) for _ in range(150)] + list(range(len(intact) - 1024, len(intact), 7))
    noticed = 0
    for place in places:
        content = bytearray(intact)
        content[place] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
        try:
            trainer.load_model(str(path))
        except InputError as error:
            noticed += 1
            assert "\n" not in str(error) and str(path) in str(error)
        else:
            assert same_state(dict(trainer.model.state_dict()), dict(saved["state_dict"])), place
    assert noticed > len(places) / 2


@pytest.mark.parametrize("where", ["data/0", "data.pkl"])
def test_a_flipped_bit_is_noticed_at_resume_at_eval_only_and_at_best_val(killed, copy, where):
    folder = copy()
    flip_bit_of(folder / "model.pth.tar-2", where)
    refused(killed, match="model.pth.tar-2")
    with pytest.raises(InputError, match="model.pth.tar-2"):
        killed.evaluate("copy", "CoOp", "tested", epoch=2, epochs=EPOCHS)
    folder = copy("best")
    flip_bit_of(folder / "model-best.pth.tar", where)
    refused(killed, *BEST, match="model-best")
    with pytest.raises(InputError, match="model-best"):
        killed.evaluate("copy", "CoOp", "tested", *BEST, epochs=EPOCHS)


@pytest.mark.parametrize(
    ("entries", "match"),
    [
        ({"epoch": -5}, "epoch -5"),
        ({"epoch": 0}, "epoch 0"),
        ({"epoch": 10**12}, "epoch 1000000000000"),
        ({"epoch": EPOCHS + 1}, f"epoch {EPOCHS + 1}"),
        ({"epoch": "2"}, "epoch '?2"),
        ({"epoch": 2.5}, "epoch 2.5"),
        ({"epoch": True}, "epoch True"),
        ({"epoch": 3}, "schedule is at step 2, not 3"),
        ({"optimizer": None}, "no optimizer state"),
        ({"optimizer": {}}, "another optimizer"),
        ({"optimizer": "lost"}, "optimizer"),
        ({"scheduler": None}, "schedule is at step 0"),
        ({"scheduler": {}}, "schedule is at step 0"),
        ({"scheduler": {"last_epoch": "two"}}, "schedule"),
        ({"scheduler": 7}, "schedule"),
        ({"state_dict": {}}, "model"),
        ({"state_dict": None}, "training state"),
    ],
    ids=str,
)
def test_a_state_that_no_run_can_have_is_refused(killed, copy, entries, match):
    change(copy() / "model.pth.tar-2", **entries)
    refused(killed, match=match)


@pytest.mark.parametrize("damage", ["nan parameters", "nan momentum", "shape of momentum", "text", "no momentum", "lr"])
def test_parameters_and_momentum_must_be_finite_and_fit(killed, copy, damage):
    path = copy() / "model.pth.tar-2"
    state = torch.load(path, weights_only=True)
    momentum, name = state["optimizer"]["state"], next(iter(state["state_dict"]))
    if damage == "nan parameters":
        state["state_dict"][name][0, 0] = float("nan")
    elif damage == "nan momentum":
        momentum[0]["momentum_buffer"][0, 0] = float("nan")
    elif damage == "shape of momentum":
        momentum[0]["momentum_buffer"] = torch.zeros(3)
    elif damage == "text":
        momentum[0]["momentum_buffer"] = "lost"
    elif damage == "no momentum":
        state["optimizer"]["state"] = {}
    else:
        state["optimizer"]["param_groups"][0]["lr"] = float("nan")
    torch.save(state, path)
    refused(killed, match={"nan parameters": name, "no momentum": "no optimizer state"}.get(damage, "optimizer"))
    if damage == "nan parameters":
        with pytest.raises(InputError, match=f"not finite: {name}"):
            killed.evaluate("copy", "CoOp", "tested", epochs=EPOCHS)


@pytest.mark.parametrize("result", [float("nan"), -1.0, 101.0, "best", None])
def test_the_best_results_so_far_must_be_a_percentage(killed, copy, result):
    change(copy("best") / "model-best.pth.tar", val_result=result)
    refused(killed, *BEST, match="model-best")


def test_a_lost_best_model_is_not_replaced_by_the_next(killed, copy):
    (copy("best") / "model-best.pth.tar").unlink()
    refused(killed, *BEST, match="model-best.pth.tar is missing")


@pytest.mark.parametrize("pointer", ["gone", "pipe", "outside", "binary", "other"])
def test_without_its_pointer_the_newest_checkpoint_is_resumed(killed, copy, pointer):
    """A pipe does not block, and a name outside the folder is not followed."""
    folder = copy()
    (folder / "checkpoint").unlink()
    contents = {"outside": b"../../last/prompt_learner/model.pth.tar-2", "binary": b"\xff\0\xfe", "other": b"model"}
    if pointer == "pipe":
        os.mkfifo(folder / "checkpoint")
    elif pointer in contents:
        (folder / "checkpoint").write_bytes(contents[pointer])
    assert killed.run("CoOp", "copy", epochs=EPOCHS)["resumed_from_epoch"] == 2


def test_unfinished_files_of_a_killed_process_are_removed_and_others_stay(killed, copy):
    folder = copy()
    for name in (".model.pth.tar-3.abcd.part", ".checkpoint.abcd.part", ".mine.part", "notes.part"):
        (folder / name).write_text("x")
    killed.run("CoOp", "copy", epochs=EPOCHS)
    left = {path.name for path in folder.iterdir()}
    assert {".mine.part", "notes.part"} <= left and not any(name.startswith((".model", ".check")) for name in left)


def test_a_checkpoint_is_written_with_checksums_even_if_they_are_switched_off(killed):
    if not hasattr(torch.serialization, "set_crc32_options"):
        pytest.skip("this PyTorch always writes them")
    torch.serialization.set_crc32_options(False)
    try:
        killed.run("CoOp", "unchecked", epochs=1)
    finally:
        torch.serialization.set_crc32_options(True)
    killed.evaluate("unchecked", "CoOp", "tested", epochs=1)


# -- MODEL.INIT_WEIGHTS --


def init(place, path, *words):
    return place.run("CoOp", "started", "MODEL.INIT_WEIGHTS", str(path), *words, epochs=1)


def test_initial_weights_from_a_runs_folder(killed):
    assert init(killed, killed.output / "last")["finished"]
    shutil.rmtree(killed.output / "started")
    assert init(killed, killed.output / "last" / "prompt_learner" / "model.pth.tar-2")["finished"]
    shutil.rmtree(killed.output / "started")


def test_initial_weights_of_another_tower_are_refused(killed, tmp_path):
    other = tmp_path / "other.pt"
    torch.save(random_clip(seed=5).state_dict(), other)
    for path in (killed.output / "last", killed.output / "last" / "prompt_learner" / "model.pth.tar-2"):
        with pytest.raises(InputError, match="MODEL.BACKBONE.DIGEST"):
            init(killed, path, "MODEL.BACKBONE.NAME", str(other))


def hostile(folder):
    """(name, what torch.save or write_bytes puts in the file)."""
    tensor = torch.ones(16, 64)
    yield from {
        "empty": b"",
        "text": b"hello",
        "web": b"<!doctype html>",
        "cut": None,
        "list": [1, 2],
        "number": 3,
        "nothing": {"state_dict": {}},
        "words": {"state_dict": {"ctx.0": "a"}},
        "scalar": {"state_dict": {"ctx": torch.tensor(1.0)}},
        "nan": {"state_dict": {"ctx.0": tensor * float("nan"), "ctx.1": tensor}},
        "other": {"state_dict": {"weight": tensor}},
        "sparse": {"state_dict": {"ctx.0": tensor.to_sparse()}},
        "odd prefix": {"state_dict": {"ctx": tensor, "token_prefix": torch.tensor(2.0)}},
        "another method's": {"state_dict": {"ctx": tensor, "meta_net.linear1.weight": tensor}},
    }.items()


@pytest.mark.parametrize("number", range(14))
def test_initial_weights_and_eval_only_of_damaged_or_foreign_files(killed, tmp_path, number):
    name, content = list(hostile(tmp_path))[number]
    path = tmp_path / f"{name}.pth.tar"
    if content is None:
        path.write_bytes((killed.output / "last" / "prompt_learner" / "model.pth.tar-2").read_bytes()[:3000])
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    for call in (lambda: init(killed, path), lambda: killed.evaluate(str(path), "CoOp", "tested", epochs=1)):
        with pytest.raises(InputError) as error:
            call()
        assert "\n" not in str(error.value) and path.name in str(error.value)
    assert not (killed.output / "started").exists()


@pytest.mark.parametrize("kind", ["pipe", "missing", "folder", "device"])
def test_what_is_not_a_file_is_refused_and_does_not_block(killed, tmp_path, kind):
    path = {"device": "/dev/zero"}.get(kind, tmp_path / kind)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    with pytest.raises(InputError, match="INIT_WEIGHTS.*no checkpoint"):
        init(killed, path)
    with pytest.raises(InputError, match="No trained model"):
        killed.evaluate(str(path), "CoOp", "tested", epochs=1)
    if kind != "folder":
        with pytest.raises(InputError, match="missing|regular"):
            killed.run("CoOp", "started", "MODEL.BACKBONE.NAME", str(path), epochs=1)

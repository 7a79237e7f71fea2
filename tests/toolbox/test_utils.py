"""Files, images, names, meters, logging."""

from __future__ import annotations

import os
import random
import sys

import numpy as np
import pytest
import torch
from dassl.utils import (
    AverageMeter,
    Logger,
    MetricMeter,
    Registry,
    check_availability,
    check_isfile,
    collect_env_info,
    get_most_similar_str_to_a_from_b,
    listdir_nohidden,
    mkdir_if_missing,
    read_image,
    read_json,
    set_random_seed,
    setup_logger,
    tolist_if_not,
    write_json,
)
from PIL import Image


def test_average_meter():
    meter = AverageMeter()
    meter.update(torch.tensor(2.0))
    meter.update(5.0, n=2)
    assert (meter.val, meter.avg, meter.sum, meter.count) == (5.0, 4.0, 12.0, 3)
    smooth = AverageMeter(ema=True)
    smooth.update(10)
    smooth.update(20)
    assert smooth.avg == pytest.approx(2.9)


def test_metric_meter():
    meter = MetricMeter()
    assert str(meter) == ""
    meter.update({"loss": torch.tensor(0.5), "acc": 80})
    meter.update({"loss": 0.25, "acc": 90})
    meter.update(None)
    assert str(meter) == "loss 0.2500 (0.3750) acc 90.0000 (85.0000)"
    with pytest.raises(TypeError, match="list"):
        meter.update([1])


def test_registry():
    registry = Registry("THING")

    @registry.register()
    class A:
        pass

    @registry.register()
    def b():
        pass

    assert registry.get("A") is A and registry.registered_names() == ["A", "b"]
    with pytest.raises(KeyError, match="already in the THING registry"):
        registry.register(b)
    registry.register(b, force=True)
    with pytest.raises(KeyError, match='"c" is not in the THING'):
        registry.get("c")


def test_names():
    assert get_most_similar_str_to_a_from_b("sdg", ["adam", "sgd"]) == "sgd"
    assert get_most_similar_str_to_a_from_b("sgd", []) is None
    check_availability("a", ["a"])
    with pytest.raises(ValueError, match=r"\[sdg\] \(do you mean \[sgd\]\?\)"):
        check_availability("sdg", ["adam", "sgd"])
    assert tolist_if_not("a") == ["a"] and tolist_if_not(["a"]) == ["a"]


def test_files(tmp_path):
    folder = tmp_path / "a" / "b"
    mkdir_if_missing(str(folder))
    mkdir_if_missing(str(folder))
    mkdir_if_missing("")
    write_json({"x": [1]}, str(folder / "c" / "f.json"))
    assert read_json(str(folder / "c" / "f.json")) == {"x": [1]}
    with pytest.raises(TypeError):
        write_json({"x": object()}, str(folder / "c" / "f.json"))
    assert read_json(str(folder / "c" / "f.json")) == {"x": [1]} and os.listdir(folder / "c") == ["f.json"]
    (folder / ".hidden").write_text("")
    (folder / "a").write_text("")
    assert listdir_nohidden(str(folder), sort=True) == ["a", "c"]
    assert check_isfile(str(folder / "a"))
    with pytest.warns(UserWarning, match="nofile"):
        assert not check_isfile(str(folder / "nofile"))


def test_images(tmp_path):
    Image.new("L", (3, 2), 9).save(tmp_path / "grey.png")
    image = read_image(str(tmp_path / "grey.png"))
    assert image.mode == "RGB" and image.size == (3, 2) and image.getpixel((0, 0)) == (9, 9, 9)
    image = Image.effect_noise((40, 40), 50)
    image.save(tmp_path / "cut.jpg")
    whole = (tmp_path / "cut.jpg").read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"text"):
        (tmp_path / "cut.jpg").write_bytes(content)
        with pytest.raises(OSError, match="Image .*cut.jpg cannot be read") as caught:
            read_image(str(tmp_path / "cut.jpg"))
        assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match="gone.jpg"):
        read_image(str(tmp_path / "gone.jpg"))


def test_seed():
    draws = []
    for _ in range(2):
        set_random_seed(3)
        draws.append((random.random(), np.random.rand(), torch.rand(1).item()))
    assert draws[0] == draws[1]


def test_env_info_includes_the_versions():
    info = collect_env_info()
    assert f"PyTorch: {torch.__version__}" in info and f"NumPy: {np.__version__}" in info


def test_logger_copies_and_restores_stdout(tmp_path, capsys):
    console = sys.stdout
    for run in ("one", "two"):
        logger = setup_logger(str(tmp_path / run))
        assert sys.stdout is logger
        print(run)
        logger.close()
        logger.close()
        assert sys.stdout is console
    print("after")
    assert (tmp_path / "one" / "log.txt").read_text() == "one\n"
    assert (tmp_path / "two" / "log.txt").read_text() == "two\n"
    assert capsys.readouterr().out == "one\ntwo\nafter\n"
    assert setup_logger(None) is None and sys.stdout is console


def test_an_existing_log_is_kept(tmp_path):
    for text in ("a", "b", "c"):
        with setup_logger(str(tmp_path)):
            print(text)
    names = sorted(os.listdir(tmp_path))
    assert names[0] == "log.txt" and len(names) == 3 and all(name.startswith("log.txt-20") for name in names[1:])
    assert {(tmp_path / name).read_text() for name in names} == {"a\n", "b\n", "c\n"}


def test_a_log_without_the_console(tmp_path, capsys):
    with setup_logger(tmp_path / "own.log", console=False) as logger:
        print("quiet")
        logger.flush()
        assert (tmp_path / "own.log").read_text() == "quiet\n"
    print("loud")
    assert capsys.readouterr().out == "loud\n"


def test_a_logger_is_a_stream(tmp_path, capsys):
    with Logger(str(tmp_path / "log.txt")) as logger:
        assert logger.encoding == logger.console.encoding and logger.isatty() is False and logger.writable()
    assert logger.write("x") == 1  # closed: to the console only
    assert capsys.readouterr().out == "x" and (tmp_path / "log.txt").read_text() == ""


def test_the_log_of_a_killed_run_is_on_disk(tmp_path):
    logger = setup_logger(str(tmp_path))
    print("last words")
    try:
        assert (tmp_path / "log.txt").read_text() == "last words\n"
    finally:
        logger.close()

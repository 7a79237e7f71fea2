"""Image features: views that can be drawn again, and a bank that all methods share."""

import pytest
import torch
from torchvision.transforms import Compose

from prompting.feature_bank import FeatureBank
from prompting.side_by_side import side_by_side
from prompting.towers import Tower


@pytest.mark.parametrize("augmentation", ["cutout", "randaugment", "gaussian_noise"])
def test_views_of_any_augmentation_can_be_drawn_again(workplace, augmentation):
    trainer = workplace.trainer("CoOp", "INPUT.TRANSFORMS", f"('random_resized_crop', '{augmentation}', 'normalize')")
    images = trainer.train_loader_x.dataset
    assert torch.equal(images.view(0, 1), images.view(0, 1)) and not torch.equal(images.view(0, 1), images.view(0, 2))
    again = workplace.trainer("CoOp", "INPUT.TRANSFORMS", f"('random_resized_crop', '{augmentation}', 'normalize')")
    assert trainer.features._key(images) == again.features._key(again.train_loader_x.dataset)


def test_methods_share_the_views_and_a_second_run_encodes_nothing(workplace, monkeypatch):
    workplace.run("SoftCPT", "first")
    monkeypatch.setattr(
        "prompting.towers.Tower.encode_image", lambda *_, **__: pytest.fail("an image was encoded again")
    )
    workplace.run("CoOp", "second")
    workplace.run("ZeroshotCLIP", "third")


def test_what_other_views_would_need_does_not_change_test_images(workplace, monkeypatch):
    workplace.run("ZeroshotCLIP", "first")
    monkeypatch.setattr(
        "prompting.towers.Tower.encode_image", lambda *_, **__: pytest.fail("an image was encoded again")
    )
    workplace.run("ZeroshotCLIP", "second", "INPUT.RRCROP_SCALE", "(0.5, 1.0)")
    monkeypatch.undo()
    encoded = []
    original = Tower.encode_image
    monkeypatch.setattr(Tower, "encode_image", lambda self, *a, **k: encoded.append(1) or original(self, *a, **k))
    workplace.run("ZeroshotCLIP", "third", "INPUT.PIXEL_MEAN", "[0.5, 0.5, 0.5]")
    assert encoded


def test_a_transform_that_does_not_tell_what_it_does_has_all_settings_in_its_key(workplace):
    class Blur:
        def __call__(self, image):
            return image

    keys = []
    for kernel in (3, 5):
        trainer = workplace.trainer("ZeroshotCLIP", "INPUT.GB_K", str(kernel))
        images = trainer.test_loader.dataset
        told = trainer.features._key(images)
        images.transform = Compose([Blur(), images.transform])
        keys.append((told, trainer.features._key(images)))
    assert keys[0][0] == keys[1][0] and keys[0][1] != keys[1][1]


@pytest.mark.parametrize("method", ["Residual", "CoOp"])
def test_the_folds_of_a_cross_validation_share_their_images(workplace, monkeypatch, method):
    """CoOp's views are augmented; the features are those that each fold would compute alone."""
    first, second = (("DATASET.FOLD", f"{number}/2") for number in (1, 2))
    workplace.run(method, "first", *first)
    original = Tower.encode_image
    monkeypatch.setattr(Tower, "encode_image", lambda *_, **__: pytest.fail("an image was encoded again"))
    workplace.run(method, "second", *second)
    monkeypatch.setattr(Tower, "encode_image", original)
    trainer = workplace.trainer(method, *second)
    images = trainer.test_loader.dataset
    shared = trainer.features.fixed(images, trainer.watch.encoding)
    assert len(trainer.features.pool) == len(images) + len(trainer.dm.dataset.train_x)
    trainer.features.bank.limit_bytes = 0  # which keeps nothing
    assert trainer.features._pooled(images)[1] is None
    trainer.features.bank.limit_bytes = 1 << 30
    trainer.features.pool = ()
    torch.testing.assert_close(shared, trainer.features.fixed(images, trainer.watch.encoding))
    if method == "CoOp":
        train = trainer.train_loader_x.dataset
        alone = trainer.features.views(train, [0, 1], trainer.watch.encoding)
        trainer.features.pool = trainer.dm.dataset.fold_pool
        pooled = trainer.features.views(train, [0, 1], trainer.watch.encoding)
        for epoch in (0, 1):
            torch.testing.assert_close(pooled[epoch], alone[epoch])


def test_a_run_killed_while_views_are_encoded_continues_there(workplace, monkeypatch):
    original, kept = FeatureBank.put, []

    def killed(self, key, table):
        if len(kept) == 2:
            raise KeyboardInterrupt
        kept.append(key.get("epoch"))
        return original(self, key, table)

    monkeypatch.setattr(FeatureBank, "put", killed)
    with pytest.raises(KeyboardInterrupt):
        workplace.run("CoOp", epochs=4)
    monkeypatch.setattr(
        FeatureBank, "put", lambda self, key, table: kept.append(key.get("epoch")) or original(self, key, table)
    )
    parts = workplace.run("CoOp", epochs=4)
    assert kept[0] is None  # the test images, before training
    assert kept[1:5] == [0, 1, 2, 3] and parts["tasks"] == workplace.run("CoOp", "whole", epochs=4)["tasks"]


def test_features_of_the_fast_path_have_keys_of_their_own(workplace, monkeypatch):
    """Its last bits differ; a tower without it finds what was stored before there was one."""
    keys = []
    for fast in (True, False):
        monkeypatch.setattr("trainers.engine.image_features.is_fast", lambda visual, fast=fast: fast)
        keys.append(workplace.trainer("CoOp").features._tower_key)
    assert keys[0] == {**keys[1], "path": "fused"} and "path" not in keys[1]


@pytest.mark.parametrize("kind", ["views", "still"])
def test_features_do_not_depend_on_the_number_of_threads(workplace, monkeypatch, kind):
    tables, before = [], torch.get_num_threads()
    for threads in (1, 3):
        trainer = workplace.trainer("CoOp")
        trainer.features.batch = 4
        images = (trainer.train_loader_x if kind == "views" else trainer.test_loader).dataset
        used = []
        monkeypatch.setattr(
            "trainers.engine.image_features.side_by_side",
            lambda *args, used=used: used.append(1) or side_by_side(*args),
        )
        torch.set_num_threads(threads)
        try:
            epochs = (0, 1, 2) if kind == "views" else (0,)
            tables.append(torch.cat(list(trainer.features._encode(images, epochs, lambda *_: None))))
        finally:
            torch.set_num_threads(before)
        assert len(tables[-1]) == len(epochs) * len(images) and bool(used) == (threads > 1)
    torch.testing.assert_close(tables[0], tables[1], rtol=1e-6, atol=1e-6)


def test_views_from_global_generators_are_drawn_in_one_thread(workplace):
    trainer = workplace.trainer("CoOp", "INPUT.TRANSFORMS", "('random_resized_crop', 'cutout', 'normalize')")
    assert not trainer.train_loader_x.dataset.independent and trainer.test_loader.dataset.independent
    assert workplace.trainer("CoOp").train_loader_x.dataset.independent

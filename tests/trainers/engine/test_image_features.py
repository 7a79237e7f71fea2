"""Image features: views that can be drawn again, and a bank that all methods share."""

import pytest
import torch

from prompting.feature_bank import FeatureBank


@pytest.mark.parametrize("augmentation", ["cutout", "randaugment", "gaussian_noise"])
def test_views_of_any_augmentation_can_be_drawn_again(workplace, augmentation):
    trainer = workplace.trainer("CoOp", "INPUT.TRANSFORMS", f"('random_resized_crop', '{augmentation}', 'normalize')")
    images = trainer.train_loader_x.dataset
    assert torch.equal(images.view(0, 1), images.view(0, 1)) and not torch.equal(images.view(0, 1), images.view(0, 2))
    again = workplace.trainer("CoOp", "INPUT.TRANSFORMS", f"('random_resized_crop', '{augmentation}', 'normalize')")
    assert trainer.features._key(images) == again.features._key(again.train_loader_x.dataset)


def test_methods_share_the_views_and_a_second_run_encodes_nothing(workplace, monkeypatch):
    workplace.run("SoftCPT", "first")
    monkeypatch.setattr("prompting.towers.Tower.encode_image", lambda *_: pytest.fail("an image was encoded again"))
    workplace.run("CoOp", "second")
    workplace.run("ZeroshotCLIP", "third", "DATASET.NUM_SHOTS", "-1")


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

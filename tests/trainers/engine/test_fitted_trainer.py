"""Features of a split and the metrics that fits are chosen by."""

import torch

from datasets.images import read_image
from trainers.engine.fitted_trainer import accuracy
from trainers.engine.image_trainer import split_features


def test_the_metrics_of_accuracy():
    label = torch.tensor([0, 0, 0, 2])
    predicted = torch.tensor([0, 0, 0, 1])
    assert accuracy(predicted, label, "A") == 0.75 and accuracy(predicted, label, "C") == 0.5


def test_features_are_those_of_unaugmented_images_with_their_norms(workplace):
    trainer = workplace.trainer("LinearProbe")
    x, y = split_features(trainer, "train")
    items = trainer.dm.dataset.train_x
    assert y.tolist() == [item.label for item in items]
    transform = trainer.test_loader.dataset.transform
    images = torch.stack([transform(read_image(item.impath)) for item in items])
    torch.testing.assert_close(x, trainer.tower.visual(images).detach(), rtol=1e-4, atol=1e-5)
    assert (x.norm(dim=1) - 1).abs().max() > 0.1

"""A checkpoint goes on only with the images that it was begun with: test images could be among others."""

import pytest

from common.errors import InputError
from trainers.engine.checkpoint_fit import check_images


def test_another_draw_is_refused_and_an_old_record_is_not(workplace):
    trainer = workplace.trainer("CoOp")
    trainer.save_model(0, trainer.output_dir)
    digest = trainer.images_digest()
    check_images(trainer.output_dir, digest)
    check_images(trainer.output_dir, "")  # a trainer without images of its own
    with pytest.raises(InputError, match="other images.*--redo"):
        check_images(trainer.output_dir, "0" * 16)


def test_a_removed_image_changes_the_digest(workplace):
    before = workplace.trainer("CoOp").images_digest()
    assert workplace.trainer("CoOp").images_digest() == before
    next(iter(sorted((workplace.root / "tiny" / "kinds" / "rose").iterdir()))).unlink()
    assert workplace.trainer("CoOp").images_digest() != before

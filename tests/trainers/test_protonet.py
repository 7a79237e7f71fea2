"""ProtoNet by hand."""

import pytest
import torch
import torch.nn.functional as F

from common.errors import InputError
from trainers.protonet import Prototypes

COSINE = ("TRAINER.PROTONET.DISTANCE", "cosine")


def test_prototypes_by_hand():
    x = torch.tensor([[1.0, 0.0], [3.0, 2.0], [0.0, 4.0]])
    asked = torch.tensor([[2.0, 2.0], [0.0, 1.0]])
    euclidean = Prototypes(2, 2, "euclidean", 100.0)
    euclidean.fit(x, torch.tensor([0, 0, 1]))
    assert euclidean.prototypes.tolist() == [[2.0, 1.0], [0.0, 4.0]]
    expected = -torch.tensor([[1.0, 8.0], [4.0, 9.0]])  # squared distances
    torch.testing.assert_close(euclidean(asked).softmax(1), expected.softmax(1))
    cosine = Prototypes(2, 2, "cosine", 100.0)
    cosine.fit(F.normalize(x, dim=1), torch.tensor([0, 0, 1]))
    middle = F.normalize(torch.tensor([1.0 + 3 / 13**0.5, 2 / 13**0.5]), dim=0)
    torch.testing.assert_close(cosine(asked), 100 * asked @ torch.stack([middle, torch.tensor([0.0, 1.0])]).t())


@pytest.mark.parametrize("opts", [(), COSINE])
def test_a_run_with_and_without_the_bank(workplace, opts):
    results = workplace.run("ProtoNet", "run", *opts)
    assert results["counts"]["trainable_parameters"] == 0
    assert workplace.evaluate("run", "ProtoNet", "again", *opts)["tasks"] == results["tasks"]
    bankless = workplace.run("ProtoNet", "bankless", *opts, "BANK.TEST", "False", "BANK.TRAIN", "False")
    assert bankless["mean"] == pytest.approx(results["mean"], abs=7)  # an image may fall on the other side


def test_bad_settings_are_one_line(workplace):
    with pytest.raises(InputError, match="did you mean 'euclidean'") as error:
        workplace.run("ProtoNet", "run", "TRAINER.PROTONET.DISTANCE", "euclid")
    assert "\n" not in str(error.value)

"""What the study of less arithmetic compares is what it says: each way is the network itself where nothing is saved."""

from __future__ import annotations

import pytest
import torch

from benchmarks.cheaper_networks import OnePass, OtherScales, Pooled, WithoutLastBlock, WithoutRing, with_backbone
from mal.models.predict import predict_logits
from mal.models.prediction_mode import PredictionMode
from tests.small_networks import small_network

IMAGES = torch.rand(3, 3, 64, 64)
AREAS = torch.tensor([50000.0, 100, 5000])


@pytest.fixture(scope="module")
def network():
    return small_network(num_blocks=2).eval()


@torch.no_grad()
def test_a_head_on_the_usual_scales_gives_the_usual_logits(network):
    torch.testing.assert_close(OtherScales(network)(IMAGES, AREAS), network(IMAGES, AREAS))


@torch.no_grad()
@pytest.mark.parametrize("flip", [False, True])
def test_one_pass_over_a_photo_that_is_the_crop_gives_the_crop_s_logits(network, flip):
    frames = [(0, 0, 64, 64)] * len(AREAS)
    one_pass = OnePass(network, frames, (64, 64), cells=4, flip=flip)
    images = IMAGES[:1].expand(3, -1, -1, -1)
    expected = predict_logits(network, network, images, AREAS, PredictionMode(flip=flip))
    torch.testing.assert_close(one_pass(IMAGES[:1], AREAS), expected, rtol=1e-3, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("kind", [Pooled, WithoutLastBlock, WithoutRing])
def test_a_changed_backbone_gives_other_features_of_the_same_size(network, kind):
    changed = with_backbone(network, kind)(IMAGES, AREAS)
    usual = network(IMAGES, AREAS)
    assert changed.shape == usual.shape
    assert not torch.equal(changed, usual)
